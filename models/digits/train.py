"""Trains models/digits/1/model.onnx: a small convolutional network for handwritten digits.

    python3 models/digits/train.py              train, write the file, measure on the held-out forms
    python3 models/digits/train.py --validate   how settings were chosen: writes nothing, and never
                                                looks at the held-out forms

NumPy only, one thread, fixed seeds: two runs on one machine write the same bytes. Two or three
minutes, and five times that to validate.
"""

import os

# Before NumPy loads: the order and width of sums, and so the last bits of every weight, must depend
# neither on load nor on which vector instructions this machine has beyond AVX2.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"
AVX512 = ["AVX512F", "AVX512CD", "AVX512_SKX", "AVX512_CLX", "AVX512_CNL", "AVX512_ICL"]
os.environ["NPY_DISABLE_CPU_FEATURES"] = " ".join(AVX512)

import sys
from pathlib import Path

import numpy as np
from onnx import helper
from sklearn.datasets import load_digits

sys.dont_write_bytecode = True  # models/ holds models, not __pycache__
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import export  # noqa: E402 -- its folder has only just been added

# The rows lie in the order in which people filled in their forms, and every form asks for the same
# digits: here each of the 14 repetitions begins. A split between forms keeps a hand on one side.
FORM_STARTS = [0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667]
HELD_OUT_FORMS = 4
FOLD_FORMS = 2
SPLIT_SEED = 20260101
TRAIN_SEED = 7
PICTURE_SEED = 11

# Ways to write 1 and 7 that these people seldom or never used: lines x0, y0, x1, y1 in a unit box.
SHAPES = [
    (1, [(0.50, 0.03, 0.50, 0.97)]),
    (1, [(0.35, 0.22, 0.55, 0.03), (0.55, 0.03, 0.55, 0.97)]),
    (1, [(0.22, 0.35, 0.60, 0.03), (0.60, 0.03, 0.60, 0.97)]),
    (1, [(0.30, 0.25, 0.52, 0.03), (0.52, 0.03, 0.52, 0.97), (0.28, 0.97, 0.76, 0.97)]),
    (1, [(0.50, 0.03, 0.50, 0.97), (0.25, 0.97, 0.75, 0.97)]),
    (7, [(0.15, 0.05, 0.85, 0.05), (0.85, 0.05, 0.35, 0.97)]),
    (7, [(0.20, 0.05, 0.80, 0.05), (0.80, 0.05, 0.55, 0.97)]),
    (7, [(0.17, 0.20, 0.17, 0.05), (0.17, 0.05, 0.85, 0.05), (0.85, 0.05, 0.40, 0.97)]),
]
SHAPE_SHARE = 0.12  # of a batch

CHANNELS = (24, 44)
HIDDEN = 96
STEPS = 6000
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
DROPOUT = 0.3
# The darkest ink counts as 1, whatever the pen. Below this there is no ink to speak of.
LEAST_INK = 0.1
WAVER = 1.0  # of the fine pixels below, standard deviation
FINE = 32  # pixels a side while a digit is turned, squeezed and redrawn


def main():
    images, labels, forms = load()
    development, held_out = split_forms()
    parameters = fit(*rows(images, labels, forms, development))
    model = write(parameters)
    x, y = rows(images, labels, forms, held_out)
    difference = np.abs(predict(model, x) - forward(parameters, x)[0]).max()
    if difference > 1e-5:
        raise ValueError(f"the file's graph and the trained network differ by {difference}")
    print(f"file against trained network: largest difference {difference:.1e}")
    print(f"forms: trained on {sorted(development)}, held out {sorted(held_out)}")
    forms = forms[np.isin(forms, held_out)]
    measure("held out", lambda images: predict(model, images), x, y, forms)


def validate():
    """Trains on all but two development forms and predicts those two, until each had its turn."""
    images, labels, forms = load()
    development, _ = split_forms()
    scanned, redrawn, truth = [], [], []
    for first in range(0, len(development), FOLD_FORMS):
        fold = development[first : first + FOLD_FORMS]
        parameters = fit(*rows(images, labels, forms, [f for f in development if f not in fold]))
        x, y = rows(images, labels, forms, fold)
        scanned.append(forward(parameters, x)[0])
        redrawn.append(forward(parameters, redraw(enlarge(x, FINE), picture_rng()))[0])
        truth.append(y)
    report("validation, as scanned", np.concatenate(scanned), np.concatenate(truth))
    report("validation, redrawn", np.concatenate(redrawn), np.concatenate(truth))


def predict(model, images):
    return export.run_graph(model, {"image": images[:, None]})["probabilities"]


