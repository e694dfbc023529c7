"""Writes torch-llama.onnx: a tiny Llama as torch.onnx itself exports it, with a cache as optimum names it.

    python test/fakes/decoder/torch_export.py test/fakes/decoder/torch-llama.onnx

Needs torch, transformers and onnx; no test needs any of them. Our own writer makes graphs like it; this
one shows that the converter reads what the exporter really writes.
"""

import sys

import torch
import transformers

LAYERS = 2
PAST = 3
NEW = 4


class WithCache(torch.nn.Module):
    """Takes and gives the cache as a list of tensors, keys before values."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, *past):
        cache = transformers.DynamicCache()
        for layer in range(LAYERS):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        before = past[0].shape[2]
        total = before + input_ids.shape[1]
        causal = torch.arange(total)[None, :] <= torch.arange(before, total)[:, None]
        allowed = causal[None, None] & (attention_mask[:, None, None, :] > 0)
        output = self.model(
            input_ids=input_ids,
            attention_mask=torch.where(allowed, 0.0, torch.finfo(torch.float32).min),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        layers = output.past_key_values.layers
        return (output.logits, *(part for layer in layers for part in (layer.keys, layer.values)))


torch.manual_seed(1)
config = transformers.LlamaConfig(
    vocab_size=48,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=LAYERS,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=64,
    attn_implementation="eager",
)
model = transformers.LlamaForCausalLM(config).eval()
for parameter in model.parameters():
    if parameter.dim() > 1:
        torch.nn.init.normal_(parameter, std=0.4)

parts = [f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
inputs = ["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{p}" for p in parts)]
outputs = ["logits", *(f"present.{p}" for p in parts)]
now = {0: "batch_size", 1: "sequence_length"}
axes = {"input_ids": now, "position_ids": now, "logits": now}
axes["attention_mask"] = {0: "batch_size", 1: "past_sequence_length + sequence_length"}
for part in parts:
    axes[f"past_key_values.{part}"] = {0: "batch_size", 2: "past_sequence_length"}
    axes[f"present.{part}"] = {0: "batch_size", 2: "past_sequence_length + sequence_length"}
example = (
    torch.randint(0, 48, (2, NEW)),
    torch.ones(2, PAST + NEW, dtype=torch.long),
    torch.arange(PAST, PAST + NEW)[None].repeat(2, 1),
    *(torch.randn(2, 1, PAST, 8) for _ in parts),
)
torch.onnx.export(
    WithCache(model),
    example,
    sys.argv[1],
    input_names=inputs,
    output_names=outputs,
    dynamic_axes=axes,
    opset_version=17,
    dynamo=False,
)
