"""Preconditions of Python that names and effects decide; those about types are in `python_types`."""

import re
from collections.abc import Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions import python_defaults
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_syntax import (
    COMPREHENSIONS,
    bindings,
    called,
    class_of,
    function_of,
    in_try,
    is_chain,
    is_literal,
    is_total,
    names_in,
    node_of,
    reads_locals,
    shadowed,
)


def unshadowed(file: File, match: Match, names: Sequence[str]) -> str | None:
    """Check that the file binds none of these builtin names."""
    return shadowed(file, *names)


def in_order(file: File, match: Match, argument: None) -> str | None:
    """Check that the values of a call of format are evaluated and formatted in the same order afterwards."""
    call = node_of(file, match, "call")
    if call is None:
        return "the call was not understood"
    text, arguments = named_children(call)
    values = [
        named_children(argument)[-1] if argument.kind() == "keyword_argument" else argument
        for argument in named_children(arguments)
    ]
    fields = re.findall(r"(?<!\{)(?:\{\{)*\{([\w.\[\]]*)", text.text())
    roots = {re.split(r"[.\[]", field)[0] for field in fields}
    used = len(fields) if roots == {""} else len(roots)
    if any(
        value.kind() in ("lambda", "named_expression", "list_splat", "dictionary_splat") for value in values
    ):
        return "such an expression cannot be written in braces"
    if any(
        True
        for value in values
        for _ in of_kinds(
            value,
            (
                "await",
                "yield",
            ),
        )
    ):
        return "values are formatted while others are still computed"
    simple = [is_chain(value) or is_literal(value) for value in values]
    if used != len(values) and not all(simple):
        return "a value that is not shown would not be computed"
    if len(values) > 1 and not all(simple):
        return "values would be formatted between the evaluation of others"
    return None


_LOGGED = re.compile(
    r"\blog(?:ger|ging)?\.(?:debug|info|warn|warning|error|critical|fatal|exception|log)$", re.I
)


def not_logged(file: File, match: Match, argument: None) -> str | None:
    """Check that the text is not one for a logger, which puts in the values itself where the message is wanted."""
    call = node_of(file, match, "call")
    if call is not None and any(_LOGGED.search(called(outer)) for outer in call.ancestors()):
        return "a logger puts values into its message itself"
    return None


def ascii_attribute(file: File, match: Match, argument: None) -> str | None:
    """Check that an attribute written as a name is the attribute that the text names."""
    call = node_of(file, match, "call")
    name = named_children(named_children(call)[-1])[1].text() if call is not None else ""
    if not name.isascii() or "\\" in name:
        return "Python normalises names that are written out, but not the text of getattr"
    if name.strip("\"'").startswith("__") and not name.strip("\"'").endswith("__"):
        return "within a class the name would be changed (name mangling)"
    return None


def target_before_value(file: File, match: Match, argument: None) -> str | None:
    """Check that it does not matter whether the object or the value is evaluated first."""
    call = node_of(file, match, "call")
    target, _, value = named_children(named_children(call)[-1]) if call is not None else (None, None, None)
    if target is None or value is None:
        return "the call was not understood"
    if target.kind() == "identifier" and not bool(of_kinds(value, ("named_expression",))):
        return None
    return (
        None
        if is_chain(target) and is_total(value)
        else "object and value would be evaluated in another order"
    )


def tests_one_name(file: File, match: Match, argument: None) -> str | None:
    """Check that a chain of isinstance asks the same of one name, and that all classes exist."""
    calls = [call for call in of_kinds(file.node(match), ("call",)) if called(call) == "isinstance"]
    asked = [named_children(named_children(call)[-1]) for call in calls]
    if shadowed(file, "isinstance"):
        return shadowed(file, "isinstance")
    if not calls or any(len(arguments) != 2 for arguments in asked):
        return "the calls were not understood"
    about = asked[0][0]
    if (
        len({arguments[0].text() for arguments in asked}) != 1
        or not is_chain(about)
        or _is_computed(file, about)
    ):
        return "what is asked about may have an effect"
    if len(of_kinds(file.node(match), ("call",))) != len(calls):
        return "something else is asked in between"
    for arguments in asked[1:]:
        for name in [arguments[1]] if arguments[1].kind() != "tuple" else named_children(arguments[1]):
            if name.kind() != "identifier" or not (name.text() in bindings(file) or name.text() in _BUILTINS):
                return f"`{name.text()}` is looked up only if the first test fails, and may not exist"
            if any(in_try(bound) for bound in bindings(file).get(name.text(), ())):
                return f"`{name.text()}` may not exist: it is bound within a try"
    return None


def _is_computed(file: File, chain: SgNode) -> bool:
    """Return whether the file has a function of the name of an attribute, such as a property, or one for any name."""
    attributes = (
        {node.text() for node in of_kinds(chain, ("identifier",))} if chain.kind() == "attribute" else set()
    )
    functions = [node.field("name") for node in of_kinds(file.root, ("function_definition",))]
    named = {name.text() for name in functions if name is not None}
    return bool(attributes) and bool(named & (attributes | {"__getattr__", "__getattribute__"}))


