"""Extract a part of a Python function into a function of its own, where behaviour provably stays.

A region is one statement, or the rest of a suite. What it reads becomes parameters, what it assigns and is read later
is returned. A region is refused where any of this is uncertain: a name that may be unbound, a closure, an assignment
within a `try` that is read outside, `yield`, `await`, `global`, `super`, a `break` of an outer loop. The new function
is one of the module, also where the region is of a method: no subclass, metaclass or protocol sees it. Does not belong
here: which region is worth it (`generators.extract_function`).
"""

import ast
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from qflow_dagster.generation.function_names import (
    FUNCTIONS,
    SCOPES,
    Function,
    arguments,
    captured,
    comprehension_names,
    declared_elsewhere,
    imported,
    matched,
    scopes,
    shows_frames,
    variables,
)
from qflow_dagster.generation.python_lines import above, lines_of, moved

_REFUSED = (
    *SCOPES, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Global, ast.Nonlocal, ast.Delete,
    ast.NamedExpr, ast.Match,
)  # fmt: skip
# Functions whose result does something when it ends.
_OBJECTS = frozenset({"open", "socket", "finalize", "connect", "popen"})
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_HANDLING = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)
# Names whose meaning depends on the function they are called in.
_FRAME_NAMES = frozenset({"super", "__class__", "globals"})
# What is called to see the callers, of which a new function would be one.
_SEES_CALLERS = frozenset({"_getframe", "currentframe", "extract_stack", "format_stack", "print_stack"})
LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.BoolOp, ast.IfExp)


class Region(NamedTuple):
    """Consecutive statements of a suite, and the statements around them (from the function inwards)."""

    statements: Sequence[ast.stmt]
    around: Sequence[ast.stmt]
    # The suites that lead to it, each with the position of the statement that contains it.
    suites: Sequence[tuple[Sequence[ast.stmt], int]]

    @property
    def first(self) -> int:
        """The number of its first line."""
        return self.statements[0].lineno

    @property
    def last(self) -> int:
        """The number of its last line."""
        return max(statement.end_lineno or 0 for statement in self.statements)

    @property
    def weight(self) -> int:
        """The number of its branches."""
        return sum(isinstance(node, BRANCHES) for s in self.statements for node in ast.walk(s))


