"""References in a task's arguments: `${fetch.items}` becomes what the task `fetch` put out.

Belongs here: looking a value up in what a task sees, and filling it in. A reference that is a
whole string becomes the value; within a string it becomes its text. Before a `{`, `$$` is a plain `$`.
Nothing is evaluated, and what was filled in is not looked at for references: it may come from anywhere.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from qflow_dagster.errors import QflowError

_PATH = r"\$\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\}"
_WHOLE = re.compile(_PATH)
# Plain dollars (each is there twice), or a reference.
_PART = re.compile(rf"(?<!\$)(?:\$\$)++(?=\$?\{{)|{_PATH}")
_BEFORE_BRACE, _BEFORE_REFERENCE = re.compile(r"(?<!\$)\$++(?=\{)"), re.compile(r"(?<!\$)\$++(?=\{|\Z)")


class MissingValueError(QflowError):
    """A reference to what is not there."""


def look_up(path: str, seen: Mapping[str, Any]) -> Any:
    """The value at `path` (names and indexes, with dots) in what a task sees.

    Raises:
        MissingValueError: there is none; it says as far as it got.
    """
    value: Any = seen
    done: list[str] = []
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            there = ", ".join(sorted(value)) if isinstance(value, Mapping) else type(value).__name__
            raise MissingValueError(
                f"there is no {path!r}: {'.'.join(done) or 'the task'} has {there or 'nothing'}"
            )
        done.append(step)
    return value


def fill(value: Any, seen: Mapping[str, Any]) -> Any:
    """`value` with every reference in it replaced.

    Raises:
        MissingValueError: one leads nowhere.
    """

    def in_text(text: str) -> Any:
        if whole := _WHOLE.fullmatch(text):
            return look_up(whole[1], seen)
        return _PART.sub(lambda found: _filled(found, seen), text)

    return _each_text(value, in_text)


def fill_but(later: Collection[str], value: Any, seen: Mapping[str, Any]) -> Any:
    """`value` with references replaced, but those that begin with a name of `later`: for `fill` to do the rest.

    A string that is nothing but such a reference then (all else was empty) becomes the value, not its text.

    Raises:
        MissingValueError: one leads nowhere.
    """

    def in_text(text: str) -> Any:
        if (whole := _WHOLE.fullmatch(text)) and _first(whole[1]) not in later:
            return _each_text(look_up(whole[1], seen), _doubled)
        done, known, at = "", "", 0
        for found in _PART.finditer(text):
            known += text[at : found.start()]
            at = found.end()
            if found[1] and _first(found[1]) in later:
                done += _doubled(known, _BEFORE_REFERENCE) + found[0]
                known = ""
            else:
                known += _filled(found, seen)
        return done + _doubled(known + text[at:])

    return _each_text(value, in_text)


def names_in(value: str) -> Iterator[str]:
    """The first names of all references in a string: those of tasks, `run`, `item` or `index`."""
    for found in _PART.finditer(value):
        if found[1]:
            yield _first(found[1])


def contains(value: Any, wanted: Any) -> bool:
    """Whether `wanted` is contained in `value`, as PostgreSQL's `@>` has it for jsonb."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and contains(value[name], item) for name, item in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(contains(one, item) for one in value) for item in wanted)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    return value == wanted


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _filled(found: re.Match[str], seen: Mapping[str, Any]) -> str:
    return _text(look_up(found[1], seen)) if found[1] else "$" * (len(found[0]) // 2)


def _each_text(value: Any, change: Callable[[str], Any]) -> Any:
    """A JSON value with each of its texts changed, names left as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {name: _each_text(item, change) for name, item in value.items()}
    return value


def _doubled(text: str, where: re.Pattern[str] = _BEFORE_BRACE) -> str:
    """Text such that filling it in gives the text."""
    return where.sub(lambda found: 2 * found[0], text)


def _first(path: str) -> str:
    return path.partition(".")[0]
