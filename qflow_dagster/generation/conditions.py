"""Give conditions of Python functions a name, one at a time; what is evaluated, and in which order, provably stays.

- a condition that a function has more than once becomes a variable, where it is the same each time, cannot fail and
  does nothing: identity of variables, variables that are certainly bools, and `and`, `or`, `not` of these
- the condition of an `if` or `while` with `and` or `or` becomes a function of the module, which returns a bool: each
  operand is tested once, as before

Refused: what `interfaces` refuses, and conditions with comments. A long
condition as a variable is not offered: it lowers no measure. Does not belong here: whether it is worth it
(`generators.extract_function`).
"""

import ast
from collections.abc import Iterator, Sequence, Set

from qflow_dagster.generation.function_names import (
    COMPREHENSIONS,
    SCOPES,
    Function,
    captured,
    declared_elsewhere,
    shows_frames,
)
from qflow_dagster.generation.interfaces import bound_before, interface
from qflow_dagster.generation.python_lines import above, lines_of
from qflow_dagster.generation.regions import Region, suites_of
from qflow_dagster.generation.simplification import is_bool

MAX_LINE = 100
_SINGLETONS = (ast.Is, ast.IsNot)


def named(text: str, function: Function) -> Iterator[str]:
    """Yield the text of a module after each repeated condition of a function became a variable, the longest first."""
    if shows_frames(function):
        return
    bools = _bools(function)
    found: dict[str, list[ast.BoolOp]] = {}
    for node in _evaluated(function):
        if isinstance(node, ast.BoolOp) and node.lineno == node.end_lineno:
            found.setdefault(ast.dump(node), []).append(node)
    for nodes in sorted(found.values(), key=lambda nodes: -len(ast.dump(nodes[0]))):
        if len(nodes) > 1 and _is_stable(nodes[0], bools):
            after = _with_variable(text, function, nodes)
            if after is not None:
                yield after


def tests(function: Function) -> list[tuple[ast.expr, Region]]:
    """Return the conditions of a function with `and` or `or`, the longest first, each as a region of its own."""
    found = [
        (statement.test, Region([ast.Expr(statement.test)], region.around, region.suites))
        for statement, region in _statements(function.body, (), ())
        if isinstance(statement, ast.If | ast.While) and _operators(statement.test)
    ]
    return sorted(found, key=lambda pair: -_operators(pair[0]))


def as_function(
    text: str,
    function: Function,
    owner: ast.ClassDef | None,
    test: ast.expr,
    region: Region,
    name: str,
    module: str,
) -> str | None:
    """Return the text of a module with a condition as a new function; None where that is refused.

    `module`: the text of the module, where `text` is a part of it.
    """
    found = interface(function, owner, region)
    source = _tested(text, test)
    # It may be another one there.
    if found is None or source is None or {"bool", "*"} & set(_bound(ast.parse(module))):
        return None
    call = f"{name}({', '.join(found[0])})"
    helper = [f"def {call}:\n", *_returned(source, test)]
    lines = lines_of(text)
    before = len(lines)
    # The same condition is the same call.
    same = [
        other
        for other, at in tests(function)
        if ast.dump(other) == ast.dump(test) and interface(function, owner, at) == found
    ]
    for other in sorted(same, key=lambda node: -node.lineno):
        first, last = other.lineno, other.end_lineno or 0
        if any("#" in line for line in lines[first - 1 : last]):
            return None
        head = lines[first - 1].encode()[: other.col_offset]
        tail = lines[last - 1].encode()[other.end_col_offset :]
        lines[first - 1 : last] = [f"{head.decode()}{call}{tail.decode()}"]
    if owner is not None:
        row = above(lines, owner)
        return "".join([*lines[:row], *helper, "\n\n", *lines[row:]])
    end = (function.end_lineno or 0) + len(lines) - before
    return "".join([*lines[:end], "\n\n", *helper, *lines[end:]])


def _tested(text: str, test: ast.expr) -> list[str] | None:
    """Return the operands of a condition, such that their `and` or `or` is a bool and each is tested once."""
    if not isinstance(test, ast.BoolOp):
        whole = _as_bool(text, test)
        return None if whole is None else [whole]
    sources = [_as_bool(text, value) for value in test.values]
    return None if None in sources else [source for source in sources if source is not None]


def _as_bool(text: str, value: ast.expr) -> str | None:
    source = ast.get_source_segment(text, value)
    if source is None or "\n" in source:
        return None
    if isinstance(value, ast.BoolOp):
        parts = _tested(text, value)
        return None if parts is None else f"({_word(value).join(parts)})"
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not) and _operators(value):
        inner = _as_bool(text, value.operand)
        return None if inner is None else f"not {inner}"
    return source if is_bool(value) else f"bool({source})"


