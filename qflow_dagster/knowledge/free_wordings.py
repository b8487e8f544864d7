"""Questions in free wordings: their words as concepts in order, and the kinds that have them in this order.

"Is anybody still relying on X?" and "which code paths lead to X?" ask for what uses X. Words that add nothing are left
out, the others are put under the concept that they mean, names of code under `F`, `V` and `N`. A question with a word
that is of no concept is of no kind. Does not belong here: concepts (`question_concepts`), forms (`question_forms`),
patterns of complete questions, which are tried first (`question_patterns`).
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from qflow_dagster.knowledge.question_concepts import CONCEPTS, NEUTRAL, PHRASES, concept_of
from qflow_dagster.knowledge.question_forms import FORMS

MAX_WORDS = 40
# Words of these concepts may be verbs or nouns: "which sets are used", "which adapters call X".
_VERBS = frozenset(
    {
        "CALL",
        "DEFINE",
        "IMPORT",
        "INHERIT",
        "NEED",
        "PLAY",
        "RAISE",
        "READ",
        "RETURN",
        "RUN",
        "SET",
        "TAKE",
        "USE",
        "WORK",
    }
)
_BE = frozenset(["is", "are", "was", "were", "can", "could", "have", "has", "would", "will"])
# A noun beside a name says of what kind that is, and nothing more. A word beside one of the first is a name.
_NOUNS = frozenset(
    re.findall(
        r"\w+",
        "class function method struct type interface trait module file folder directory macro object exception error "
        "fixture decorator constant package variable enum entity symbol protocol",
    )
)
_MORE_NOUNS = _NOUNS | {"helper", "routine", "service", "component", "hook", "handler", "command", "instance"}
_LIKE_CODE = re.compile(r"[_/:\d]|\w\.\w|[a-z][A-Z]|[A-Z]{2}|^\.\w")
_PATH = re.compile(r"/|\w\.[a-z]{1,4}$")
_VERSION = re.compile(r"v?\d+(?:\.\w+)+$|v\d+$|[0-9a-f]{7,40}$")
_ERROR = re.compile(r"Error|Exception|Warning|Timeout")
_ENDS = re.compile(r"\b(?:from|between) (\S+) (?:to|and) (\S+)")


class FreeWording(NamedTuple):
    """The kind of a question, and its names; of `between`, the older revision is first."""

    kind: str
    subject: str
    other: str = ""


def understand(question: str) -> FreeWording | None:
    """Return the kind and the names of a question by the concepts of its words, None if it is of no kind."""
    for phrase, word in PHRASES:
        question = phrase.sub(word, question)
    tokens = question.split()
    if len(tokens) > MAX_WORDS:
        return None
    names: list[str] = []
    concepts = " ".join(_concepts(tokens, {name for ends in _ENDS.findall(question) for name in ends}, names))
    # "Find who calls X lately", "from where is X called" ask what "who calls X", "where is X called" ask.
    shorter = concepts.removeprefix("FIND ").removesuffix(" LAST").removeprefix("BY ")
    for wording in dict.fromkeys((concepts, shorter)):
        for kind, forms in FORMS.items():
            for form in map(_compiled, forms):
                if match := form.fullmatch(wording):
                    groups = {name: value for name, value in match.groupdict().items() if value}
                    if "error" not in "".join(groups) or _ERROR.search(names[0]):
                        return _wording(kind, groups, names)
    return None


@cache
def _compiled(form: str) -> "re.Pattern[str]":
    """Return a form when it is tried first; most questions match a pattern before."""
    return re.compile(form)


def _wording(kind: str, groups: dict[str, str], names: list[str]) -> FreeWording:
    if kind == "between":
        older, newer = sorted(names, key=_version_key) if len(names) == 2 else ("", names[0])
        return FreeWording(kind, f"{older}..{newer}")
    if kind == "placement" and not names:
        return FreeWording(kind, next(iter(groups.values())).split()[-1])
    return FreeWording(kind, names[0] if names else "", names[1] if len(names) > 1 else "")


def _version_key(name: str) -> tuple[list[int], bool, str]:
    """Return a key that sorts versions, a preview before its release; other revisions stay in their order."""
    if "." not in name:
        return [], False, ""
    released, *preview = re.split(r"(?<=\d)[-.]?[A-Za-z]", name, maxsplit=1)
    return [int(number) for number in re.findall(r"\d+", released)], not preview, "".join(preview)


def _concepts(tokens: list[str], ends: set[str], names: list[str]) -> Iterator[str]:
    """Yield the concepts of words in order, and collect the names."""
    plain = [token.strip(",;:!?.\"'`()").removesuffix("'s") for token in tokens]
    are_names = [
        bool(word) and ((word in ends and word.lower() not in NEUTRAL) or _is_name(token, word, index, plain))
        for index, (token, word) in enumerate(zip(tokens, plain, strict=True))
    ]
    for index, word in enumerate(plain):
        if are_names[index]:
            names.append(word)
            yield "V" if _VERSION.match(word) else "F" if _PATH.search(word) else "N"
            continue
        beside = are_names[max(index - 1, 0)] or are_names[min(index + 1, len(plain) - 1)]
        lower = word.lower()
        if not word or lower in NEUTRAL or (beside and lower in _MORE_NOUNS) or _is_any_thing(index, plain):
            continue
        yield concept_of(lower)


def _is_any_thing(index: int, words: list[str]) -> bool:
    """Return whether a word names any things of which a question asks which they are: "which adapters extend X"."""
    if not index or words[index - 1].lower() not in ("which", "what") or index + 1 == len(words):
        return False
    concept, after = concept_of(words[index].lower()), words[index + 1].lower()
    if after in _BE:
        return concept.islower() or concept in _VERBS
    return concept.islower() and concept_of(after) in _VERBS


def _is_name(token: str, word: str, index: int, words: list[str]) -> bool:
    """Return whether a word names code: it is written like code, or stands beside a noun like "function"."""
    if token[0] in "`'\"" or token.rstrip("?.,").endswith("()") or _LIKE_CODE.search(word):
        return True
    if word.lower() in NEUTRAL or word.lower() in CONCEPTS:
        return False
    if (word[0].isupper() and index) or (index and words[index - 1].lower() == "like"):
        return True
    around = (
        words[index - 1].lower() if index else "",
        words[index + 1].lower() if index + 1 < len(words) else "",
    )
    # "a retry function" is any of the kind.
    any_of_kind = {"a", "an", "any", "some"} & {before.lower() for before in words[max(index - 2, 0) : index]}
    return not any_of_kind and any(noun in _NOUNS for noun in around)
