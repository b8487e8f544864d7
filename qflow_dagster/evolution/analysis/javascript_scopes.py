"""Names in a file of JavaScript or TypeScript: where they are declared, assigned and used."""

from collections.abc import Iterator

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of

FUNCTIONS = (
    "function_declaration",
    "function_expression",
    "generator_function",
    "generator_function_declaration",
    "arrow_function",
    "method_definition",
)
BLOCKS = ("statement_block", "program", "for_statement", "for_in_statement", "switch_body", "catch_clause")
_NAMES = ("identifier", "shorthand_property_identifier_pattern")
# The part of a pattern that declares names, by its field.
_INNER = {
    "pair_pattern": "value",
    "assignment_pattern": "left",
    "object_assignment_pattern": "left",
    "required_parameter": "pattern",
    "optional_parameter": "pattern",
}
# A line that begins with one of these goes on with the line before, unless that ends in a semicolon.
CONTINUING = ("(", "[", "`", "/", "+", "-", "*", ",", ".", "?", "in ", "instanceof ")
# They end where their last token does, whatever follows.
_COMPLETE = ("statement_block", "class_body", "switch_body")
_ENDING = ("import_statement", "do_statement", "type_alias_declaration", "function_signature")


def names_in(pattern: SgNode) -> list[str]:
    """Return the names that a pattern of a declaration declares."""
    names, pending = [], [pattern]
    while pending:
        part = pending.pop()
        kind = part.kind()
        if kind in (*_NAMES, "undefined"):
            names.append(part.text())
        elif kind in ("object_pattern", "array_pattern", "rest_pattern", "formal_parameters"):
            pending += reversed(named_children(part))
        elif (inner := part.field(_INNER.get(kind, ""))) is not None:
            pending.append(inner)
    return names


def all_declarations(root: SgNode) -> Iterator[tuple[str, SgNode, SgNode]]:
    """Yield (name, declaring node, scope) of every declaration in a file."""
    kinds = (
        "variable_declarator",
        "formal_parameters",
        "arrow_function",
        "function_declaration",
        "generator_function_declaration",
        "function_expression",
        "class_declaration",
        "enum_declaration",
        "catch_clause",
        "for_in_statement",
        "import_clause",
    )
    for node in of_kinds(root, _available(root, kinds)):
        for pattern in _patterns(node):
            scope = _scope_of(node)
            for name in names_in(pattern):
                yield name, node, scope


def declarations(root: SgNode, name: str) -> list[tuple[SgNode, SgNode]]:
    """Return (declaring node, scope) of each declaration of a name."""
    return [(node, scope) for declared_name, node, scope in all_declarations(root) if declared_name == name]


def declared(root: SgNode, name: str) -> bool:
    """Return whether the file declares or assigns the name anywhere."""
    return bool(declarations(root, name)) or bool(writes(root, name))


def binding(root: SgNode, node: SgNode) -> tuple[SgNode, SgNode] | None:
    """Return the only declaration that an identifier can mean, and its scope; None: there is none, or several."""
    start, end = span_of(node)
    visible = [
        (declaration, scope)
        for declaration, scope in declarations(root, node.text())
        if span_of(scope)[0] <= start and end <= span_of(scope)[1]
    ]
    if not visible:
        return None
    innermost = min(span_of(scope)[1] - span_of(scope)[0] for _, scope in visible)
    nearest = [pair for pair in visible if span_of(pair[1])[1] - span_of(pair[1])[0] == innermost]
    return nearest[0] if len(nearest) == 1 else None


def uses(root: SgNode, name: str) -> list[SgNode]:
    """Return every identifier of that name, declarations included."""
    kinds = ("identifier", "shorthand_property_identifier")
    return [node for node in of_kinds(root, kinds) if node.text() == name]


def writes(root: SgNode, name: str) -> list[SgNode]:
    """Return the assignments to a name after its declaration, in whatever form."""
    return [node for node, names in all_writes(root) if name in names]


def all_writes(root: SgNode) -> Iterator[tuple[SgNode, set[str]]]:
    """Yield each assignment of a file outside declarations, with the names that it may assign to."""
    kinds = (
        "assignment_expression",
        "augmented_assignment_expression",
        "update_expression",
        "for_in_statement",
    )
    for node in of_kinds(root, kinds):
        if node.kind() == "for_in_statement" and _declares(node):
            continue
        target = node.field("argument") if node.kind() == "update_expression" else node.field("left")
        if target is not None and target.kind() in (
            *_NAMES,
            "object_pattern",
            "array_pattern",
            "parenthesized_expression",
        ):
            yield node, {part.text() for part in (target, *of_kinds(target, _NAMES))}


