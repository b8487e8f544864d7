"""Classes of Python expressions, from what the type checker says of them."""

import re
from collections.abc import Iterable

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_modules import imported_path
from qflow_dagster.generation.preconditions.python_syntax import bindings, is_literal, unwrapped

NUMBERS = {"int", "float", "bool", "complex"}
# Types whose comparisons return a bool, and compare what they say.
PLAIN = NUMBERS | {
    *("str", "bytes", "None", "list", "dict", "set", "frozenset", "tuple", "range"),
    *(
        "date",
        "datetime",
        "time",
        "timedelta",
        "Decimal",
        "Fraction",
        "UUID",
        "Path",
        "PurePath",
        "PosixPath",
    ),
}
# Types whose str() and format() are the same text.
PRINTABLE = {
    "str",
    "int",
    "float",
    "bool",
    "bytes",
    "None",
    "Path",
    "PosixPath",
    "PurePath",
    "UUID",
    "list",
    "dict",
}
PRINTABLE |= {
    "set",
    "tuple",
    "datetime",
    "date",
    "timedelta",
    "Decimal",
    "Exception",
    "OSError",
    "ValueError",
}
# Iterating over them again yields the same.
REITERABLE = {
    "list",
    "dict",
    "set",
    "frozenset",
    "tuple",
    "range",
    "str",
    "bytes",
    "dict_keys",
    "dict_values",
}
REITERABLE |= {"dict_items"}
DICTIONARIES = {"dict", "OrderedDict", "defaultdict", "Counter", "_Environ"}
# Libraries whose objects compare element by element, or build an expression.
OWN_EQUALITY = {
    *(
        "numpy",
        "pandas",
        "polars",
        "sqlalchemy",
        "sqlmodel",
        "peewee",
        "pony",
        "xarray",
        "torch",
        "tensorflow",
        "jax",
    ),
    *(
        "dask",
        "pyarrow",
        "sympy",
        "z3",
        "pyspark",
        "cupy",
        "ibis",
        "mock",
        "duckdb",
        "modin",
        "tortoise",
        "cvxpy",
    ),
}
_STANDARD = {
    *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime", "time"),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *("pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath"),
}
_LITERAL_KINDS = {
    "string": "str",
    "concatenated_string": "str",
    "integer": "int",
    "float": "float",
    "true": "bool",
    "false": "bool",
    "none": "None",
    "list": "list",
    "list_comprehension": "list",
    "dictionary": "dict",
    "dictionary_comprehension": "dict",
    "set": "set",
    "set_comprehension": "set",
    "tuple": "tuple",
}


def types_of(file: File, node: SgNode) -> set[str] | None:
    """Return the names of the classes that an expression may be of, without their arguments; None: not known."""
    node = unwrapped(node)
    kind = _LITERAL_KINDS.get(node.kind())
    if kind is not None:
        prefix = re.match(r"[a-zA-Z]*", node.text())
        return {"bytes"} if kind == "str" and prefix and "b" in prefix[0].lower() else {kind}
    if node.kind() == "unary_operator" and is_literal(node):
        return {"float" if named_children(node)[0].kind() == "float" else "int"}
    text = file.type_of(span_of(node))
    classes = None if text is None else classes_in(text)
    if classes is None:
        return None
    # A class of the file, or of another library, with such a name is another class.
    named = (name for class_ in classes & PLAIN for name in bindings(file).get(class_, ()))
    return classes if all((imported_path(name) or "") in _STANDARD for name in named) else None


def classes_in(text: str) -> set[str] | None:
    """Return the classes of a type as the type checker writes it (list[str] | None); None: it is not known."""
    members, depth, member = [], 0, ""
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        depth += (character in "([{") - (character in ")]}") if not quote else 0
        if character == "|" and depth == 0 and not quote:
            members.append(member)
            member = ""
        else:
            member += character
    classes = set()
    for part in [*members, member]:
        name = part.strip()
        if name.startswith("Literal["):
            classes |= {_class_of_literal(value) for value in _arguments(name)}
        elif re.fullmatch(r"\w+(\[.*\])?", name, re.DOTALL):
            classes.add({"LiteralString": "str"}.get(name.split("[")[0], name.split("[")[0]))
        else:
            return None
    return None if classes & {"Unknown", "Any", "object", "Self", ""} else classes


def _arguments(literal: str) -> list[str]:
    return re.findall(r"b?'(?:[^'\\]|\\.)*'|b?\"(?:[^\"\\]|\\.)*\"|[\w.-]+", literal.removeprefix("Literal"))


def _class_of_literal(value: str) -> str:
    if value[0] in "\"'":
        return "str"
    if value.startswith(("b'", 'b"')):
        return "bytes"
    return {"True": "bool", "False": "bool"}.get(value, "int" if value.lstrip("-").isdigit() else "")


def unknown(file: File, nodes: Iterable[SgNode], allowed: set[str]) -> str | None:
    """Return why one of these expressions is not of the allowed classes only; None: all are."""
    # All are asked for first, so that the type checker is asked once.
    types = [(node, types_of(file, node)) for node in nodes]
    for node, classes in types:
        if classes is None:
            return f"the type of `{shortened(node)}` is not known"
        if classes - allowed:
            return f"`{shortened(node)}` is of type {' | '.join(sorted(classes))}"
    return None


def shortened(node: SgNode) -> str:
    """Return the text of a node on one short line."""
    text = " ".join(node.text().split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def foreign_equality(text: str) -> str:
    """Return why == may mean something of its own in a file: a library, or a class of its own; empty: it does not."""
    library = re.search(
        rf"^\s*(?:import|from)\s[^#\n]*?\b({'|'.join(sorted(OWN_EQUALITY))})\b", text, re.MULTILINE
    )
    if library:
        return f"{library[1]} gives == a meaning of its own"
    return "a class has an __eq__ of its own" if "__eq__" in text else ""
