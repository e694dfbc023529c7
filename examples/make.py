"""Writes the examples beside this file from cases that the models were not trained on.

    python3 examples/make.py

No random numbers: two runs write the same bytes.
"""

import importlib.util
import json
import struct
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "models"

SIDE = 112  # pixels; a tenth of it is margin on every side
# Rows of the digits data, picked by eye among the held-out ones because people read them easily.
PICTURES = [("three", 3, 708), ("seven", 7, 1275)]
LINE = 100  # columns, as Prettier wraps


def main():
    digits, breast_mass = training_script("digits"), training_script("breast-mass")

    images, labels, forms = digits.load()
    _, held_out = digits.split_forms()
    for name, digit, row in PICTURES:
        if forms[row] not in held_out or labels[row] != digit:
            raise ValueError(f"row {row} is not a held-out {digit}")
        write_png(HERE / f"{name}.png", paper(digits, images[row]))
        print(f"{name}.png: row {row}")
    write_request(HERE / "digits.json", "image", [1, 1, 8, 8], images[row])
    print(f"digits.json: row {row}")

    measurements, malignant, _ = breast_mass.load()
    row = int(np.flatnonzero(breast_mass.split(malignant) & (malignant == 1))[0])
    write_request(HERE / "breast-mass.json", "measurements", [1, 30], measurements[row])
    print(f"breast-mass.json: row {row}")


def training_script(model):
    """The module that knows which cases were held out."""
    path = MODELS / model / "train.py"
    spec = importlib.util.spec_from_file_location(model.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def paper(digits, image):
    """[8,8] of ink to dark strokes on white, SIDE pixels a side, with the edges of a pen's line."""
    enlarged = digits.enlarge(np.pad(image, 1)[None], SIDE)[0]
    ink = 1 / (1 + np.exp(-16 * (enlarged - 0.55)))
    return np.round(255 - 225 * ink).astype(np.uint8)


def write_png(path, gray):
    """8-bit grayscale, no filter (PNG, third edition, §11.2.1 and §9.2)."""
    height, width = gray.shape
    scanlines = b"".join(b"\0" + line.tobytes() for line in gray)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(scanlines, 9)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        content += struct.pack(">I", len(body)) + kind + body
        content += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content)


def write_request(path, name, shape, values):
    """One KServe v2 inference request, laid out as Prettier would."""
    numbers = ", ".join(json.dumps(float(v)) for v in values.reshape(-1))
    indent = " " * 8
    data = textwrap.fill(numbers, LINE, initial_indent=indent, subsequent_indent=indent)
    path.write_text(
        "{\n"
        '  "inputs": [\n'
        "    {\n"
        f'      "name": {json.dumps(name)},\n'
        f'      "shape": {json.dumps(shape)},\n'
        '      "datatype": "FP32",\n'
        f'      "data": [\n{data}\n      ]\n'
        "    }\n"
        "  ]\n"
        "}\n"
    )


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
