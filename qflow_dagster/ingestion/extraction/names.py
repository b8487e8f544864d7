"""Names, body positions and parameter counts of definitions in a syntax tree.

Belongs here: the differences between grammars in these nodes.
"""

from tree_sitter import Node

UNNAMED = "(anonymous)"
# Fields that hold a definition's name, in order of preference.
NAME_FIELDS = ("name", "left", "key", "property", "type")
IDENTIFIERS = frozenset(
    {"identifier", "simple_identifier", "type_identifier", "field_identifier", "constant"}
)
NOT_PARAMETERS = frozenset(
    {"comment", "line_comment", "block_comment", "keyword_separator", "positional_separator"}
)


def name_of(grammar: str, node: Node, source: bytes) -> str:
    """Return the name of a definition as written, including receivers and scopes."""
    if grammar in ("c", "cpp") and node.type == "function_definition":
        return _text(_declared(node), source)
    if grammar == "elixir":
        return _elixir_name(node, source)
    if grammar == "swift" and node.type == "init_declaration":
        return "init"
    if grammar == "kotlin":
        if node.type == "secondary_constructor":
            return "constructor"
        return _text(next((n for n in node.named_children if n.type in IDENTIFIERS), None), source)
    name = _text(_first_field(node, NAME_FIELDS), source)
    if grammar == "go" and node.type == "method_declaration":
        receiver = _text(node.child_by_field_name("receiver"), source).strip("()").split()
        if receiver:
            return f"{receiver[-1].lstrip('*').partition('[')[0]}.{name}"
    if grammar in ("javascript", "typescript", "tsx"):
        return name.removeprefix("this.").removeprefix("module.exports.").removeprefix("exports.")
    return name


def body_of(grammar: str, node: Node) -> int:
    """Return the byte position where the body begins; the node's end if it has no body."""
    body = node.child_by_field_name("body")
    if body is None and grammar in ("javascript", "typescript", "tsx"):
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        body = value.child_by_field_name("body") if value else None
    if body is None and grammar in ("kotlin", "elixir"):
        body = next((n for n in node.named_children if n.type in BODIES), None)
    return body.start_byte if body is not None else node.end_byte


BODIES = frozenset({"function_body", "class_body", "enum_class_body", "do_block"})


def parameter_count(grammar: str, node: Node) -> int:
    """Count parameters as written, including `self` and receivers named in the list."""
    holder: Node | None = node
    if grammar in ("c", "cpp"):
        holder = node.child_by_field_name("declarator")
        while holder is not None and holder.type != "function_declarator":
            holder = holder.child_by_field_name("declarator")
    elif grammar in ("javascript", "typescript", "tsx"):
        holder = node.child_by_field_name("value") or node.child_by_field_name("right") or node
    elif grammar == "swift":
        return sum(child.type == "parameter" for child in node.named_children)
    elif grammar == "kotlin":
        parameters = next((n for n in node.named_children if n.type == "function_value_parameters"), None)
        return sum(n.type == "parameter" for n in parameters.named_children) if parameters else 0
    elif grammar == "elixir":
        head = _elixir_head(node)
        arguments = next((n for n in head.named_children if n.type == "arguments"), None) if head else None
        return arguments.named_child_count if arguments else 0
    if holder is None:
        return 0
    single = holder.child_by_field_name("parameter")
    if single is not None:
        return 1
    parameters = holder.child_by_field_name("parameters")
    if parameters is None:
        return 0
    if grammar == "go":
        return sum(max(len(p.children_by_field_name("name")), 1) for p in parameters.named_children)
    children = [n for n in parameters.named_children if n.type not in NOT_PARAMETERS]
    if grammar == "c" and len(children) == 1 and children[0].text == b"void":
        return 0
    return len(children)


def _declared(node: Node) -> Node | None:
    """Return the innermost name of a C declarator: `int *(*f)(void)` declares f."""
    declarator = node.child_by_field_name("declarator")
    while declarator is not None:
        inner = declarator.child_by_field_name("declarator")
        if inner is None and declarator.type == "parenthesized_declarator" and declarator.named_children:
            inner = declarator.named_children[0]
        if inner is None and declarator.type == "reference_declarator" and declarator.named_children:
            inner = declarator.named_children[-1]
        if inner is None:
            return declarator
        declarator = inner
    return None


def _elixir_head(node: Node) -> Node | None:
    """Return the `name(args)` of a def, without its `when` guard."""
    arguments = next((n for n in node.named_children if n.type == "arguments"), None)
    head = arguments.named_children[0] if arguments and arguments.named_children else None
    while head is not None and head.type == "binary_operator":
        head = head.child_by_field_name("left")
    return head


def _elixir_name(node: Node, source: bytes) -> str:
    head = _elixir_head(node)
    if head is not None and head.type == "call":
        head = head.child_by_field_name("target") or head
    return _text(head, source)


def _first_field(node: Node, fields: tuple[str, ...]) -> Node | None:
    for name in fields:
        child = node.child_by_field_name(name)
        if child is not None:
            return child
    return None


def _text(node: Node | None, source: bytes) -> str:
    if node is None:
        return UNNAMED
    return (
        " ".join(source[node.start_byte : node.end_byte].decode("utf-8", "replace").split())[:200] or UNNAMED
    )
