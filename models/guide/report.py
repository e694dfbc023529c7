"""Prints what the model's card says; fails where the graph is not the network that was trained."""

import json

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from corpus import Corpus
from measure import (
    TEMPERATURE,
    TOP_P,
    Graph,
    Judged,
    compare,
    compare_steps,
    network_logits,
    perplexity,
    play,
    read_dialogues,
    read_samples,
    show,
    talk,
)
from wording import CHAT_TEMPLATE, Encoder, render

# Eight bits in weights and activations against sixteen and more: measured, and then held to.
LARGEST_MEAN_DIFFERENCE = 0.05
LEAST_SHARE_SAME = 0.97
LARGEST_STEP_DIFFERENCE = 0.5


def report(model: LlamaForCausalLM, graph: Graph, corpus: Corpus, tokenizer: Tokenizer) -> None:
    encoder = Encoder(tokenizer)
    held_out = read_dialogues("held-out.txt", corpus)
    require_template()
    require_same(model, graph, held_out, encoder)
    for name, logits in (("32 bits", network_logits(model)), ("8 bits", graph.logits)):
        for what, answers in (("answers", True), ("questions", False)):
            found = perplexity(logits, held_out, encoder, answers)
            print(
                f"perplexity of held-out {what}, {name}: {found.token:.2f} per token, "
                f"{found.byte:.3f} per byte, {found.tokens} tokens"
            )
    for name in ("development.txt", "held-out.txt"):
        judged = play(graph, read_dialogues(name, corpus), corpus, tokenizer)
        print(f"\n{name}, likeliest tokens: {show(judged)}")
        for one in (
            one for dialogue in judged for one in dialogue if not one.right or not one.verbatim
        ):
            print(line(one))
    print(f"\nsamples, temperature {TEMPERATURE}, top_p {TOP_P}, seeds 1 to 10")
    for seed, asked in enumerate(read_samples(), 1):
        print(f"\n{seed}.")
        for message in talk(graph, asked, tokenizer, seed):
            print(f"{'>' if message['role'] == 'user' else ' '} {message['content']}")


def line(one: Judged) -> str:
    result = ("right" if one.right else "WRONG") + ("" if one.verbatim else ", own words")
    return f"  {result} [{one.topic}] {one.asked.question} -> {one.answer}"


def require_template() -> None:
    """The template is what the network was trained with."""
    messages = [
        {"role": role, "content": f" {role} says "}
        for role in ("system", "user", "assistant", "user")
    ]
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
        CHAT_TEMPLATE
    )
    for following in (True, False):
        text = template.render(messages=messages, add_generation_prompt=following)
        if text != render(messages, following):
            raise SystemExit(f"the template gives {json.dumps(text)}")


def require_same(model: LlamaForCausalLM, graph: Graph, held_out, encoder: Encoder) -> None:
    largest, mean, same, tokens = compare(model, graph, held_out, encoder)
    steps = compare_steps(graph, held_out, encoder)
    print(
        f"graph and network: logits differ by {mean:.4f} in the mean and {largest:.3f} at most; "
        f"{same} of {tokens} likeliest tokens are the same"
    )
    print(f"token by token and at once: logits differ by {steps:.4f} at most")
    if (
        mean > LARGEST_MEAN_DIFFERENCE
        or same < LEAST_SHARE_SAME * tokens
        or steps > LARGEST_STEP_DIFFERENCE
    ):
        raise SystemExit("the graph is not the network")
