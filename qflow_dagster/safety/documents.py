"""Reading YAML and JSON documents that people write, with the position of what is wrong in them.

Belongs here: text to data and back to a line and column. Does not belong here: what a document
means (rule packs, task graphs).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from qflow_dagster.errors import UsageError

# Values of a document with every alias written out: a few lines of aliases can mean billions.
MOST_VALUES = 2_000_000


class Document(NamedTuple):
    """What a document says, and where it says so."""

    name: str
    data: Any
    tree: yaml.Node | None

    def place(self, path: Sequence[str | int] = ()) -> str:
        """`name:line:column` of the value at `path`, or of the nearest thing above it that is there."""
        node = self.tree
        for step in path:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next((value for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = node.value[step]
            if found is None:
                break
            node = found
        mark = node.start_mark if node is not None else None
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{self.name}:1:1"

    def problems(self, error: ValidationError, above: Sequence[str | int] = ()) -> Iterator[str]:
        """What pydantic refused of the value at `above`, each with its place."""
        for one in error.errors():
            path = (*above, *one["loc"])
            name = ".".join(map(str, one["loc"])) or "the document"
            words = "is no mapping of names to values" if one["type"] == "model_type" else one["msg"]
            yield f"{self.place(path)}: {name}: {words}"


def read(path: Path) -> Document:
    """The document in a file.

    Raises:
        UsageError: the file cannot be read, or is no YAML; with line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Document:
    """The document of that text (JSON is YAML); `name` is what messages call it.

    Raises:
        UsageError: it is no YAML, names a key twice, or is too large; with line and column.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _check(tree, name)
        return Document(name, yaml.safe_load(text), tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise UsageError(f"{place}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: {error}") from None
    except RecursionError:
        raise UsageError(f"{name}: nested too deeply") from None


def _check(tree: yaml.Node | None, name: str) -> None:
    """Refuse a key that is there twice (the last would win unseen), and what is huge written out."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node | None) -> int:
        if node is None or isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in sizes:
            return sizes[id(node)]
        # One that contains itself is met again before it is known.
        sizes[id(node)] = MOST_VALUES + 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, name)
            total = sum(size(value) for _, value in node.value)
        else:
            total = sum(size(value) for value in node.value)
        sizes[id(node)] = 1 + total
        if sizes[id(node)] > MOST_VALUES:
            mark = node.start_mark
            raise UsageError(
                f"{name}:{mark.line + 1}:{mark.column + 1}: more than {MOST_VALUES:,} values, "
                "with its aliases written out"
            )
        return sizes[id(node)]

    size(tree)


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            mark = key.start_mark
            raise UsageError(f"{name}:{mark.line + 1}:{mark.column + 1}: {key.value!r} is there twice")
        seen.add(key.value)
