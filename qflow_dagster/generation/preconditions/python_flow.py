"""Preconditions of Python about statements: where they are in their function, and what they may leave undone."""

import builtins
from collections.abc import Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_modules import imported_path, qualified
from qflow_dagster.generation.preconditions.python_syntax import (
    bindings,
    function_of,
    is_chain,
    is_literal,
    names_in,
    node_of,
    unwrapped,
)

# These compute a path from a path and do nothing else.
_OF_PATHS = {"join", "dirname", "basename", "abspath", "normpath", "expanduser", "realpath"}
# What they are called for would be hidden by an exception of theirs.
_CLEAN_UPS = ("__exit__", "__aexit__", "__del__")
_BRANCHES = ("if_statement", "elif_clause", "else_clause", "case_clause", "except_clause")
# Special methods that have nothing to return to an operator.
_NO_OPERATORS = ("__init__", "__new__", "__call__", "__enter__", "__exit__", "__iter__", "__next__")


def ends_a_branch(file: File, match: Match, argument: None) -> str | None:
    """Check that nothing follows a statement in its branch, and that there is another way through the function."""
    statement = node_of(file, match, "expression_statement")
    block = statement.parent() if statement is not None else None
    branch = block.parent() if block is not None else None
    if statement is None or block is None or branch is None or function_of(statement) is None:
        return "it is not in a branch of a function"
    if branch.kind() not in _BRANCHES:
        return "it is not in a branch: the function would do nothing else"
    if span_of(named_children(block)[-1]) != span_of(statement):
        return "the statements that follow would never run"
    if statement.text().partition("(")[0].endswith("Warning"):
        return "a warning is meant to be issued, not raised"
    if _name_of(statement) in _CLEAN_UPS:
        return "raised in a clean-up, it would hide what failed"
    return None


def _name_of(node: SgNode) -> str:
    function = function_of(node)
    name = function.field("name") if function is not None else None
    return name.text() if name is not None else ""


def outside_operator_method(file: File, match: Match, argument: None) -> str | None:
    """Check that it is not in a special method, which may be meant to return NotImplemented to an operator."""
    name = _name_of(file.node(match))
    if name.startswith("__") and name not in _NO_OPERATORS:
        return f"{name} may be meant to return NotImplemented"
    return None


def in_generator(file: File, match: Match, argument: None) -> str | None:
    """Check that the function is a generator, so that the exception becomes RuntimeError (PEP 479)."""
    function = function_of(file.node(match))
    if function is None or function.kind() == "lambda":
        return "it is not in a function"
    yields = [node for node in of_kinds(function, ("yield",)) if _is_of(node, function)]
    return None if yields else "the function is no generator: its caller may wait for the exception"


def _is_of(node: SgNode, function: SgNode) -> bool:
    own = function_of(node)
    return own is not None and span_of(own) == span_of(function)


def coroutine_of_file(file: File, match: Match, variable: str) -> str | None:
    """Check that a function is one `async def` of the file, without decorators, and no generator."""
    name = file.captured(match, variable)
    functions = [
        node
        for node in of_kinds(file.root, ("function_definition",))
        if (own := node.field("name")) is not None and own.text() == name
    ]
    if name is None or len(functions) != 1 or len(bindings(file).get(name, ())) != 1:
        return f"`{name}` is bound more than once"
    if any(
        target.text().endswith(f".{name}")
        for node in of_kinds(file.root, ("assignment",))
        if (target := node.field("left")) is not None
    ):
        return f"an attribute {name} is assigned"
    function = functions[0]
    if not function.text().startswith("async"):
        return f"`{name}` is no coroutine"
    if any(_is_of(node, function) for node in of_kinds(function, ("yield",))):
        return f"`{name}` is an asynchronous generator"
    if any(_is_endless(loop) for loop in of_kinds(function, ("while_statement",))):
        return f"`{name}` does not end, it may be meant to run beside the rest"
    if "*" in bindings(file):
        return "an import of * may bind any name"
    return None


def _is_endless(loop: SgNode) -> bool:
    condition = loop.field("condition")
    ends = of_kinds(loop, ("break_statement", "return_statement", "raise_statement"))
    return condition is not None and condition.text() in ("True", "1") and not ends


def without_effect(file: File, match: Match, variables: Sequence[str]) -> str | None:
    """Check that evaluating expressions once instead of twice makes no difference."""
    for variable in variables:
        if variable in match.captures:
            node = file.innermost(match.captures[variable])
            if not _is_pure(file, node):
                return f"`{node.text()}` may be something else when it is computed again"
    return None


def _is_pure(file: File, node: SgNode) -> bool:
    node = unwrapped(node)
    if is_chain(node) or is_literal(node):
        return True
    if node.kind() == "binary_operator":
        return all(_is_pure(file, child) for child in named_children(node))
    if node.kind() == "string":
        return all(_is_pure(file, named_children(part)[0]) for part in of_kinds(node, ("interpolation",)))
    if node.kind() == "call":
        function, arguments = named_children(node)
        meaning = qualified(file, function) or ""
        of_path = (
            meaning == f"os.path.{meaning.rpartition('.')[2]}" and meaning.rpartition(".")[2] in _OF_PATHS
        )
        return (of_path or meaning == "str") and all(
            _is_pure(file, child) for child in named_children(arguments)
        )
    return False


