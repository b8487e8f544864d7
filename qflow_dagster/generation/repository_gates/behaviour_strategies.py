"""Generated arguments for a Python function, by annotations, defaults, and literals of the function and its calls.

Belongs here: strategies of hypothesis. Does not belong here: which functions (`behaviour_inputs`).
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

MAX_INPUTS = 150
_CHARACTERS = "abcXYZ019 _-./%{}\\'\"\n\té"
MAX_CONSTANTS, MAX_SIZE = 20, 30
_SEQUENCES = ("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence")
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping")
_SETS = ("set", "Set", "AbstractSet")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Simple(NamedTuple):
    """The strategies of simple types by name, and lengths that the function may ask for."""

    types: Mapping[str, SearchStrategy[Any]]
    sizes: Sequence[int]

    def lists(self, element: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
        """Return a strategy of lists."""
        short = st.lists(element, max_size=4)
        if not self.sizes:
            return short
        return short | st.sampled_from(self.sizes).flatmap(
            lambda n: st.lists(element, min_size=n, max_size=n)
        )


class UnknownError(Exception):
    """A parameter for which no value can be generated."""


def inputs_of(tree: ast.Module, owner: ast.ClassDef | None, function: Function, kind: str) -> tuple[str, ...]:
    """Return inputs of a function as texts of literals: (constructor's arguments, arguments, keyword arguments).

    Raises:
        UnknownError: no value can be generated for a parameter.
    """
    simple = _simple(function)
    constructor: SearchStrategy[Any] = st.just(())
    if owner is not None and kind in ("method", "property") and function.name != "__init__":
        constructor = _of_constructor(owner, simple)
    parameters = _parameters(function, skip=0 if kind in ("function", "static") else 1)
    literals = _literals(tree, function.name)
    positional = st.tuples(
        *(
            _of_parameter(node, default, literals.get(i), simple)
            for i, (node, default) in enumerate(parameters)
        )
    )
    keywords = st.fixed_dictionaries(
        {
            node.arg: _of_parameter(node, default, None, simple)
            for node, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if default is None
        }
    )
    counts = st.integers(sum(default is None for _, default in parameters), len(parameters))
    # The last parameters with a default are left out now and then.
    arguments = st.tuples(positional, counts).map(lambda drawn: drawn[0][: drawn[1]])
    return _drawn(st.tuples(constructor, arguments, keywords))


def _simple(function: Function) -> Simple:
    """Return the strategies of simple types, which draw the constants of a function too."""
    constants = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
    integers = [value for value in constants if type(value) is int][:MAX_CONSTANTS]
    words = [value for value in constants if isinstance(value, str) and len(value) < 50][:MAX_CONSTANTS]
    sizes = [value + beside for value in integers if 4 < value < MAX_SIZE for beside in (-1, 0, 1)]
    numbers = st.integers(-3, 3) | st.integers(-(10**6), 10**6)
    if integers:
        numbers |= st.sampled_from([value + beside for value in integers for beside in (-1, 0, 1)])
    texts = st.text(st.sampled_from(_CHARACTERS), max_size=8)
    if words:
        words += [word.swapcase() for word in words]
        parts = st.sampled_from([*words, *_CHARACTERS]) | st.sampled_from(words)
        texts |= st.sampled_from(words) | st.lists(parts, max_size=4).map("".join)
    floats = st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
    hashable: SearchStrategy[Any] = st.none() | st.booleans() | numbers | texts
    any_: SearchStrategy[Any] = st.one_of(
        hashable,
        st.lists(numbers, max_size=4),
        st.lists(texts, max_size=3),
        st.dictionaries(texts, numbers, max_size=3),
        st.tuples(numbers, texts),
        st.lists(st.tuples(texts, numbers), max_size=3),
        floats,
    )
    types = {
        "int": numbers,
        "str": texts,
        "bool": st.booleans(),
        "float": floats | numbers,
        "bytes": st.binary(max_size=6),
        "None": st.none(),
        "object": any_,
        "Any": any_,
        "Hashable": hashable,
        "list": st.lists(hashable, max_size=4),
        "dict": st.dictionaries(hashable, hashable, max_size=3),
        "set": st.sets(numbers, max_size=4),
        "tuple": st.tuples(hashable, hashable),
    }
    return Simple(types, sizes)


def _of_constructor(owner: ast.ClassDef, simple: Simple) -> SearchStrategy[Any]:
    init = next(
        (node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None
    )
    if init is None:
        if owner.bases or owner.decorator_list:
            raise UnknownError(f"the constructor of {owner.name} is not in its body")
        return st.just(())
    required = [(node, default) for node, default in _parameters(init, skip=1) if default is None]
    if any(default is None for default in init.args.kw_defaults):
        raise UnknownError(f"the constructor of {owner.name} requires keyword arguments")
    return st.tuples(*(_of_parameter(node, default, None, simple) for node, default in required))


def _parameters(function: Function, skip: int) -> list[tuple[ast.arg, ast.expr | None]]:
    nodes = [*function.args.posonlyargs, *function.args.args]
    defaults: list[ast.expr | None] = [None] * (len(nodes) - len(function.args.defaults))
    return list(zip(nodes, [*defaults, *function.args.defaults], strict=True))[skip:]


def _of_parameter(
    node: ast.arg, default: ast.expr | None, literals: list[Any] | None, simple: Simple
) -> SearchStrategy[Any]:
    values = list(literals or [])
    try:
        strategy = simple.types["Any"] if node.annotation is None else _of_annotation(node.annotation, simple)
    except UnknownError:
        if not values and default is None:
            raise UnknownError(f"no {ast.unparse(node)} can be generated") from None
        strategy = st.nothing()
    if default is not None:
        try:
            values.append(ast.literal_eval(default))
        except (ValueError, TypeError, RecursionError):
            if strategy.is_empty and not values:
                raise UnknownError(f"no {ast.unparse(node)} can be generated") from None
    return st.one_of(strategy, st.sampled_from(values)) if values else strategy


def _of_annotation(node: ast.expr, simple: Simple) -> SearchStrategy[Any]:
    match node:
        case ast.Constant(value=None):
            return st.none()
        case ast.Constant(value=str(text)):
            try:
                return _of_annotation(ast.parse(text, mode="eval").body, simple)
            except SyntaxError:
                raise UnknownError from None
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in simple.types:
            return simple.types[name]
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in (*_SEQUENCES, *_MAPPINGS, *_SETS):
            return simple.types["list" if name in _SEQUENCES else "dict" if name in _MAPPINGS else "set"]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _of_annotation(left, simple) | _of_annotation(right, simple)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _of_generic(name, inner.elts if isinstance(inner, ast.Tuple) else [inner], simple)
    raise UnknownError


def _of_generic(name: str, arguments: Sequence[ast.expr], simple: Simple) -> SearchStrategy[Any]:
    if name == "Literal":
        return st.sampled_from([ast.literal_eval(argument) for argument in arguments])
    if name == "tuple" and len(arguments) == 2 and ast.unparse(arguments[1]) == "...":
        return simple.lists(_of_annotation(arguments[0], simple)).map(tuple)
    of = [_of_annotation(argument, simple) for argument in arguments]
    if name in ("Optional", "Union"):
        return st.one_of(*of, st.none()) if name == "Optional" else st.one_of(*of)
    if name in ("tuple", "Tuple"):
        return st.tuples(*of)
    if name in _SEQUENCES:
        return simple.lists(of[0])
    if name in _SETS:
        return simple.lists(of[0]).filter(_hashable).map(set)
    if name in _MAPPINGS and len(of) == 2:
        return (
            st.lists(st.tuples(*of), max_size=3)
            .filter(lambda pairs: _hashable([k for k, _ in pairs]))
            .map(dict)
        )
    raise UnknownError


def _hashable(values: Sequence[Any]) -> bool:
    try:
        return bool(set(values)) or True
    except TypeError:
        return False


def _literals(tree: ast.Module, name: str) -> dict[int, list[Any]]:
    """Return the literals that calls of a function in the file have at each position."""
    literals: dict[int, list[Any]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        for position, argument in enumerate(node.args if called == name else ()):
            try:
                literals.setdefault(position, []).append(ast.literal_eval(argument))
            except (ValueError, TypeError, RecursionError):
                continue
    return literals


def _drawn(strategy: SearchStrategy[Any]) -> tuple[str, ...]:
    """Return distinct values of a strategy as texts, the shortest first; the same ones every time."""
    drawn: set[str] = set()

    @hypothesis_settings(
        max_examples=MAX_INPUTS,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(strategy)
    def collect(value: Any) -> None:
        drawn.add(repr(value))

    collect()
    return tuple(sorted(drawn, key=lambda text: (len(text), text)))
