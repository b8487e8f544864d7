"""The fields, properties, constants and values that the declaration of a type has, read from its tree.

Belongs here: how each language declares what is a member of a type and no symbol. Does not belong here: methods and
types within types, which are symbols (`lookups.members`); what else has a name (`mentions`).
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qflow_dagster.knowledge import code_trees
from qflow_dagster.knowledge.evidence import QuestionContext
from qflow_dagster.knowledge.lookups import SymbolLocation

if TYPE_CHECKING:
    from tree_sitter import Node

# Nodes that declare fields, by the grammars that have them.
_FIELDS = frozenset(
    {
        *(
            "assignment",
            "enum_assignment",
            "field_definition",
            "public_field_definition",
            "property_signature",
        ),
        *("field_declaration", "property_declaration", "protocol_property_declaration", "property_element"),
        *(
            "const_element",
            "constant_declaration",
            "const_item",
            "associated_type",
            "variable_declarator",
            "associatedtype_declaration",
        ),
        *(
            "enum_case",
            "enum_constant",
            "enum_entry",
            "enum_member_declaration",
            "enum_variant",
            "enumerator",
        ),
        *("event_declaration", "annotation_type_element_declaration", "property_promotion_parameter"),
        *("val_definition", "var_definition", "val_declaration", "var_declaration", "simple_enum_case"),
    }
)
# Parameters that are fields, too, if the node has one of these children, or the type is a record.
_PARAMETERS = re.compile(r"^(?:class_|formal_|required_|optional_)?parameter$")
_MAKES_FIELD = frozenset({"binding_pattern_kind", "accessibility_modifier", "readonly", "override_modifier"})
_TYPES = re.compile(
    r"^(?:(?:abstract_)?class|interface|enum|struct|trait|object|protocol|record|record_struct|union|annotation_type)"
    r"_(?:declaration|definition|specifier|item)$|^(?:class|module|type_spec|type_alias_declaration)$"
)
# What has its own variables; `block` is one but in Python, where it is the body of a class.
_BODIES = re.compile(
    r"function|method|(?<!primary_)constructor|lambda|closure|arrow|accessor|initializer|init_declaration|compound_statement"
    r"|^(?:statement_block|do_block|block)$"
)
# The parts of a node that has names, the name itself last.
_NAMING = ("bound_identifier", "name", "declarator", "left", "property", "pattern")
_NAME = re.compile(r"[\w$#@]+")
# A declaration is not deeper around a name of it.
MAX_DEPTH = 5
# What declares attributes by a call, of Ruby.
_ATTRIBUTES = re.compile(
    r"(?:[cm]?attr(?:_internal)?|thread_[cm]?attr)(?:_(?:accessor|reader|writer))?|(?:class_)?attributes?|property"
)
_RECORDS = re.compile(r"(?:Struct|Data|OpenStruct)\.(?:new|define)")


def fields_of(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the fields, properties and values that the declarations of a type have, which are no symbols."""
    texts = context.texts(list(dict.fromkeys(part.path for part in parts)))
    trees = {path: code_trees.read(path, text.encode()) for path, text in texts.items()}
    return [
        field for part in parts if (code := trees.get(part.path)) is not None for field in _fields(code, part)
    ]


def is_field(language: str, node: "Node") -> bool:
    """Return whether a name, where it stands, is that of a field, property or value that a type declares."""
    around = node.parent
    for _ in range(MAX_DEPTH):
        if around is None:
            return False
        if any(name.start_byte <= node.start_byte < name.end_byte for name in _names_in(language, around)):
            return _is_in_type(language, around)
        around = around.parent
    return False


def _is_in_type(language: str, node: "Node") -> bool:
    """Return whether a node stands in a type, and in no function of it but among its parameters."""
    inner, around = node, node.parent
    while around is not None:
        if _TYPES.search(around.type) and around.named_child_count:
            return True
        if inner not in _below(language, around):
            return False
        inner, around = around, around.parent
    return False