_BUILTINS = set(dir(__builtins__)) if not isinstance(__builtins__, dict) else set(__builtins__)


def mode_is_last(file: File, match: Match, argument: None) -> str | None:
    """Check that no positional argument of open follows the mode."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    following = [argument for argument in arguments if span_of(argument)[0] >= match.end]
    if any(argument.kind() != "keyword_argument" for argument in following):
        return "an argument behind the mode would take its position"
    return shadowed(file, "open")


def method_of_plain_class(file: File, match: Match, argument: None) -> str | None:
    """Check that super() without arguments means the same class and object."""
    node = file.node(match)
    function = function_of(node)
    owner = class_of(function) if function is not None else None
    if function is None or owner is None or function.kind() == "lambda":
        return "super() works only directly in a method"
    if any(
        outer.kind() in COMPREHENSIONS for outer in node.ancestors() if span_of(outer) > span_of(function)
    ):
        return "super() works only directly in a method"
    name = owner.field("name")
    outer = owner.parent()
    if name is None or (outer is not None and outer.kind() == "decorated_definition"):
        return "a decorator may put another class in its place"
    if len(bindings(file).get(name.text(), ())) != 1:
        return f"`{name.text()}` is bound more than once"
    first = named_children(node)[-1].text() if named_children(node) else ""
    bound = [binding for binding in bindings(file).get(first, ()) if function_of(binding) is not None]
    inside = [
        binding for binding in bound if span_of(function)[0] < span_of(binding)[0] < span_of(function)[1]
    ]
    if len(inside) != 1:
        return f"`{first}` is bound again in the method"
    return None


def not_a_statement(file: File, match: Match, argument: None) -> str | None:
    """Check that the literal does not become a docstring."""
    call = node_of(file, match, "call")
    parent = call.parent() if call is not None else None
    if parent is not None and parent.kind() == "expression_statement":
        return "a text that is a statement of its own may become a docstring"
    return None


def value_without_effect(file: File, match: Match, argument: None) -> str | None:
    """Check that neither evaluating the value of a variable nor keeping it has an effect."""
    node = file.node(match)
    function = function_of(node)
    if function is None or reads_locals(function):
        return "local variables may be read by their text"
    clause = node_of(file, match, "except_clause", "with_statement", "assignment", "named_expression")
    name = node.text()
    if clause is not None and clause.kind() == "except_clause":
        others = [bound for bound in bindings(file).get(name, ()) if span_of(bound) != span_of(node)]
        return f"`{name}` is bound elsewhere, and unbound by the handler" if others else None
    value = clause.field("right") if clause is not None and clause.kind() == "assignment" else None
    if value is None or not is_total(value):
        return f"the value of `{name}` may be kept on purpose, or fail to be computed"
    if value.kind() == "identifier" and not _is_parameter(function, value.text()):
        return f"reading `{value.text()}` may fail"
    return None


def _is_parameter(function: SgNode, name: str) -> bool:
    parameters = function.field("parameters")
    return parameters is not None and name in names_in(parameters)


def whole_statement_in_function(file: File, match: Match, argument: None) -> str | None:
    """Check that a statement of one line, alone on its line in a function, can become a block."""
    node = file.node(match)
    function = function_of(node)
    if function is None or function.kind() == "lambda" or class_of(node) is not None:
        return "outside a function, the name of the file would be a name of the module"
    if reads_locals(function):
        return "local variables may be read by their text"
    return shadowed(file, "open")


def zone_not_visible(file: File, match: Match, argument: None) -> str | None:
    """Check that what is done with a time gives the same with a zone as without."""
    call = node_of(file, match, "call")
    attribute = call.parent() if call is not None else None
    if attribute is None or attribute.kind() != "attribute":
        return "what reads the time may expect that it has no zone"
    name = named_children(attribute)[-1].text()
    if name in ("year", "month", "day", "hour", "minute", "second", "microsecond", "date", "time", "weekday"):
        return None
    outer = attribute.parent()
    arguments = (
        named_children(named_children(outer)[-1]) if outer is not None and outer.kind() == "call" else []
    )
    if name == "strftime" and len(arguments) == 1 and is_literal(arguments[0]):
        return "the zone is part of the text" if re.search(r"%[zZs:+c]", arguments[0].text()) else None
    return "what reads the time may expect that it has no zone"


def logger_of_logging(file: File, match: Match, argument: None) -> str | None:
    """Check that the logger is one of Python's `logging`, which formats by %."""
    call = node_of(file, match, "call")
    attribute = named_children(call)[0] if call is not None else None
    name = named_children(attribute)[0].text() if attribute is not None else ""
    if "loguru" in names_in(file.root) or "structlog" in names_in(file.root):
        return "loguru and structlog do not format by %"
    if name == "logging":
        return None if re.search(r"^[ \t]*import logging\b", file.text, re.M) else "`logging` is not known"
    made = re.compile(
        rf"^[ \t]*{re.escape(name)}(?:\s*:[^=\n]+)?\s*=\s*(?:logging\.getLogger|getLogger)\(", re.MULTILINE
    )
    others = re.compile(rf"^[ \t]*{re.escape(name)}(?:\s*:[^=\n]+)?\s*=", re.MULTILINE)
    if not re.search(r"^[ \t]*(?:import logging\b|from logging import\b)", file.text, re.M) or len(
        made.findall(file.text)
    ) != len(others.findall(file.text)):
        return f"`{name}` is not known to be a logger of Python's logging"
    return None if made.search(file.text) else f"`{name}` is not known to be a logger of Python's logging"


