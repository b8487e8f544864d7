"""Questions in free wordings: which kind they are of, learned from labelled wordings.

A small neural network over the words of a question, their order around its name, and parts of words.
`learned_wordings.txt` has its weights, which `python -m benchmarks.learn_wordings` learns. Does not belong here: which
words are names (`question_names`), what of a question is its subject (`question_subjects`), patterns of complete
questions, which are tried first (`question_patterns`).
"""

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.knowledge import learned_subjects, question_names
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.question_names import NAME, NAMES, STOP, Names

FILE = Path(__file__).with_suffix(".txt")
# A weight is one character that can be seen: its distance from this one, times a scale.
_ZERO, _FARTHEST = ord("O"), 46
# The letters of a part of a word. Parts of other lengths beside them gain nothing.
_PART = 4


# Returns which of some words name something in a repository, and of what kinds.
Exist = Callable[[Collection[str]], Mapping[str, Collection[str]]]
# What a name must be for some kinds of questions.
_FILES = TYPES | {"module", "namespace", "package", "path"}
_NEEDED = {
    "bases": TYPES | {"module"},
    # Nothing inherits from an enumeration, and what implements something for it is no type.
    "subclasses": (TYPES - {"enum", "impl"}) | {"module"},
    **dict.fromkeys(("dependencies", "dependents"), _FILES),
    "dead": _FILES - TYPES,
    "members": _FILES,
    "raised": TYPES | {"constant", "variable", "variant", "macro"},
    **dict.fromkeys(("raises", "calls"), _FILES | {"function", "method", "macro", "constructor"}),
}


# Of which probability the kinds must be that fit; if they are not, the likeliest of them is at most this likely.
MIN_FITTING, MAX_DOUBTFUL = 0.5, 0.55
# The end of a sentence, how many words a sentence has at least, and its weight beside the whole question.
_SENTENCE = re.compile(r"(?<=[.?!;:]) | [-\u2013\u2014]+ ")
_MIN_WORDS, _SHARE = 3, 0.25


class Layer(NamedTuple):
    """The weights of a layer by what goes into it, each a character for each of its outputs, times `scale`; biases."""

    rows: dict[str, str]
    scale: float
    biases: list[float]


class Model(NamedTuple):
    """The kinds, the words that many questions have, the layer of features, and that of kinds by its outputs."""

    kinds: list[str]
    common: frozenset[str]
    hidden: Layer
    output: Layer


class Reading(NamedTuple):
    """A kind of question, and the probability that a question is of that kind."""

    kind: str
    probability: float


def read(question: str, exist: Exist | None = None, repository: str = "") -> tuple[Names, list[Reading]]:
    """Return the words and names of a question on a repository, and the kinds that it may be of, the likeliest first.

    A kind that what is named cannot have is left out: functions are not raised, exceptions raise nothing.
    """
    model = load()
    known = exist(question_names.candidates(question) - {repository}) if exist else {}

    def named(words: str) -> Names:
        return learned_subjects.about(question_names.read(words, model.common, known, repository))

    def one(sentence: str) -> list[Reading]:
        names = named(sentence)
        return readings(model, names.words, names.main)

    names = named(question)
    sorts = known.get(names.names[0], ()) if names.names else ()
    # What the repository defines is no library that it needs, unless it only happens to have the name.
    own = bool(sorts) and not question_names.is_plain(names.names[0])
    fitting = [
        reading
        for reading in _with_sentences(question, readings(model, names.words, names.main), one)
        if (not sorts or reading.kind not in _NEEDED or not _NEEDED[reading.kind].isdisjoint(sorts))
        and not (own and reading.kind == "requirements")
    ]
    whole = sum(reading.probability for reading in fitting)
    # If the likeliest kind does not fit, what is left is not certain.
    share = 1 / whole if whole > MIN_FITTING else MAX_DOUBTFUL / fitting[0].probability
    return names, [Reading(kind, probability * share) for kind, probability in fitting]


def readings(model: Model, words: Sequence[str], main: int | None = None) -> list[Reading]:
    """Return the probability of each kind, the likeliest first; `main` as of `features`."""
    found = [row for feature in sorted(features(words, main)) if (row := model.hidden.rows.get(feature))]
    # Each question has the length 1, whatever the number of its features.
    hidden = _outputs(model.hidden, [(row, 1 / math.sqrt(len(found))) for row in found])
    scores = _outputs(
        model.output,
        [(row, max(0, value)) for row, value in zip(model.output.rows.values(), hidden, strict=True)],
    )
    exponentials = [math.exp(score - max(scores)) for score in scores]
    whole = sum(exponentials)
    likely = [Reading(kind, value / whole) for kind, value in zip(model.kinds, exponentials, strict=True)]
    return sorted(likely, key=lambda reading: -reading.probability)


