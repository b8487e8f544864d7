"""What a value of JavaScript is (an array, a string, ...), as far as its file alone shows."""

from itertools import pairwise

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes as scopes
from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of

# array, string, number, boolean, null, object, arguments, regular expression, function
Kind = str
MAX_DEPTH = 8
_LITERALS: dict[str, Kind] = {
    "array": "array",
    "string": "string",
    "template_string": "string",
    "number": "number",
    "true": "boolean",
    "false": "boolean",
    "null": "null",
    "object": "object",
    "regex": "regular expression",
    "arrow_function": "function",
    "function_expression": "function",
}
# What these return, whatever object they are called on: no object of the language has one that returns another kind.
_METHODS: dict[str, Kind] = {
    **dict.fromkeys(("split", "flatMap"), "array"),
    **dict.fromkeys(
        (
            "join",
            "toLowerCase",
            "toUpperCase",
            "trim",
            "substring",
            "charAt",
            "padStart",
            "padEnd",
            "toFixed",
        ),
        "string",
    ),
}
# These return what they are called on.
_SAME = ("slice", "concat", "filter", "map", "reverse", "sort", "flat", "splice", "toSorted", "toReversed")
_FUNCTIONS: dict[str, Kind] = {
    "Array": "array",
    "Array.from": "array",
    "Array.of": "array",
    "Object.keys": "array",
    "Object.values": "array",
    "Object.entries": "array",
    "Object.getOwnPropertyNames": "array",
    "String": "string",
    "String.fromCharCode": "string",
    "JSON.stringify": "string",
    "Number": "number",
    "Boolean": "boolean",
}
_OTHER_WRITES = (
    "augmented_assignment_expression",
    "update_expression",
    "array_pattern",
    "pair_pattern",
    "rest_pattern",
    "for_in_statement",
)
_OPERATORS: dict[str, Kind] = {"!": "boolean", "typeof": "string"}
_ANNOTATIONS: dict[str, Kind] = {"string": "string", "boolean": "boolean"}
_CONSTRUCTORS: dict[str, Kind] = {"Array": "array", "RegExp": "regular expression"}


