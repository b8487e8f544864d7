"""Preconditions of Go about values: where they come from, their declared types, and whether a function keeps them."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions import go
from qflow_dagster.generation.preconditions.file import File, Precondition

# A name with more values in a function is not followed.
MAX_VALUES = 3
_FUNCTIONS = ("function_declaration", "method_declaration", "func_literal")
# Functions that read all of their argument, and those that return a reader of it.
_READING = ("io.ReadAll", "ioutil.ReadAll", "io.Copy", "io.CopyN", "io.ReadFull")
_READERS = ("bufio.NewReader", "bufio.NewScanner", "csv.NewReader", "gob.NewDecoder", "json.NewDecoder")
_READERS += ("xml.NewDecoder",)
# Methods of a response, a file, rows and those readers that hand nothing out that reads later.
_METHODS = frozenset(
    """
    Buffer Bytes ColumnTypes Columns Decode Err More Name Next NextResultSet Read ReadAll ReadAt ReadByte ReadBytes
    ReadDir ReadLine ReadRune ReadString Readdir Readdirnames Scan Seek Split Stat Text Token UnreadByte UseNumber
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_FIELDS = ("ContentLength", "Header", "Proto", "Status", "StatusCode")
_ENCODING = ("hex.EncodeToString", "base64.StdEncoding.EncodeToString", "base64.URLEncoding.EncodeToString")
_ENCODING += ("base64.RawStdEncoding.EncodeToString", "base64.RawURLEncoding.EncodeToString", "string")


