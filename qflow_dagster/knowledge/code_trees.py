"""Syntax trees of files, read when a question needs more than the facts: each line of a call, not only the first one.

Belongs here: parsing a file, and where its tree has calls. Does not belong here: what a name in code does there
(`mentions`), the fields of a type (`fields`), what a call refers to (`call_targets`).
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

    from qflow_dagster.ingestion.extraction.grammars import Grammar

# As long as the extraction of facts takes at most.
TIMEOUT = 10.0


class CodeTree(NamedTuple):
    """The tree of a file, with its grammar; positions are those of the file."""

    grammar: "Grammar"
    tree: "Tree"

    def calls(self, first: int, last: int) -> "list[Node]":
        """Return the names that are called on the lines from `first` to `last`, in order."""
        from tree_sitter import QueryCursor

        cursor = QueryCursor(self.grammar.query)
        cursor.set_point_range((first - 1, 0), (last, 0))
        nodes = cursor.captures(self.tree.root_node).get("call", [])
        inside = [node for node in nodes if first <= line_of(node) <= last]
        return sorted(inside, key=lambda node: node.start_byte)


def read(path: str, source: bytes, *, plain: bool = False) -> CodeTree | None:
    """Return the tree of a file; None if no grammar reads it.

    It is the tree that facts are of, in which macros may be blank; `plain`: that of all the text.
    """
    # The parsers take longer to import than most questions to answer.
    from qflow_dagster.ingestion import languages
    from qflow_dagster.ingestion.extraction import syntax
    from qflow_dagster.ingestion.extraction.grammars import grammar

    found = grammar(languages.detect(path, source[: languages.HEAD_BYTES]))
    if found and plain:
        return CodeTree(found, found.parser.parse(source))
    parsed = syntax.parse(found, source, TIMEOUT) if found else None
    return CodeTree(found, parsed[0]) if found and parsed else None


def call_lines(path: str, text: str, first: int, last: int, names: Collection[str]) -> dict[str, list[int]]:
    """Return the lines between `first` and `last` that call each of some names."""
    code = read(path, text.encode())
    found: dict[str, list[int]] = {}
    for node in code.calls(first, last) if code else ():
        name = text_of(node)
        if name in names and line_of(node) not in found.get(name, ()):
            found.setdefault(name, []).append(line_of(node))
    return found


def line_of(node: "Node") -> int:
    """Return the line on which a node begins, from 1."""
    return node.start_point[0] + 1


def text_of(node: "Node") -> str:
    """Return the code of a node."""
    return (node.text or b"").decode("utf-8", "replace")
