"""What the body of a type takes in by name, beside the bases of its declaration: traits of PHP, modules of Ruby.

Belongs here: reading it from the tree of a file. Does not belong here: what the names refer to (`inheritance`), bases
that a declaration names, as those of Scala and Python (`declarations.qualified_bases_of`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from qflow_dagster.knowledge import code_trees

if TYPE_CHECKING:
    from tree_sitter import Node

# Files whose types take in others in their bodies.
ENDINGS = (".php", ".rb", ".rake")
_MIXING = frozenset({"include", "extend", "prepend"})
_TYPES = frozenset({"class", "module", "class_declaration", "trait_declaration", "enum_declaration"})
# Around the names in the body of a type; in anything else they are of an object, or of another type.
_BODIES = frozenset({"body_statement", "declaration_list", "enum_declaration_list", "singleton_class"})


class Mixin(NamedTuple):
    """A name that a type takes in, with the line of that, and the line and name of the type."""

    name: str
    line: int
    type_line: int
    type_name: str


def read(path: str, text: str) -> Iterator[Mixin]:
    """Yield what the types of a file take in, in order."""
    code = code_trees.read(path, text.encode()) if path.endswith(ENDINGS) else None
    pending = [code.tree.root_node] if code else []
    while pending:
        node = pending.pop()
        names = _names(node)
        declared = _type_around(node) if names else None
        if declared is not None and (type_name := declared.child_by_field_name("name")):
            for name in names:
                yield Mixin(
                    _as_written(name),
                    code_trees.line_of(name),
                    code_trees.line_of(declared),
                    _as_written(type_name),
                )
        pending += reversed(node.children)


def _names(node: "Node") -> "list[Node]":
    """Return the names of types that a node takes in."""
    if node.type == "use_declaration":
        return [child for child in node.children if child.type in ("name", "qualified_name")]
    method, arguments = node.child_by_field_name("method"), node.child_by_field_name("arguments")
    if node.type != "call" or method is None or arguments is None or node.child_by_field_name("receiver"):
        return []
    mixes = code_trees.text_of(method) in _MIXING
    return [child for child in arguments.children if mixes and child.type in ("constant", "scope_resolution")]


def _type_around(node: "Node") -> "Node | None":
    """Return the type in whose body a node stands; None if it stands in a function, a block or at the top level."""
    around = node.parent
    while around is not None and around.type in _BODIES:
        around = around.parent
    return around if around is not None and around.type in _TYPES else None


def _as_written(name: "Node") -> str:
    """Return a name with dots between its parts; of PHP the last part, because imports and namespaces have the rest."""
    return code_trees.text_of(name).rpartition("\\")[2].replace("::", ".").strip(".")
