"""Questions in free wordings: which kind they are of, learned from labelled wordings.

A linear model over the words of a question, their order around its name, and parts of words. `learned_wordings.txt` has
its weights, which `python -m benchmarks.learn_wordings` learns. Does not belong here: which words are names
(`question_names`), what of a question is its subject (`question_subjects`), patterns (`question_patterns`).
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.knowledge import question_names
from qflow_dagster.knowledge.question_names import NAME, NAMES, STOP, Names

FILE = Path(__file__).with_suffix(".txt")
# A weight is one character: its distance from this one, in quarters.
_ZERO, _STEPS = ord("O"), 4
_PARTS = (3, 4, 5)


class Model(NamedTuple):
    """The kinds, the words that many questions have, and the weight of each feature for each kind, "" the biases."""

    kinds: list[str]
    common: frozenset[str]
    weights: dict[str, str]


class Reading(NamedTuple):
    """A kind of question, and the probability that a question is of that kind."""

    kind: str
    probability: float


def read(
    question: str, exist: Callable[[Collection[str]], Collection[str]] | None = None
) -> tuple[Names, list[Reading]]:
    """Return the words and names of a question, and the kinds that it may be of, the likeliest first.

    `exist` returns which of some words name something in the repository.
    """
    model = load()
    known = exist(question_names.candidates(question, model.common)) if exist else ()
    names = question_names.read(question, model.common, known)
    return names, readings(model, names.words)


def readings(model: Model, words: Sequence[str]) -> list[Reading]:
    """Return the probability of each kind (softmax), the likeliest first."""
    rows = [row for feature in features(words) if (row := model.weights.get(feature))]
    scale = _STEPS * math.sqrt(max(1, len(rows)))
    sums = [0] * len(model.kinds)
    for row in rows:
        for index, character in enumerate(row):
            sums[index] += ord(character) - _ZERO
    scores = [
        total / scale + (ord(bias) - _ZERO) / _STEPS
        for total, bias in zip(sums, model.weights[""], strict=True)
    ]
    exponentials = [math.exp(score - max(scores)) for score in scores]
    whole = sum(exponentials)
    found = [Reading(kind, value / whole) for kind, value in zip(model.kinds, exponentials, strict=True)]
    return sorted(found, key=lambda reading: -reading.probability)


def features(words: Sequence[str]) -> set[str]:
    """Return the features of the words of a question, which `question_names.read` returns.

    Words, pairs and threes of words, whether a word stands before or after the first name, how many names there are
    and what they look like, and parts of three to five letters, also across words.
    """
    named = [word for word in words if word in NAMES]
    # What a name looks like is a feature of its own; else a path is a name like others.
    plain = [NAME if word in NAMES else word for word in words if word != STOP]
    found = {f"#{min(len(named), 2)}", *(f"#{word}" for word in named)}
    ends = ["^", *plain, "$"]
    found |= {f"1{word}" for word in plain}
    found |= {f"2{' '.join(pair)}" for pair in zip(ends, ends[1:], strict=False)}
    found |= {f"3{' '.join(three)}" for three in zip(ends, ends[1:], ends[2:], strict=False)}
    if NAME in plain:
        first = plain.index(NAME)
        found |= {f"<{word}" for word in plain[:first]} | {f">{word}" for word in plain[first + 1 :]}
    return found | set(_parts(words))


def _parts(words: Sequence[str]) -> Iterator[str]:
    """Yield the parts of words, a name being one letter."""
    line = "^" + " ".join("\N{MIDDLE DOT}" if word in NAMES else word for word in words) + "$"
    for length in _PARTS:
        for start in range(len(line) - length + 1):
            yield f"~{line[start : start + length]}"


@cache
def load() -> Model:
    """Return the model of the package."""
    kinds, common, *rows = FILE.read_text("utf-8").splitlines()
    return Model(kinds.split(), frozenset(common.split()), dict(row.rsplit("\t", 1) for row in rows))


def model_of(kinds: Sequence[str], common: Collection[str], weights: Mapping[str, Iterable[float]]) -> Model:
    """Return a model by the weight of each feature for each kind; the feature "" has the biases."""
    rows = {feature: "".join(map(_character, row)) for feature, row in weights.items()}
    return Model(list(kinds), frozenset(common), rows)


def store(model: Model) -> None:
    """Write a model into the package."""
    rows = [f"{feature}\t{row}" for feature, row in sorted(model.weights.items())]
    FILE.write_text("\n".join([" ".join(model.kinds), " ".join(sorted(model.common)), *rows, ""]), "utf-8")


def _character(weight: float) -> str:
    # Characters that can be seen: those between "!" and "~".
    return chr(min(max(_ZERO + round(_STEPS * weight), ord("!")), ord("~")))