def in_function(node: SgNode) -> bool:
    """Return whether code runs later than where it is written: it is in the body of a function."""
    return any(ancestor.kind() in FUNCTIONS for ancestor in node.ancestors())


def is_require(value: SgNode) -> bool:
    """Return whether an expression is `require('name')`, or a member of that."""
    while value.kind() == "member_expression":
        inner = value.field("object")
        if inner is None:
            return False
        value = inner
    function = value.field("function")
    return value.kind() == "call_expression" and function is not None and function.text() == "require"


def continues(before: SgNode, text: str) -> bool:
    """Return whether a text after a statement would be read as its continuation."""
    return text.startswith(CONTINUING) and not _is_complete(before)


def _is_complete(statement: SgNode) -> bool:
    if statement.text().endswith(";") or statement.kind() in _ENDING:
        return True
    parts = named_children(statement)
    kind = statement.kind()
    if kind in ("variable_declaration", "lexical_declaration", "ambient_declaration"):
        last = parts[-1] if parts else statement
        value = last.field("value")
        # Without a value, too: the grammar reads on there, although the language does not.
        return value is not None and _is_complete_expression(value)
    if kind == "return_statement":
        return not parts
    if kind == "expression_statement":
        return bool(parts) and _is_complete_expression(parts[-1])
    if kind == "export_statement":
        return statement.field("source") is not None
    last = statement
    while named_children(last) and span_of(named_children(last)[-1])[1] == span_of(statement)[1]:
        last = named_children(last)[-1]
        if last.kind() in _COMPLETE:
            # The body of a function expression ends an expression, not a statement.
            parent = last.parent()
            return parent is None or parent.kind() not in ("function_expression", "class")
        if last.kind().endswith(("_declaration", "_statement")):
            return _is_complete(last)
    return statement.kind() in _COMPLETE


def _is_complete_expression(node: SgNode) -> bool:
    """Return whether no bracket after an expression can belong to it: a++, or a function () => { }."""
    if node.kind() == "arrow_function":
        body = node.field("body")
        return body is not None and body.kind() == "statement_block"
    if node.kind() == "update_expression":
        return node.text().endswith(("++", "--"))
    return node.kind() == "yield_expression" and not named_children(node)


def _declares(loop: SgNode) -> bool:
    return any(child.kind() in ("const", "let", "var") for child in loop.children())


def _patterns(node: SgNode) -> list[SgNode]:
    if node.kind() == "formal_parameters":
        return [node]
    if node.kind() == "import_clause":
        return [
            child.field("alias") or child.field("name") or child
            if child.kind() == "import_specifier"
            else child
            for child in [*node.find_all(kind="import_specifier"), *node.find_all(kind="identifier")]
        ]
    if node.kind() == "for_in_statement" and not _declares(node):
        return []
    field = {"arrow_function": "parameter", "catch_clause": "parameter", "for_in_statement": "left"}.get(
        node.kind(), "name"
    )
    pattern = node.field(field)
    if pattern is None:
        return []
    # A class or function has a name, which is no pattern.
    return [pattern]


def _scope_of(node: SgNode) -> SgNode:
    if node.kind() in ("arrow_function", "function_expression", "catch_clause", "for_in_statement"):
        return node
    if node.kind() == "formal_parameters":
        return node.parent() or node
    declaration = node.parent()
    function_wide = declaration is not None and declaration.kind() == "variable_declaration"
    ends = (*FUNCTIONS, "program") if function_wide else (*FUNCTIONS, *BLOCKS)
    ancestors = node.ancestors()
    return next((ancestor for ancestor in ancestors if ancestor.kind() in ends), ancestors[-1])


def _available(root: SgNode, kinds: tuple[str, ...]) -> list[str]:
    # A grammar refuses kinds that it does not have.
    def exists(kind: str) -> bool:
        try:
            root.find(kind=kind)
        except RuntimeError:
            return False
        return True

    return [kind for kind in kinds if exists(kind)]
