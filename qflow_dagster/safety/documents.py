"""Reading YAML and JSON documents that people write, with the position of what is wrong in them.

Belongs here: text to data and back to a line and column. Does not belong here: what a document
means (rule packs, task graphs).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml
from pydantic import ValidationError

from qflow_dagster.errors import UsageError, problem_of
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.storable import MAX_DEPTH, storable

# Values of a document with every alias written out: a few lines of aliases can mean billions.
MAX_VALUES = 2_000_000
# In bytes of a file and characters of a text. Some 12 microseconds a character: the slowest document takes seconds.
MAX_SIZE = 1_000_000
MAX_DIGITS = 300


class Document(NamedTuple):
    """The content of a document, with the line of each part."""

    name: str
    data: Any
    tree: yaml.Node | None

    def location(self, path: Sequence[str | int] = ()) -> str:
        """`name:line:column` of the value at `path`, or of the nearest thing above it that is there."""
        node = self.tree
        for step in path:
            child = None
            if isinstance(node, yaml.MappingNode):
                child = next((value for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                child = node.value[step]
            if child is None:
                break
            node = child
        mark = node.start_mark if node is not None else None
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{self.name}:1:1"

    def problems(self, error: ValidationError, above: Sequence[str | int] = ()) -> Iterator[str]:
        """Yield what pydantic refused of the value at `above`, each with its location."""
        for detail in error.errors():
            path = (*above, *detail["loc"])
            name = ".".join(map(str, detail["loc"])) or "the document"
            yield f"{self.location(path)}: {name}: {problem_of(detail)}"


def read(path: Path, *, own: bool = False) -> Document:
    """Return the document in a file; `own`: it is part of the project, so it may be read by a faster loader.

    Raises:
        UsageError: the file cannot be read, is too large, or is not valid YAML; with line and column.
    """
    try:
        if path.stat().st_size > MAX_SIZE:
            raise UsageError(f"{path} is larger than {MAX_SIZE:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path), own=own)


def parse(text: str, name: str, *, own: bool = False) -> Document:
    """Return the document of that text (JSON is YAML); `name` is what messages call it, `own` as for `read`.

    All of it can be stored: what JSON has not (types of YAML's own, keys that are not text, NaN), and
    the database has not (NUL, integers of any length), is refused. A date is the text it is written as.

    Raises:
        UsageError: it is not valid YAML, names a key twice, holds what cannot be stored, or is too large;
            with line and column.
    """
    if len(text) > MAX_SIZE:
        raise UsageError(f"{name} is larger than {MAX_SIZE:,} characters")
    loader = None
    try:
        loader = _OwnLoader(text) if own else _Loader(text)
        tree = loader.get_single_node()
        if tree is None:
            return Document(name, None, None)
        _check(tree, name, loader)
        return Document(name, loader.construct_document(tree), tree)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise UsageError(
            f"{name}:{line}:{column}: the character U+{error.character:04X} is not allowed"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
        raise UsageError(f"{location}: {visible_line(str(error.problem or error.context), 300)}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{name}:1:1: {visible_line(str(error), 300)}") from None
    except RecursionError:
        raise UsageError(f"{name}:1:1: nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Constructor(yaml.constructor.SafeConstructor):
    """Values without what no reader of ours expects; every refusal has its position."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node.

        Raises:
            ConstructorError: it has none: no such date, no such type, a key that cannot be one.
        """
        try:
            value = super().construct_object(node, deep=deep)
        # An invalid date, or text where its tag promises a number.
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
            why = f": {error}" if isinstance(error, ValueError) else ""
            problem = f"{str(node.value)[:40]!r} is not a valid {node.tag.rpartition(':')[2]}{why}"
            raise self._refusal(node, problem) from None
        if isinstance(node, yaml.ScalarNode) and storable(value) != value:
            problem = "this cannot be stored: it is not a number, or holds NUL or half a surrogate pair"
            raise self._refusal(node, problem)
        return value

    def date_as_text(self, node: yaml.ScalarNode) -> str:
        """Return the text of a date, if there is such a date."""
        self.construct_yaml_timestamp(node)
        return node.value

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return an integer, of at most 300 digits: to read one of any length takes time and is refused anyhow."""
        if len(node.value) > MAX_DIGITS:
            raise self._refusal(node, f"a number of more than {MAX_DIGITS} digits")
        return super().construct_yaml_int(node)

    def _refusal(self, node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def refuse(self, node: yaml.Node) -> None:
        """Refuse a type of YAML's own."""
        raise self._refusal(node, f"{node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed here")

    yaml_constructors: ClassVar[dict] = {
        **yaml.constructor.SafeConstructor.yaml_constructors,
        "tag:yaml.org,2002:int": construct_yaml_int,
        "tag:yaml.org,2002:timestamp": date_as_text,
        **dict.fromkeys([f"tag:yaml.org,2002:{name}" for name in ("binary", "set", "omap", "pairs")], refuse),
        None: refuse,
    }


class _Loader(_Constructor, yaml.SafeLoader):
    """PyYAML's, written in Python: what is nested too deeply is an error."""


class _OwnLoader(_Constructor, yaml.CSafeLoader):
    """libyaml's, in an eighth of the time: what is nested too deeply crashes it, so it reads what is ours alone."""


def _check(tree: yaml.Node, name: str, loader: _Loader | _OwnLoader) -> None:
    """Refuse a key that is there twice (the last would win unseen), what is huge written out, or deep."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise UsageError(f"{_location(name, node)}: nested too deeply")
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in sizes:
            return sizes[id(node)]
        # One that contains itself is met again before it is known.
        sizes[id(node)] = MAX_VALUES + 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, name, loader)
            total = sum(size(value, depth + 1) for _, value in node.value)
        else:
            total = sum(size(value, depth + 1) for value in node.value)
        sizes[id(node)] = 1 + total
        if sizes[id(node)] > MAX_VALUES:
            raise UsageError(
                f"{_location(name, node)}: more than {MAX_VALUES:,} values, with its aliases written out"
            )
        return sizes[id(node)]

    size(tree, 1)


def _check_keys(node: yaml.MappingNode, name: str, loader: _Loader | _OwnLoader) -> None:
    seen: set[Any] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{_location(name, key)}: a key is a text, not a list or mapping")
        # 1 and 0x1 are one key, and so are 1 and "1" once they are JSON.
        is_merge = key.tag == "tag:yaml.org,2002:merge"
        spellings = {key.value} if is_merge else {key.value, loader.construct_object(key)}
        if spellings & seen:
            raise UsageError(f"{_location(name, key)}: {visible_line(key.value, 80)!r} is there twice")
        seen |= spellings


def _location(name: str, node: yaml.Node) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
