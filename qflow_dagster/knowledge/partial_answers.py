"""Answers to the part of a question that facts give, if the question as a whole is of no kind that is understood.

The names of code in the question are looked up, and words of the question select what is said of them: where they are
defined, what they inherit from, where they are raised. Does not belong here: questions that are understood as a whole
(`questions`).
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from qflow_dagster.knowledge import homonyms, lookups
from qflow_dagster.knowledge.declarations import TYPES, bases_of
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext, UnansweredError
from qflow_dagster.knowledge.learned_wordings import Reading
from qflow_dagster.knowledge.lookups import SymbolLocation

MAX_NAMES = 4
# A word that is written like others is a name only if it has no more meanings.
MAX_HOMONYMS = 3
# How likely the question may be of another kind.
MAX_OTHER = 0.2
# Of each part.
MAX_EVIDENCE = 20
_KINDS = r"(?:class|function|method|decorator|fixture|exception|protocol|struct|interface)"
# Words, and whether what follows says that they name something.
_NAMES = re.compile(
    r"`(?P<quoted>[^`\s]{2,100})`|(?<![\w.])(?P<word>\w++(?:\.\w++)*+(?:\(\))?+)"
    rf"(?P<noun>(?='s\b| {_KINDS}\b))?"
)
# Words that are written like code: with underscores, dots, parentheses or inner capitals.
_LIKE_CODE = re.compile(r"[_.(]|[a-z0-9][A-Z]|[A-Z]{2}[a-z]")
_CAPITALS = re.compile(r"[A-Z]{3,}")


class Mentioned(NamedTuple):
    """A name in a question, and the first symbol that it names."""

    name: str
    symbol: SymbolLocation


class Part(NamedTuple):
    """What words of a question ask for, as a question about a name, and whether a name is of the right kind."""

    words: "re.Pattern[str]"
    form: str
    kind: str
    fits: Callable[[SymbolLocation], bool]
    # Whether it is said of each name, or of the first.
    each: bool = False
    # What stands before the name of which it is said, as a pattern.
    before: str = ""


def _is_type(symbol: SymbolLocation) -> bool:
    return symbol.kind in TYPES


def _is_exception(symbol: SymbolLocation) -> bool:
    names = [symbol.name, *bases_of(symbol.kind, symbol.name, symbol.signature)]
    return _is_type(symbol) and any(
        re.search(r"Error|Exception|Warning|Exit|Interrupt", name) for name in names
    )


def _is_function(symbol: SymbolLocation) -> bool:
    return symbol.kind in ("function", "method")


PARTS = (
    Part(
        re.compile(r"\b(?:rais|throw|trigger)", re.IGNORECASE),
        "where is {} raised",
        "raised",
        _is_exception,
        each=True,
    ),
    Part(
        re.compile(r"\brais(?:e|es|ing)\b", re.IGNORECASE),
        "which exceptions does {} raise",
        "raises",
        _is_function,
    ),
    Part(
        re.compile(
            r"\binherit|\bhierarch|\bsubclass|\bparent (?:class|exception)|\bbase class"
            r"|\bimplements? the \w+ interface",
            re.IGNORECASE,
        ),
        "what does {} inherit from",
        "bases",
        lambda symbol: _is_type(symbol) and bool(bases_of(symbol.kind, symbol.name, symbol.signature)),
        each=True,
    ),
    Part(
        re.compile(
            r"\bexternal (?:module )?dependenc|\bwhich modules\b|\bwhat (?:does \S+ )?imports?\b",
            re.IGNORECASE,
        ),
        "what does the file of {} import",
        "dependencies",
        lambda symbol: True,
    ),
    Part(
        re.compile(r"\b(?:impact|effect) of (?:removing|changing|deleting)\b", re.IGNORECASE),
        "what may a change of {} break",
        "affected",
        lambda symbol: True,
    ),
    Part(
        re.compile(
            r"\bindirectly (?:invoke|call|use)|\bthat (?:invoke|call|use)s? (?:the )?\S*\w"
            r"|\bdo (?:functions|methods|classes|modules) (?:\w+ly )?(?:invoke|call|use)",
            re.IGNORECASE,
        ),
        "where is {} used",
        "used",
        lambda symbol: True,
    ),
    # "X's call to Y" is about where Y is called.
    Part(
        re.compile(r"\bcalls? to\b", re.IGNORECASE),
        "where is {} used",
        "used",
        _is_function,
        before=r"calls? to (?:the )?`?",
    ),
    Part(
        re.compile(r"\bdelegat|\binvok", re.IGNORECASE),
        "what does {} call",
        "calls",
        _is_function,
    ),
    Part(
        # A short question may ask for anything that is somewhere.
        re.compile(r"^(?:in )?(?:where|which file)\b(?=(?:\s+\S+){9})", re.IGNORECASE),
        "where is {} defined",
        "defined",
        lambda _: True,
        each=True,
    ),
)


def _is_named(symbols: Sequence[SymbolLocation], after: str) -> bool:
    """Return whether a word, by what follows it, names symbols: "the prepare method", "the Server class"."""
    short = lookups.short_name(symbols[0].name)
    if re.fullmatch(_KINDS, short) or len(symbols) > MAX_HOMONYMS:
        return False
    kind = re.match(rf" ({_KINDS})\b", after)
    return kind is None or _is_type(symbols[0]) == (
        kind[1] not in ("function", "method", "decorator", "fixture")
    )


def mentioned(context: QuestionContext, question: str) -> list[Mentioned]:
    """Return the names in a question that are symbols of the repository, in order.

    A member is named with its type, if the question names that too.
    """
    found: dict[str, Mentioned] = {}
    for match in _NAMES.finditer(question):
        name = (match["quoted"] or match["word"]).removesuffix("()").strip(".")
        noun = match["word"] and not _LIKE_CODE.search(match["word"])
        # "Flask's design" is about the project, "the engine's stack" about any engine; SVC may be a type.
        capitals = noun and _CAPITALS.fullmatch(name)
        if noun and not capitals and (match["noun"] is None or question.startswith("'s", match.end())):
            continue
        if name in found or len(found) >= MAX_NAMES:
            continue
        symbols = lookups.symbols(context.connection, context.snapshot, name)
        if not symbols or lookups.short_name(symbols[0].name) != lookups.short_name(name):
            continue
        if capitals and (symbols[0].name != name or not _is_type(symbols[0])):
            continue
        if noun and not _is_named(symbols, question[match.end() :]):
            continue
        for owner in list(found):
            member = f"{owner}.{name}"
            inside = lookups.symbols(context.connection, context.snapshot, member)
            if inside and inside[0].name.endswith(member):
                symbols, name = inside, member
                break
        found[name] = Mentioned(name, symbols[0])
    return [_with_owner(context, each, question) for each in found.values()]


def _with_owner(context: QuestionContext, named: Mentioned, question: str) -> Mentioned:
    """Return a member as that of the type that follows it: "the close method in Session"."""
    follows = re.search(rf"{re.escape(named.name)}\W* (?:method )?(?:in|of) (?:the )?`?(\w+)", question)
    if follows and named.symbol.kind == "method":
        member = f"{follows[1]}.{lookups.short_name(named.name)}"
        inside = lookups.symbols(context.connection, context.snapshot, member)
        if inside and inside[0].name.endswith(member):
            return Mentioned(member, inside[0])
    return named


def answer(
    context: QuestionContext,
    question: str,
    kinds: dict[str, Callable[[QuestionContext], tuple[str, list[Evidence]]]],
    readings: Sequence[Reading],
) -> tuple[str, str, list[str], list[Evidence]] | None:
    """Return the kind, what is answered, sentences and evidence of what facts say; None if they say nothing.

    A part is left out if the question is rather of another kind.
    """
    probabilities = dict(readings)
    likely, probability = next(reading for reading in readings if reading.kind != "search")
    names = mentioned(context, question)
    asked: list[str] = []
    sentences: list[str] = []
    evidence: list[Evidence] = []
    first = ""
    for part in PARTS:
        other = likely != part.kind and probability > max(MAX_OTHER, probabilities.get(part.kind, 0))
        if other or not part.words.search(question):
            continue
        fitting = [
            each
            for each in names
            if part.fits(each.symbol)
            and (not part.before or re.search(part.before + re.escape(each.name), question, re.IGNORECASE))
        ]
        for each in fitting if part.each else fitting[:1]:
            subject = each.symbol.path if part.kind == "dependencies" else each.name
            try:
                named = context._replace(subject=subject)
                sentence, found = homonyms.answer(named, part.kind, kinds[part.kind])
            except UnansweredError:
                continue
            first = first or part.kind
            asked.append(part.form.format(each.name))
            sentences.append(sentence)
            evidence += found[:MAX_EVIDENCE]
    return (first, "; ".join(asked), sentences, evidence) if first else None
