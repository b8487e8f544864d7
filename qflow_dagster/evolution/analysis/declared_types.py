"""The type with which a file declares a name, as it is written: Go, Java, Rust and TypeScript."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of

# By language: (kind of a declaration, field of its name or pattern, field of its type).
_DECLARATIONS = {
    "go": (
        ("parameter_declaration", "name", "type"),
        ("variadic_parameter_declaration", "name", "type"),
        ("var_spec", "name", "type"),
    ),
    "java": (
        ("formal_parameter", "name", "type"),
        ("local_variable_declaration", "declarator", "type"),
        ("field_declaration", "declarator", "type"),
        ("enhanced_for_statement", "name", "type"),
        ("resource", "name", "type"),
    ),
    "rust": (("parameter", "pattern", "type"), ("let_declaration", "pattern", "type")),
    "typescript": (
        ("required_parameter", "pattern", "type"),
        ("optional_parameter", "pattern", "type"),
        ("variable_declarator", "name", "type"),
    ),
}
_DECLARATIONS["tsx"] = _DECLARATIONS["typescript"]
_BODIES = ("function", "method", "constructor", "closure", "lambda", "func_literal", "arrow")


def declaration_of(node: SgNode, language: str) -> SgNode | None:
    """Return the declaration of a name that is nearest before it in its function, or else in the file."""
    root = node.get_root().root()
    name = node.text().removeprefix("this.")
    start = span_of(node)[0]
    nearest: tuple[bool, int] | None = None
    found = None
    for kind, name_field, _ in _DECLARATIONS.get(language, ()):
        for declaration in of_kinds(root, (kind,)):
            if not any(_name(declared) == name for declared in declaration.field_children(name_field)):
                continue
            first = span_of(declaration)[0]
            local = next((_holds(outer, start) for outer in declaration.ancestors() if _is_body(outer)), None)
            if local is False or (local and first > start) or (local and node.text().startswith("this.")):
                continue
            order = (bool(local), first)
            if nearest is None or order > nearest:
                nearest, found = order, declaration
    return found


def declared_type(node: SgNode, language: str) -> str | None:
    """Return the type that is written at the declaration of a name; None: there is none."""
    if node.kind() == "method_invocation" and node.field("object") is None:
        return _result(node)
    declaration = declaration_of(node, language)
    if declaration is None:
        return None
    field = next(type_ for kind, _, type_ in _DECLARATIONS[language] if kind == declaration.kind())
    written = declaration.field(field)
    return written.text().lstrip(": ") if written is not None else None


def _result(call: SgNode) -> str | None:
    """Return the type that the file's only method of a name in Java returns."""
    name = call.field("name")
    methods = [
        method
        for method in call.get_root().root().find_all(kind="method_declaration")
        if name is not None and (own := method.field("name")) is not None and own.text() == name.text()
    ]
    written = methods[0].field("type") if len(methods) == 1 else None
    return written.text() if written is not None else None


def _name(declared: SgNode) -> str:
    while declared.kind() in ("variable_declarator", "mut_pattern", "reference_pattern"):
        declared = declared.field("name") or named_children(declared)[-1]
    return declared.text().removeprefix("mut ")


def _is_body(node: SgNode) -> bool:
    return node.kind().startswith(_BODIES)


def _holds(node: SgNode, position: int) -> bool:
    start, end = span_of(node)
    return start <= position < end
