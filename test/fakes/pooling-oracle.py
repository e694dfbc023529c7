"""What torch makes of some rows, with the formulas of sentence-transformers' Pooling."""

import json
import pathlib

import torch

TOKENS, DIMENSIONS = 5, 4
torch.manual_seed(3)
rows = (torch.randn(TOKENS, DIMENSIONS) * 2).round(decimals=3)[None]
weights = torch.arange(1, TOKENS + 1).float()[None, :, None]
pooled = {
    "cls": rows[:, 0],
    "mean": rows.sum(1) / TOKENS,
    "max": rows.max(1)[0],
    "mean_sqrt_len": rows.sum(1) / torch.sqrt(torch.tensor(float(TOKENS))),
    "weighted_mean": (rows * weights).sum(1) / weights.sum(1),
    "last": rows[:, -1],
}
vectors = {
    name: {
        "pooled": vector[0].tolist(),
        "normalized": torch.nn.functional.normalize(vector, p=2, dim=1)[0].tolist(),
    }
    for name, vector in pooled.items()
}
flat = [round(value, 3) for value in rows.flatten().tolist()]
target = pathlib.Path(__file__).with_name("pooling-expectations.json")
target.write_text(json.dumps({"rows": flat, "dimensions": DIMENSIONS, "vectors": vectors}) + "\n")
