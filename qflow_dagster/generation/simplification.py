"""Simplify conditions of Python functions, one at a time; what is evaluated, and in which order, provably stays.

- an `else` of which an `if` is all becomes `elif`
- an `if` that holds only another one, both without `else`, becomes one condition with `and`
- `if ...: return True` and `return False` become the return of the condition, where that is certainly a bool
- a branch under a constant, or after what always leaves, is removed, where it binds no name: that would make it local

Refused: comments in what would be lost, statements that share a line. Does not belong here: whether it is worth it
(`generators.extract_function`).
"""

import ast
from collections.abc import Iterator, Sequence

from qflow_dagster.generation.function_names import Function
from qflow_dagster.generation.guard_clauses import dedented, negated
from qflow_dagster.generation.python_lines import lines_of
from qflow_dagster.generation.regions import LEAVING, suites_of

# Without parentheses around them, `and` would take a part of these, or not be theirs.
_LOOSE = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr)
_BINDING = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal,
    ast.ExceptHandler, ast.Match, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith,
)  # fmt: skip


def simplified(text: str, function: Function) -> Iterator[str]:
    """Yield the text of a module after each simplification that can be made in a function, the outermost first."""
    lines = lines_of(text)
    for suite in _suites(function):
        for position, statement in enumerate(suite):
            if not isinstance(statement, ast.If):
                continue
            made = [
                _as_elif(lines, statement),
                _merged(lines, text, statement),
                _returned(lines, text, suite, position),
                _without_constant(lines, suite, statement),
            ]
            yield from ("".join(changed) for changed in made if changed is not None)
        if (changed := _without_unreachable(lines, suite)) is not None:
            yield "".join(changed)


def _suites(function: Function) -> Iterator[list[ast.stmt]]:
    waiting = [function.body]
    while waiting:
        suite = waiting.pop(0)
        yield suite
        waiting += [inner for statement in suite for inner in suites_of(statement)]


def _as_elif(lines: Sequence[str], condition: ast.If) -> list[str] | None:
    """Make `else: if ...` an `elif ...`."""
    if len(condition.orelse) != 1 or not isinstance(inner := condition.orelse[0], ast.If):
        return None
    row = (condition.body[-1].end_lineno or 0) + 1
    # Nothing stands between the two, as a comment would.
    if lines[row - 1].strip() != "else:" or inner.lineno != row + 1:
        return None
    body = dedented(lines, condition, condition.orelse, row)
    if body is None:
        return None
    first = body[0].replace("if", "elif", 1)
    return [*lines[: row - 1], first, *body[1:], *lines[inner.end_lineno or 0 :]]


def _merged(lines: Sequence[str], text: str, condition: ast.If) -> list[str] | None:
    """Make `if a: if b: ...` one `if a and b: ...`."""
    inner = condition.body[0]
    if condition.orelse or len(condition.body) > 1 or not isinstance(inner, ast.If) or inner.orelse:
        return None
    tests = [_operand(text, test) for test in (condition.test, inner.test)]
    heads = [lines[node.lineno - 1].strip() for node in (condition, inner)]
    sources = [ast.get_source_segment(text, test) for test in (condition.test, inner.test)]
    # Each in one line of its own, one below the other.
    if inner.lineno != condition.lineno + 1 or None in tests:
        return None
    word = "elif" if heads[0].startswith("elif") else "if"
    if heads != [f"{word} {sources[0]}:", f"if {sources[1]}:"]:
        return None
    body = dedented(lines, condition, inner.body, inner.lineno, level=inner)
    if body is None:
        return None
    head = f"{lines[condition.lineno - 1][: condition.col_offset]}{word} {tests[0]} and {tests[1]}:\n"
    return [*lines[: condition.lineno - 1], head, *body, *lines[inner.end_lineno or 0 :]]


