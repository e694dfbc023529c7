"""Writes expected.json: what transformers answers with the weights of our made-up decoders.

    node test/fakes/decoder/write.ts DIR
    python test/fakes/decoder/oracle.py DIR > test/fakes/decoder/expected.json

DIR has an export for each architecture; its fp32 graph holds the weights under PyTorch's names. Needs
torch, transformers, onnx and numpy; no test needs any of them.
"""

import json
import pathlib
import sys

import numpy
import onnx
import torch
import transformers
from onnx import numpy_helper

PROMPT = [10, 20, 30, 40, 50, 60, 70, 80]
STEPS = 8
LOGITS = 8


def weights_of(path):
    """PyTorch's state, from the initializers of the graph: products are written [in, out] there."""
    state = {}
    for tensor in onnx.load(path).graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".MatMul.weight"):
            state[tensor.name.replace(".MatMul.weight", ".weight")] = torch.tensor(values.T.copy())
        elif tensor.name.startswith(("model.", "lm_head")):
            state[tensor.name] = torch.tensor(values.copy())
    return state


def expectation(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    )
    found = model.load_state_dict(weights_of(folder / "onnx" / "model.onnx"), strict=False)
    missing = [name for name in found.missing_keys if name != "lm_head.weight"]
    assert not missing and not found.unexpected_keys, (folder.name, found)
    model.eval()
    tokens, answer, first = list(PROMPT), [], None
    with torch.no_grad():
        for _ in range(STEPS):
            # Without a cache: what our graph's cache has to add up to.
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1].numpy()
            first = logits if first is None else first
            tokens.append(int(numpy.argmax(logits)))
            answer.append(tokens[-1])
    return {
        "prompt": PROMPT,
        "tokens": answer,
        "firstLogits": [round(float(value), 5) for value in first[:LOGITS]],
        "lastLogits": [round(float(value), 5) for value in logits[:LOGITS]],
    }


folders = sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_dir())
print(json.dumps({folder.name: expectation(folder) for folder in folders}, indent=2))
