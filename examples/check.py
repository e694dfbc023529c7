"""Sends each example through its model in plain Python and prints what comes out.

    python3 examples/check.py [picture.png …]

Turns a picture into an input as models/README.md says, written apart from the client's own code so
that the two can be compared. Needs python3-numpy, python3-onnx and python3-pil.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
sys.path.insert(0, str(MODELS))
import export  # noqa: E402 -- its folder has only just been added


def main(pictures):
    for path in pictures or [HERE / "three.png", HERE / "seven.png"]:
        show(path, "digits", {"image": picture(Image.open(path), "digits", "image", 8, 8)})
    if not pictures:
        for model in ["digits", "breast-mass"]:
            path = HERE / f"{model}.json"
            show(path, model, request(json.loads(path.read_text())))


def show(path, model, feeds):
    graph = onnx.load(str(MODELS / model / "1" / "model.onnx"))
    for name, values in export.run_graph(graph, feeds).items():
        labels = metadata(model)["outputs"][name].get("labels")
        if labels:
            order = np.argsort(-values[0])[:2]
            answer = ", ".join(f"{labels[i]} {values[0, i]:.4f}" for i in order)
            print(f"{Path(path).name}: {model}, {name}: {answer}")


def metadata(model):
    return json.loads((MODELS / model / "1" / "metadata.json").read_text())


def request(body):
    return {
        tensor["name"]: np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        for tensor in body["inputs"]
    }


def picture(image, model, name, height, width):
    rules = metadata(model)["inputs"][name]["image"]
    assert (rules["layout"], rules["channels"], rules["fit"]) == ("NCHW", "gray", "contain")
    rgba = np.asarray(image.convert("RGBA"), float)
    # On white paper, then luma by ITU-R BT.601.
    alpha = rgba[:, :, 3:] / 255
    gray = (rgba[:, :, :3] * alpha + 255 * (1 - alpha)) @ [0.299, 0.587, 0.114]
    border = np.concatenate([gray[0], gray[-1], gray[1:-1, 0], gray[1:-1, -1]])
    if rules["invert"] == "auto" and border.mean() > 127:
        gray = 255 - gray
    # Kept in proportion, in the middle, the rest filled with the background.
    scale = min(height / gray.shape[0], width / gray.shape[1])
    inner = [max(1, round(n * scale)) for n in gray.shape]
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    fitted = np.full((height, width), float(rules["background"]))
    small = averages(gray.shape[0], inner[0]) @ gray @ averages(gray.shape[1], inner[1]).T
    fitted[top : top + inner[0], left : left + inner[1]] = small
    return (fitted * rules["scale"] + rules["offset"]).astype(np.float32)[None, None]


def averages(size, parts):
    """Row i weighs each of `size` pixels by how much of it lies in part i."""
    edges = np.arange(parts + 1) * size / parts
    starts = np.arange(size)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.clip(overlap, 0, None) * parts / size


if __name__ == "__main__":
    main(sys.argv[1:])
