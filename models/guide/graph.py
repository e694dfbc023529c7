"""Writes the trained network as an ONNX graph with 8-bit weights.

The graph is the one that ONNX Runtime's model builder writes for Llama: GroupQueryAttention, whose
cache can be updated in place, and MatMulNBits with 8 bits, whose rows do not depend on what else is
in the batch. Its bytes depend on the weights only.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import LlamaForCausalLM

OPSET = 17
IR_VERSION = 8
BLOCK = 32
# Products of bytes: activations are rounded to 8 bits, too, in blocks of their own row.
ACCURACY_LEVEL = 4
MICROSOFT = "com.microsoft"


class GraphWriter:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(
        self,
        operator: str,
        inputs: list[str],
        outputs: list[str],
        domain: str = "",
        **attributes: object,
    ) -> str:
        self.nodes.append(
            helper.make_node(
                operator, inputs, outputs, name=outputs[0], domain=domain, **attributes
            )
        )
        return outputs[0]

    def linear(self, x: str, name: str, weight: np.ndarray, output: str | None = None) -> str:
        rows, columns = weight.shape
        packed, scales = quantize(weight)
        inputs = [
            x,
            self.constant(f"{name}.weight_Q8", packed),
            self.constant(f"{name}.weight_scales", scales),
        ]
        attributes = {
            "K": columns,
            "N": rows,
            "bits": 8,
            "block_size": BLOCK,
            "accuracy_level": ACCURACY_LEVEL,
        }
        return self.node(
            "MatMulNBits", inputs, [output or f"{name}/output"], MICROSOFT, **attributes
        )

    def norm(self, x: str, name: str, weight: np.ndarray, epsilon: float) -> str:
        inputs = [x, self.constant(f"{name}.weight", weight)]
        return self.node(
            "SimplifiedLayerNormalization",
            inputs,
            [f"{name}/output"],
            axis=-1,
            epsilon=epsilon,
            stash_type=1,
        )


def quantize(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes [rows, blocks, 32] around 128 and the scale of each block, as MatMulNBits has them."""
    blocks = weight.astype(np.float32).reshape(weight.shape[0], -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-12).astype(np.float32)
    packed = np.clip(np.rint(blocks / scales[..., None]), -127, 127) + 128
    return packed.astype(np.uint8), scales


def write_graph(model: LlamaForCausalLM, path: Path) -> bytes:
    config = model.config
    weights = {
        name: value.detach().to(torch.float32).numpy() for name, value in model.state_dict().items()
    }
    writer = GraphWriter()

    # Half precision is more than the products make of it, and half of the size.
    table = writer.constant(
        "model.embed_tokens.weight", weights["model.embed_tokens.weight"].astype(np.float16)
    )
    rows = writer.node("Gather", [table, "input_ids"], ["model.embed_tokens/rows"])
    hidden = writer.node("Cast", [rows], ["model.embed_tokens/output"], to=TensorProto.FLOAT)

    # How many tokens each sequence has, less one, and how wide the mask is.
    one, last = writer.constant("one", np.array([1], np.int64)), writer.constant(
        "second", np.array(1, np.int64)
    )
    ones = writer.node("ReduceSum", ["attention_mask", one], ["mask/ones"], keepdims=0)
    less = writer.node("Sub", [ones, one], ["mask/less"])
    lengths = writer.node("Cast", [less], ["mask/lengths"], to=TensorProto.INT32)
    shape = writer.node("Shape", ["attention_mask"], ["mask/shape"])
    width = writer.node("Gather", [shape, last], ["mask/width"])
    total = writer.node("Cast", [width], ["mask/total"], to=TensorProto.INT32)

    angles = np.outer(np.arange(config.max_position_embeddings), rotary_frequencies(model))
    turn = [
        writer.constant("cos_cache", np.cos(angles).astype(np.float32)),
        writer.constant("sin_cache", np.sin(angles).astype(np.float32)),
    ]

    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}"
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in weights.items()
            if key.startswith(f"{name}.")
        }
        normed = writer.norm(
            hidden, f"{name}.input_layernorm", own["input_layernorm.weight"], config.rms_norm_eps
        )
        q, k, v = (
            writer.linear(normed, f"{name}.self_attn.{part}", own[f"self_attn.{part}.weight"])
            for part in ("q_proj", "k_proj", "v_proj")
        )
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        seen = writer.node(
            "GroupQueryAttention",
            [q, k, v, *past, lengths, total, *turn],
            [f"{name}.self_attn/output", f"present.{layer}.key", f"present.{layer}.value"],
            MICROSOFT,
            num_heads=config.num_attention_heads,
            kv_num_heads=config.num_key_value_heads,
            scale=config.head_dim**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
            local_window_size=-1,
        )
        projected = writer.linear(seen, f"{name}.self_attn.o_proj", own["self_attn.o_proj.weight"])
        hidden = writer.node("Add", [hidden, projected], [f"{name}/attended"])
        normed = writer.norm(
            hidden,
            f"{name}.post_attention_layernorm",
            own["post_attention_layernorm.weight"],
            config.rms_norm_eps,
        )
        gate, up = (
            writer.linear(normed, f"{name}.mlp.{part}", own[f"mlp.{part}.weight"])
            for part in ("gate_proj", "up_proj")
        )
        open_ = writer.node("Sigmoid", [gate], [f"{name}.mlp/sigmoid"])
        silu = writer.node("Mul", [gate, open_], [f"{name}.mlp/silu"])
        gated = writer.node("Mul", [silu, up], [f"{name}.mlp/gated"])
        down = writer.linear(gated, f"{name}.mlp.down_proj", own["mlp.down_proj.weight"])
        hidden = writer.node("Add", [hidden, down], [f"{name}/output"])

    normed = writer.norm(hidden, "model.norm", weights["model.norm.weight"], config.rms_norm_eps)
    writer.linear(normed, "lm_head", weights["model.embed_tokens.weight"], "logits")
    content = serialize(writer, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def rotary_frequencies(model: LlamaForCausalLM) -> np.ndarray:
    return model.model.rotary_emb.inv_freq.to(torch.float64).numpy()


def serialize(writer: GraphWriter, config) -> bytes:
    def value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    def cache(prefix: str, length: str) -> list[onnx.ValueInfoProto]:
        shape = ["batch_size", config.num_key_value_heads, length, config.head_dim]
        return [
            value(f"{prefix}.{layer}.{part}", TensorProto.FLOAT, shape)
            for layer in range(config.num_hidden_layers)
            for part in ("key", "value")
        ]

    graph = helper.make_graph(
        writer.nodes,
        "guide",
        [
            value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
            *cache("past_key_values", "past_sequence_length"),
        ],
        [
            value(
                "logits", TensorProto.FLOAT, ["batch_size", "sequence_length", config.vocab_size]
            ),
            *cache("present", "total_sequence_length"),
        ],
        writer.initializers,
    )
    model = helper.make_model(
        graph,
        producer_name="countersign",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
    )
    return model.SerializeToString()