def builtin_copies(file: File, match: Match, argument: None) -> str | None:
    """Check that builtin functions make a list or tuple whose only use is to be copied."""
    call = node_of(file, match, "call")
    inner = (
        next((node for node in named_children(named_children(call)[-1]) if node.kind() == "call"), None)
        if call
        else None
    )
    outer_name, inner_name = called(call) if call else "", called(inner) if inner is not None else ""
    if outer_name not in ("list", "tuple", "set", "sorted") or inner_name not in ("list", "tuple"):
        return f"{inner_name} within {outer_name} may have an effect on the order"
    return shadowed(file, outer_name, inner_name)


def not_at_module_level(file: File, match: Match, argument: None) -> str | None:
    """Check that the variable that goes away is one of a function."""
    function = function_of(file.node(match))
    if function is None or reads_locals(function):
        return "the variable of the loop may be read from elsewhere"
    return None


def no_lost_braces(file: File, match: Match, argument: None) -> str | None:
    """Check that a text does not look like a value without its braces (`e!r`)."""
    text = file.text[match.start : match.end]
    return "the braces of a value may be missing" if re.search(r"\w![ras]\b", text) else None


def only_base(file: File, match: Match, argument: None) -> str | None:
    """Check that object is the only base of the class."""
    bases = node_of(file, match, "argument_list")
    others = (
        [base for base in named_children(bases) if base.kind() != "keyword_argument"]
        if bases is not None
        else []
    )
    return shadowed(file, "object") if len(others) == 1 else "the bases of the class can be read"


# As editors write it: -*- coding: utf-8 -*-, vim: set fileencoding=utf-8 :
_ENCODING_ALONE = re.compile(
    r"#\s*(?:-\*-\s*)?(?:(?:vim?|ex):\s*(?:set?\s+)?)?(?:file)?(?:en)?coding\s*[:=]\s*utf-?8\s*[;:]?\s*(?:-\*-)?\s*",
    re.I,
)


def says_only_encoding(file: File, match: Match, argument: None) -> str | None:
    """Check that a comment tells the encoding of the file to Python and editors, and nothing else to anyone."""
    start, end = file.text.rfind("\n", 0, match.start) + 1, file.text.find("\n", match.start)
    line = file.text[start : end if end >= 0 else len(file.text)].strip()
    return None if _ENCODING_ALONE.fullmatch(line) else "the comment says more than the encoding"


PRECONDITIONS = {
    "says-only-encoding": Precondition("the comment says nothing but the encoding", says_only_encoding),
    "no-lost-braces": Precondition("no braces are missing in the text", no_lost_braces),
    "unshadowed": Precondition("the file binds none of these builtin names", unshadowed),
    "in-order": Precondition("values are evaluated and formatted in the same order", in_order),
    "not-logged": Precondition("the text is not the message of a logger", not_logged),
    "ascii-attribute": Precondition("the name means the same attribute when written out", ascii_attribute),
    "target-before-value": Precondition("the order of object and value does not matter", target_before_value),
    "tests-one-name": Precondition("the same name is tested, for classes that exist", tests_one_name),
    "mode-is-last": Precondition("no positional argument follows the mode", mode_is_last),
    "method-of-plain-class": Precondition("super() means the same class and object", method_of_plain_class),
    "not-a-statement": Precondition("the literal is not a statement of its own", not_a_statement),
    "value-without-effect": Precondition(
        "computing and keeping the value has no effect", value_without_effect
    ),
    "whole-statement-in-function": Precondition(
        "the statement stands in a function", whole_statement_in_function
    ),
    "zone-not-visible": Precondition(
        "what is done with the time gives the same with a zone", zone_not_visible
    ),
    "first-field-unused": Precondition("nothing reads the first value", python_defaults.first_field_unused),
    "default-only-read": Precondition(
        "the function only reads the default", python_defaults.default_only_read
    ),
    "logger-of-logging": Precondition("the logger is one of Python's logging", logger_of_logging),
    "builtin-copies": Precondition("builtin functions copy a list or tuple", builtin_copies),
    "not-at-module-level": Precondition("the variable is one of a function", not_at_module_level),
    "only-base": Precondition("object is the only base", only_base),
}
