"""Trains models/breast-mass/1/model.onnx: logistic regression on 30 measurements of cell nuclei.

    python3 models/breast-mass/train.py

NumPy only, one thread, fixed seeds: two runs on one machine write the same bytes. A few seconds.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: the order of sums must not depend on load

import json
import sys
from pathlib import Path

import numpy as np
from onnx import helper
from sklearn.datasets import load_breast_cancer

sys.dont_write_bytecode = True  # models/ holds models, not __pycache__
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import export  # noqa: E402 -- its folder has only just been added

HELD_OUT_SHARE = 0.3  # of each class
SPLIT_SEED = 20260101
FOLD_SEED = 1
BOOTSTRAP_SEED = 2
FOLDS, REPEATS = 10, 5
PENALTIES = [0.1, 0.3, 1, 3, 10, 30]
BOOTSTRAPS = 2000


def main():
    measurements, malignant, names = load()
    require_metadata(names)
    held_out = split(malignant)
    x, y = measurements[~held_out], malignant[~held_out]
    print(f"{len(y)} cases to develop on ({y.sum():.0f} malignant), {held_out.sum()} held out")
    penalty = choose_penalty(x, y)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    weights = fit((x - centre) / spread, y, penalty)
    model = write(centre, spread, weights)

    x, y = measurements[held_out].astype(np.float32), malignant[held_out]
    probability = export.run_graph(model, {"measurements": x})["probability"]
    trained = predict(weights, (measurements[held_out] - centre) / spread)
    difference = np.abs(probability[:, 0] - trained).max()
    if difference > 1e-5:
        raise ValueError(f"the file's graph and the trained model differ by {difference}")
    print(f"file against trained model: largest difference {difference:.1e}")
    measure(probability[:, 0].astype(float), y)


# 1. Data.


def load():
    """Raw measurements [569,30], 1 where malignant, and the features' names in order."""
    cases = load_breast_cancer()
    return cases.data, (cases.target == 0).astype(float), [str(n) for n in cases.feature_names]


def require_metadata(names):
    metadata = json.loads((HERE / "1" / "metadata.json").read_text())
    described = [f["name"] for f in metadata["inputs"]["measurements"]["features"]]
    if described != names:
        raise ValueError("metadata.json does not name the data set's features in their order")


def split(malignant):
    """True for the cases that no choice may look at: the same share of each class."""
    rng = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(malignant), bool)
    for label in (0, 1):
        cases = rng.permutation(np.flatnonzero(malignant == label))
        held_out[cases[: round(HELD_OUT_SHARE * len(cases))]] = True
    return held_out


# 2. The model.


def fit(x, y, penalty):
    """Newton's method to convergence; the squared weights are penalised, the constant is not."""
    x = np.c_[x, np.ones(len(x))]
    ridge = np.diag([penalty] * (x.shape[1] - 1) + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(100):
        p = sigmoid(x @ weights)
        gradient = x.T @ (p - y) + ridge @ weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, gradient)
        weights -= step
        if np.abs(step).max() < 1e-12:
            return weights
    raise ValueError("no convergence")


def predict(weights, x):
    return sigmoid(x @ weights[:-1] + weights[-1])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def choose_penalty(x, y):
    """The penalty with the least log loss under repeated cross-validation."""
    losses = []
    for penalty in PENALTIES:
        rng = np.random.default_rng(FOLD_SEED)
        loss = []
        for _ in range(REPEATS):
            fold = rng.permutation(len(y)) % FOLDS
            for k in range(FOLDS):
                train, test = fold != k, fold == k
                centre, spread = x[train].mean(axis=0), x[train].std(axis=0)
                weights = fit((x[train] - centre) / spread, y[train], penalty)
                loss += log_losses(predict(weights, (x[test] - centre) / spread), y[test]).tolist()
        losses.append(np.mean(loss))
        print(f"penalty {penalty}: cross-validated log loss {losses[-1]:.4f}")
    return PENALTIES[int(np.argmin(losses))]


def log_losses(p, y):
    return -np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-12))


# 3. The file.


def write(centre, spread, weights):
    # softmax([z, 0]) = [sigmoid(z), 1 - sigmoid(z)]: the second column stays zero.
    initializers = [
        export.tensor("centre", centre),
        export.tensor("spread", spread),
        export.tensor("weight", np.c_[weights[:-1], np.zeros(len(weights) - 1)]),
        export.tensor("bias", np.array([weights[-1], 0.0])),
    ]
    nodes = [
        helper.make_node("Sub", ["measurements", "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "spread"], ["standard"]),
        helper.make_node("Gemm", ["standard", "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=1),
    ]
    return export.write_model(
        HERE / "1" / "model.onnx",
        "breast-mass",
        nodes,
        [export.float_value("measurements", ["batch", len(centre)])],
        [export.float_value("probability", ["batch", 2])],
        initializers,
    )


# 4. Measurements.


def measure(p, y):
    called = p >= 0.5
    print("held out, malignant from probability 0.5:")
    print(f"  accuracy    {export.proportion(int((called == y).sum()), len(y))}")
    print(f"  sensitivity {export.proportion(int(called[y == 1].sum()), int((y == 1).sum()))}")
    print(f"  specificity {export.proportion(int((~called)[y == 0].sum()), int((y == 0).sum()))}")
    low, high = bootstrap_auc(p, y)
    print(f"  AUC {auc(p, y):.4f} (95 % bootstrap interval {low:.4f} to {high:.4f})")
    print(f"  Brier score {np.mean((p - y) ** 2):.4f}, log loss {log_losses(p, y).mean():.4f}")
    print(f"  mean probability {p.mean():.3f}, share malignant {y.mean():.3f}")
    for low, high in [(0, 0.05), (0.05, 0.5), (0.5, 0.95), (0.95, 1)]:
        band = (p >= low) & ((p < high) | (high == 1))
        counts = f"{p[band].sum():.1f} malignant expected, {y[band].sum():.0f} found"
        print(f"  {low} to {high}: {band.sum()} cases, {counts}")
    print("  malignant called benign, with probability " + listed(p[(y == 1) & ~called]))
    print("  benign called malignant, with probability " + listed(p[(y == 0) & called]))


def listed(p):
    return ", ".join(f"{q:.3f}" for q in np.sort(p)) or "none"


def auc(p, y):
    """The share of (malignant, benign) pairs in the right order; ties count half."""
    above = p[y == 1][:, None] - p[y == 0][None, :]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def bootstrap_auc(p, y):
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    samples = []
    for _ in range(BOOTSTRAPS):
        positive = rng.choice(np.flatnonzero(y == 1), int(y.sum()))
        negative = rng.choice(np.flatnonzero(y == 0), int((1 - y).sum()))
        chosen = np.r_[positive, negative]
        samples.append(auc(p[chosen], y[chosen]))
    return np.percentile(samples, [2.5, 97.5])


if __name__ == "__main__":
    main()
