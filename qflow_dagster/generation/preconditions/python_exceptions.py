"""Preconditions of Python about exceptions: which are raised, and who catches them."""

import re

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_syntax import (
    called,
    function_of,
    in_try,
    names_in,
    node_of,
)

# Whatever ends the program, waits to be interrupted, or runs code that may.
_ENDS = {
    *(
        "exit",
        "quit",
        "_exit",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "CancelledError",
        "BaseException",
    ),
    *(
        "main",
        "cli",
        "parse_args",
        "parse_known_args",
        "run_path",
        "run_module",
        "exec",
        "pytest",
        "input",
        "sleep",
    ),
    *("wait", "join", "recv", "accept", "serve_forever", "run_forever", "mainloop", "run"),
}
_REPORTS = re.compile(
    r"(print|warnings\.warn|traceback\.print_exc|(self\.)?_?(log|logger|logging)\.\w+)$", re.I
)


def outside_try(file: File, match: Match, argument: None) -> str | None:
    """Check that no handler of the same function sees another exception."""
    if in_try(file.node(match)):
        return "a handler around it may expect the exception that it raises now"
    return None


def outside_generator(file: File, match: Match, argument: None) -> str | None:
    """Check that StopIteration does not end, or break, a generator."""
    node = file.node(match)
    function = function_of(node)
    inside = any(outer.kind() == "generator_expression" for outer in node.ancestors())
    if inside or (function is not None and bool(of_kinds(function, ("yield",)))):
        return "StopIteration within a generator becomes RuntimeError"
    return None


def handler_swallows(file: File, match: Match, argument: None) -> str | None:
    """Check that a bare except clause only drops or reports what it catches."""
    clause = node_of(file, match, "except_clause")
    statement = clause.parent() if clause is not None else None
    if clause is None or statement is None:
        return "the clause was not understood"
    earlier = [
        child
        for child in named_children(statement)
        if child.kind() == "except_clause" and span_of(child) < span_of(clause)
    ]
    if any({"Exception", "BaseException"} & names_in(named_children(child)[0]) for child in earlier):
        return "an earlier clause catches Exception: this one is there for everything else"
    if bool(of_kinds(clause, ("raise_statement",))):
        return "it raises again, and so has to see everything"
    for call in of_kinds(clause, ("call",)):
        if not _REPORTS.match(called(call)):
            return (
                f"`{called(call)}(...)` in the handler may be meant for KeyboardInterrupt and SystemExit too"
            )
    if any(
        True
        for _ in of_kinds(
            clause,
            (
                "break_statement",
                "delete_statement",
                "with_statement",
                "await",
                "yield",
            ),
        )
    ):
        return "the handler does more than drop or report what it catches"
    body = statement.field("body")
    if body is None or any(
        True
        for _ in of_kinds(
            body,
            (
                "yield",
                "await",
            ),
        )
    ):
        return "GeneratorExit or CancelledError may be raised within"
    outside_main = [
        node for node in named_children(file.root) if not re.match(r"if\s+__name__\s*==", node.text())
    ]
    ends = _ENDS & ({name for node in outside_main for name in names_in(node)} | names_in(body))
    if ends & names_in(body) or ends & {"exit", "quit", "_exit", "SystemExit", "KeyboardInterrupt", "pytest"}:
        return f"`{sorted(ends)[0]}` may raise what only a bare except catches"
    return None


def no_stop_iteration(file: File, match: Match, argument: None) -> str | None:
    """Check that no StopIteration is raised within, which only a generator turns into RuntimeError."""
    node = file.node(match)
    if any(
        True
        for _ in of_kinds(
            node,
            (
                "await",
                "yield",
            ),
        )
    ):
        return "an asynchronous generator is another object"
    names = names_in(node)
    if {"next", "__next__", "StopIteration"} & names:
        return "StopIteration passes through a comprehension, but not through a generator"
    calls = {called(call).split(".")[-1] for call in of_kinds(node, ("call",))} - {"list", "dict", "set"}
    if calls and {"next", "__next__", "StopIteration"} & names_in(file.root):
        return "a function that is called may raise StopIteration, which passes through a comprehension"
    return None


PRECONDITIONS = {
    "outside-try": Precondition("it is not within a try or with statement of its function", outside_try),
    "outside-generator": Precondition("it is not within a generator", outside_generator),
    "handler-swallows": Precondition("the handler only drops or reports what it catches", handler_swallows),
    "no-stop-iteration": Precondition("no StopIteration is raised within", no_stop_iteration),
}
