"""Reads the texts in corpus/ and makes dialogues of them.

A text file holds topics. A topic begins with "== name"; its lines begin with one of

  term:    names of the thing, for the questions that can be asked about any thing
  q:       questions and remarks, each a different way to come to this topic
  a:       an answer; there may be several, and each answers all of the questions
  short:   what to say when asked for something shorter
  why:     what to say to "why?"
  example: what to say when asked for an example
  more:    what to say to "tell me more"
  then:    questions that need the topic before them, "=>" and their answer

Several on one line are set apart by " | ". A line "@name: ..." lists the words for {name} in
questions.
All chance comes from the random.Random that is passed in.
"""

import random
import re
from dataclasses import dataclass, field
import sys

sys.dont_write_bytecode = True  # models/ holds models, not __pycache__
from variation import FOLDER, WORDINGS, fill, vary  # noqa: E402 -- after the line above

PHRASINGS = "phrasings.txt"
APART = ("development.txt", "held-out.txt")
TRAINING = ("concepts.txt", "practice.txt", "manners.txt", "outside.txt")


@dataclass
class Topic:
    name: str
    terms: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    short: str = ""
    why: str = ""
    example: str = ""
    more: str = ""
    then: list[tuple[list[str], str]] = field(default_factory=list)
    inside: bool = True  # a subject to explain, not talk about the talk or something unknown


@dataclass(frozen=True)
class Corpus:
    topics: list[Topic]
    words: dict[str, list[str]]


def read_corpus() -> Corpus:
    topics: list[Topic] = []
    words: dict[str, list[str]] = {}
    for name in TRAINING:
        for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
            try:
                read_line(line.strip(), topics, words)
            except (ValueError, IndexError) as error:
                raise SystemExit(f"{name}:{number}: {error}: {line}") from error
            if topics:
                topics[-1].inside = topics[-1].inside and name in ("concepts.txt", "practice.txt")
    add_phrasings(topics)
    require_apart(topics)
    names = [topic.name for topic in topics]
    for topic in topics:
        if names.count(topic.name) > 1 or not topic.answers or not (topic.questions or topic.terms):
            raise SystemExit(f"topic {topic.name}: twice, without answers or without questions")
    return Corpus(topics, words)


def read_line(line: str, topics: list[Topic], words: dict[str, list[str]]) -> None:
    if line == "" or line.startswith("# "):
        return
    if line.startswith("== "):
        topics.append(Topic(line[3:]))
        return
    key, text = line.split(": ", 1)
    parts = [part.strip() for part in text.split(" | ")]
    if key.startswith("@"):
        words[key[1:]] = parts
    elif key == "then":
        question, answer = text.split(" => ")
        topics[-1].then.append(([part.strip() for part in question.split(" | ")], answer.strip()))
    elif key == "a":
        topics[-1].answers.append(text)
    elif key in ("term", "q"):
        (topics[-1].terms if key == "term" else topics[-1].questions).extend(parts)
    elif key in ("short", "why", "example", "more"):
        setattr(topics[-1], key, text)
    else:
        raise ValueError(f"no such key {key}")


def add_phrasings(topics: list[Topic]) -> None:
    by_name = {topic.name: topic for topic in topics}
    for line in (FOLDER / PHRASINGS).read_text().splitlines():
        if line and not line.startswith("# "):
            name, text = line.split(": ", 1)
            by_name[name].questions += [part.strip() for part in text.split(" | ")]


def require_apart(topics: list[Topic]) -> None:
    """No question that measures is one that teaches, however it is written."""

    def letters(text: str) -> str:
        return re.sub(r"\W+", " ", text.lower()).strip()

    taught = {letters(text) for topic in topics for text in topic.questions}
    for name in APART:
        for line in (FOLDER / name).read_text().splitlines():
            # What is said in between, like "in one sentence please", is the same everywhere.
            if line.startswith("u: ") and letters(line[3:]) in taught and len(line.split()) > 5:
                raise SystemExit(f"{name}: this is taught, too: {line}")


NO_MORE = {
    "why": "The reason is not something I can explain well. THREAT_MODEL.md says more.",
    "example": "I have no example for that.",
    "more": "That is all I know about it. PROTOCOL.md and README.md have the details.",
}


def question(topic: Topic, corpus: Corpus, rng: random.Random) -> str:
    ask_by_term = topic.terms and (not topic.questions or rng.random() < 0.4)
    if ask_by_term:
        text = rng.choice(WORDINGS["about"]).format(rng.choice(topic.terms))
    else:
        text = rng.choice(topic.questions)
    text = fill(text, corpus.words, rng)
    return vary(text, rng, around=topic.inside or topic.name.startswith("outside"))


# ------------------------------------------------------------------ dialogues

Message = dict[str, str]


def turn(asked: str, answered: str) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def follow(topic: Topic, rng: random.Random) -> list[Message]:
    """A question that only makes sense after an answer about `topic`."""
    if topic.then and rng.random() < 0.5:
        questions, answer = rng.choice(topic.then)
        return turn(vary(rng.choice(questions), rng, around=False), answer)
    kinds = ["short"] * 2 + [
        kind for kind in ("why", "example", "more") for _ in range(3 if getattr(topic, kind) else 1)
    ]
    if not topic.inside:
        kinds = ["short", "short", "why"] if topic.why else ["short"]
    kind = rng.choice(kinds)
    answer = getattr(topic, kind) or NO_MORE.get(kind) or topic.answers[0]
    return turn(vary(rng.choice(WORDINGS[kind]), rng, around=False), answer)


def choose(corpus: Corpus, rng: random.Random) -> Topic:
    """Of the subjects all alike; two times in five talk about the talk, or something unknown."""
    inside = rng.random() < 0.6
    topics = [topic for topic in corpus.topics if topic.inside == inside]
    if not inside:
        # These cover the most ground with the fewest names.
        weights = [
            6 if topic.name == "outside-general" else 3 if topic.name.startswith("outside") else 1
            for topic in topics
        ]
        return rng.choices(topics, weights)[0]
    weights = [len(topic.questions) + 2 * bool(topic.terms) + 6 for topic in topics]
    return rng.choices(topics, weights)[0]


def dialogue(corpus: Corpus, rng: random.Random, single: bool = False) -> list[Message]:
    """@param single: one question and its answer, and no more."""
    if single:
        topic = choose(corpus, rng)
        return turn(question(topic, corpus, rng), rng.choice(topic.answers))
    messages: list[Message] = []
    if rng.random() < 0.12:
        messages.append({"role": "system", "content": rng.choice(WORDINGS["system"])})
    # Most are short; one in fifty is long enough to fill the context.
    turns = 24 if rng.random() < 0.02 else rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 8])
    while turns > 0:
        topic = choose(corpus, rng)
        messages += turn(question(topic, corpus, rng), rng.choice(topic.answers))
        turns -= 1
        while turns > 0 and rng.random() < (0.55 if topic.inside else 0.15):
            messages += follow(topic, rng)
            turns -= 1
    return messages


if __name__ == "__main__":
    made = read_corpus()
    chance = random.Random(0)
    for _ in range(30):
        for message in dialogue(made, chance):
            print(f"{message['role']:>9}: {message['content']}")
        print()