def _fields(code: code_trees.CodeTree, declared: SymbolLocation) -> list[SymbolLocation]:
    language, fields = code.grammar.name, []
    # Nodes with whether they are in the declared type.
    pending = [(code.tree.root_node, False)]
    while pending:
        node, within = pending.pop()
        first, last = code_trees.line_of(node), node.end_point[0] + 1
        if last < declared.line or first > declared.end_line:
            continue
        inside = declared.line <= first and last <= declared.end_line
        names = list(_names_in(language, node)) if inside else []
        if names and code_trees.text_of(names[0]) == declared.name.rpartition(".")[2]:
            names = []  # What is declared is itself a value: `Point = Struct.new(:x)`.
        for name in names:
            words = " ".join(code_trees.text_of(node).split())[:200]
            qualified = f"{declared.name}.{code_trees.text_of(name).lstrip(':')}"
            place = (declared.path, code_trees.line_of(name), "field", qualified, words)
            fields.append(SymbolLocation(*place, last, declared.oid))
        if inside and _TYPES.search(node.type) and node.named_child_count:
            if within and _is_named(node):
                continue  # The fields of another type.
            within = within or _is_named(node) or node.type.endswith("_specifier")
        if not names or node.type in ("enum_body", "call"):
            below = _below(language, node) if inside else node.children
            pending += [(child, within) for child in reversed(below)]
    return list(dict.fromkeys(fields))


def _is_named(node: "Node") -> bool:
    return bool(node.child_by_field_name("name")) or any(
        child.type == "type_identifier" for child in node.children
    )


def _below(language: str, node: "Node") -> "list[Node]":
    """Return the children that may declare fields: of a function only its parameters."""
    if language == "python" and node.type == "block":
        return node.children
    if _BODIES.search(node.type):
        parameters = node.child_by_field_name("parameters")
        return [parameters] if parameters else []
    return node.children


def _names_in(language: str, node: "Node") -> "Iterator[Node]":
    """Yield the names that a node declares as fields."""
    if node.type == "enum_body":
        yield from node.children_by_field_name("name")
    elif node.type == "call" and language == "ruby":
        yield from _attributes(node)
    elif _PARAMETERS.match(node.type):
        around = node.parent.parent if node.parent else None
        of_record = around is not None and around.type.startswith("record")
        if of_record or language == "scala" or any(child.type in _MAKES_FIELD for child in node.children):
            yield from _declared(node)
    elif node.type in _FIELDS:
        slots = _slots(node)
        yield from slots or _declared(node)
        value = node.child_by_field_name("right")
        while value is not None and value.type == "assignment":  # `a = b = c = 1`
            yield from _declared(value)
            value = value.child_by_field_name("right")


def _declared(node: "Node") -> "Iterator[Node]":
    """Yield the names in the declarators of a node."""
    parts = [child for field in _NAMING for child in node.children_by_field_name(field)]
    if not parts:
        # Grammars that do not say which part is the name; an embedded type of Go is a field of its name.
        inner = next((child for child in node.children if child.type == "variable_declaration"), node)
        plain = [child for child in inner.children if re.search(r"identifier$|^name$", child.type)]
        embedded = node.child_by_field_name("type") if node.type == "field_declaration" else None
        if embedded is not None and embedded.type == "qualified_type":
            embedded = embedded.child_by_field_name("name")
        parts = plain[:1] if embedded is None else [embedded] if embedded.type == "type_identifier" else []
    for part in parts:
        if part.type in ("pattern_list", "tuple_pattern", "left_assignment_list"):
            yield from (child for child in part.children if _NAME.fullmatch(code_trees.text_of(child)))
            continue
        name: Node | None = part
        while name is not None and not _NAME.fullmatch(code_trees.text_of(name)):
            named = (name.child_by_field_name(field) for field in _NAMING)
            last = name.named_child(0) if name.named_child_count == 1 else None
            name = next((child for child in named if child is not None), last)
        if name is not None:
            yield name


def _slots(node: "Node") -> "list[Node]":
    """Return the names that `__slots__` of Python lists."""
    target, pending = node.child_by_field_name("left"), [node.child_by_field_name("right")]
    names: list[Node] = []
    while target is not None and code_trees.text_of(target) == "__slots__" and pending:
        value = pending.pop()
        if value is not None and value.type == "string_content":
            names.append(value)
        elif value is not None and value.type != "pair":
            pending += value.children[::-1]
        elif value is not None:
            pending.append(value.child_by_field_name("key"))
    return names


def _attributes(node: "Node") -> "Iterator[Node]":
    """Yield the names that a call of Ruby makes attributes of: `attr_reader :size`, `Struct.new(:size)`."""
    method, receiver = node.child_by_field_name("method"), node.child_by_field_name("receiver")
    called = code_trees.text_of(method) if method else ""
    if receiver is not None:
        made = _RECORDS.fullmatch(f"{code_trees.text_of(receiver)}.{called}")
    else:
        made = _ATTRIBUTES.fullmatch(called)
    arguments = node.child_by_field_name("arguments") if made else None
    for argument in arguments.children if arguments else ():
        if argument.type == "simple_symbol":
            yield argument
        elif argument.type == "string" and argument.named_child_count == 1:
            yield argument.children[1]
