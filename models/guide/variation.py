"""The same question as other people would type it."""

import random
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
VOWELS = "aeiou"
CONSONANTS = "bcdfghjklmnprstvwz"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def read_wordings() -> dict[str, list[str]]:
    """The lists of wordings.txt by name."""
    lists: dict[str, list[str]] = {}
    name = ""
    for line in (FOLDER / "wordings.txt").read_text().splitlines():
        if line.startswith("== "):
            name = line[3:].split(":", 1)[0]
            lists[name] = []
        elif line and not line.startswith("# "):
            lists[name] += [part.strip() for part in line.split(" | ")]
    return lists


WORDINGS = read_wordings()
SYNONYMS = {
    word: others.split(", ")
    for word, others in (entry.split(": ", 1) for entry in WORDINGS["synonyms"])
}
SYNONYM = re.compile(r"\b(" + "|".join(re.escape(word) for word in SYNONYMS) + r")\b")
SMALL_WORDS = frozenset(" ".join(WORDINGS["small"]).split())


def vary(text: str, rng: random.Random, around: bool) -> str:
    """@param around: words before and after it make sense, so there may be some."""
    if rng.random() < 0.08:
        text = keywords(text, rng)
    if rng.random() < 0.35:
        text = SYNONYM.sub(lambda match: replace(match.group(), rng), text)
    if around and rng.random() < 0.22:
        before = rng.choice(WORDINGS["before"])
        whole = before[-1] in ".!" or text[:2] == "I "
        text = f"{before} {text if whole else text[0].lower() + text[1:]}"
    if around and rng.random() < 0.1:
        after = rng.choice(WORDINGS["after"])
        ends = after[0].isupper()
        text = f"{text} {after}" if ends else f"{text.rstrip('?.!')} {after.rstrip('?')}?"
    if rng.random() < 0.3:
        text = text.rstrip("?.!") or text
    if rng.random() < 0.3:
        text = text.lower()
    elif rng.random() < 0.1:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.02:
        text = text.upper()
    for _ in range(2):
        if rng.random() < 0.1:
            text = misspell(text, rng)
    return text


def replace(word: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS[word]) if rng.random() < 0.6 else word


def keywords(text: str, rng: random.Random) -> str:
    """As one writes to a search engine, or in a hurry."""
    share = rng.choice([0.3, 1.0])

    def stays(word: str) -> bool:
        return word.strip("?.!,'").lower() not in SMALL_WORDS or rng.random() > share

    words = [word for word in text.split() if stays(word)]
    return " ".join(words) if len(words) > 1 else text


def misspell(text: str, rng: random.Random) -> str:
    """One slip of the fingers in a word of at least four letters."""
    places = list(re.finditer(r"[A-Za-z]{4,}", text))
    if not places:
        return text
    place = rng.choice(places)
    word = place.group()
    i = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:  # left out
        word = word[:i] + word[i + 1 :]
    elif kind == 1:  # turned round
        word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    elif kind == 2:  # twice
        word = word[:i] + word[i] + word[i:]
    else:  # another
        word = word[:i] + rng.choice(LETTERS) + word[i + 1 :]
    return text[: place.start()] + word + text[place.end() :]


def nonsense(rng: random.Random) -> str:
    """A word that nobody has heard of."""

    def syllable() -> str:
        return (
            rng.choice(CONSONANTS)
            + rng.choice(VOWELS)
            + rng.choice(["", "", "n", "r", "s", "t", "l"])
        )

    word = "".join(syllable() for _ in range(rng.randint(2, 4)))
    return word.capitalize() if rng.random() < 0.3 else word


def fill(text: str, words: dict[str, list[str]], rng: random.Random) -> str:
    """Puts words into the slots of a question."""

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        # One in five slots holds a word that nobody has heard of, so that unknown means unknown.
        made_up = name not in ("number", "code", "language") and name != "nonsense"
        if name == "nonsense" or (made_up and rng.random() < 0.2):
            return nonsense(rng)
        return rng.choice(words[name])

    return re.sub(r"\{(\w+)\}", one, text)