# 1. Data.


def load():
    """Images [1797,8,8] in 0..1 with ink at 1, labels, and the form each row comes from."""
    digits = load_digits()
    forms = np.searchsorted(FORM_STARTS, np.arange(len(digits.target)), side="right") - 1
    return (digits.images / 16).astype(np.float32), digits.target, forms


def split_forms():
    """The forms to develop on, and the forms that no choice may look at."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(FORM_STARTS)).tolist()
    return order[HELD_OUT_FORMS:], order[:HELD_OUT_FORMS]


def rows(images, labels, forms, wanted):
    chosen = np.isin(forms, wanted)
    return images[chosen], labels[chosen]


# 2. Digits as other people might draw them.


def enlarge(images, side):
    """Bilinear enlargement of [n,8,8]; pixel centres stay where they are."""
    weights = interpolation(images.shape[1], side)
    return np.einsum("ai,nij,bj->nab", weights, images, weights, optimize=True)


def interpolation(size, side):
    weights = np.zeros((side, size), np.float32)
    centres = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0, size - 1)
    low = np.minimum(centres.astype(int), size - 2)
    weights[np.arange(side), low] = 1 - (centres - low)
    weights[np.arange(side), low + 1] += centres - low
    return weights


def shapes(chosen, rng):
    """Draws SHAPES[i] for each i of `chosen`, with a pen of some width: [n,32,32]."""
    grid = (np.arange(FINE) + 0.5) / FINE
    x, y = grid[None, None, :], grid[None, :, None]
    distance = np.full((len(SHAPES), FINE, FINE), np.inf)
    for i, (_, lines) in enumerate(SHAPES):
        for x0, y0, x1, y1 in lines:
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            away = np.hypot(x - x0 - along * dx, y - y0 - along * dy)[0]
            distance[i] = np.minimum(distance[i], away)
    pen = rng.uniform(0.03, 0.09, len(chosen))[:, None, None]
    return np.clip((pen - distance[chosen]) * FINE + 0.5, 0, 1).astype(np.float32)


def redraw(fine, rng):
    """Turns, squeezes, slants, shifts and re-inks [n,32,32]; returns [n,8,8]."""
    n = len(fine)
    # Where each new pixel comes from: the inverse of scale, slant and rotation about the centre.
    height = rng.uniform(0.6, 1.1, n)
    width = height * rng.uniform(0.6, 1.15, n)
    angle = np.radians(rng.normal(0, 8, n))
    slant = rng.normal(0, 0.12, n)
    room = np.maximum(1 - height, 0) * FINE / 2 + 2
    down, right = rng.uniform(-1, 1, n) * room, rng.uniform(-1, 1, n) * room
    grid = np.arange(FINE) - (FINE - 1) / 2
    y = grid[None, :, None] - down[:, None, None]
    x = grid[None, None, :] - right[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    turned_y = (cos * y - sin * x) / height[:, None, None]
    turned_x = (sin * y + cos * x) / width[:, None, None]
    turned_x += slant[:, None, None] * turned_y
    # A hand wavers: a smooth displacement drawn on a coarse grid.
    waver = rng.normal(0, WAVER, (2, n, 5, 5)).astype(np.float32)
    drawn = sample(fine, turned_y + enlarge(waver[0], FINE), turned_x + enlarge(waver[1], FINE))
    # A pen's line has an edge: thin or thick, soft or hard. One digit in four keeps its grey.
    threshold = rng.uniform(0.25, 0.65, n)[:, None, None]
    hardness = rng.uniform(4, 25, n)[:, None, None]
    inked = 1 / (1 + np.exp(-hardness * (drawn - threshold)))
    drawn = np.where(rng.random(n)[:, None, None] < 0.25, drawn, inked)
    block = FINE // 8
    small = drawn.reshape(n, 8, block, 8, block).mean(axis=(2, 4))
    strength = rng.uniform(0.3, 1, n)[:, None, None]
    return np.clip(small * strength + rng.normal(0, 0.01, small.shape), 0, 1).astype(np.float32)


def sample(fine, y, x):
    """Bilinear look-up around the centre of [n,side,side]; 0 outside."""
    side = fine.shape[1]
    padded = np.pad(fine, ((0, 0), (1, 1), (1, 1)))
    y = np.clip(y + (side - 1) / 2 + 1, 0, side + 0.999)
    x = np.clip(x + (side - 1) / 2 + 1, 0, side + 0.999)
    top, left = y.astype(int), x.astype(int)
    below, beside = y - top, x - left
    flat = padded.reshape(-1)
    at = np.arange(len(fine))[:, None, None] * (side + 2) ** 2 + top * (side + 2) + left
    upper = flat[at] * (1 - beside) + flat[at + 1] * beside
    lower = flat[at + side + 2] * (1 - beside) + flat[at + side + 3] * beside
    return upper * (1 - below) + lower * below


# 3. The network: two 3×3 convolutions, a pool, two dense layers. Channels last while training.


def initial(rng):
    first, second = CHANNELS
    pooled = 3 * 3 * second
    shapes = [(9, first), (9 * first, second), (pooled, HIDDEN), (HIDDEN, 10)]
    parameters = []
    for fan_in, fan_out in shapes:
        parameters.append(rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)).astype(np.float32))
        parameters.append(np.zeros(fan_out, np.float32))
    return parameters


def forward(parameters, x, rng=None):
    """Probabilities of [n,8,8], and what the backward pass needs. Dropout only with `rng`."""
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    n, (first, second) = len(x), CHANNELS
    x = x / np.maximum(x.max(axis=(1, 2), keepdims=True), np.float32(LEAST_INK))
    patches1 = patches(np.pad(x, ((0, 0), (1, 1), (1, 1)))[..., None])
    map1 = np.maximum(patches1 @ w1 + b1, 0).reshape(n, 8, 8, first)
    patches2 = patches(map1)
    map2 = np.maximum(patches2 @ w2 + b2, 0).reshape(n, 3, 2, 3, 2, second)
    pooled = map2.max(axis=(2, 4))
    flat = pooled.reshape(n, -1)
    hidden = np.maximum(flat @ w3 + b3, 0)
    kept = np.ones_like(hidden)
    if rng is not None:
        kept = (rng.random(hidden.shape) >= DROPOUT).astype(np.float32) / np.float32(1 - DROPOUT)
    hidden = hidden * kept
    probabilities = export.softmax(hidden @ w4 + b4, 1)
    return probabilities, (patches1, map1, patches2, map2, pooled, flat, hidden, kept)


def backward(parameters, probabilities, labels, saved):
    _, _, w2, _, w3, _, w4, _ = parameters
    patches1, map1, patches2, map2, pooled, flat, hidden, kept = saved
    n, (first, second) = len(labels), CHANNELS
    at_logits = probabilities.copy()
    at_logits[np.arange(n), labels] -= 1
    at_logits /= n
    at_hidden = (at_logits @ w4.T) * kept * (hidden > 0)
    at_pooled = (at_hidden @ w3.T).reshape(pooled.shape)
    at_map2 = at_pooled[:, :, None, :, None] * ((map2 == pooled[:, :, None, :, None]) & (map2 > 0))
    at_map2 = at_map2.reshape(-1, second)
    at_patches2 = (at_map2 @ w2.T).reshape(n, 6, 6, 3, 3, first)
    at_map1 = np.zeros_like(map1)
    for i in range(3):
        for j in range(3):
            at_map1[:, i : i + 6, j : j + 6] += at_patches2[:, :, :, i, j]
    at_map1 = (at_map1 * (map1 > 0)).reshape(-1, first)
    gradients = []
    inputs = [patches1, patches2, flat, hidden]
    for below, at in zip(inputs, [at_map1, at_map2, at_hidden, at_logits]):
        gradients += [below.T @ at, at.sum(axis=0)]
    return gradients


def patches(maps):
    """[n,h,w,c] to one row of 3·3·c values for each place a 3×3 kernel fits."""
    windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * maps.shape[3])


def fit(images, labels):
    """Adam with decoupled weight decay and a cosine schedule; every batch is redrawn anew."""
    rng = np.random.default_rng(TRAIN_SEED)
    shape_labels = np.array([digit for digit, _ in SHAPES])
    parameters = initial(rng)
    mean = [np.zeros_like(p) for p in parameters]
    square = [np.zeros_like(p) for p in parameters]
    for step in range(1, STEPS + 1):
        chosen = rng.integers(0, len(labels), BATCH)
        fine, y = enlarge(images[chosen], FINE), labels[chosen]
        shape = rng.integers(0, len(SHAPES), BATCH)
        drawn = rng.random(BATCH) < SHAPE_SHARE
        fine = np.where(drawn[:, None, None], shapes(shape, rng), fine)
        y = np.where(drawn, shape_labels[shape], y)
        as_scanned = ~drawn & (rng.random(BATCH) < 0.2)
        x = np.where(as_scanned[:, None, None], images[chosen], redraw(fine, rng))
        probabilities, saved = forward(parameters, x, rng)
        gradients = backward(parameters, probabilities, y, saved)
        rate = LEARNING_RATE * (1 + np.cos(np.pi * step / STEPS)) / 2
        for i, gradient in enumerate(gradients):
            mean[i] = 0.9 * mean[i] + 0.1 * gradient
            square[i] = 0.999 * square[i] + 0.001 * gradient**2
            update = mean[i] / (1 - 0.9**step) / (np.sqrt(square[i] / (1 - 0.999**step)) + 1e-8)
            decay = WEIGHT_DECAY * parameters[i] if parameters[i].ndim == 2 else 0
            parameters[i] = (parameters[i] - rate * (update + decay)).astype(np.float32)
        if step % 1000 == 0:
            loss = -np.log(probabilities[np.arange(BATCH), y]).mean()
            print(f"step {step}: loss {loss:.3f}", file=sys.stderr)
    return parameters


# 4. The file, channels first as ONNX wants them.


def write(parameters):
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    first, second = CHANNELS
    w3 = w3.reshape(3, 3, second, HIDDEN).transpose(2, 0, 1, 3).reshape(-1, HIDDEN)
    initializers = [
        export.tensor("least_ink", np.float32(LEAST_INK)),
        export.tensor("conv1.weight", w1.reshape(3, 3, 1, first).transpose(3, 2, 0, 1)),
        export.tensor("conv1.bias", b1),
        export.tensor("conv2.weight", w2.reshape(3, 3, first, second).transpose(3, 2, 0, 1)),
        export.tensor("conv2.bias", b2),
        export.tensor("dense1.weight", w3),
        export.tensor("dense1.bias", b3),
        export.tensor("dense2.weight", w4),
        export.tensor("dense2.bias", b4),
    ]
    node, three = helper.make_node, {"kernel_shape": [3, 3]}
    nodes = [
        node("ReduceMax", ["image"], ["darkest"], axes=[1, 2, 3], keepdims=1),
        node("Max", ["darkest", "least_ink"], ["ink"]),
        node("Div", ["image", "ink"], ["inked"]),
        node("Conv", ["inked", "conv1.weight", "conv1.bias"], ["c1"], **three, pads=[1] * 4),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], **three, pads=[0] * 4),
        node("Relu", ["c2"], ["r2"]),
        node("MaxPool", ["r2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pooled"], ["flat"], axis=1),
        node("Gemm", ["flat", "dense1.weight", "dense1.bias"], ["d1"]),
        node("Relu", ["d1"], ["r3"]),
        node("Gemm", ["r3", "dense2.weight", "dense2.bias"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    return export.write_model(
        HERE / "1" / "model.onnx",
        "digits",
        nodes,
        [export.float_value("image", ["batch", 1, 8, 8])],
        [
            export.float_value("probabilities", ["batch", 10]),
            export.int64_value("label", ["batch"]),
        ],
        initializers,
    )


# 5. Measurements.


def measure(name, predict_images, images, labels, forms):
    scanned = predict_images(images)
    report(f"{name}, as scanned", scanned, labels)
    right = scanned.argmax(axis=1) == labels
    each = [f"form {f}: {export.ratio(right[forms == f])}" for f in np.unique(forms)]
    print("  " + ", ".join(each))
    rng = picture_rng()
    redrawn = np.concatenate([redraw(enlarge(images, FINE), rng) for _ in range(5)])
    report(f"{name}, each redrawn five times", predict_images(redrawn), np.tile(labels, 5))


def picture_rng():
    return np.random.default_rng(PICTURE_SEED)


def report(name, probabilities, labels):
    top = probabilities.argmax(axis=1)
    right = top == labels
    confidence = probabilities.max(axis=1)
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
    print(f"{name}: {export.proportion(int(right.sum()), len(labels))}")
    print(f"  mean confidence {confidence.mean():.1%}, log loss {loss:.4f}")
    sure = confidence >= 0.9
    print(f"  confidence 0.9 or more: {sure.mean():.1%} of them, {right[sure].mean():.1%} right")
    recall = [f"{d}: {export.ratio(right[labels == d])}" for d in range(10)]
    print("  " + ", ".join(recall))
    pairs, counts = np.unique(np.stack([labels, top])[:, ~right], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:8]
    mistaken = [f"{pairs[0, i]} for {pairs[1, i]} ×{counts[i]}" for i in order]
    print("  mistaken: " + (", ".join(mistaken) or "none"))


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--validate"]):
        sys.exit(__doc__)
    validate() if "--validate" in sys.argv else main()
