"""Parameters and results of a part of a Python function, or that it cannot be a function of its own. Pure functions.

What it reads becomes parameters, what it assigns and is read later is returned. It is refused where any of this is
uncertain: a name that may be unbound, a closure, an assignment within a `try` that is read outside, `yield`, `await`,
`global`, `super`, a `break` of an outer loop.
"""

import ast
from collections.abc import Sequence, Set

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
    shared,
    shows_frames,
    variables,
)
from qflow_dagster.generation.regions import Region, suites_of

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


def interface(
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
    unbound = _unbound(function)
    # A comprehension has a variable of that name, or a generator reads variables when it is read.
    if writes & declared or own & (parameters | bound | variables(function)):
        return None
    if any(id(scope) in inside for scope in scopes(function)):
        return None
    before = bound_before(function, region)
    first = _assigned_by(region.statements) - unbound
    needed = {name for name in reads & local if name in before}
    # What is called meanwhile may assign it, which a parameter does not see.
    if needed & shared(function):
        return None
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


def written(
    found: tuple[list[str], list[str], bool], name: str, body: Sequence[str]
) -> tuple[list[str], str]:
    """Return the lines of a function with an interface and a body, and the statement that calls it."""
    parameters, results, exits = found
    call = f"{name}({', '.join(parameters)})"
    helper = [f"def {call}:\n", *body]
    if exits:
        call = f"return {call}"
    elif results:
        call = f"{', '.join(results)} = {call}"
        helper.append(f"    return {', '.join(results)}\n")
    return helper, call


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


def bound_before(function: Function, region: Region) -> set[str]:
    """Return the variables of a function that are certainly bound when a region begins."""
    # What a handler binds is unbound after it, as what is deleted.
    here = {name for statement in region.around for name in _bound_within(statement, region)}
    parameters = {argument.arg for argument in arguments(function.args)}
    return (parameters | _assigned_before(region)) - (_unbound(function) - here)


def _unbound(function: Function) -> set[str]:
    """Return the names that a function unbinds somewhere."""
    deleted = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)}
    return deleted | {n.name for n in ast.walk(function) if isinstance(n, ast.ExceptHandler) and n.name}


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
