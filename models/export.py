"""Writes a model as ONNX bytes that depend on its weights only, and runs it again in plain NumPy.

The second half is a reference for the first: each train.py reads back the file that it wrote and
compares `run_graph` with the arithmetic it trained with. It knows the operators used here, no more.
"""

import hashlib
from math import sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8
MAX_MODEL_BYTES = 200_000


def tensor(name, values):
    """A named initializer, float32 unless `values` holds integers."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def float_value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def int64_value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def write_model(path, name, nodes, inputs, outputs, initializers):
    """Checks the graph, writes it to `path` and returns the parsed file."""
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(
        graph,
        producer_name="countersign",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    if len(content) > MAX_MODEL_BYTES:
        raise ValueError(f"{path}: {len(content)} bytes, want at most {MAX_MODEL_BYTES}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"wrote {path.parent.parent.name}/{path.parent.name}/{path.name}: {len(content)} bytes,")
    print(f"  SHA-256 {hashlib.sha256(content).hexdigest()}")
    return onnx.load_model_from_string(path.read_bytes())


def run_graph(model, feeds):
    """Evaluates the graph in float32 NumPy; returns a dict of its outputs."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    values.update(feeds)
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        arguments = [values[name] for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](*arguments, **attributes)
    return {output.name: values[output.name] for output in model.graph.output}


def wilson(correct, total):
    """The 95 % Wilson score interval of a proportion."""
    z = 1.959963984540054
    p = correct / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return centre - half, centre + half


def proportion(correct, total):
    low, high = wilson(correct, total)
    return f"{correct}/{total} = {correct / total:.1%} (95 % interval {low:.1%} to {high:.1%})"


def ratio(flags):
    return f"{int(flags.sum())}/{len(flags)}"


def conv(x, weight, bias, kernel_shape, pads):
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel_shape), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]


def max_pool(x, kernel_shape, strides):
    (height, width), (down, right) = kernel_shape, strides
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
    return windows[:, :, ::down, ::right].max(axis=(4, 5))


def softmax(x, axis):
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


OPERATORS = {
    "ArgMax": lambda x, axis, keepdims: x.argmax(axis=axis).astype(np.int64),
    "Conv": conv,
    "Div": lambda x, y: x / y,
    "Flatten": lambda x, axis: x.reshape(x.shape[0], -1),
    "Gemm": lambda x, weight, bias: x @ weight + bias,
    "Max": lambda x, y: np.maximum(x, y),
    "MaxPool": max_pool,
    "ReduceMax": lambda x, axes, keepdims: x.max(axis=tuple(axes), keepdims=bool(keepdims)),
    "Relu": lambda x: np.maximum(x, 0),
    "Softmax": softmax,
    "Sub": lambda x, y: x - y,
}