class Values:
    """The values of one file."""

    def __init__(self, root: SgNode, language: str) -> None:
        self.root, self.language = root, language

    def kind(self, node: SgNode, depth: int = 0) -> Kind | None:
        """Return what an expression is; None: the file does not show it."""
        kind = node.kind()
        if depth > MAX_DEPTH:
            return None
        if kind in _LITERALS:
            return _LITERALS[kind]
        if kind in ("parenthesized_expression", "non_null_expression"):
            return self.kind(named_children(node)[0], depth + 1)
        if kind == "call_expression":
            return self._of_call(node, depth)
        if kind == "new_expression":
            constructor = node.field("constructor")
            return self._of_global(constructor, _CONSTRUCTORS)
        if kind in ("binary_expression", "ternary_expression", "unary_expression"):
            return self._of_operator(node, depth)
        if kind == "identifier":
            return self._of_name(node, depth)
        if kind == "member_expression" and node.text().startswith("this.#"):
            return self._of_private_field(node, depth)
        return None

    def elements_are_plain(self, array: SgNode) -> bool:
        """Return whether an array is a constant literal of texts and numbers, without holes and NaN."""
        literal = self._literal(array)
        if literal is None:
            return False
        children = literal.children()
        holes = any(
            child.kind() == "," and before.kind() in (",", "[") for before, child in pairwise(children)
        )
        plain = ("string", "number", "true", "false", "null")
        return not holes and all(child.kind() in plain for child in named_children(literal))

    def _literal(self, array: SgNode) -> SgNode | None:
        if array.kind() == "array":
            return array
        if array.kind() != "identifier":
            return None
        bound = scopes.binding(self.root, array)
        if (
            bound is None
            or bound[0].kind() != "variable_declarator"
            or scopes.writes(self.root, array.text())
        ):
            return None
        # What is only ever read by methods that change nothing stays what it is.
        for use in scopes.uses(self.root, array.text()):
            parent = use.parent()
            if parent is None or not (
                span_of(parent) == span_of(bound[0])
                or (
                    parent.kind() == "member_expression"
                    and parent.text().split(".")[-1]
                    in ("indexOf", "includes", "length", "join", "forEach", "map")
                )
            ):
                return None
        value = bound[0].field("value")
        return value if value is not None and value.kind() == "array" else None

    def _of_call(self, node: SgNode, depth: int) -> Kind | None:
        function = node.field("function")
        if function is None or node.find(kind="optional_chain"):
            return None
        if function.kind() == "member_expression":
            method, receiver = function.field("property"), function.field("object")
            if method is None or receiver is None:
                return None
            of_global = self._of_global(function, _FUNCTIONS)
            if of_global is not None:
                return of_global
            if method.text() in _SAME:
                own = self.kind(receiver, depth + 1)
                return own if own in ("array", "string") else None
            # A method of an object of the file's own could return anything; a chain of lodash returns a wrapper.
            wrapped = receiver.text().startswith(("_(", "_.chain(", "$("))
            if method.text() in _METHODS and not wrapped and method.text() not in _defined_names(self.root):
                return _METHODS[method.text()]
            return None
        return self._of_global(function, _FUNCTIONS)

    def _of_global(self, function: SgNode | None, kinds: dict[str, Kind]) -> Kind | None:
        if function is None or function.text() not in kinds:
            return None
        name = function.text().split(".")[0]
        return None if scopes.declared(self.root, name) else kinds[function.text()]

    def _of_operator(self, node: SgNode, depth: int) -> Kind | None:
        if node.kind() == "ternary_expression":
            branches = (node.field("consequence"), node.field("alternative"))
            kinds = {branch and self.kind(branch, depth + 1) for branch in branches}
            return kinds.pop() if len(kinds) == 1 else None
        operator = node.field("operator")
        text = operator.text() if operator is not None else ""
        if node.kind() == "unary_expression":
            return _OPERATORS.get(text)
        left, right = node.field("left"), node.field("right")
        if left is None or right is None:
            return None
        if text in ("===", "!==", "==", "!=", "<", ">", "<=", ">=", "in", "instanceof"):
            return "boolean"
        if text == "+" and "string" in (self.kind(left, depth + 1), self.kind(right, depth + 1)):
            return "string"
        return None

    def _of_name(self, node: SgNode, depth: int) -> Kind | None:
        bound = scopes.binding(self.root, node)
        if bound is None:
            return "arguments" if node.text() == "arguments" and scopes.in_function(node) else None
        declaration, scope = bound
        annotated = self._annotated(node.text(), declaration)
        if annotated is not None:
            return annotated
        value = declaration.field("value")
        if declaration.kind() != "variable_declarator" or value is None or _is_pattern(declaration):
            return None
        kinds = {self.kind(value, depth + 1)}
        for write in scopes.writes(scope, node.text()):
            right = write.field("right")
            if write.kind() != "assignment_expression" or right is None:
                return None
            kinds.add(self.kind(right, depth + 1))
        return kinds.pop() if len(kinds) == 1 else None

    def _annotated(self, name: str, declaration: SgNode) -> Kind | None:
        """Return the kind that the annotation of a variable or parameter names (TypeScript)."""
        annotation = declaration.field("type") if declaration.kind() == "variable_declarator" else None
        if declaration.kind() == "formal_parameters":
            parameters = [
                child for child in named_children(declaration) if child.kind() == "required_parameter"
            ]
            own = [child for child in parameters if (child.field("pattern") or child).text() == name]
            annotation = own[0].field("type") if own else None
        if annotation is None:
            return None
        text = annotation.text().lstrip(": ")
        if text.endswith("[]") or text.startswith(("Array<", "ReadonlyArray<")):
            return "array" if "|" not in text and "&" not in text else None
        return _ANNOTATIONS.get(text)

    def _of_private_field(self, node: SgNode, depth: int) -> Kind | None:
        name = node.text().removeprefix("this.")
        bodies = [ancestor for ancestor in node.ancestors() if ancestor.kind() == "class_body"]
        if not bodies or "." in name:
            return None
        kinds: set[Kind | None] = set()
        for field in bodies[0].find_all(kind="private_property_identifier"):
            parent = field.parent()
            if field.text() != name or parent is None:
                continue
            target = parent.parent()
            if parent.kind() in ("field_definition", "public_field_definition"):
                value = parent.field("value")
            elif target is not None and target.kind() == "assignment_expression" and _is_left(target, parent):
                value = target.field("right")
            elif target is not None and target.kind() in _OTHER_WRITES:
                return None
            else:
                continue
            kinds.add(None if value is None else self.kind(value, depth + 1))
        return kinds.pop() if len(kinds) == 1 else None


def _defined_names(root: SgNode) -> frozenset[str]:
    names = set()
    for node in of_kinds(root, ("method_definition", "pair")):
        name = node.field("name") or node.field("key")
        names.add(name.text() if name is not None else "")
    return frozenset(names)


def _is_pattern(declarator: SgNode) -> bool:
    name = declarator.field("name")
    return name is None or name.kind() != "identifier"


def _is_left(assignment: SgNode, node: SgNode) -> bool:
    left = assignment.field("left")
    return left is not None and span_of(left) == span_of(node)
