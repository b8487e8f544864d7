"""The type with which a file declares a name, as it is written: Go, Java, Rust and TypeScript."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of

# By language: (kind of a declaration, field of its name or pattern).
_DECLARATIONS = {
    "go": (
        ("parameter_declaration", "name"),
        ("variadic_parameter_declaration", "name"),
        ("var_spec", "name"),
    ),
    "java": (
        ("formal_parameter", "name"),
        ("local_variable_declaration", "declarator"),
        ("field_declaration", "declarator"),
        ("enhanced_for_statement", "name"),
        ("resource", "name"),
        ("method_declaration", "name"),
    ),
    "rust": (("parameter", "pattern"), ("let_declaration", "pattern")),
    "typescript": (
        ("required_parameter", "pattern"),
        ("optional_parameter", "pattern"),
        ("variable_declarator", "name"),
    ),
}
_DECLARATIONS["tsx"] = _DECLARATIONS["typescript"]
_BODIES = (
    "function_item",
    "closure_expression",
    "function_declaration",
    "method_declaration",
    "constructor_declaration",
    "func_literal",
    "lambda_expression",
    "arrow_function",
    "function_expression",
    "method_definition",
)
# A name -> its declarations.
Declarations = dict[str, list[SgNode]]


def declarations_of(root: SgNode, language: str) -> Declarations:
    """Return the declarations of a file that may state a type, and in Java its methods, by name."""
    found: Declarations = {}
    for kind, name_field in _DECLARATIONS.get(language, ()):
        for declaration in of_kinds(root, (kind,)):
            for declared in declaration.field_children(name_field):
                found.setdefault(_name(declared), []).append(declaration)
    return found


def nearest(node: SgNode, declarations: Declarations) -> SgNode | None:
    """Return the declaration of a name that is nearest before it in its function, or else in the file."""
    own = node.text().startswith("this.")
    start = span_of(node)[0]
    best: tuple[bool, int] | None = None
    found = None
    for declaration in declarations.get(node.text().removeprefix("this."), ()):
        if declaration.kind() == "method_declaration":
            continue
        first = span_of(declaration)[0]
        local = next(
            (_holds(outer, start) for outer in declaration.ancestors() if outer.kind() in _BODIES), None
        )
        if local is False or (local and (own or first > start)):
            continue
        order = (bool(local), first)
        if best is None or order > best:
            best, found = order, declaration
    return found


def declared_type(node: SgNode, declarations: Declarations) -> str | None:
    """Return the type that is written where a name, or a method of Java, is declared; None: there is none."""
    name = node.field("name")
    if node.kind() == "method_invocation" and node.field("object") is None and name is not None:
        methods = [one for one in declarations.get(name.text(), ()) if one.kind() == "method_declaration"]
        declaration = methods[0] if len(methods) == 1 else None
    else:
        declaration = nearest(node, declarations)
    written = declaration.field("type") if declaration is not None else None
    return written.text().lstrip(": ") if written is not None else None


def _name(declared: SgNode) -> str:
    while declared.kind() in ("variable_declarator", "mut_pattern", "reference_pattern"):
        declared = declared.field("name") or named_children(declared)[-1]
    return declared.text().removeprefix("mut ")


def _holds(node: SgNode, position: int) -> bool:
    start, end = span_of(node)
    return start <= position < end
