"""Nodes of a syntax tree: where they are, and what is in them."""

from collections.abc import Iterable

from ast_grep_py import SgNode


def span_of(node: SgNode) -> tuple[int, int]:
    """Return where a node starts and ends, in characters."""
    found = node.range()
    return found.start.index, found.end.index


def of_kinds(root: SgNode, kinds: Iterable[str]) -> list[SgNode]:
    """Return all nodes of these kinds."""
    return root.find_all(any=[{"kind": kind} for kind in kinds])


def named_children(node: SgNode) -> list[SgNode]:
    """Return the children of a node that are neither punctuation, keywords nor comments."""
    return [child for child in node.children() if child.is_named() and "comment" not in child.kind()]
