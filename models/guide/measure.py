"""Runs the ONNX graph, compares it with the network, and measures what the model's card says."""

import difflib
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from corpus import FOLDER, NO_MORE, Corpus, Message, turn
from wording import CONTEXT, END, Encoder, render

ANSWER_TOKENS = 120
# What generation_config.json says, too.
TEMPERATURE = 0.3
TOP_P = 0.9
# How like a written text an answer must be to count as that text.
LIKE = 0.75

Logits = Callable[[list[int]], np.ndarray]


class Graph:
    """The graph as an engine runs it: a cache, and one token at a time."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.caches = [
            one for one in self.session.get_inputs() if one.name.startswith("past_key_values.")
        ]

    def empty(self) -> dict[str, np.ndarray]:
        return {
            one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
            for one in self.caches
        }

    def step(
        self, ids: list[int], past: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        known = next(iter(past.values())).shape[2]
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, known + len(ids)), np.int64),
            **past,
        }
        logits, *present = self.session.run(None, feeds)
        return logits[0], dict(zip((one.name for one in self.caches), present, strict=True))

    def logits(self, ids: list[int]) -> np.ndarray:
        return self.step(ids, self.empty())[0]

    def answer(
        self, ids: list[int], end: int, temperature: float, rng: np.random.Generator | None
    ) -> list[int]:
        said: list[int] = []
        logits, past = self.step(ids, self.empty())
        while len(said) < ANSWER_TOKENS and len(ids) + len(said) < CONTEXT:
            token = choose(logits[-1], temperature, rng)
            if token == end:
                break
            said.append(token)
            logits, past = self.step([token], past)
        return said


def choose(logits: np.ndarray, temperature: float, rng: np.random.Generator | None) -> int:
    if rng is None or temperature == 0:
        return int(logits.argmax())
    shares = np.exp((logits - logits.max()).astype(np.float64) / temperature)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(shares[order]), TOP_P)) + 1]
    return int(rng.choice(kept, p=shares[kept] / shares[kept].sum()))


def network_logits(model: LlamaForCausalLM) -> Logits:
    def run(ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()

    return run


# ------------------------------------------------------------------ held-out dialogues


@dataclass(frozen=True)
class Asked:
    question: str
    topics: list[str]
    reference: str


def read_dialogues(name: str, corpus: Corpus) -> list[list[Asked]]:
    known = {topic.name for topic in corpus.topics}
    found: list[list[Asked]] = []
    for block in (FOLDER / name).read_text().split("\n\n"):
        lines = [
            line.split(": ", 1) for line in block.splitlines() if line and not line.startswith("#")
        ]
        asked = [
            Asked(u[1], ok[1].split(), a[1])
            for u, ok, a in zip(lines[::3], lines[1::3], lines[2::3], strict=True)
        ]
        for one in asked:
            unknown = [t for t in one.topics if t.split("/")[0] not in known]
            if unknown:
                raise SystemExit(f"{name}: no topic {unknown}")
        if asked:
            found.append(asked)
    return found


@dataclass(frozen=True)
class Perplexity:
    token: float
    byte: float
    tokens: int


def perplexity(
    logits: Logits, dialogues: list[list[Asked]], encoder: Encoder, answers: bool
) -> Perplexity:
    """Of the reference answers, or of the questions, each after the dialogue before it."""
    loss, tokens, size = 0.0, 0, 0
    for dialogue in dialogues:
        messages: list[Message] = [
            m for asked in dialogue for m in turn(asked.question, asked.reference)
        ]
        ids, said = encoder.encode(messages, None)
        scores = logits(ids[:-1]).astype(np.float64)
        top = scores.max(axis=-1, keepdims=True)
        logs = scores - top - np.log(np.exp(scores - top).sum(axis=-1, keepdims=True))
        for i, (target, ours) in enumerate(zip(ids[1:], said[1:], strict=True)):
            if ours == answers:
                loss -= logs[i, target]
                tokens += 1
        size += sum(
            len(m["content"].encode()) for m in messages if (m["role"] == "assistant") == answers
        )
    return Perplexity(math.exp(loss / tokens), math.exp(loss / size), tokens)


def texts_of(corpus: Corpus) -> list[tuple[str, str]]:
    """Every text that the model was taught to say, with the names under which it counts."""
    texts: list[tuple[str, str]] = []
    for topic in corpus.topics:
        texts += [(topic.name, answer) for answer in topic.answers]
        texts += [(f"{topic.name}/then", answer) for _, answer in topic.then]
        for kind in ("short", "why", "example", "more"):
            if getattr(topic, kind):
                texts.append((f"{topic.name}/{kind}", getattr(topic, kind)))
    return texts + [(f"nothing/{kind}", text) for kind, text in NO_MORE.items()]


@dataclass(frozen=True)
class Judged:
    asked: Asked
    answer: str
    topic: str
    verbatim: bool

    @property
    def right(self) -> bool:
        return self.topic in self.asked.topics


def judge(asked: Asked, answer: str, texts: list[tuple[str, str]]) -> Judged:
    same = [name for name, text in texts if text == answer]
    if same:
        return Judged(
            asked, answer, next((name for name in same if name in asked.topics), same[0]), True
        )
    words = re.findall(r"\w+", answer.lower())
    likeness = [
        difflib.SequenceMatcher(None, words, re.findall(r"\w+", text.lower()), False).ratio()
        for _, text in texts
    ]
    best = int(np.argmax(likeness))
    return Judged(asked, answer, texts[best][0] if likeness[best] >= LIKE else "none", False)


def play(
    graph: Graph, dialogues: list[list[Asked]], corpus: Corpus, tokenizer: Tokenizer
) -> list[list[Judged]]:
    """Each dialogue as it would have gone: the model hears its own answers. Likeliest tokens."""
    texts = texts_of(corpus)
    end = tokenizer.token_to_id(END)
    judged: list[list[Judged]] = []
    for dialogue in dialogues:
        messages: list[Message] = []
        judged.append([])
        for asked in dialogue:
            messages.append({"role": "user", "content": asked.question})
            ids = tokenizer.encode(render(messages, answer_next=True)).ids
            answer = tokenizer.decode(graph.answer(ids, end, 0, None)).strip()
            messages.append({"role": "assistant", "content": answer})
            judged[-1].append(judge(asked, answer, texts))
    return judged


def talk(graph: Graph, asked: list[str], tokenizer: Tokenizer, seed: int) -> list[Message]:
    """A dialogue as a client would have it, with the model's own temperature."""
    rng = np.random.default_rng(seed)
    messages: list[Message] = []
    for question in asked:
        messages.append({"role": "user", "content": question})
        ids = tokenizer.encode(render(messages, answer_next=True)).ids
        answer = tokenizer.decode(
            graph.answer(ids, tokenizer.token_to_id(END), TEMPERATURE, rng)
        ).strip()
        messages.append({"role": "assistant", "content": answer})
    return messages


