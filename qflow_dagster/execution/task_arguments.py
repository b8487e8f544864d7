"""Which arguments an adapter takes, their types, and the references they may contain.

Belongs here: pure checks, made when a graph is submitted and again with the references filled in.
Does not belong here: what a role may do with the arguments (`task_policy`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qflow_dagster.execution.references import names_in

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class ValueType:
    """A type of argument: its description for messages, its JSON type, and optionally item type and `choices`."""

    description: str
    json_type: type
    item_type: type | None = None
    choices: Collection[str] = ()

    def matches(self, value: Any, filled: bool) -> bool:
        """Return whether a value is of this type. Before references are `filled` in, a text with one always is."""
        if not filled and isinstance(value, str) and "${" in value:
            return True
        if not isinstance(value, self.json_type) or (self.choices and value not in self.choices):
            return False
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return self.item_type is None or all(isinstance(part, self.item_type) for part in parts)


TEXT, FLAG, OBJECT = (
    ValueType("a string", str),
    ValueType("true or false", bool),
    ValueType("an object", dict),
)
TEXT_LIST = ValueType("a list of strings", list, str)
TEXTS_BY_NAME = ValueType("an object of strings", dict, str)
ANYTHING = ValueType("any JSON", object)


def one_of(names: Collection[str]) -> ValueType:
    """Return the type of a text that is one of `names`."""
    return ValueType(f"one of {', '.join(names)}", str, choices=names)


@dataclass(frozen=True)
class ArgumentSpec:
    """The arguments of an adapter.

    `exactly_one_of`: one of these must be present, and no other. `allow_others`: arguments not listed are allowed.
    """

    required: Mapping[str, ValueType] = field(default_factory=dict)
    optional: Mapping[str, ValueType] = field(default_factory=dict)
    exactly_one_of: tuple[str, ...] = ()
    allow_others: bool = False

    def problems(
        self, adapter: str, arguments: Mapping[str, Any], *, filled: bool
    ) -> Iterator[tuple[Path, str]]:
        """Yield what is wrong with the arguments: the location and a message."""
        kinds = {**self.required, **self.optional}
        for name, value in arguments.items():
            if name not in kinds and not self.allow_others:
                yield (name,), f"{adapter} has no argument {name!r}; it has: {', '.join(kinds)}"
            elif name in kinds and not kinds[name].matches(value, filled):
                yield (
                    (name,),
                    f"`{name}` of {adapter} must be {kinds[name].description}, not {_abbreviated(value)}",
                )
        for name in self.required:
            if name not in arguments:
                yield (), f"{adapter} needs `{name}`, {self.required[name].description}"
        if self.exactly_one_of and sum(name in arguments for name in self.exactly_one_of) != 1:
            yield (
                (),
                f"{adapter} needs exactly one of {', '.join(f'`{name}`' for name in self.exactly_one_of)}",
            )


def unknown_references(value: Any, visible: Collection[str], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the references in `value` that name neither a visible task nor the graph's input."""
    if isinstance(value, str):
        for name in names_in(value):
            if name not in visible:
                yield path, f"${{{name}...}} is not visible to it; visible are: {', '.join(sorted(visible))}"
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from unknown_references(part, visible, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from unknown_references(part, visible, (*path, number))


def _abbreviated(value: Any) -> str:
    representation = repr(value)
    return representation if len(representation) <= 60 else f"{representation[:59]}…"
