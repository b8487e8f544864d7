"""The names of environment variables as code writes them: in quotes, composed of parts, or in a variable.

Belongs here: reading a name from the text of a call that reads a variable. Does not belong here: finding the calls,
defaults, and the answer (`configuration_answers`).
"""

import re
from typing import NamedTuple

# A longer expression names no variable.
MAX_LENGTH, MAX_PARTS = 200, 8
# What puts parts into a string, before that.
_FORMATS = re.compile(r"(?:format!|&format!|(?:fmt\.)?Sprintf|[Ss]tring\.[Ff]ormat|sprintf|format)\s?\(\s?")
_STRING = re.compile(r"(?:[fFbr@$]|\$@)?(?P<quote>[\"'`])(?P<words>(?:(?!(?P=quote)).){0,100})(?P=quote)")
_IDENTIFIER = re.compile(r"[$@]?(?:this\.|self\.|\$this->)?[A-Za-z_][\w.]{0,60}(?:\(\))?")
# What joins parts; the dot of PHP stands before a string or a variable.
_JOINS = re.compile(r"\s?(?:\+|<>|\.\.|&|\.(?=\s?[\"'$]))\s?")
# Parts within strings, of each language.
_PLACE = re.compile(
    r"[$#]?\{(?P<name>[^{}]{0,60})\}|\\\((?P<swift>[^()]{0,60})\)|%[sdv]|\$(?P<plain>[A-Za-z_]\w{0,60})"
)


class Name(NamedTuple):
    """A name, with `{part}` for each part that is not known; and where the text goes on after it."""

    words: str
    composed: bool
    end: int


def read(text: str) -> Name | None:
    """Return the name that an expression at the beginning of a text has; None if it has no quotes."""
    text = text[:MAX_LENGTH]
    formatted = _FORMATS.match(text)
    end, parts, strings = formatted.end() if formatted else 0, [], 0
    while len(parts) < MAX_PARTS:
        if string := _STRING.match(text, end):
            strings += 1
            parts.append(_PLACE.sub(_placed, string["words"]))
            end = string.end()
        elif identifier := _IDENTIFIER.match(text, end):
            parts.append("{" + identifier[0].removesuffix("()") + "}")
            end = identifier.end()
        else:
            break
        if formatted or not (joined := _JOINS.match(text, end)):
            break
        end = joined.end()
    words = "".join(parts)
    known = re.sub(r"\{[^{}]*\}", "", words)
    if not strings or not re.fullmatch(r"[\w.:-]{1,80}", known):
        return None
    return Name(words, known != words, end)


def _placed(match: re.Match[str]) -> str:
    return "{" + (match["name"] or match["swift"] or match["plain"] or "").strip() + "}"


def assigned(content: str, line: int, variable: str) -> tuple[Name, int] | None:
    """Return the name that a variable has on a line of a file, and the line that gives it; None if none is seen."""
    gives = re.compile(
        rf"(?<![\w.]){re.escape(variable.rpartition('.')[2])}(?:\s?:\s?[\w<>&' .]{{1,40}})?\s*:?=\s*(?![=>~])"
    )
    lines = content.splitlines()
    before, after = range(line - 1, -1, -1), range(line, len(lines))
    # A constant may stand after what uses it.
    for number in (*before, *after):
        match = gives.search(lines[number][:1_000])
        name = read(lines[number][match.end() :]) if match else None
        if name:
            return name, number + 1
        if match:
            return None
    return None
