"""The parts of a question: remarks, contexts before the clause that asks, and two questions in one.

Belongs here: where a question can be cut, and what a pronoun stands for. Does not belong here: what the parts ask
(`questions`).
"""

import re

from qflow_dagster.knowledge.question_names import Names

# A remark in parentheses: "(test code, too)", "(not the one of Session)".
REMARK = re.compile(r" \((?=[^()]* )[^()]{1,200}\)")
# What stands between the context of a question and the clause that asks, and what stands for a name in that.
_SENTENCE = re.compile(r" [-\u2013\u2014]+ |[:;.?!] ")
_PRONOUN = re.compile(r" (?:it|this|that one|this one|them)(?= )", re.IGNORECASE)
_ASKS = re.compile(
    r" (?:\w+ ){0,2}?(?:who|what|which|where|when|why|how|is|are|does|do|did|was|has)\b", re.IGNORECASE
)
# Between two questions.
_AND = re.compile(
    r",? (?:and|or) "
    r"(?=(?:(?:by|in|from|since|through) )?(?:who|whom|what|which|where|when|why|how|is|are|does|do|did|was)\b)",
    re.IGNORECASE,
)
# Half a question is no shorter.
MIN_WORDS = 3


def resolved(question: str, names: Names) -> str:
    """Return the clause that asks, with the only name instead of the pronoun for it; '' if there is no such clause.

    "I want to change X - which functions call it?", "X: who wrote this?".
    """
    *_, context, last = ["", *_SENTENCE.split(question)]
    asks = _ASKS.match(f" {last} ") is not None
    return _with_name(last, names) if context and asks and names.names and names.names[0] not in last else ""


def halves(question: str, names: Names) -> tuple[str, ...]:
    """Return the two questions that a question is, the second with the name of the first; none if it is one.

    "Where does X live and who calls it?"
    """
    cut = _AND.search(question)
    if cut is None:
        return ()
    first, second = question[: cut.start()], question[cut.end() :]
    if names.names and names.names[0] in first and not any(name in second for name in names.names):
        second = _with_name(second, names)
    whole = min(len(first.split()), len(second.split())) >= MIN_WORDS
    return (first, second) if second and whole and _ASKS.match(f" {first} ") else ()


def _with_name(clause: str, names: Names) -> str:
    """Return a clause with the only name of a question instead of the pronoun for it; '' if it has none."""
    if len(names.names) != 1 or names.unknown or not _PRONOUN.search(f" {clause} "):
        return ""
    # A name may have a backslash, which means something in a replacement.
    return _PRONOUN.sub(lambda _: f" {names.names[0]}", f" {clause} ", count=1).strip()