def _returned(parts: Sequence[str], test: ast.expr) -> list[str]:
    word = _word(test) if isinstance(test, ast.BoolOp) else ""
    line = f"    return {word.join(parts)}\n"
    if len(line) <= MAX_LINE or len(parts) == 1:
        return [line]
    rest = [f"        {word.strip()} {part}\n" for part in parts[1:]]
    return ["    return (\n", f"        {parts[0]}\n", *rest, "    )\n"]


def _word(test: ast.BoolOp) -> str:
    return " and " if isinstance(test.op, ast.And) else " or "


def _operators(test: ast.expr) -> int:
    return sum(len(node.values) - 1 for node in ast.walk(test) if isinstance(node, ast.BoolOp))


def _statements(
    suite: Sequence[ast.stmt],
    around: tuple[ast.stmt, ...],
    suites: tuple[tuple[Sequence[ast.stmt], int], ...],
) -> Iterator[tuple[ast.stmt, Region]]:
    """Yield each statement of a function with its region, those within functions left out."""
    for position, statement in enumerate(suite):
        path = (*suites, (suite, position))
        yield statement, Region([statement], around, path)
        for inner in suites_of(statement):
            yield from _statements(inner, (*around, statement), path)


def _with_variable(text: str, function: Function, nodes: Sequence[ast.BoolOp]) -> str | None:
    """Return a module in which equal conditions of a function are a variable, assigned before the first of them."""
    names = {node.id for node in ast.walk(nodes[0]) if isinstance(node, ast.Name)}
    if names & (captured(function) | declared_elsewhere(function)):
        return None
    lines = lines_of(text)
    wanted = {id(node) for node in nodes}
    # The innermost suite that has all of them, from the statement with the first one.
    for statement, region in reversed(list(_statements(function.body, (), ()))):
        suite, position = region.suites[-1]
        rest = suite[position:]
        inside = {id(node) for s in rest for node in ast.walk(s)}
        if wanted <= inside and any(id(node) in wanted for node in ast.walk(statement)):
            break
    else:
        return None
    rebound = {name for s in rest for name in _bound(s)}
    start = lines[statement.lineno - 1][: statement.col_offset]
    is_elif = lines[statement.lineno - 1].lstrip().startswith("elif")
    if names & rebound or not names <= bound_before(function, region) or start.strip() or is_elif:
        return None
    if getattr(statement, "decorator_list", None):
        return None
    source = ast.get_source_segment(text, nodes[0]) or ""
    variable = _free_name(text, nodes[0])
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        within = line[node.col_offset : node.end_col_offset].decode()
        # In an f-string, positions may be others.
        if ast.dump(ast.parse(f"({within})", mode="eval").body) != ast.dump(node):
            return None
        changed = line[: node.col_offset] + variable.encode() + line[node.end_col_offset :]
        lines[node.lineno - 1] = changed.decode()
    row = statement.lineno - 1
    while row > function.body[0].lineno - 1 and lines[row - 1].startswith(f"{start}#"):
        row -= 1
    return "".join([*lines[:row], f"{start}{variable} = {source}\n", *lines[row:]])


def _evaluated(function: Function) -> Iterator[ast.AST]:
    """Yield what a function itself evaluates: nothing of functions, comprehensions and f-strings within it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if not isinstance(node, (*SCOPES, *COMPREHENSIONS, ast.JoinedStr)):
            yield node
            waiting += ast.iter_child_nodes(node)


def _is_stable(node: ast.expr, bools: Set[str]) -> bool:
    """Return whether an expression is a bool that changes with its names only, cannot fail and does nothing."""
    if isinstance(node, ast.BoolOp):
        return all(_is_stable(value, bools) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) and _is_stable(node.operand, bools)
    if isinstance(node, ast.Name):
        return node.id in bools
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return all(isinstance(op, _SINGLETONS) for op in node.ops) and all(
            isinstance(side, ast.Name | ast.Constant) for side in sides
        )
    return False


def _bools(function: Function) -> set[str]:
    """Return the variables to which a function assigns nothing but bools."""
    given = [
        (node.targets[0].id, node.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    ]
    kept = {name for name, value in given if is_bool(value)}
    others = {name for name, value in given if not is_bool(value)}
    bindings = list(_bound(function))
    return {
        name for name in kept - others if bindings.count(name) == sum(name == other for other, _ in given)
    }


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a statement or module binds or deletes, anywhere in it, as often as it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        else:
            # Functions, classes, handlers, the patterns of `match`.
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(name, str) and not isinstance(node, ast.alias):
                yield name


def _free_name(text: str, test: ast.BoolOp) -> str:
    """Return a name that the module does not have, made of what the condition is about."""
    words = [n.id.strip("_").lower() for n in ast.walk(test) if isinstance(n, ast.Name)]
    about = list(dict.fromkeys(word for word in words if word))[:2]
    base = "_".join(["is", *about])
    name, number = base, 1
    while name in text:
        number += 1
        name = f"{base}_{number}"
    return name