def exceptions_exist(file: File, match: Match, argument: None) -> str | None:
    """Check that all names of an `except A or B` exist, and that no other clause is there for one of them."""
    operator = node_of(file, match, "boolean_operator")
    clause = node_of(file, match, "except_clause")
    statement = clause.parent() if clause is not None else None
    if operator is None or clause is None or statement is None:
        return "the clause was not understood"
    if any(
        child.kind() == "and"
        for node in [operator, *of_kinds(operator, ("boolean_operator",))]
        for child in node.children()
    ):
        return "which exceptions `and` is meant to catch is not known"
    names = operands(operator)
    for name in names:
        if not _is_class(file, name):
            return f"`{name.text()}` is not known to be an exception: it may be None, or several"
    caught = {name.text() for name in names}
    for other in named_children(statement):
        if other.kind() == "except_clause" and span_of(other) != span_of(clause):
            shared = caught & {
                node.text() for node in of_kinds(named_children(other)[0], ("identifier", "attribute"))
            }
            if shared:
                return f"another clause catches {sorted(shared)[0]}"
    return None


def _is_class(file: File, name: SgNode) -> bool:
    """Return whether a name in an except clause is that of one class: a builtin, of the file, or imported."""
    if not is_chain(name):
        return False
    bound = bindings(file).get(name.text().partition(".")[0], [])
    if not bound:
        found = getattr(builtins, name.text(), None)
        return isinstance(found, type) and issubclass(found, BaseException)
    last = name.text().rpartition(".")[2]
    named_like_a_class = last[:1].isupper() and not last.isupper()
    return all(
        imported_path(node) is not None and named_like_a_class
        if (outer := node.parent()) is None or outer.kind() != "class_definition"
        else "." not in name.text()
        for node in bound
    )


def operands(node: SgNode) -> list[SgNode]:
    """Return the operands of a chain of `or`."""
    if node.kind() != "boolean_operator":
        return [node]
    return [operand for child in named_children(node) for operand in operands(child)]


def cause_at_hand(file: File, match: Match, argument: None) -> str | None:
    """Check that the handler names what it caught, and that the name still means that."""
    name = caught_name(file, match)
    if name is None:
        return "the handler does not name what it caught: whether it is the cause is not known"
    clause = node_of(file, match, "except_clause")
    body = named_children(clause)[-1] if clause is not None else None
    if body is None or any(
        span_of(body)[0] <= span_of(bound)[0] < span_of(body)[1] for bound in bindings(file).get(name, ())
    ):
        return f"`{name}` is bound again in the handler"
    if any(name in names_in(deleted) for deleted in of_kinds(body, ("delete_statement",))):
        return f"`{name}` is deleted in the handler"
    return None


def caught_name(file: File, match: Match) -> str | None:
    """Return the name that the handler around a match gives to what it caught."""
    inner = node_of(file, match, "except_clause", "function_definition", "lambda", "class_definition")
    if inner is None or inner.kind() != "except_clause":
        return None
    targets = of_kinds(named_children(inner)[0], ("as_pattern_target",))
    names = named_children(targets[0]) if len(targets) == 1 else []
    return names[0].text() if len(names) == 1 and names[0].kind() == "identifier" else None


def only_csv_writes(file: File, match: Match, variable: str) -> str | None:
    """Check that nothing but a writer of csv, with its own line endings, writes to a file."""
    name = file.captured(match, variable)
    if name is None or {"lineterminator", "register_dialect", "Dialect"} & names_in(file.root):
        return "the writer may have line endings of its own"
    node = file.node(match)
    for use in of_kinds(node, ("identifier",)):
        if use.text() != name or any(outer.kind() == "as_pattern_target" for outer in use.ancestors()):
            continue
        arguments = use.parent()
        call = arguments.parent() if arguments is not None and arguments.kind() == "argument_list" else None
        function = named_children(call)[0] if call is not None and call.kind() == "call" else None
        if function is None or qualified(file, function) not in ("csv.writer", "csv.DictWriter"):
            return f"something else than a writer of csv uses `{name}`"
    mode = file.captured(match, "MODE")
    if mode is None or mode.strip("\"'") not in ("w", "a", "x", "wt", "at", "xt", "w+", "a+"):
        return "the file is not opened to write text"
    return None


PRECONDITIONS = {
    "ends-a-branch": Precondition(
        "nothing follows in its branch, and there is another branch", ends_a_branch
    ),
    "outside-operator-method": Precondition("it is not in a method of an operator", outside_operator_method),
    "in-generator": Precondition("the function is a generator", in_generator),
    "coroutine-of-file": Precondition("the function is an async def of the file", coroutine_of_file),
    "without-effect": Precondition("computing it has no effect", without_effect),
    "exceptions-exist": Precondition(
        "all exceptions exist, and no other clause is there for them", exceptions_exist
    ),
    "cause-at-hand": Precondition("the handler names what it caught", cause_at_hand),
    "only-csv-writes": Precondition("only a writer of csv writes to the file", only_csv_writes),
}
