"""The names of a Python function: what it binds, and what runs later within it reads. Pure functions."""

import ast
import sys
from collections.abc import Iterable, Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef
# What shows the variables of a function or the code it is in, whoever calls it.
_SHOWING = frozenset({"locals", "eval", "exec"})
_FRAMES = frozenset(
    {
        "exc_info",
        "extract_tb",
        "walk_tb",
        "format_tb",
        "print_tb",
        "__traceback__",
        "tb_next",
        "tb_frame",
        "tb_lineno",
    }
    | {"f_locals", "f_code", "f_back", "f_lineno", "__code__"}
)
_DECORATORS = frozenset({"property", "staticmethod", "classmethod"})
# Packages whose decorators wrap or register a function.
_WRAPPING = sys.stdlib_module_names | {
    *("attr", "attrs", "celery", "click", "django", "fastapi", "flask", "pytest", "starlette", "typer"),
    "typing_extensions",
}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def captured(function: Function) -> set[str]:
    """Return the names that functions and generators within a function mention."""
    return {node.id for scope in scopes(function) for node in ast.walk(scope) if isinstance(node, ast.Name)}


def shared(function: Function) -> set[str]:
    """Return the variables of a function that functions and generators within it may assign."""
    nodes = [node for scope in scopes(function) for node in ast.walk(scope)]
    declared = {name for node in nodes if isinstance(node, ast.Nonlocal) for name in node.names}
    return declared | {node.target.id for node in nodes if isinstance(node, ast.NamedExpr)}


def scopes(function: Function) -> list[ast.AST]:
    """Return what runs later within a function: functions, and generators that are not read where they are."""
    read = {id(argument) for n in ast.walk(function) if isinstance(n, ast.Call) for argument in n.args}
    nodes = [
        n for n in ast.walk(function) if n is not function and (isinstance(n, SCOPES) or id(n) not in read)
    ]
    return [node for node in nodes if isinstance(node, (*SCOPES, ast.GeneratorExp))]


def variables(function: Function) -> set[str]:
    """Return the names that are assigned otherwise than by a comprehension."""
    nodes = list(ast.walk(function))
    targets = [g.target for node in nodes if isinstance(node, COMPREHENSIONS) for g in node.generators]
    own = {id(name) for target in targets for name in ast.walk(target)}
    return {
        n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in own
    }


def arguments(arguments: ast.arguments) -> list[ast.arg]:
    """Return all parameters of a function."""
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def declared_elsewhere(function: Function) -> set[str]:
    """Return the names that a function declares to be of the module, or of a function around it."""
    inner = {id(node) for scope in scopes(function) for node in ast.walk(scope)}
    return {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.Global | ast.Nonlocal) and id(node) not in inner
        for name in node.names
    }


def matched(function: Function) -> set[str]:
    """Return the names that the patterns of `match` within a function bind."""
    names = [
        getattr(node, "rest" if isinstance(node, ast.MatchMapping) else "name", None)
        for node in ast.walk(function)
        if isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping)
    ]
    return {name for name in names if name}


def shows_frames(function: Function) -> bool:
    """Return whether a function sees its own variables or code, as by `locals`, `vars()`, or a traceback."""
    nodes = list(ast.walk(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    # Without an argument, they are about the function that calls them.
    own = [n.func for n in nodes if isinstance(n, ast.Call) and not n.args and isinstance(n.func, ast.Name)]
    return (
        bool(names & (_SHOWING | _FRAMES))
        or any(isinstance(node, ast.Attribute) and node.attr in _FRAMES for node in nodes)
        or any(name.id in ("vars", "dir") for name in own)
    )


def decorators_known(tree: ast.Module, function: Function) -> bool:
    """Return whether decorators wrap or register a function: others may compile its text, or look at its code."""
    modules: dict[str, str] = {}
    local: dict[str, Function] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(alias.asname or alias.name).split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules |= {alias.asname or alias.name: node.module or "" for alias in node.names}
        elif isinstance(node, FUNCTIONS):
            local[node.name] = node

    def known(decorator: ast.expr) -> bool:
        root = decorator
        while isinstance(root, ast.Call | ast.Attribute):
            root = root.func if isinstance(root, ast.Call) else root.value
        name = root.id if isinstance(root, ast.Name) else ""
        return (
            name in _DECORATORS
            or getattr(decorator, "attr", "") in ("setter", "getter", "deleter")
            or modules.get(name, "").split(".")[0] in _WRAPPING
            or (name in local and root is decorator and _wraps(local[name]))
        )

    return all(map(known, function.decorator_list))


def _wraps(decorator: Function) -> bool:
    """Return whether a decorator only calls what it is given, or returns it."""
    parameters = {argument.arg for argument in arguments(decorator.args)}
    names = {id(n) for n in ast.walk(decorator) if isinstance(n, ast.Name) and n.id in parameters}
    called = {id(n.func) for n in ast.walk(decorator) if isinstance(n, ast.Call)}
    returned = {id(n.value) for n in ast.walk(decorator) if isinstance(n, ast.Return)}
    wrapped = {
        id(n.args[0])
        for n in ast.walk(decorator)
        if isinstance(n, ast.Call) and ast.unparse(n.func) in ("wraps", "functools.wraps") and n.args
    }
    return not decorator.decorator_list and names <= called | returned | wrapped


def imported(function: Function, nodes: Iterable[ast.AST] | None = None) -> set[str]:
    """Return the names that imports, functions and classes within a function (or some nodes of it) bind."""
    walked = list(ast.walk(function) if nodes is None else nodes)
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in walked
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } | {
        node.name for node in walked if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node is not function
    }


def comprehension_names(nodes: Sequence[ast.AST]) -> set[str]:
    """Return the variables of the comprehensions among some nodes."""
    return {
        name.id
        for node in nodes
        if isinstance(node, COMPREHENSIONS)
        for generator in node.generators
        for name in ast.walk(generator.target)
        if isinstance(name, ast.Name)
    }
