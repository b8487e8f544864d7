"""Names, body positions and parameter counts of definitions in a syntax tree.

Belongs here: the differences between grammars in these nodes.
"""

import re
from collections.abc import Iterator

from tree_sitter import Node

UNNAMED = "(anonymous)"
ECMA = frozenset({"javascript", "typescript", "tsx"})
# Maximum characters of a name.
MAX_NAME = 200
# Fields that hold a definition's name, in order of preference.
NAME_FIELDS = ("name", "left", "key", "property", "pattern", "declarator", "type")
IDENTIFIERS = frozenset(
    {"identifier", "simple_identifier", "type_identifier", "field_identifier", "constant"}
)
NOT_PARAMETERS = frozenset(
    {"comment", "line_comment", "block_comment", "keyword_separator", "positional_separator"}
)
# Names of definitions that have none.
FIXED_NAMES = {
    "init_declaration": "init",
    "deinit_declaration": "deinit",
    "anonymous_initializer": "init",
    "secondary_constructor": "constructor",
    "static_initializer": "static",
    "class_static_block": "static",
    "block": "init",
}
# Accessors of a property are called `property.suffix`; None: as written.
ACCESSORS = {
    "accessor_declaration": None,
    "property_hook": None,
    "property_declaration": "get",
    "indexer_declaration": "get",
    "computed_property": "get",
    "computed_getter": "get",
    "computed_setter": "set",
    "computed_modify": "_modify",
    "willset_clause": "willSet",
    "didset_clause": "didSet",
    "getter": "get",
    "setter": "set",
}
PROPERTIES = frozenset(
    {
        "property_declaration",
        "event_declaration",
        "indexer_declaration",
        "subscript_declaration",
    }
)
# Definitions that bind a name to a lambda, which is their value.
BINDINGS = frozenset(
    {
        "variable_declarator",
        "assignment_expression",
        "pair",
        "field_definition",
        "public_field_definition",
        "export_statement",
        "var_spec",
        "short_var_declaration",
        "assignment_statement",
        "keyed_element",
        "let_declaration",
        "static_item",
        "const_item",
        "val_definition",
        "property_declaration",
        "assignment",
        "init_declarator",
        "binary_operator",
        "function_expression",
        "generator_function",
        "class",
    }
)
# Nodes of C whose name is in a declarator.
DECLARING = frozenset(
    {"function_definition", "field_declaration", "declaration", "type_definition", "type_identifier"}
)
WRAPPERS = frozenset({"parenthesized_expression", "expression_list", "literal_element"})
BODIES = frozenset(
    {
        "function_body",
        "class_body",
        "enum_class_body",
        "do_block",
        "block",
        "statements",
        "computed_property",
        "accessor_list",
    }
)
PARAMETERS = frozenset(
    {
        "parameters",
        "lambda_parameters",
        "formal_parameters",
        "function_value_parameters",
        "parameter_list",
        "closure_parameters",
        "inferred_parameters",
        "bindings",
        "lambda_function_type_parameters",
        "method_parameters",
    }
)
GO_RECEIVER = re.compile(rb"\(\s*+(?:(\w++)\s++)?+\*?+\s*+(\w++)")


def name_of(grammar: str, node: Node, source: bytes) -> str:
    """Return the name of a definition as written, including receivers and scopes."""
    kind = node.type
    if kind in FIXED_NAMES:
        return FIXED_NAMES[kind]
    if kind in ACCESSORS and (grammar not in ("kotlin", "swift") or kind != "property_declaration"):
        return _accessor_name(node, source)
    if grammar in ("c", "cpp") and (kind in DECLARING or kind.endswith("_declarator")):
        return _declared_name(node, source)
    if grammar == "elixir":
        return _elixir_name(node, source)
    if grammar == "csharp":
        return _csharp_name(node, source)
    if grammar == "kotlin":
        identifiers = next((n for n in node.named_children if n.type == "variable_declaration"), node)
        return _text(next((n for n in identifiers.named_children if n.type in IDENTIFIERS), None), source)
    if grammar == "ruby" and kind == "call":
        arguments = node.child_by_field_name("arguments")
        return _text(arguments and arguments.named_children[0], source).strip(":'\"")
    if grammar in ECMA and kind in ("class", "export_statement"):
        return _exported_name(node, source)
    name = _text(_first_field(node, NAME_FIELDS), source)
    if grammar == "go" and kind == "method_declaration":
        receiver = go_receiver(node)[1].decode("utf-8", "replace")
        return f"{receiver}.{name}" if receiver else name
    if grammar in ECMA:
        # A key may be a string.
        name = name[1:-1] if name[0] in "\"'" and len(name) > 2 else name
        return name.removeprefix("this.").removeprefix("module.exports.").removeprefix("exports.")
    return name


