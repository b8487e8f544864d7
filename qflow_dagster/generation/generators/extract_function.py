"""Lowers the complexity and the length of Python functions: conditions are rewritten, parts become functions."""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import conditions, extraction, regions
from qflow_dagster.generation.function_names import Function, decorators_known
from qflow_dagster.generation.generators.protocol import Proposal, Request, Withheld
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_compiled import compiled
from qflow_dagster.generation.python_lines import above, lines_of
from qflow_dagster.generation.remaining import measures_in, reducible_bound

# Yields the text of a module after each change of one kind that can be made in a function.
Rewrite = Callable[[str, Function], Iterator[str]]
# Which parts become functions: all that may, those that a function has more than once, conditions, none.
Extract = Literal["any", "repeated", "conditions", "none"]
# The text of a function or method, and what it is.
Part = tuple[str, Function, ast.ClassDef | None]
MAX_EXTRACTIONS = 12
# Regions that are measured for each extraction.
MAX_REGIONS = 30


class SmallerFunctions:
    """Changes a function until the measure that is bounded, of it and of what is extracted, is within the bound."""

    isolated = True
    cost = 0.0

    def __init__(self, name: str, rewrites: Sequence[Rewrite] = (), *, extract: Extract) -> None:
        self.name = name
        self._rewrites = rewrites
        self._extract: Extract = extract

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether the rule bounds what extracting lowers, and the file is Python."""
        return language == "python" and reducible_bound(rule) is not None

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal for the functions found, or none where the bound cannot be reached."""
        found = reducible_bound(request.rule)
        if found is None or request.embedded is not None:
            return
        measure, bound = found
        text = request.text
        lines = {line for line, _ in request.findings}
        file, withheld = File(request), []
        for name, value, line in _functions(text, measure):
            if value <= bound or (lines and line not in lines):
                continue
            start = file.source.offset(line, 1)
            if compiler := compiled(file, start, start):
                withheld.append(Withheld(line, compiler))
                continue
            text = lowered(text, name, bound, measure, self._rewrites, extract=self._extract) or text
        if text != request.text or withheld:
            contents = {request.path: text} if text != request.text else {}
            yield Proposal(contents=contents, note=self.name, withheld=tuple(withheld))


def lowered(
    text: str,
    name: str,
    bound: float,
    measure: str = "cognitive",
    rewrites: Sequence[Rewrite] = (),
    *,
    extract: Extract = "any",
) -> str | None:
    """Return a module in which a function and what was extracted from it are within the bound; None: not reached.

    `rewrites`: what may be done with conditions; `extract`: which parts may become functions of their own, after that.
    """
    found = _find(text, name)
    if found is None or not decorators_known(ast.parse(text), found[0]):
        return None
    function, owner = found
    # Only the function is read again after each extraction, in a module of its own.
    lines = lines_of(text)
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)]) - 1
    head = [f"class {owner.name}:\n"] if owner is not None else []
    part = "".join([*head, *lines[first : function.end_lineno]])
    for rewrite in rewrites:
        part = _rewritten(part, name, bound, measure, rewrite)
    if extract != "none":
        part = _lowered(part, name, bound, measure, text, extract) or ""
    if any(value > bound for other, value, _ in _functions(part, measure) if other == name) or not part:
        return None
    after, rest = lines_of(part), lines[function.end_lineno or 0 :]
    if owner is None:
        return "".join([*lines[:first], *after, *rest])
    row = above(lines, owner)
    start = next(n.lineno for n in ast.parse(part).body if isinstance(n, ast.ClassDef)) - 1
    return "".join([*lines[:row], *after[:start], *lines[row:first], *after[start + 1 :], *rest])


def _rewritten(part: str, name: str, bound: float, measure: str, rewrite: Rewrite) -> str:
    """Return the text with what can be rewritten where that lowers the measure, until it is within the bound."""
    while (found := _find(part, name)) is not None:
        before = {other: value for other, value, _ in _functions(part, measure)}[name]
        better = (
            after
            for after in rewrite(part, found[0])
            if {other: value for other, value, _ in _functions(after, measure)}.get(name, before) < before
        )
        after = next(better, None) if before > bound else None
        if after is None:
            break
        part = after
    return part


def _lowered(part: str, name: str, bound: float, measure: str, module: str, extract: Extract) -> str | None:
    work, made = [name], 0
    while work:
        current = work[-1]
        values = {function: value for function, value, _ in _functions(part, measure)}
        if values.get(current, 0.0) <= bound:
            work.pop()
            continue
        step = _best(part, current, bound, measure, module, extract) if made < MAX_EXTRACTIONS else None
        if step is None:
            return None
        part, helper = step
        made += 1
        work.insert(0, helper)
    return part


def _best(
    text: str, name: str, bound: float, measure: str, module: str, extract: Extract
) -> tuple[str, str] | None:
    """Return the text after the best extraction from a function, and the name of the new function."""
    found = _find(text, name)
    if found is None:
        return None
    function, owner = found
    before = next(value for other, value, _ in _functions(text, measure) if other == name)
    part, names = (text, function, owner), text + module
    stages = [
        *(
            [_of_regions(part, names, measure, repeated=extract == "repeated")]
            if extract in ("any", "repeated")
            else []
        ),
        *([_of_conditions(part, names, module)] if extract in ("any", "conditions") else []),
    ]
    for stage in stages:
        # As few extractions as possible: first what brings the larger of the two furthest down.
        best: tuple[tuple[float, float], str, str] | None = None
        for helper, after in stage:
            values = {other: value for other, value, _ in _functions(after, measure)}
            if helper not in values or values.get(name, before) >= before or values[helper] >= before:
                continue
            rank = (max(values[name], values[helper], bound), values[name])
            if best is None or rank < best[0]:
                best = (rank, after, helper)
        if best is not None:
            return best[1], best[2]
    return None


def _of_regions(part: Part, names: str, measure: str, *, repeated: bool) -> Iterator[tuple[str, str]]:
    """Yield the name of each function that statements can become, and the text with it."""
    text, function, owner = part
    for region in regions.regions(function, by_lines=measure == "code_lines")[:MAX_REGIONS]:
        if repeated and not extraction.repeated(text, function, owner, region):
            continue
        helper = regions.free_name(names, function.name, region)
        after = extraction.extract(text, function, owner, region, helper)
        if after is not None:
            yield helper, after


def _of_conditions(part: Part, names: str, module: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each function that a condition can become, and the text with it."""
    text, function, owner = part
    for test, region in conditions.tests(function)[:MAX_REGIONS]:
        helper = regions.free_name(names, function.name, region)
        after = conditions.as_function(text, function, owner, test, region, helper, module)
        if after is not None:
            yield helper, after


def _find(text: str, name: str) -> tuple[Function, ast.ClassDef | None] | None:
    """Return a function or method, and its class; of one with overloads what is run, below them."""
    found = ((f, owner) for f, owner in regions.functions(ast.parse(text)) if not _is_overload(f))
    return next(((f, owner) for f, owner in found if _qualified(f, owner) == name), None)


def _is_overload(function: Function) -> bool:
    return any(ast.unparse(d).rpartition(".")[2] == "overload" for d in function.decorator_list)


def _functions(text: str, measure: str) -> list[tuple[str, float, int]]:
    """Return (qualified name, measure, first line) of each function of a module."""
    return [(name, measures.get(measure, 0.0), line) for name, line, measures in measures_in(text, "Python")]


def _qualified(function: Function, owner: ast.ClassDef | None) -> str:
    return f"{owner.name}.{function.name}" if owner is not None else function.name
