"""References in a task's arguments: `${fetch.items}` becomes the field `items` of the result of task `fetch`.

Belongs here: looking up a value in a task's inputs, and filling it in. A reference that is the
complete string becomes the value; within a longer string it becomes its text. Before a `{`, `$$` is a plain
`$`. Nothing is evaluated, and filled-in values are not searched for references: they may come from anywhere.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from qflow_dagster.errors import QflowError

_PATH = r"\$\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\}"
_REFERENCE = re.compile(_PATH)
# Doubled (that is, plain) dollars, or a reference.
_PART = re.compile(rf"(?<!\$)(?:\$\$)++(?=\$?\{{)|{_PATH}")
_BEFORE_BRACE, _BEFORE_REFERENCE = re.compile(r"(?<!\$)\$++(?=\{)"), re.compile(r"(?<!\$)\$++(?=\{|\Z)")


class MissingValueError(QflowError):
    """A reference names a value that does not exist."""


def look_up(path: str, inputs: Mapping[str, Any]) -> Any:
    """Return the value at `path` (names and indexes, separated by dots) in a task's inputs.

    Raises:
        MissingValueError: there is no such value; the message says which part of the path exists.
    """
    value: Any = inputs
    resolved: list[str] = []
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            available = ", ".join(sorted(value)) if isinstance(value, Mapping) else type(value).__name__
            raise MissingValueError(
                f"there is no {path!r}: {'.'.join(resolved) or 'the task'} has {available or 'nothing'}"
            )
        resolved.append(step)
    return value


def fill(value: Any, inputs: Mapping[str, Any]) -> Any:
    """Return `value` with every reference in it replaced.

    Raises:
        MissingValueError: a reference names a missing value.
    """

    def in_text(text: str) -> Any:
        if reference := _REFERENCE.fullmatch(text):
            return look_up(reference[1], inputs)
        return _PART.sub(lambda match: _filled(match, inputs), text)

    return _each_text(value, in_text)


def fill_except(later: Collection[str], value: Any, inputs: Mapping[str, Any]) -> Any:
    """Return `value` with references replaced, except those that begin with a name in `later` (left to `fill`).

    A string that consists of one such reference after this (everything else was empty) becomes its value, not text.

    Raises:
        MissingValueError: a reference names a missing value.
    """

    def in_text(text: str) -> Any:
        if (reference := _REFERENCE.fullmatch(text)) and _first(reference[1]) not in later:
            return _each_text(look_up(reference[1], inputs), _doubled)
        done, literal, at = "", "", 0
        for match in _PART.finditer(text):
            literal += text[at : match.start()]
            at = match.end()
            if match[1] and _first(match[1]) in later:
                done += _doubled(literal, _BEFORE_REFERENCE) + match[0]
                literal = ""
            else:
                literal += _filled(match, inputs)
        return done + _doubled(literal + text[at:])

    return _each_text(value, in_text)


def names_in(value: str) -> Iterator[str]:
    """Yield the first name of each reference in a string: a task, `run`, `item` or `index`."""
    for match in _PART.finditer(value):
        if match[1]:
            yield _first(match[1])


def contains(value: Any, part: Any) -> bool:
    """Return whether `value` contains `part`, as PostgreSQL's `@>` has it for jsonb."""
    if isinstance(part, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and contains(value[name], item) for name, item in part.items()
        )
    if isinstance(part, list):
        return isinstance(value, list) and all(
            any(contains(candidate, item) for candidate in value) for item in part
        )
    if isinstance(part, bool) or isinstance(value, bool):
        return value is part
    return value == part


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _filled(match: re.Match[str], inputs: Mapping[str, Any]) -> str:
    return _text(look_up(match[1], inputs)) if match[1] else "$" * (len(match[0]) // 2)


def _each_text(value: Any, change: Callable[[str], Any]) -> Any:
    """Return a JSON value with each of its strings changed; object keys stay as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {name: _each_text(item, change) for name, item in value.items()}
    return value


def _doubled(text: str, where: re.Pattern[str] = _BEFORE_BRACE) -> str:
    """Return text that `fill` turns back into `text`."""
    return where.sub(lambda match: 2 * match[0], text)


def _first(path: str) -> str:
    return path.partition(".")[0]
