"""What an adapter takes: names and kinds of its arguments, and what may be referred to in them.

Belongs here: pure checks, made when a graph is submitted and again with the values filled in.
Does not belong here: what a role may do with them (`task_policy`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qflow_dagster.execution.references import names_in

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of value: what it is called, and what JSON type it has; one of `among` where that is given."""

    words: str
    json: type
    of: type | None = None
    among: Collection[str] = ()

    def holds(self, value: Any, filled: bool) -> bool:
        """Whether a value is of this kind. Before references are `filled` in, one that holds any is."""
        if not filled and isinstance(value, str) and "${" in value:
            return True
        if not isinstance(value, self.json) or (self.among and value not in self.among):
            return False
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return self.of is None or all(isinstance(part, self.of) for part in parts)


TEXT, FLAG, OBJECT = Kind("a text", str), Kind("true or false", bool), Kind("an object", dict)
WORDS = Kind("a list of words", list, str)
TEXTS_BY_NAME = Kind("an object of texts", dict, str)
ANYTHING = Kind("any JSON", object)


def one_of(names: Collection[str]) -> Kind:
    """A text that is one of these."""
    return Kind(f"one of {', '.join(names)}", str, among=names)


@dataclass(frozen=True)
class Takes:
    """The arguments of an adapter; `either`: exactly one of these is needed; `others`: more are its own."""

    needed: Mapping[str, Kind] = field(default_factory=dict)
    optional: Mapping[str, Kind] = field(default_factory=dict)
    either: tuple[str, ...] = ()
    others: bool = False

    def problems(
        self, adapter: str, arguments: Mapping[str, Any], *, filled: bool
    ) -> Iterator[tuple[Path, str]]:
        """What is wrong with them: where, and why."""
        kinds = {**self.needed, **self.optional}
        for name, value in arguments.items():
            if name not in kinds and not self.others:
                yield (name,), f"{adapter} has no argument {name!r}; it has: {', '.join(kinds)}"
            elif name in kinds and not kinds[name].holds(value, filled):
                yield (name,), f"`{name}` of {adapter} is {kinds[name].words}, not {_shown(value)}"
        for name in self.needed:
            if name not in arguments:
                yield (), f"{adapter} needs `{name}`, {self.needed[name].words}"
        if self.either and sum(name in arguments for name in self.either) != 1:
            yield (), f"{adapter} needs exactly one of {', '.join(f'`{name}`' for name in self.either)}"


def unseen(value: Any, visible: Collection[str], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """References in `value` that can never be filled in: what they name is not seen."""
    if isinstance(value, str):
        for name in names_in(value):
            if name not in visible:
                yield path, f"${{{name}...}} is nothing it sees; it sees: {', '.join(sorted(visible))}"
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from unseen(part, visible, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from unseen(part, visible, (*path, number))


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:59]}…"