def _with_sentences(
    question: str, whole: list[Reading], one: Callable[[str], list[Reading]]
) -> list[Reading]:
    """Return the readings of a question, with some weight for that of its sentence that says most surely what it asks.

    The words of a context hide those of the sentence that asks.
    """
    sentences = [words for words in _SENTENCE.split(question) if len(words.split()) >= _MIN_WORDS]
    if len(sentences) < 2:
        return whole
    joined = (_joined(whole, one(sentence)) for sentence in sentences)
    return max(joined, key=lambda found: found[0].probability)


def _joined(whole: Sequence[Reading], sentence: Sequence[Reading]) -> list[Reading]:
    alone = dict(sentence)
    weights = {kind: probability ** (1 - _SHARE) * alone[kind] ** _SHARE for kind, probability in whole}
    total = sum(weights.values())
    found = [Reading(kind, weight / total) for kind, weight in weights.items()]
    return sorted(found, key=lambda reading: -reading.probability)


def unfamiliar(words: Sequence[str]) -> list[str]:
    """Return the words that hardly any labelled wording has: they tell what is asked about, and are not understood."""
    rows = load().hidden.rows
    return [word for word in words if word not in NAMES and word.isalpha() and f"1{word}" not in rows]


def _outputs(layer: Layer, inputs: Sequence[tuple[str, float]]) -> list[float]:
    """Return the outputs of a layer for rows of its weights, each with the value of what goes in there."""
    sums = [0.0] * len(layer.biases)
    for row, value in inputs:
        if value:
            for index, weight in enumerate(row.encode()):
                sums[index] += value * (weight - _ZERO)
    return [bias + layer.scale * total for bias, total in zip(layer.biases, sums, strict=True)]


def features(words: Sequence[str], main: int | None = None) -> set[str]:
    """Return the features of the words of a question, which `question_names.read` returns.

    Words, pairs and threes of words, whether a word stands before or after the name that is asked about (`main`), how
    many names there are and what they look like, and parts of four letters, also across words.
    """
    named = [word for word in words if word in NAMES]
    # What a name looks like is a feature of its own; else a path is a name like others.
    alike = [NAME if word in NAMES else word for word in words]
    plain = [word for word in alike if word != STOP]
    found = {f"#{min(len(named), 2)}", *(f"#{word}" for word in named)}
    ends = ["^", *plain, "$"]
    found |= {f"1{word}" for word in plain}
    found |= {f"2{' '.join(pair)}" for pair in pairwise(ends)}
    found |= {f"3{' '.join(three)}" for three in zip(ends, ends[1:], ends[2:], strict=False)}
    if main is not None:
        found |= {f"<{word}" for word in alike[:main] if word != STOP}
        found |= {f">{word}" for word in alike[main + 1 :] if word != STOP}
    return found | set(_parts(words))


def _parts(words: Sequence[str]) -> Iterator[str]:
    """Yield the parts of words, a name being one letter."""
    line = "^" + " ".join("\N{MIDDLE DOT}" if word in NAMES else word for word in words) + "$"
    for start in range(len(line) - _PART + 1):
        yield f"~{line[start : start + _PART]}"


@cache
def load() -> Model:
    """Return the model of the package."""
    head, *rows = FILE.read_text("utf-8").splitlines()
    model = json.loads(head)
    return Model(
        model["kinds"],
        frozenset(model["common"]),
        Layer(dict(row.rsplit("\t", 1) for row in rows), **model["hidden"]),
        Layer(**model["output"]),
    )


def store(model: Model) -> None:
    """Write a model into the package: one line of JSON, then a line for each feature."""
    head = {
        "kinds": model.kinds,
        "common": sorted(model.common),
        "hidden": {"scale": model.hidden.scale, "biases": model.hidden.biases},
        "output": model.output._asdict(),
    }
    rows = [f"{feature}\t{row}" for feature, row in sorted(model.hidden.rows.items())]
    FILE.write_text("\n".join([json.dumps(head), *rows, ""]), "utf-8")


def layer(weights: dict[str, Sequence[float]], biases: Sequence[float]) -> Layer:
    """Return a layer with its weights rounded to characters."""
    scale = max(abs(weight) for row in weights.values() for weight in row) / _FARTHEST
    rows = {
        name: "".join(chr(_ZERO + round(weight / scale)) for weight in row) for name, row in weights.items()
    }
    return Layer(rows, scale, [float(bias) for bias in biases])