def functions(tree: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Yield the functions of a module and the methods of its classes; not those within functions."""
    for node in tree.body:
        if isinstance(node, FUNCTIONS):
            yield node, None
        elif isinstance(node, ast.ClassDef):
            yield from ((method, node) for method in node.body if isinstance(method, FUNCTIONS))


def regions(function: Function, *, by_lines: bool = False) -> list[Region]:
    """Return the regions of a function that have branches, those with most of them first; or all, the longest first."""
    found = [*_regions(function.body, (), ()), *_sections(function)]
    if by_lines:
        return sorted(found, key=lambda region: region.first - region.last)
    return sorted((region for region in found if region.weight), key=lambda region: -region.weight)


def _sections(function: Function) -> Iterator[Region]:
    """Yield the statements of a function's body between empty lines or comments: what its author wrote as a section."""
    body = function.body
    start = 1 if ast.get_docstring(function, clean=False) is not None else 0
    for position in range(start + 1, len(body) + 1):
        if position < len(body) and body[position].lineno == (body[position - 1].end_lineno or 0) + 1:
            continue
        if start < position - 1 and (start or position < len(body)):
            yield Region(body[start:position], (), ((body, start),))
        start = position


def _regions(
    suite: Sequence[ast.stmt],
    around: tuple[ast.stmt, ...],
    suites: tuple[tuple[Sequence[ast.stmt], int], ...],
) -> Iterator[Region]:
    for position, statement in enumerate(suite):
        path = (*suites, (suite, position))
        # All of a function's body would be the function again.
        if around or position:
            yield Region(suite[position:], around, path)
        if around or len(suite) > 1:
            yield Region([statement], around, path)
        for inner in suites_of(statement):
            yield from _regions(inner, (*around, statement), path)


def suites_of(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the suites of a statement, none of a function or class."""
    if isinstance(statement, SCOPES):
        return
    for name in ("body", "orelse", "finalbody"):
        if inner := getattr(statement, name, None):
            yield inner
    for handler in getattr(statement, "handlers", ()):
        yield handler.body


def extract(
    text: str, function: Function, owner: ast.ClassDef | None, region: Region, name: str
) -> str | None:
    """Return the text of a module with a region of a function as a new function; None where that is refused.

    Where the function has the same lines again, that is the same call.
    """
    lines = lines_of(text)
    found = _extractable(lines, function, owner, region)
    if found is None:
        return None
    (parameters, results, exits), body = found
    call = f"{name}({', '.join(parameters)})"
    helper = [f"def {call}:\n", *body]
    if exits:
        call = f"return {call}"
    elif results:
        call = f"{', '.join(results)} = {call}"
        helper.append(f"    return {', '.join(results)}\n")
    for other in sorted(
        [region, *_twins(lines, function, owner, region)], reverse=True, key=lambda r: r.first
    ):
        indent = lines[other.first - 1][: other.statements[0].col_offset]
        lines[other.first - 1 : other.last] = [f"{indent}{call}\n"]
    if owner is not None:
        row = above(lines, owner)
        return "".join([*lines[:row], *helper, "\n\n", *lines[row:]])
    end = (function.end_lineno or 0) + len(lines) - len(lines_of(text))
    return "".join([*lines[:end], "\n\n", *helper, *lines[end:]])


def repeated(text: str, function: Function, owner: ast.ClassDef | None, region: Region) -> bool:
    """Return whether a function has the lines of a region again, so that both can be the same call."""
    return bool(_twins(lines_of(text), function, owner, region))


def _extractable(
    lines: Sequence[str], function: Function, owner: ast.ClassDef | None, region: Region
) -> tuple[tuple[list[str], list[str], bool], list[str]] | None:
    """Return the interface of a region and its lines in a new function; None where that is refused."""
    interface = _interface(function, owner, region)
    body = None if interface is None else moved(lines, region.statements, region.first - 1, "    ")
    # An `elif` is part of the statement above it.
    if interface is None or body is None or body[0].lstrip().startswith("elif"):
        return None
    return interface, body


def _twins(
    lines: Sequence[str], function: Function, owner: ast.ClassDef | None, region: Region
) -> list[Region]:
    """Return the other regions of a function with the same lines and the same interface, without comments."""
    found = _extractable(lines, function, owner, region)
    twins: list[Region] = []
    for other in regions(function, by_lines=True):
        apart = all(other.last < r.first or other.first > r.last for r in (region, *twins))
        if (
            apart
            and len(other.statements) == len(region.statements)
            and other.last - other.first == region.last - region.first
            and found is not None
            and not any("#" in line for line in found[1])
            and _extractable(lines, function, owner, other) == found
        ):
            twins.append(other)
    return twins


def _interface(
    function: Function, owner: ast.ClassDef | None, region: Region
) -> tuple[list[str], list[str], bool] | None:
    """Return the parameters and results of a region, and whether it ends the function; None where it is refused."""
    nodes = [node for statement in region.statements for node in ast.walk(statement)]
    if any(isinstance(node, _REFUSED) or getattr(node, "is_async", 0) for node in nodes):
        return None
    if shows_frames(function) or (owner is not None and any(map(_is_mangled, nodes))):
        return None
    if any(isinstance(node, ast.Name) and node.id in _FRAME_NAMES for node in nodes):
        return None
    if any(isinstance(node, ast.Call) and _sees_callers(node) for node in nodes):
        return None
    if _leaves_loop(region.statements):
        return None
    declared = declared_elsewhere(function)
    parameters = {a.arg for a in arguments(function.args)}
    stored = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }
    bound = {n.name for n in ast.walk(function) if isinstance(n, ast.ExceptHandler) and n.name}
    local = (parameters | stored | bound | imported(function) | matched(function)) - declared
    inside = {id(node) for node in nodes}
    outside_loads = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load | ast.Del) and id(node) not in inside
    }
    own = comprehension_names(nodes)
    writes = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - own
    writes |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    writes |= imported(function, nodes)
    reads = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    reads |= {n.target.id for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    unbound = bound | {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)
    }
    # A comprehension has a variable of that name, or a generator reads variables when it is read.
    if writes & declared or own & (parameters | bound | variables(function)):
        return None
    if any(id(scope) in inside for scope in scopes(function)):
        return None
    # What a handler binds is unbound after it, as what is deleted.
    here = {name for statement in region.around for name in _bound_within(statement, region)}
    before = (parameters | _assigned_before(region)) - (unbound - here)
    first = _assigned_by(region.statements) - unbound
    needed = {name for name in reads & local if name in before}
    # Read in the region, and perhaps not bound before: only if the region binds it itself, first.
    if any(
        name not in before and name not in own and not _bound_first(region, name) for name in reads & local
    ):
        return None
    returns = any(isinstance(node, ast.Return) for node in nodes)
    tail = len(region.suites) == 1 and region.statements[-1] is function.body[-1]
    exits = _always_exits(region.statements) or (returns and tail)
    if returns and not exits:
        return None
    # What the next iteration of a loop around reads again.
    carried = needed if any(isinstance(s, _LOOPS) for s in region.around) else set()
    seen = writes & (outside_loads | carried)
    results = [] if exits else sorted(seen)
    if any(name not in before and name not in first for name in results):
        return None
    # It would end with the new function, and with it what it stands for: a folder, a weak reference.
    if not exits and any(_is_object(node, writes - set(results)) for node in nodes):
        return None
    # A result that is only sometimes assigned keeps its value, so it is a parameter too.
    needed |= {name for name in results if name in before and name not in first}
    # An exception after an assignment would lose it: a handler in the function, or `with`, could show that.
    if seen and any(isinstance(statement, _HANDLING) for statement in region.around):
        return None
    # A function or generator within this one sees each assignment at once.
    if writes & captured(function):
        return None
    return sorted(needed), results, exits


def _is_object(node: ast.AST, names: Set[str]) -> bool:
    """Return whether a statement gives one of some names to a new object, which may do something when it ends."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Call) or not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    called = getattr(value.func, "id", None) or getattr(value.func, "attr", "")
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return (called[:1].isupper() or called in _OBJECTS) and bool(_targets(targets) & names)


def _sees_callers(call: ast.Call) -> bool:
    """Return whether the result of a call, or what it reports, depends on how many callers there are."""
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    return (
        name in _SEES_CALLERS
        or ast.unparse(call.func) in ("stack", "inspect.stack")
        or any(keyword.arg == "stacklevel" for keyword in call.keywords)
        or (name == "warn" and len(call.args) > 2)
    )


def _is_mangled(node: ast.AST) -> bool:
    """Return whether a node has a name that is another one within a class."""
    names = [getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname")]
    return any(isinstance(name, str) and name.startswith("__") and not name.endswith("__") for name in names)


def _leaves_loop(statements: Sequence[ast.stmt]) -> bool:
    """Return whether a break or continue in the statements belongs to a loop around them."""
    for statement in statements:
        if isinstance(statement, ast.Break | ast.Continue):
            return True
        loop = isinstance(statement, ast.For | ast.While)
        for suite in suites_of(statement):
            # The else of a loop belongs to the loop around it.
            if (not loop or suite is statement.orelse) and _leaves_loop(suite):  # type: ignore[attr-defined]
                return True
    return False


def _assigned_before(region: Region) -> set[str]:
    """Return the names that are certainly bound when a region begins."""
    names: set[str] = set()
    for suite, position in region.suites:
        names |= _assigned_by(suite[:position])
    for statement in region.around:
        names |= _bound_within(statement, region)
    return names


def _bound_within(statement: ast.stmt, region: Region) -> set[str]:
    """Return the names that a statement around a region binds before it: a loop's target, what `with` gives."""
    if isinstance(statement, ast.For) and any(suite is statement.body for suite, _ in region.suites):
        return _targets([statement.target])
    if isinstance(statement, ast.With):
        return _targets([item.optional_vars for item in statement.items if item.optional_vars is not None])
    if isinstance(statement, ast.Try):
        return {
            handler.name
            for handler in statement.handlers
            if handler.name and any(suite is handler.body for suite, _ in region.suites)
        }
    return set()


def _assigned_by(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements certainly bind when they end normally."""
    names: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Assign):
            names |= _targets(statement.targets)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            names |= _targets([statement.target])
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        elif isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            names.add(statement.name)
        elif isinstance(statement, ast.With):
            names |= _targets(
                [item.optional_vars for item in statement.items if item.optional_vars is not None]
            )
        elif isinstance(statement, ast.If):
            branches = [suite for suite in (statement.body, statement.orelse) if not _always_exits(suite)]
            names |= set.intersection(*map(_assigned_by, branches)) if branches else set()
    return names


def _targets(targets: Sequence[ast.expr]) -> set[str]:
    return {
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _bound_first(region: Region, name: str) -> bool:
    """Return whether every path of a region binds a name before it reads it."""
    for statement in region.statements:
        reads = any(
            isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
            for node in ast.walk(statement)
        )
        binds = name in _assigned_by([statement])
        if binds:
            value = getattr(statement, "value", None)
            return isinstance(statement, ast.Assign | ast.AnnAssign) and not _loads(value, name)
        if (
            isinstance(statement, ast.For)
            and name in _targets([statement.target])
            and not _loads(statement.iter, name)
        ):
            # Bound by the loop, and not read after it.
            rest = region.statements[region.statements.index(statement) + 1 :]
            return not any(_loads(other, name) for other in (*rest, *statement.orelse))
        if reads:
            inner = [suite for suite in suites_of(statement) if any(_loads(s, name) for s in suite)]
            heads = _loads(statement, name) and not inner
            if heads or isinstance(statement, ast.Try):
                return False
            return (
                all(_bound_first(Region(suite, (), ()), name) for suite in inner)
                and not any(
                    _loads(other, name)
                    for other in region.statements[region.statements.index(statement) + 1 :]
                )
                and not _loads_in_head(statement, name)
            )
    return True


def _loads(node: ast.AST | None, name: str) -> bool:
    return node is not None and any(
        isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Load)
        for inner in ast.walk(node)
    )


def _loads_in_head(statement: ast.stmt, name: str) -> bool:
    heads = [getattr(statement, field, None) for field in ("test", "iter", "value")]
    heads += [item.context_expr for item in getattr(statement, "items", ())]
    return any(_loads(head, name) for head in heads)


def _always_exits(statements: Sequence[ast.stmt]) -> bool:
    """Return whether statements always end the function: by return or raise."""
    if not statements:
        return False
    last = statements[-1]
    if isinstance(last, ast.Return | ast.Raise):
        return True
    if isinstance(last, ast.If):
        return _always_exits(last.body) and _always_exits(last.orelse)
    if isinstance(last, ast.With):
        # A context manager may swallow an exception.
        return False
    return False
