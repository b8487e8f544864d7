"""The names of a Python function: what it binds, and what runs later within it reads. Pure functions."""

import ast
from collections.abc import Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def captured(function: ast.FunctionDef) -> set[str]:
    """Return the names that functions and generators within a function mention."""
    return {node.id for scope in scopes(function) for node in ast.walk(scope) if isinstance(node, ast.Name)}


def scopes(function: ast.FunctionDef) -> list[ast.AST]:
    """Return what runs later within a function: functions, and generators that are not read where they are."""
    read = {id(argument) for n in ast.walk(function) if isinstance(n, ast.Call) for argument in n.args}
    nodes = [
        n for n in ast.walk(function) if n is not function and (isinstance(n, SCOPES) or id(n) not in read)
    ]
    return [node for node in nodes if isinstance(node, (*SCOPES, ast.GeneratorExp))]


def variables(function: ast.FunctionDef) -> set[str]:
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


def imported(function: ast.FunctionDef) -> set[str]:
    """Return the names that imports, functions and classes within a function bind."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } | {
        node.name
        for node in ast.walk(function)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node is not function
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
