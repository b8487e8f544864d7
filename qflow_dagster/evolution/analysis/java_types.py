"""Types of expressions in a file of Java, as far as the file alone declares them."""

from functools import cached_property

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of

# Expressions nested deeper have no type here.
MAX_DEPTH = 50
PRIMITIVES = frozenset(
    """
    boolean byte short int long char float double
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_LITERALS = {
    "string_literal": "String",
    "decimal_integer_literal": "int",
    "hex_integer_literal": "int",
    "octal_integer_literal": "int",
    "binary_integer_literal": "int",
    "decimal_floating_point_literal": "double",
    "hex_floating_point_literal": "double",
    "character_literal": "char",
    "true": "boolean",
    "false": "boolean",
    "null_literal": "null",
}
_COLLECTIONS = frozenset(
    """
    Collection List Set SortedSet NavigableSet Queue Deque Map SortedMap NavigableMap ArrayList LinkedList
    HashSet LinkedHashSet TreeSet HashMap LinkedHashMap TreeMap ArrayDeque PriorityQueue Vector Stack
    EnumMap EnumSet
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_STREAMS = frozenset({"DataInput", "DataInputStream", "ObjectInputStream", "RandomAccessFile"})
# Methods of String that return one.
_OF_STRING = frozenset(
    """
    trim strip stripLeading stripTrailing substring toLowerCase toUpperCase replace replaceAll replaceFirst
    concat intern repeat
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_OF_COLLECTION = {"keySet": "Set", "values": "Collection", "entrySet": "Set", "subList": "List"}
_STATIC = {
    "String.valueOf": "String",
    "String.format": "String",
    "String.join": "String",
    "Arrays.asList": "List",
    "Collections.emptyList": "List",
    "List.of": "List",
    "Set.of": "Set",
    "Map.of": "Map",
}
_TYPED = (
    "formal_parameter",
    "local_variable_declaration",
    "field_declaration",
    "enhanced_for_statement",
    "resource",
)
_SCOPES = (
    "block",
    "class_body",
    "interface_body",
    "enum_body_declarations",
    "record_declaration",
    "method_declaration",
    "constructor_declaration",
    "for_statement",
    "enhanced_for_statement",
    "try_with_resources_statement",
    "lambda_expression",
    "catch_clause",
    "switch_block",
)
_CLASSES = (
    "class_declaration",
    "interface_declaration",
    "enum_declaration",
    "record_declaration",
    "type_parameter",
)


class Types:
    """The types of one file; names of classes are returned without their package and arguments."""

    def __init__(self, root: SgNode) -> None:
        self.root = root
        self._depth = 0

    def of(self, node: SgNode) -> str | None:
        """Return the type of an expression; None: the file does not declare it, or it is a class of its own."""
        self._depth += 1
        try:
            return self._of(node) if self._depth <= MAX_DEPTH else None
        finally:
            self._depth -= 1

    def _of(self, node: SgNode) -> str | None:
        kind = node.kind()
        if kind in _LITERALS:
            return _literal(node)
        if kind == "parenthesized_expression":
            return self.of(named_children(node)[0])
        if kind == "identifier":
            return self._of_name(node, fields_only=False)
        if kind == "field_access" and node.text().startswith("this.") and node.text().count(".") == 1:
            field = node.field("field")
            return self._of_name(field, fields_only=True) if field is not None else None
        if kind in ("object_creation_expression", "cast_expression"):
            written = node.field("type")
            return self.resolved(written.text()) if written is not None else None
        if kind == "method_invocation":
            return self._of_call(node)
        if kind == "binary_expression":
            return self._of_operator(node)
        if kind == "instanceof_expression" or (kind == "unary_expression" and node.text().startswith("!")):
            return "boolean"
        return None

    def resolved(self, written: str) -> str | None:
        """Return the type that is written so, if it is a primitive, java.lang's, java.util's or java.io's."""
        name = written.split("<")[0].strip()
        if name in PRIMITIVES:
            return name
        for package in ("java.util.", "java.lang."):
            if name.startswith(package):
                return name.removeprefix(package)
        if "." in name or "[" in written or self.declares_class(name):
            return None
        imports = [node.text() for node in self.root.find_all(kind="import_declaration")]
        paths = [line.removeprefix("import").strip(" ;") for line in imports]
        explicit = [path for path in paths if path.split(".")[-1] == name]
        for names, package in ((_COLLECTIONS, "java.util"), (_STREAMS, "java.io")):
            if name in names:
                imported = explicit == [f"{package}.{name}"] or (not explicit and f"{package}.*" in paths)
                return name if imported else None
        lang = (
            "String",
            "Object",
            "Integer",
            "Long",
            "Short",
            "Byte",
            "Double",
            "Float",
            "Boolean",
            "Character",
        )
        return name if name in lang and not explicit else None

    def declares_class(self, name: str) -> bool:
        """Return whether the file declares a class or type parameter of that name."""
        for node in self.root.find_all(any=[{"kind": kind} for kind in _CLASSES]):
            own = node.field("name") or named_children(node)[0]
            if own.text() == name:
                return True
        return False

    def is_local(self, node: SgNode) -> bool:
        """Return whether a name is that of a parameter or local variable."""
        visible = self._visible(node)
        return bool(visible) and min(visible, key=lambda entry: entry[0])[1].kind() != "field_declaration"

    @cached_property
    def _declarations(self) -> dict[str, list[tuple[int, int, SgNode]]]:
        """(start and end of its scope, declaration) of all declarations, by name."""
        found: dict[str, list[tuple[int, int, SgNode]]] = {}
        for declaration in self.root.find_all(any=[{"kind": kind} for kind in (*_TYPED, *_UNTYPED)]):
            scope = next((outer for outer in declaration.ancestors() if outer.kind() in _SCOPES), self.root)
            if declaration.kind() in ("enhanced_for_statement", "lambda_expression"):
                scope = declaration
            for name in _declared(declaration):
                found.setdefault(name, []).append((*span_of(scope), declaration))
        return found

    def _visible(self, node: SgNode) -> list[tuple[int, SgNode]]:
        """Return (size of the scope, declaration) of each declaration of a name that is visible there."""
        start, end = span_of(node)
        return [
            (last - first, declaration)
            for first, last, declaration in self._declarations.get(node.text(), ())
            if first <= start and end <= last
        ]

    def _of_name(self, node: SgNode, *, fields_only: bool) -> str | None:
        visible: list[tuple[int, str | None]] = []
        for size, declaration in self._visible(node):
            if fields_only and declaration.kind() != "field_declaration":
                continue
            written = declaration.field("type") if declaration.kind() in _TYPED else None
            plain = written is not None and _declared(declaration)[node.text()]
            visible.append((size, self._declared_type(declaration, written) if plain else None))
        if not visible:
            return None
        innermost = min(size for size, _ in visible)
        found = {name for size, name in visible if size == innermost}
        return found.pop() if len(found) == 1 else None

    def _declared_type(self, declaration: SgNode, written: SgNode | None) -> str | None:
        if written is None:
            return None
        if written.text() != "var":
            return self.resolved(written.text())
        declarator = declaration.field("declarator")
        value = declarator.field("value") if declarator is not None else None
        return self.of(value) if value is not None else None

    def _of_call(self, node: SgNode) -> str | None:
        receiver, name = node.field("object"), node.field("name")
        if name is None:
            return None
        if receiver is None:
            return self._of_own_method(name.text())
        static = _STATIC.get(f"{receiver.text()}.{name.text()}")
        if static is not None and not self.declares_class(receiver.text()):
            return static
        arguments = node.field("arguments")
        if name.text() == "toString" and arguments is not None and not named_children(arguments):
            return "String"
        own = self.of(receiver)
        if own == "String" and name.text() in _OF_STRING:
            return "String"
        if own == "String" and name.text() in ("length", "indexOf", "compareTo"):
            return "int"
        if own == "String" and name.text() in ("equals", "isEmpty", "contains", "startsWith", "endsWith"):
            return "boolean"
        if own in _COLLECTIONS and name.text() in _OF_COLLECTION:
            return _OF_COLLECTION[name.text()]
        return "int" if own in _COLLECTIONS and name.text() == "size" else None

    def _of_own_method(self, name: str) -> str | None:
        methods = [
            method
            for method in self.root.find_all(kind="method_declaration")
            if (own := method.field("name")) is not None and own.text() == name
        ]
        types = {written.text() for method in methods if (written := method.field("type")) is not None}
        return self.resolved(types.pop()) if len(types) == 1 else None

    def _of_operator(self, node: SgNode) -> str | None:
        operator = node.field("operator")
        text = operator.text() if operator is not None else ""
        if text in ("==", "!=", "<", ">", "<=", ">=", "&&", "||"):
            return "boolean"
        sides = [self.of(side) for side in (node.field("left"), node.field("right")) if side is not None]
        if text == "+" and "String" in sides:
            return "String"
        numeric = ("byte", "short", "char", "int", "long", "float", "double")
        if text in ("+", "-", "*", "/", "%") and all(side in numeric for side in sides):
            return max(("int", *map(str, sides)), key=numeric.index)
        return None


_UNTYPED = ("inferred_parameters", "lambda_expression", "catch_formal_parameter", "instanceof_expression")


def _declared(node: SgNode) -> dict[str, bool]:
    """Return the names that a node declares, each with whether its type is the written one and not an array of it."""
    if node.kind() == "inferred_parameters":
        return {child.text(): False for child in named_children(node)}
    if node.kind() == "lambda_expression":
        parameters = node.field("parameters")
        return (
            {parameters.text(): False} if parameters is not None and parameters.kind() == "identifier" else {}
        )
    if node.kind() in ("local_variable_declaration", "field_declaration"):
        declarators = [child for child in named_children(node) if child.kind() == "variable_declarator"]
        return {named_children(child)[0].text(): child.field("dimensions") is None for child in declarators}
    name = node.field("name")
    return {name.text(): node.field("dimensions") is None} if name is not None else {}


def _literal(node: SgNode) -> str:
    text = node.text().lower()
    if "integer" in node.kind() and text.endswith("l"):
        return "long"
    if node.kind() == "decimal_floating_point_literal" and text.endswith("f"):
        return "float"
    return _LITERALS[node.kind()]
