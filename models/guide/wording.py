"""The tokenizer and the chat template: how a dialogue becomes token ids."""

import itertools
import json
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import Corpus, Message, dialogue

VOCABULARY = 2048
CONTEXT = 1024
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] | trim) + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def make_tokenizer(corpus: Corpus, seed: int) -> Tokenizer:
    """Byte-level BPE of the dialogues' own words."""
    rng = random.Random(seed)
    texts = [
        text
        for topic in corpus.topics
        for text in (
            *topic.questions,
            *topic.answers,
            topic.short,
            topic.why,
            topic.example,
            topic.more,
        )
    ]
    texts += [message["content"] for _ in range(10_000) for message in dialogue(corpus, rng)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens, want {VOCABULARY}"
        )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "eos_token": END,
        "pad_token": PAD,
        "bos_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def render(messages: list[Message], answer_next: bool) -> str:
    """What the chat template gives; report.py checks that it does."""
    text = "".join(f"{START}{m['role']}\n{m['content'].strip()}{END}\n" for m in messages)
    return text + f"{START}assistant\n" if answer_next else text


class Encoder:
    """Token ids of a dialogue, and which of them the model is to learn to say."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.start, self.end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
        self.newline = tokenizer.encode("\n").ids
        self.opening = tokenizer.encode("assistant\n").ids

    def encode(
        self, messages: list[Message], rng: random.Random | None
    ) -> tuple[list[int], list[bool]]:
        """Ids, and whether the assistant says them. With `rng`, some words are split anyhow."""
        ids: list[int] = []
        said: list[bool] = []
        for message in messages:
            ours = message["role"] == "assistant"
            broken = rng is not None and not ours and rng.random() < 0.15
            text = f"{message['role']}\n{message['content'].strip()}"
            parts = split(text, rng) if broken else [text]
            inner = [one for part in parts for one in self.tokenizer.encode(part).ids]
            ids += [self.start, *inner, self.end, *self.newline]
            skip = len(self.opening) if ours else len(inner)
            said += [
                False,
                *(i >= skip for i in range(len(inner))),
                ours,
                *(False for _ in self.newline),
            ]
        return ids, said


def split(text: str, rng: random.Random) -> list[str]:
    """Cut at any places, so that unknown and misspelt words, in odd pieces, are nothing special."""
    cuts = [0, *(i for i in range(1, len(text)) if rng.random() < 0.06), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(cuts)]
