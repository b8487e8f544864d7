"""Which of several names a question is about, learned from labelled wordings.

"The scanner nagged about parse_header, who wrote close_socket?" is about the second. Each name has a score by the words
around it, its clause, how it is written, and whether the repository has it. `learned_subjects.txt` has the weights,
which `python -m benchmarks.learn_wordings` learns. Does not belong here: which words are names (`question_names`), what
is asked about the name (`learned_wordings`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from qflow_dagster.knowledge.question_names import (
    KNOWN,
    NAME,
    OTHER,
    PATH,
    PLACE,
    STOP,
    Mention,
    Names,
    is_path,
)

FILE = Path(__file__).with_suffix(".txt")
# How many words before and after a name are looked at, and how many of them with their distance.
_AROUND, _NEAR = 7, 3
# A name that the repository does not have must be so much likelier than one that it has. To answer about another one is
# worse than to say that nothing has the name.
MIN_LEAD = 0.5
_ASKING = frozenset(
    re.findall(
        r"\w+",
        "who what which where when why how whom whose is are does do did was were has have can could will would any "
        "list show name give find tell",
    )
)
_SHAPES = tuple(
    (re.compile(pattern), shape)
    for pattern, shape in (
        (r"[.:#]", "scoped"),
        (r"^[^a-z]+$", "upper"),
        (r"^[A-Z]", "capital"),
        (r"_", "underscore"),
        (r"", "lower"),
    )
)
_ENDINGS = {"failure": re.compile(r"(?:Error|Exception)s?$"), "test": re.compile(r"[tT]est|[sS]pec")}


def about(names: Names) -> Names:
    """Return the names of a question with the one first that it is about; that one is `main` among the words."""
    if len({mention.text for mention in names.mentions}) < 2:
        return names
    scores = [(score(names, index), mention) for index, mention in enumerate(names.mentions)]
    known = [(value, mention) for value, mention in scores if mention.certainty == KNOWN]
    value, chosen = max(scores)
    if known and chosen.certainty != KNOWN and value < max(known)[0] + MIN_LEAD:
        chosen = max(known)[1]
    rest = [name for name in names.names if name != chosen.text]
    words = [*names.words]
    if chosen.text not in names.names:
        # Beside a name that nothing has, the others are not what is asked about.
        words = [OTHER if word in (NAME, PATH) else word for word in words]
        words[chosen.start : chosen.end] = [PATH if is_path(chosen.text) else NAME]
    unknown = tuple(name for name in names.unknown if name != chosen.text)
    return names._replace(words=words, names=[chosen.text, *rest], unknown=unknown, main=chosen.start)


def score(names: Names, index: int) -> float:
    """Return how much speaks for a mention as what a question is about; only scores of one question compare."""
    weights = load()
    return math.fsum(weights.get(feature, 0.0) for feature in features(names, index))


def features(names: Names, index: int) -> set[str]:
    """Return what is known of a mention: the words around it, its clause, its place among others, how it is written."""
    mention, mentions = names.mentions[index], names.mentions
    words = _plain(names)
    before = [*words[: mention.start][::-1], "^", "^", "^"]
    after = [*words[mention.end :], "$", "$", "$"]
    found = {f"-{distance} {word}" for distance, word in enumerate(before[:_NEAR])}
    found |= {f"+{distance} {word}" for distance, word in enumerate(after[:_NEAR])}
    found |= {f"< {word}" for word in before[:_AROUND]} | {f"> {word}" for word in after[:_AROUND]}
    found |= {f"-- {before[1]} {before[0]}", f"++ {after[0]} {after[1]}", f"-+ {before[0]} {after[0]}"}
    found |= _of_clause(words, mention, mentions)
    found |= {f"#{index} {min(len(mentions), 4)}"}
    found |= {"first"} if index == 0 else {"last"} if index == len(mentions) - 1 else set()
    best = max(other.certainty for other in mentions)
    found |= {f"sure {mention.certainty}", f"sure {mention.certainty} {best}"}
    found.add(f"times {min(sum(other.text == mention.text for other in mentions), 3)}")
    if any(other.text != mention.text and mention.text in other.text for other in mentions):
        found.add("part of another")
    return found | _of_text(mention)


def _plain(names: Names) -> list[str]:
    """Return the words of a question, each that may be its subject as one that looks like all others."""
    words = [OTHER if word in (NAME, PATH, PLACE) else word for word in names.words]
    for mention in names.mentions:
        words[mention.start : mention.end] = [OTHER] * (mention.end - mention.start)
    return words


def _of_clause(words: Sequence[str], mention: Mention, mentions: Sequence[Mention]) -> set[str]:
    """Return whether the clause of a mention asks, is the first or the last, and has other mentions."""
    start = max((at for at in range(mention.start) if words[at] == STOP), default=-1) + 1
    end = min((at for at in range(mention.end, len(words)) if words[at] == STOP), default=len(words))
    place = f"{'first' if start == 0 else ''}{'last' if end == len(words) else ''}"
    begins = not _ASKING.isdisjoint(words[start : start + _NEAR])
    asks = not _ASKING.isdisjoint(words[start:end])
    alone = sum(start <= other.start < end for other in mentions) == 1
    return {f"clause {begins} {place}", f"asks {asks} {place}", f"alone {alone} {place}"}


def _of_text(mention: Mention) -> set[str]:
    """Return how a mention is written."""
    text = mention.text
    shape = "path" if is_path(text) else next(name for pattern, name in _SHAPES if pattern.search(text))
    found = {
        f"shape {shape}",
        f"marked {mention.marked}",
        f"begins {text[0] if not text[0].isalnum() else ''}",
    }
    return found | {word for word, pattern in _ENDINGS.items() if pattern.search(text)}


@cache
def load() -> Mapping[str, float]:
    """Return the weights of the package, by feature."""
    rows = (row.rsplit("\t", 1) for row in FILE.read_text("utf-8").splitlines())
    return {feature: float(weight) for feature, weight in rows}


def store(weights: Mapping[str, float]) -> None:
    """Write weights into the package."""
    rows = [f"{feature}\t{weight:.2f}" for feature, weight in sorted(weights.items()) if abs(weight) >= 0.01]
    FILE.write_text("\n".join([*rows, ""]), "utf-8")
