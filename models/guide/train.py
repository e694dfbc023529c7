"""Makes the model in 1/: corpus, tokenizer, training, quantisation, ONNX graph, and its checks.

python3 models/guide/train.py                 # everything
python3 models/guide/train.py --steps 300     # a look; writes to --out only
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

sys.dont_write_bytecode = True  # models/ holds models, not __pycache__
from corpus import Corpus, dialogue, read_corpus  # noqa: E402 -- after the line above
from graph import write_graph  # noqa: E402
from measure import TEMPERATURE, TOP_P, Graph  # noqa: E402
from report import report  # noqa: E402
from wording import (  # noqa: E402
    CONTEXT,
    END,
    PAD,
    VOCABULARY,
    Encoder,
    make_tokenizer,
    write_tokenizer,
)

SEED = 20261121
BATCH_TOKENS = 2048
MUON_RATE = 3e-3
ADAM_RATE = 3e-3
WARM_UP = 40
# The last part of the steps, in which the rates fall to nothing.
COOL_DOWN = 0.35
# Of a question's own tokens: enough to learn English from, too little to learn typing errors.
QUESTION_WEIGHT = 0.1
# With an answer's first tokens it is chosen; the rest then follows. So they count for more, and
# half of the dialogues end after them.
CHOOSING_TOKENS = 8
CHOOSING_WEIGHT = 3.0
# In the first of all steps there are single questions only: to find what is asked comes before to
# remember it.
SINGLE_STEPS = 600

MAX_MODEL_BYTES = 10_000_000

Row = list[tuple[int, float]]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def network(tokenizer_end: int, tokenizer_pad: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer_end,
            pad_token_id=tokenizer_pad,
        )
    )


def batches(corpus: Corpus, encoder: Encoder, rng: random.Random, single: bool):
    """Dialogues of similar length side by side, so that little is spent on padding. Never ends."""
    while True:
        pool: list[Row] = []
        for _ in range(1000):
            ids, said = encoder.encode(dialogue(corpus, rng, single), rng)
            row = list(zip(ids, weigh(said), strict=True))[:CONTEXT]
            if rng.random() < 0.5:
                last = max(i for i in range(1, len(said)) if said[i] and not said[i - 1])
                row = row[: last + CHOOSING_TOKENS]
            pool.append(row)
        pool.sort(key=len)
        made: list[Batch] = []
        rows: list[Row] = []
        for row in pool:
            if (len(rows) + 1) * len(row) > BATCH_TOKENS and rows:
                made.append(batch(rows))
                rows = []
            rows.append(row)
        made.append(batch(rows))
        rng.shuffle(made)
        yield from made


def weigh(said: list[bool]) -> list[float]:
    """How much each token counts: a question's little, an answer's first ones most."""
    weights: list[float] = []
    since = 0
    for ours in said:
        since = since + 1 if ours else 0
        weights.append(
            QUESTION_WEIGHT if not ours else CHOOSING_WEIGHT if since <= CHOOSING_TOKENS else 1.0
        )
    return weights


def batch(rows: list[Row]) -> Batch:
    """Inputs, targets and the weight of each target. Padding is on the right: nothing sees it."""
    longest = max(len(row) for row in rows)
    inputs = torch.zeros((len(rows), longest - 1), dtype=torch.long)
    targets = torch.zeros_like(inputs)
    weights = torch.zeros(inputs.shape)
    for i, row in enumerate(rows):
        n = len(row) - 1
        inputs[i, :n] = torch.tensor([token for token, _ in row[:-1]])
        targets[i, :n] = torch.tensor([token for token, _ in row[1:]])
        weights[i, :n] = torch.tensor([weight for _, weight in row[1:]])
    return inputs, targets, weights


def train(
    model: LlamaForCausalLM, corpus: Corpus, encoder: Encoder, steps: int, checkpoint: Path
) -> None:
    # Muon (Jordan et al., 2024) for the layers' matrices, Adam for the embedding and the norms.
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() == 1 or "embed" in name]
    muon = torch.optim.Muon(
        matrices, lr=MUON_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    singles = batches(corpus, encoder, random.Random(SEED), True)
    dialogues = batches(corpus, encoder, random.Random(SEED + 1), False)
    began, tokens, mean = time.time(), 0, 0.0
    model.train()
    for step in range(1, steps + 1):
        pace = min(1.0, step / WARM_UP, (steps - step + 1) / (COOL_DOWN * steps))
        for optimizer, rate in ((muon, MUON_RATE), (adam, ADAM_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = rate * pace
        inputs, targets, weights = next(singles if step <= SINGLE_STEPS else dialogues)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=inputs, use_cache=False).logits
        each = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), reduction="none"
        )
        loss = (each * weights.flatten()).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adam):
            optimizer.step()
            optimizer.zero_grad()
        tokens += inputs.numel()
        said = weights.flatten() == CHOOSING_WEIGHT
        mean += (each[said].mean().item() - mean) / ((step - 1) % 50 + 1)
        if step % 50 == 0:  # mean is that of the last 50 steps
            print(
                f"step {step}  loss of answers' beginnings {mean:.4f}  "
                f"{tokens} tokens  {time.time() - began:.0f} s",
                flush=True,
            )
        if step % 250 == 0 or step == steps:
            torch.save(model.state_dict(), checkpoint)


def write_configs(model: LlamaForCausalLM, folder: Path) -> None:
    """What a Hugging Face export has beside its graph."""
    c = model.config
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads,
        "num_key_value_heads": c.num_key_value_heads,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": c.max_position_embeddings,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": c.eos_token_id,
        "pad_token_id": c.pad_token_id,
    }
    generation = {
        "do_sample": True,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "eos_token_id": c.eos_token_id,
        "pad_token_id": c.pad_token_id,
    }
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "1")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()), help="for the checkpoint"
    )
    parser.add_argument(
        "--resume", action="store_true", help="takes the checkpoint and does not train"
    )
    args = parser.parse_args()
    print(
        f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}, "
        f"{torch.get_num_threads()} threads",
        flush=True,
    )
    torch.manual_seed(SEED)

    corpus = read_corpus()
    tokenizer = make_tokenizer(corpus, SEED)
    args.out.mkdir(parents=True, exist_ok=True)
    write_tokenizer(tokenizer, args.out)
    encoder = Encoder(tokenizer)
    model = network(tokenizer.token_to_id(END), tokenizer.token_to_id(PAD))
    print(
        f"{len(corpus.topics)} topics, {sum(p.numel() for p in model.parameters())} parameters",
        flush=True,
    )

    checkpoint = args.work / "guide.pt"
    if args.resume:
        model.load_state_dict(torch.load(checkpoint))
    else:
        train(model, corpus, encoder, args.steps, checkpoint)
    model.eval()

    write_configs(model, args.out)
    path = args.out / "onnx" / "model.onnx"
    content = write_graph(model, path)
    print(f"wrote onnx/model.onnx: {len(content)} bytes,")
    print(f"  SHA-256 {hashlib.sha256(content).hexdigest()}")
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    if size > MAX_MODEL_BYTES:
        raise SystemExit(f"{size} bytes in all, want at most {MAX_MODEL_BYTES}")
    print(f"{size} bytes in all")
    report(model, Graph(path), corpus, tokenizer)


if __name__ == "__main__":
    main()
