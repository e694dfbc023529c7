"""What Hugging Face's tokenizers (the Rust library) make of some texts.

    node --input-type=module -e 'import { tokenizerExamples } from "./test/fakes/tokenizers.ts";
      console.log(JSON.stringify(tokenizerExamples()))' | python test/fakes/tokenizer-oracle.py
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer

TEXTS = [
    "hello world",
    "  hello   the world!!\n\n  ing",
    "Élan vital, naïve café 語言 🙂👩\u200d👩\u200d👧",
    "12 345 don't we'll I'M",
    "",
    " ",
    "a\tb\r\nc",
    "<|im_start|>user\nhello<|im_end|>",
    "<s>hello</s> the",
    "thethe worlding ab.!? x",
    "e\u0301 \u00e9 \ufb01",
    "\u200b\u0000\x07z",
]


def results(tokenizer):
    for text in TEXTS:
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        yield {"add": tokenizer.encode(text).ids, "recognise": plain, "text": tokenizer.decode(plain)}


examples = json.load(sys.stdin)
expected = {
    name: list(results(Tokenizer.from_str(json.dumps(each)))) for name, each in examples.items()
}
target = pathlib.Path(__file__).with_name("tokenizer-expectations.json")
target.write_text(json.dumps({"texts": TEXTS, "tokenizers": expected}) + "\n")
