"""Inputs for the Python functions that a change touches: which can be called by themselves, and with what.

Belongs here: finding the functions of changed lines. Does not belong here: generating arguments
(`behaviour_strategies`), calling the functions (`behaviour_driver`).

Runs in worker processes, because the text is hostile.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_METHODS = {"staticmethod": "static", "classmethod": "class", "property": "property"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class InputTask(NamedTuple):
    """A changed file: its position, its text and language, and the first line of each changed location."""

    position: int
    text: str
    language: str
    lines: tuple[int, ...]


class CallPlan(NamedTuple):
    """A function to call: its name (behind the name of its class for a method), how, its lines, and inputs.

    Each input of Python is the text of a literal (constructor's arguments, arguments, keyword arguments). Of scripts
    there is one: JSON of the call, and what is stated of its parameters. Without inputs, `reason` says why it cannot
    be called.
    """

    name: str
    kind: str
    lines: tuple[int, ...]
    inputs: tuple[str, ...]
    reason: str = ""
    # Every parameter is annotated, so that the inputs are of the types that the function is for.
    typed: bool = False


def plan_batch(context: None, batch: list[InputTask]) -> tuple[int, list[CallPlan]]:
    """Return the functions of one file's changed lines (in a worker process; batches are of one)."""
    task = batch[0]
    return task.position, plan(task.text, task.lines)


def plan(text: str, lines: Sequence[int]) -> list[CallPlan]:
    """Return the outermost functions that hold the changed lines, with inputs to call them with."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [CallPlan("", "", tuple(lines), (), f"it was not understood: {error}")]
    planned: list[CallPlan] = []
    left = set(lines)
    for owner, function in _functions(tree):
        first = min([function.lineno, *(node.lineno for node in function.decorator_list)])
        inside = sorted(line for line in left if first <= line <= (function.end_lineno or first))
        if inside:
            left -= set(inside)
            planned.append(_planned(tree, owner, function, tuple(inside)))
    if left:
        planned.append(CallPlan("", "", tuple(sorted(left)), (), "code outside functions runs at import"))
    return planned


def _functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, Function]]:
    """Yield the functions of the module and the methods of its classes, also those in a conditional block."""
    blocks: list[tuple[ast.ClassDef | None, Sequence[ast.stmt]]] = [(None, tree.body)]
    while blocks:
        owner, statements = blocks.pop()
        for statement in statements:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                yield owner, statement
            elif isinstance(statement, ast.ClassDef) and owner is None:
                blocks.append((statement, statement.body))
            elif isinstance(statement, ast.If | ast.Try):
                blocks.append((owner, [*statement.body, *statement.orelse]))


def _planned(
    tree: ast.Module, owner: ast.ClassDef | None, function: Function, lines: tuple[int, ...]
) -> CallPlan:
    # Imported late: only worker processes generate inputs.
    from qflow_dagster.generation.repository_gates import behaviour_strategies

    name = function.name if owner is None else f"{owner.name}.{function.name}"
    decorators = [node.id for node in function.decorator_list if isinstance(node, ast.Name)]
    plain = "method" if owner else "function"
    kind = next((_METHODS[name] for name in decorators if name in _METHODS), plain)
    try:
        inputs = behaviour_strategies.inputs_of(tree, owner, function, kind)
    except behaviour_strategies.UnknownError as unknown:
        return CallPlan(name, kind, lines, (), str(unknown))
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    typed = all(node.annotation is not None for node in arguments if node.arg not in ("self", "cls"))
    return CallPlan(name, kind, lines, inputs, typed=typed)
