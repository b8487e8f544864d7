"""What a file of JavaScript or TypeScript exports, read from its tree.

Belongs here: how these languages export: by statements, and by assigning to `module.exports`. Does not belong here:
where what is exported is declared, and answers (`export_answers`).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from qflow_dagster.knowledge import code_trees
from qflow_dagster.knowledge.code_trees import line_of, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

ENDINGS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
ALL, DEFAULT, MODULE = "*", "default", "module.exports"
_EXPORTS = r"(?:module\s*\.\s*)?exports"
_ASSIGNED = re.compile(rf"{_EXPORTS}(?:\s*\.\s*(?P<name>[\w$]+)|\s*\[\s*['\"](?P<key>[^'\"]+)['\"]\s*\])?")
# What is loaded, and maybe the member of it that is taken: `require('./a').b`.
_REQUIRED = re.compile(r"require\s*\(\s*['\"](?P<source>[^'\"]+)['\"]\s*\)(?:\s*\.\s*(?P<name>[\w$]+))?")
_NAMES = frozenset({"identifier", "shorthand_property_identifier_pattern"})


class Export(NamedTuple):
    """A name that a file exports, and what it is in the file, or in `source` if that is another module.

    `name` is `*` for all of `source`, or of the object `local`; `local` is '' for what has no name, `*` for a module.
    """

    name: str
    local: str
    line: int
    source: str = ""


def read(path: str, content: str) -> list[Export]:
    """Return what a file exports, in order, each name once."""
    code = code_trees.read(path, content.encode())
    found: dict[tuple[str, str], Export] = {}
    for export in _exports(code.tree.root_node) if code else ():
        key = export.name, f"{export.source}{export.local}" if export.name == ALL else ""
        # `exports.a = undefined` only announces what is assigned later.
        if key not in found or not found[key].local:
            found[key] = export
    return list(found.values())


def _exports(root: "Node") -> "Iterator[Export]":
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == "export_statement":
            # Others are in a namespace.
            yield from _statement(node) if node.parent == root else ()
            continue
        if node.type == "assignment_expression":
            yield from _assignment(node)
        elif node.type == "call_expression":
            yield from _defined(node)
        pending += node.named_children[::-1]


def _statement(node: "Node") -> "Iterator[Export]":
    """Yield what `export ...` exports."""
    line = line_of(node)
    source = _string(node.child_by_field_name("source"))
    parts = {child.type: child for child in node.children}
    declared, value = node.child_by_field_name("declaration"), node.child_by_field_name("value")
    if "export_clause" in parts:
        for each in parts["export_clause"].named_children:
            name, alias = each.child_by_field_name("name"), each.child_by_field_name("alias")
            if name is not None:
                yield Export(_string(alias or name), _string(name), line_of(each), source)
    elif "namespace_export" in parts:
        yield Export(_string(parts["namespace_export"].named_children[-1]), ALL, line, source)
    elif source:
        yield Export(ALL, ALL, line, source)
    elif "default" in parts:
        names = list(_declared(declared)) if declared is not None else []
        named = names[0] if names else value if _is_name(value) else None
        yield Export(DEFAULT, text_of(named) if named is not None else "", line)
    elif declared is not None:
        yield from (Export(text_of(name), text_of(name), line_of(name)) for name in _declared(declared))
    elif "=" in parts and _is_name(node.named_children[-1]):
        yield Export(MODULE, text_of(node.named_children[-1]), line)


def _assignment(node: "Node") -> "Iterator[Export]":
    """Yield what an assignment to `module.exports`, or to a member of it, exports."""
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    assigned = _ASSIGNED.fullmatch(text_of(left)) if left is not None else None
    if assigned is None or right is None:
        return
    name, line = assigned["name"] or assigned["key"], line_of(node)
    if name:
        yield _of_value(name, right, line)
    elif right.type == "object":
        for each in right.named_children:
            yield from _member(each)
    # `exports = module.exports = ...` assigns once.
    elif right.type != "assignment_expression":
        whole = _of_value(MODULE, right, line)
        yield whole._replace(name=ALL) if whole.source and whole.local == ALL else whole


def _member(node: "Node") -> "Iterator[Export]":
    """Yield what a part of an object that is exported adds."""
    line = line_of(node)
    if node.type == "spread_element":
        each = _of_value(ALL, node.named_children[0], line)
        yield each if each.source else each._replace(local=text_of(node.named_children[0])[:60])
    elif node.type == "shorthand_property_identifier":
        yield Export(text_of(node), text_of(node), line)
    elif (key := node.child_by_field_name("key") or node.child_by_field_name("name")) is not None:
        value = node.child_by_field_name("value")
        name = _string(key)
        export = _of_value(name, value, line) if value is not None else Export(name, name, line)
        yield export if export.local else export._replace(local=name)


def _defined(node: "Node") -> "Iterator[Export]":
    """Yield the name that `Object.defineProperty(exports, name, ...)` exports."""
    called, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if called is None or arguments is None or text_of(called) != "Object.defineProperty":
        return
    values = arguments.named_children
    if len(values) > 1 and re.fullmatch(_EXPORTS, text_of(values[0])) and values[1].type == "string":
        name = _string(values[1])
        # It marks what was compiled.
        if name != "__esModule":
            yield Export(name, "", line_of(node))


def _of_value(name: str, value: "Node", line: int) -> Export:
    """Return the export of a value: of something with a name, of another module, or of what has no name."""
    if required := _REQUIRED.fullmatch(text_of(value)):
        return Export(name, required["name"] or ALL, line, required["source"])
    named = value if _is_name(value) else value.child_by_field_name("name")
    return Export(name, text_of(named) if named is not None else "", line)


def _declared(node: "Node") -> "Iterator[Node]":
    """Yield the names that a declaration declares."""
    if node.type == "ambient_declaration":
        for child in node.named_children:
            yield from _declared(child)
    elif node.type in ("lexical_declaration", "variable_declaration"):
        for child in node.named_children:
            pending = [child.child_by_field_name("name")]
            while pending:
                part = pending.pop()
                if part is not None and part.type in _NAMES:
                    yield part
                elif part is not None:
                    defaulted = part.child_by_field_name("left")
                    pending += [defaulted] if defaulted is not None else part.named_children[::-1]
    elif (name := node.child_by_field_name("name")) is not None:
        yield name
    elif node.named_children and _is_name(node.named_children[0]):
        yield node.named_children[0]


def _is_name(node: "Node | None") -> bool:
    return node is not None and node.type in ("identifier", "type_identifier") and node.text != b"undefined"


def _string(node: "Node | None") -> str:
    return text_of(node).strip("'\"`") if node is not None else ""