def read_samples() -> list[list[str]]:
    blocks = (FOLDER / "samples.txt").read_text().split("\n\n")
    return [
        lines
        for block in blocks
        if (lines := [line for line in block.splitlines() if line and not line.startswith("#")])
    ]


def show(judged: list[list[Judged]]) -> str:
    """The share that was right, in all and outside of what was learnt word for word."""
    every = [one for dialogue in judged for one in dialogue]
    right = sum(one.right for one in every)
    own = [one for one in every if not one.verbatim]
    words = f"{len(own)} in words that were not taught so"
    return f"{right} of {len(every)} answers on the topic asked for; {words}"


# ------------------------------------------------------------------ the graph against the network


def compare(
    model: LlamaForCausalLM, graph: Graph, dialogues: list[list[Asked]], encoder: Encoder
) -> tuple[float, float, int, int]:
    """Largest and mean difference of logits; equal likeliest tokens, of how many."""
    largest, total, count, same, tokens = 0.0, 0.0, 0, 0, 0
    run = network_logits(model)
    for dialogue in dialogues:
        ids, _ = encoder.encode(
            [m for asked in dialogue for m in turn(asked.question, asked.reference)], None
        )
        ours, theirs = graph.logits(ids), run(ids)
        largest = max(largest, float(np.abs(ours - theirs).max()))
        total += float(np.abs(ours - theirs).sum())
        count += ours.size
        same += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        tokens += len(ids)
    return largest, total / count, same, tokens


def compare_steps(graph: Graph, dialogues: list[list[Asked]], encoder: Encoder) -> float:
    """The largest difference between a text read at once and read token by token with the cache."""
    largest = 0.0
    for dialogue in random.Random(0).sample(dialogues, min(5, len(dialogues))):
        ids, _ = encoder.encode(
            [m for asked in dialogue for m in turn(asked.question, asked.reference)], None
        )
        whole, past = graph.logits(ids), graph.empty()
        for i, token in enumerate(ids):
            logits, past = graph.step([token], past)
            largest = max(largest, float(np.abs(logits[0] - whole[i]).max()))
    return largest