def _operand(text: str, test: ast.expr) -> str | None:
    source = ast.get_source_segment(text, test)
    if source is None or test.lineno != test.end_lineno:
        return None
    own = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)
    return f"({source})" if isinstance(test, _LOOSE) and not own else source


def _returned(lines: Sequence[str], text: str, suite: Sequence[ast.stmt], position: int) -> list[str] | None:
    """Make `if x in y: return True`, `return False` one `return x in y`."""
    condition = suite[position]
    rest = suite[position + 1 :]
    if not isinstance(condition, ast.If):
        return None
    other = condition.orelse or rest
    values = [_constant(branch) for branch in (condition.body, other)]
    if None in values or set(values) != {True, False} or (condition.orelse and rest):
        return None
    test = condition.test
    source = ast.get_source_segment(text, test) if values[0] else negated(text, test)
    head = lines[condition.lineno - 1].strip()
    last = other[-1].end_lineno or 0
    removed = "".join(lines[condition.lineno - 1 : last])
    if not is_bool(test) or source is None or not head.startswith("if ") or "#" in removed or "\n" in source:
        return None
    indent = lines[condition.lineno - 1][: condition.col_offset]
    return [*lines[: condition.lineno - 1], f"{indent}return {source}\n", *lines[last:]]


def _constant(statements: Sequence[ast.stmt]) -> bool | None:
    only = statements[0] if len(statements) == 1 else None
    value = only.value if isinstance(only, ast.Return) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, bool) else None


def is_bool(test: ast.expr) -> bool:
    """Return whether an expression is certainly True or False: other comparisons return what a class says."""
    if isinstance(test, ast.BoolOp):
        return all(map(is_bool, test.values))
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(test.ops[0], ast.Is | ast.IsNot | ast.In | ast.NotIn)
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def _without_constant(lines: Sequence[str], suite: Sequence[ast.stmt], condition: ast.If) -> list[str] | None:
    """Remove a branch that a constant never takes."""
    if not isinstance(condition.test, ast.Constant) or not lines[condition.lineno - 1].strip().startswith(
        "if"
    ):
        return None
    kept, lost = condition.body, condition.orelse
    if not condition.test.value:
        kept, lost = lost, kept
    end = condition.end_lineno or 0
    if any(map(_binds, lost)) or (not kept and len(suite) == 1):
        return None
    if not kept:
        return _cut(lines, condition.lineno, end)
    start, last = condition.lineno, kept[-1].end_lineno or 0
    if kept is condition.orelse:
        start = (condition.body[-1].end_lineno or 0) + 1
    head = lines[start - 1].strip()
    gone = [*lines[condition.lineno - 1 : start], *lines[last:end]]
    # Not an `elif`, and no statement beside what is removed.
    if not (head == "else:" if kept is condition.orelse else head.endswith(":")):
        return None
    body = dedented(lines, condition, kept, start)
    if body is None or any("#" in line for line in gone):
        return None
    return [*lines[: condition.lineno - 1], *body, *lines[end:]]


def _without_unreachable(lines: Sequence[str], suite: Sequence[ast.stmt]) -> list[str] | None:
    """Remove what follows a statement that always leaves."""
    left = next((n for n, statement in enumerate(suite) if isinstance(statement, LEAVING)), len(suite))
    rest = suite[left + 1 :]
    if not rest or any(map(_binds, rest)) or rest[0].lineno == suite[left].end_lineno:
        return None
    return _cut(lines, rest[0].lineno, rest[-1].end_lineno or 0)


def _cut(lines: Sequence[str], first: int, last: int) -> list[str] | None:
    if any("#" in line or ";" in line for line in lines[first - 1 : last]):
        return None
    return [*lines[: first - 1], *lines[last:]]


def _binds(statement: ast.stmt) -> bool:
    """Return whether a statement decides what a name of the function is, or whether the function is a generator."""
    return any(
        isinstance(node, _BINDING) or (isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
        for node in ast.walk(statement)
    )
