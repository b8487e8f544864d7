"""The subject of a question whose kind is known by its words: a name, two of them, revisions, or what to add.

Belongs here: what of a question is its subject. Does not belong here: which words are names (`question_names`), patterns,
which say where their subject is (`question_patterns`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge.question_names import is_version

# Of these the question itself is the subject, of the next there may be a name.
_QUESTIONS = frozenset(["licence", "running", "testing"])
_OPTIONAL = frozenset(["next", "requirements", "active", "dead"])
_NO_NAME = frozenset(["configuration"])
# What stands before the thing to add, and after it.
_NEW = re.compile(
    r"\b(?:new|another|additional|second|third|extra|one more|my own|our own|further)\s+(?P<noun>(?:[\w-]+\s+){0,3}?[\w-]+)"
    r"(?=[^\w\s-]|\s*$|\s+(?:like|for|to|in|into|at|go|goes|should|would|could|belongs?|lives?|that|which|where|what|here|"
    r"next|beside|besides|alongside|and|so|does|do|sits?|has|have|is|be|similar|such|as|with|of|on|under|by)\b)",
    re.IGNORECASE,
)
_SINCE = re.compile(r"\b(?:since|after|from|newer than|later than|beyond|past|ahead of)\b", re.IGNORECASE)
# What an overview is of, by the words of the question, the first that it has.
_OVERVIEWS = tuple(
    (re.compile(pattern, re.IGNORECASE), subject)
    for pattern, subject in (
        (r"\blanguages?\b|\bwritten in\b|\bpercent\w* of\b", "languages"),
        (r"\bhot ?spots?\b", "hotspots"),
        (
            r"\b(?:authors?|contributors?|committers?|maintainers?|people|developers?|who|wrote|devs?)\b",
            "authors",
        ),
        (r"\bimported\b|\bimports\b", "most imported files"),
        (r"\bcommits?\b(?!.*\bfiles?\b)", "commits"),
        (r"\b(?:churn\w*|(?:chang|edit|modif|touch)\w+)\b", "most changed files"),
        (r"\bcomplex\w*\b.*\bfiles?\b|\bfiles?\b.*\bcomplex\w*\b", "most complex files"),
        (r"\bcomplex\w*\b|\bcomplicated\b", "most complex functions"),
        (
            r"\b(?:largest|biggest|longest|fattest|top|huge|big|long)\b.*\bfiles?\b|\bfiles?\b.*\b(?:largest|biggest|longest)\b",
            "largest files",
        ),
        (r"\b(?:largest|biggest|longest)\b", "longest functions"),
        (r"\b(?:functions?|methods?|class(?:es)?|symbols?|types)\b", "functions"),
        (r"\b(?:files?|lines?|loc|k?sloc|big|large|size|long)\b", "files"),
    )
)


def subjects(kind: str, question: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the subject of a question of a kind, and the second one; None if it lacks what the kind needs."""
    named = [name for name in names if not is_version(name)] or list(names)
    if kind in _QUESTIONS:
        return question, ""
    if kind in _NO_NAME:
        return "", ""
    if kind in _OPTIONAL:
        return (named[0] if named and not is_version(named[0]) else ""), ""
    if kind == "overview":
        return next(((subject, "") for words, subject in _OVERVIEWS if words.search(question)), None)
    if kind == "between":
        return _revisions(question, names)
    if kind == "relation":
        return (named[0], named[1]) if len(named) > 1 else None
    if kind == "placement":
        if not named and (added := _NEW.search(question)):
            return added["noun"].split()[-1], ""
    return (named[0], "") if named else None


def _revisions(question: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the revisions of a question as `older..newer`, and the file, if there is one."""
    revisions = [name for name in names if is_version(name)] or list(names[:2])
    others = [name for name in names if name not in revisions]
    if not revisions:
        return None
    if len(revisions) > 1:
        older, newer = sorted(revisions[:2], key=_version_key)
        return f"{older}..{newer}", others[0] if others else ""
    before = question[: question.find(revisions[0])]
    since = _SINCE.search(before[-24:])
    return (f"{revisions[0]}.." if since else f"..{revisions[0]}"), others[0] if others else ""


def _version_key(name: str) -> tuple[list[int], bool, str]:
    """Return a key that sorts versions, a preview before its release; other revisions stay in their order."""
    if "." not in name:
        return [], False, ""
    released, *preview = re.split(r"(?<=\d)[-.]?[A-Za-z]", name, maxsplit=1)
    return [int(number) for number in re.findall(r"\d+", released)], not preview, "".join(preview)