def _declared(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {metavariable: type}; the file declares the name as that or a pointer to it only."""
    for variable, wanted in argument.items():
        node = file.innermost(match.captures[variable])
        name = _name(node)
        kinds = ("field_declaration",) if node.kind() == "selector_expression" else _DECLARATIONS
        types = {_type(part, name) for part in _of(file.root, kinds) if name in _names(part)}
        if not types or types - {wanted, f"*{wanted}"}:
            return f"that {node.text()} is a {wanted} is not declared in this file"
    return None


_DECLARATIONS = ("var_spec", "parameter_declaration", "short_var_declaration", "range_clause", "const_spec")


def _mac(file: File, match: Match, variables: Any) -> str | None:
    """Check that one of the values is an authentication code, made with crypto/hmac in this function."""
    function = _function(file.node(match))
    for variable in variables:
        span = match.captures.get(variable)
        node = file.innermost(span) if span is not None else None
        if function is not None and node is not None and _is_mac(function, node, 5):
            return None
    return "no value that hmac.New made in this function is compared"


def _is_mac(function: SgNode, node: SgNode, depth: int) -> bool:
    if depth == 0:
        return False
    if node.kind() == "identifier":
        values = _values(function, node.text())
        return 0 < len(values) <= MAX_VALUES and all(
            value is not None and _is_mac(function, value, depth - 1) for value in values
        )
    callee, arguments = _call(node)
    if callee in _ENCODING and len(arguments) == 1:
        return _is_mac(function, arguments[0], depth - 1)
    name, dot, method = callee.rpartition(".")
    if dot and method == "Sum" and [argument.text() for argument in arguments] == ["nil"]:
        values = _values(function, name)
        return 0 < len(values) <= MAX_VALUES and all(
            value is not None and _call(value)[0] == "hmac.New" for value in values
        )
    return False


def _stays_here(file: File, match: Match, variable: Any) -> str | None:
    """Check that what is opened is read in this function only, that nothing closes it, and that it is not in a loop."""
    node, name = file.node(match), file.captured(match, variable) or ""
    function = _function(node)
    if function is None or name == "_":
        return "it has no name in a function"
    for ancestor in node.ancestors():
        if span_of(ancestor) == span_of(function):
            break
        if ancestor.kind() == "for_statement":
            return "in a loop, a deferred call would wait for the end of the function"
    return _kept(file, function, name, match.end, 2)


def _kept(file: File, function: SgNode, name: str, after: int, depth: int) -> str | None:
    for use in function.find_all(kind="identifier", regex=f"^{name}$"):
        start, _ = span_of(use)
        if start < after:
            continue
        line = file.source.line_of(start)
        inner = _function(use)
        if inner is None or span_of(inner) != span_of(function):
            return f"line {line} uses {name} in a function of its own"
        if reason := _kept_by(file, function, use, depth):
            return f"line {line} {reason}"
    return None


def _kept_by(file: File, function: SgNode, use: SgNode, depth: int) -> str | None:
    """Return what a use of a value does that may need it after the function, or that closes it."""
    parent = use.parent()
    if parent is None:
        return "was not understood"
    if parent.kind() == "selector_expression":
        field = parent.field("field")
        name = field.text() if field is not None else ""
        if name == "Body":
            return _kept_by(file, function, parent, depth)
        if name == "Close":
            return "closes it"
        return (
            None if name in _FIELDS or (name in _METHODS and _is_called(parent)) else f"uses {parent.text()}"
        )
    if parent.kind() == "binary_expression" and "nil" in [side.text() for side in named_children(parent)]:
        return None
    call = parent.parent() if parent.kind() == "argument_list" else None
    callee = _call(call)[0] if call is not None else ""
    if callee in _READING:
        return None
    if call is None or callee not in _READERS:
        return f"hands {use.text()} on"
    holder = call.parent()
    if holder is not None and holder.kind() == "selector_expression":
        return None if _name(holder) in _METHODS and _is_called(holder) else f"uses {holder.text()}"
    declaration = holder.parent() if holder is not None and holder.kind() == "expression_list" else None
    if depth and declaration is not None and declaration.kind() == "short_var_declaration":
        left = declaration.field("left")
        if left is not None and len(named_children(left)) == 1:
            return _kept(file, function, left.text(), span_of(declaration)[1], depth - 1)
    return f"hands {use.text()} on"


def _only_uses(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {package: [names]}: only these of the package are used."""
    for package, allowed in argument.items():
        for node in _of(file.root, ("identifier", "package_identifier")):
            if node.text() != package:
                continue
            parent = node.parent()
            if parent is not None and parent.kind() == "import_spec":
                continue
            field = (
                parent.field("field")
                if parent is not None and parent.kind() == "selector_expression"
                else None
            )
            if field is None or field.text() not in allowed:
                used = parent.text() if field is not None and parent is not None else package
                return f"line {file.source.line_of(span_of(node)[0])} uses {used[:40]}"
    return None


def _used_elsewhere(file: File, match: Match, package: Any) -> str | None:
    """Check that the change leaves another use of the package: Go does not compile an import that is not used."""
    for node in file.root.find_all(kind="identifier", regex=f"^{package}$"):
        start, end = span_of(node)
        if end <= match.start or match.end <= start:
            return None
    return f"the import of {package} would not be used any more"


def _not_test(file: File, match: Match, argument: Any) -> str | None:
    return "a test may want the same numbers in each run" if file.path.endswith("_test.go") else None


def _printf(file: File, match: Match, argument: Any) -> str | None:
    """Check that the call around the value formats: it is of fmt or log, or of a testing.T."""
    call = next((node for node in file.node(match).ancestors() if node.kind() == "call_expression"), None)
    receiver = _call(call)[0].rpartition(".")[0] if call is not None else ""
    paths = [
        spec.field("path") for spec in file.root.find_all(kind="import_spec") if spec.field("name") is None
    ]
    if receiver in ("fmt", "log") and f'"{receiver}"' in [path.text() for path in paths if path is not None]:
        return None
    types = {_type(part, receiver) for part in _of(file.root, _DECLARATIONS) if receiver in _names(part)}
    if types and types <= {"*testing.T", "*testing.B", "*testing.F", "testing.TB", "*log.Logger"}:
        return None
    return f"whether {receiver} formats its argument is not known"


# Packages whose functions have a counterpart that formats, with an f at its end.
_FORMATTING = {
    "fmt": ("fmt",),
    "log": ("log", "github.com/sirupsen/logrus"),
    "logrus": ("github.com/sirupsen/logrus",),
}
_FORMATTING |= {"glog": ("github.com/golang/glog",), "klog": ("k8s.io/klog", "k8s.io/klog/v2")}


def _formats(file: File, match: Match, variable: Any) -> str | None:
    """Check that the function called has a counterpart that formats: of a package, or of a testing.T."""
    name = file.captured(match, variable) or ""
    declared = {_type(part, name) for part in _of(file.root, _DECLARATIONS) if name in _names(part)}
    if declared:
        tests = {"*testing.T", "*testing.B", "*testing.F", "testing.TB"}
        return None if declared <= tests else f"whether {name} formats its argument is not known"
    for spec in file.root.find_all(kind="import_spec"):
        path, alias = spec.field("path"), spec.field("name")
        target = path.text().strip('"') if path is not None else ""
        own = alias.text() if alias is not None else target.removesuffix("/v2").rpartition("/")[2]
        if target in _FORMATTING.get(name, ()) and own == name:
            return None
    return f"{name} is not a package whose functions format"


def _imported(file: File, match: Match, path: Any) -> str | None:
    specs = [spec.field("path") for spec in file.root.find_all(kind="import_spec")]
    found = any(spec is not None and spec.text() == f'"{path}"' for spec in specs)
    return None if found else f"{path} is not imported here"


def _file_mode(file: File, match: Match, argument: Any) -> str | None:
    """Check that the function called is that of os or io/ioutil."""
    call = next((node for node in file.node(match).ancestors() if node.kind() == "call_expression"), None)
    package = _call(call)[0].partition(".")[0] if call is not None else ""
    return go.package(file, match, {"ioutil": "io/ioutil"}.get(package, package))


def _of(root: SgNode, kinds: tuple[str, ...]) -> list[SgNode]:
    return root.find_all(any=[{"kind": kind} for kind in kinds])


def _names(declaration: SgNode) -> list[str]:
    left = declaration.field("left")
    parts = named_children(left) if left is not None else declaration.children()
    return [part.text() for part in parts if part.kind() in ("identifier", "field_identifier")]


def _type(declaration: SgNode, name: str) -> str:
    """Return the type with which a name is declared, as it is written; '' if it is not."""
    written = declaration.field("type")
    if written is not None:
        return written.text()
    value = _value(declaration, name)
    if value is None:
        return ""
    pointer = value.kind() == "unary_expression" and value.text().startswith("&")
    literal = value.field("operand") if pointer else value
    if literal is not None and literal.kind() == "composite_literal":
        of = literal.field("type")
        return f"{'*' if pointer else ''}{of.text()}" if of is not None else ""
    callee, arguments = _call(value)
    return f"*{arguments[0].text()}" if callee == "new" and arguments else ""


def _value(declaration: SgNode, name: str) -> SgNode | None:
    """Return what a declaration or assignment gives to a name, if each name has a value of its own."""
    right = declaration.field("right") or declaration.field("value")
    values = named_children(right) if right is not None else []
    names = _names(declaration)
    return values[names.index(name)] if len(values) == len(names) and name in names else None


def _values(function: SgNode, name: str) -> list[SgNode | None]:
    """Return the values that a function gives to a name; None for one that is not known."""
    kinds = (*_DECLARATIONS, "assignment_statement")
    return [_value(part, name) for part in _of(function, kinds) if name in _names(part)]


def _call(node: SgNode) -> tuple[str, list[SgNode]]:
    """Return what a call calls and its arguments; ('', []) if it is none."""
    callee, arguments = node.field("function"), node.field("arguments")
    if callee is None or arguments is None:
        return "", []
    return callee.text(), named_children(arguments)


def _function(node: SgNode) -> SgNode | None:
    return next((ancestor for ancestor in node.ancestors() if ancestor.kind() in _FUNCTIONS), None)


def _is_called(node: SgNode) -> bool:
    parent = node.parent()
    callee = parent.field("function") if parent is not None and parent.kind() == "call_expression" else None
    return callee is not None and span_of(callee) == span_of(node)


def _name(node: SgNode) -> str:
    field = node.field("field")
    return field.text() if field is not None else node.text()


PRECONDITIONS = {
    "go-declared": Precondition("The file declares the value with this type.", _declared),
    "go-mac": Precondition("One of the values is an authentication code of crypto/hmac.", _mac),
    "go-stays-here": Precondition(
        "What is opened is used in this function only, and not closed.", _stays_here
    ),
    "go-only-uses": Precondition("Only these names of the package are used.", _only_uses),
    "go-used-elsewhere": Precondition("The package is used elsewhere in the file.", _used_elsewhere),
    "go-not-test": Precondition("The file is not a test.", _not_test),
    "go-imported": Precondition("The file imports the package.", _imported),
    "go-file-mode": Precondition("The function is that of os or io/ioutil.", _file_mode),
    "go-formats": Precondition("The function has a counterpart that formats.", _formats),
    "go-printf": Precondition("The call is of fmt, log or a test.", _printf),
}