def go_receiver(method: Node) -> tuple[bytes, bytes]:
    """Return the variable and the type of a Go method's receiver; b'' for what it does not have."""
    receiver = method.child_by_field_name("receiver")
    match = GO_RECEIVER.match(receiver.text or b"") if receiver else None
    return (match[1] or b"", match[2]) if match else (b"", b"")


def body_of(grammar: str, node: Node) -> int:
    """Return the byte position where the body begins; the node's end if it has no body."""
    value = value_of(node)
    if value is not None:
        node = value
    body = node.child_by_field_name("body") or node.child_by_field_name("value")
    if body is None:
        body = next((n for n in node.named_children if n.type in BODIES), None)
    return body.start_byte if body is not None else node.end_byte


def property_of(node: Node) -> Node | None:
    """Return the property, indexer or event that an accessor belongs to; None for other definitions."""
    if node.type not in ACCESSORS:
        return None
    owner: Node | None = node
    while owner is not None and owner.type not in PROPERTIES:
        if owner.type in ("getter", "setter") and not (owner.parent and owner.parent.type in PROPERTIES):
            # A sibling after the property.
            while owner is not None and owner.type not in PROPERTIES:
                owner = owner.prev_named_sibling
        else:
            owner = owner.parent
    return owner


def value_of(node: Node) -> Node | None:
    """Return the lambda that a definition binds to a name; None for other definitions."""
    if node.type == "call":  # define_method of Ruby
        return node.child_by_field_name("block")
    if node.type not in BINDINGS or not node.named_children:
        return None
    value = node
    while value is node or value.type in WRAPPERS:
        if value.type in ("function_expression", "generator_function", "class"):
            return None
        value = value.named_children[-1]
    return value


def parameter_count(grammar: str, node: Node) -> int:
    """Count parameters as written, including `self` and receivers named in the list."""
    holder: Node | None = value_of(node) or node
    if grammar in ("c", "cpp"):
        # The last list is the function's own: `int (*f(void))(int)` returns a function.
        lists = [d for d in _declarators(holder) if d.child_by_field_name("parameters") is not None]
        holder = lists[-1] if lists else None
    elif grammar == "swift" and node.type != "property_declaration":
        return sum(child.type in ("parameter", "simple_identifier") for child in _swift_parameters(node))
    elif grammar == "elixir" and holder.type == "call":
        return _elixir_parameter_count(holder)
    elif grammar == "elixir":
        clause = holder.named_children[0] if holder.named_children else None
        holder = clause and clause.child_by_field_name("left")
        return len([n for n in holder.named_children if n.type not in NOT_PARAMETERS]) if holder else 0
    elif grammar == "kotlin" and node.type == "setter":
        return 1
    elif grammar == "scala":
        # A function may have several lists.
        return sum(
            len(child.named_children) if child.type != "identifier" else 1
            for child in holder.children_by_field_name("parameters")
            if child.type != "type_parameters"
        )
    if holder is None:
        return 0
    if holder.child_by_field_name("parameter") is not None:
        return 1
    parameters = holder.child_by_field_name("parameters") or _parameter_list(holder)
    if parameters is None:
        return 0
    if parameters.type in IDENTIFIERS or parameters.type == "implicit_parameter":
        return 1
    if grammar == "go":
        return sum(max(len(p.children_by_field_name("name")), 1) for p in parameters.named_children)
    children = [n for n in parameters.named_children if n.type not in NOT_PARAMETERS]
    if grammar in ("c", "cpp") and len(children) == 1 and children[0].text == b"void":
        return 0
    if grammar == "csharp":
        # The type and the name of `params` are not in a node of their own.
        return sum(n.type == "parameter" for n in children) + any(
            n.type == "params" for n in parameters.children
        )
    if grammar == "kotlin":
        return sum(n.type in ("parameter", "variable_declaration") for n in children)
    if grammar == "c" and len(children) == 1 and children[0].text == b"void":
        return 0
    return len(children)


def _parameter_list(holder: Node) -> Node | None:
    """Return the list of parameters where it has no field."""
    for child in holder.named_children:
        if child.type in PARAMETERS:
            return child
        if child.type == "lambda_function_type":
            return _parameter_list(child)
    return None


def _accessor_name(node: Node, source: bytes) -> str:
    suffix = ACCESSORS[node.type]
    if suffix is None:
        suffix = _text(node.child_by_field_name("name") or node.named_children[0], source)
    owner = property_of(node)
    if owner is None:
        return suffix
    if owner.type == "indexer_declaration":
        return f"this[].{suffix}"
    if owner.type == "subscript_declaration":
        return f"subscript.{suffix}"
    name = owner.child_by_field_name("name")
    if name is None:
        holder = next(
            (n for n in owner.named_children if n.type in ("variable_declaration", "property_element")), owner
        )
        name = holder.child_by_field_name("name") or holder.named_children[0]
    return f"{_text(name, source).lstrip('$')}.{suffix}"


def _exported_name(node: Node, source: bytes) -> str:
    """Return the name of a class expression, or of what is exported by default."""
    name = node.child_by_field_name("name")
    above = node.parent if node.type == "class" else None
    if name is None and above is not None and above.type in BINDINGS and above.type != "export_statement":
        name = _first_field(above, NAME_FIELDS)
    if name is None and above is not None and above.type != "export_statement":
        return UNNAMED
    return _text(name, source) if name is not None else "default"


def _csharp_name(node: Node, source: bytes) -> str:
    name = _text(_first_field(node, ("name", "operator", "type")), source)
    if node.type == "destructor_declaration":
        return f"~{name}"
    if node.type in ("operator_declaration", "conversion_operator_declaration"):
        return f"operator {name}"
    return name


def _declared_name(node: Node, source: bytes) -> str:
    """Return the innermost name of a C declarator: `int *(*f)(void)` declares f."""
    innermost = node if node.type == "type_identifier" else None
    for declarator in _declarators(node):
        last = declarator
        while last.type == "qualified_identifier" and (inner := last.child_by_field_name("name")) is not None:
            last = inner
        if last.type == "operator_cast":
            return _text(declarator, source).partition("(")[0].rstrip()
        innermost = declarator
    return _text(innermost, source)


def _declarators(node: Node) -> Iterator[Node]:
    """Yield the declarators of a C declaration, from the outermost to the name."""
    declarator = node.child_by_field_name("declarator")
    while declarator is not None:
        yield declarator
        inner = declarator.child_by_field_name("declarator")
        if inner is None and declarator.type == "parenthesized_declarator" and declarator.named_children:
            inner = declarator.named_children[0]
        if inner is None and declarator.type == "reference_declarator" and declarator.named_children:
            inner = declarator.named_children[-1]
        declarator = inner


def _swift_parameters(node: Node) -> list[Node]:
    """Return the parameters of a function, or of the subscript that an accessor belongs to."""
    holder: Node | None = node
    while holder is not None and node.type in ACCESSORS and holder.type not in PROPERTIES:
        holder = holder.parent
    return [n for n in (holder or node).named_children if n.type == "parameter"]


def _elixir_head(node: Node) -> Node | None:
    """Return the `name(args)` or `left + right` of a def, without its `when` guard."""
    arguments = next((n for n in node.named_children if n.type == "arguments"), None)
    head = arguments.named_children[0] if arguments and arguments.named_children else None
    while head is not None and head.type == "binary_operator" and _operator(head) == b"when":
        head = head.child_by_field_name("left")
    return head


def _operator(node: Node) -> bytes:
    operator = node.child_by_field_name("operator")
    return (operator.text or b"") if operator else b""


def _elixir_name(node: Node, source: bytes) -> str:
    if node.type == "binary_operator":
        return _text(node.child_by_field_name("left"), source)
    head = _elixir_head(node)
    if head is not None and head.type in ("binary_operator", "unary_operator"):
        return _operator(head).decode()
    if head is not None and head.type == "call":
        head = head.child_by_field_name("target") or head
    return _text(head, source)


def _elixir_parameter_count(node: Node) -> int:
    head = _elixir_head(node)
    if head is None:
        return 0
    if head.type in ("binary_operator", "unary_operator"):
        return 2 if head.type == "binary_operator" else 1
    arguments = next((n for n in head.named_children if n.type == "arguments"), None)
    return arguments.named_child_count if arguments else 0


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
        " ".join(source[node.start_byte : node.end_byte].decode("utf-8", "replace").split())[:MAX_NAME]
        or UNNAMED
    )


def namespaces(grammar: str, nodes: list[Node], source: bytes) -> list[str]:
    """Return the packages or namespaces that a file declares, each with those it is nested in.

    Nodes are the names in their declarations. Package clauses of Scala that follow each other are nested.
    """
    found: list[tuple[int, int, str]] = []
    for node in sorted(nodes, key=lambda node: node.start_byte):
        name = "".join(
            source[node.start_byte : node.end_byte].decode("utf-8", "replace").replace("`", "").split()
        )
        declaration = node.parent or node
        enclosing = [n for start, end, n in found if start <= node.start_byte < end]
        if grammar in ("csharp", "scala") and enclosing:
            name = f"{enclosing[-1]}.{name}"
        body = declaration.child_by_field_name("body")
        # Without a body it holds to the end of the file.
        end = declaration.end_byte if body is not None else len(source)
        found.append((node.start_byte + 1, end, name[:MAX_NAME]))
    return list(dict.fromkeys(name for _, _, name in found))
