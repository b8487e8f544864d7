"""Lowers the complexity and the length of Python functions: conditions are rewritten, parts become functions."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import extraction
from qflow_dagster.generation.function_names import Function, decorators_known
from qflow_dagster.generation.generators.protocol import Proposal, Request, Withheld
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_compiled import compiled
from qflow_dagster.generation.python_lines import above, lines_of
from qflow_dagster.generation.remaining import measures_in, reducible_bound

# Yields the text of a module after each change of one kind that can be made in a function.
Rewrite = Callable[[str, Function], Iterator[str]]
# Which parts become functions: all that may, those that a function has more than once, none.
Extract = Literal["any", "repeated", "none"]
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
    best: tuple[tuple[float, float], str, str] | None = None
    for region in extraction.regions(function, by_lines=measure == "code_lines")[:MAX_REGIONS]:
        if extract == "repeated" and not extraction.repeated(text, function, owner, region):
            continue
        helper = _free_name(text + module, function.name, region)
        after = extraction.extract(text, function, owner, region, helper)
        if after is None:
            continue
        values = {other: value for other, value, _ in _functions(after, measure)}
        if helper not in values or values.get(name, before) >= before or values[helper] >= before:
            continue
        # As few extractions as possible: first what brings the larger of the two furthest down.
        rank = (max(values[name], values[helper], bound), values[name])
        if best is None or rank < best[0]:
            best = (rank, after, helper)
    return (best[1], best[2]) if best is not None else None


def _find(text: str, name: str) -> tuple[Function, ast.ClassDef | None] | None:
    return next(
        ((f, owner) for f, owner in extraction.functions(ast.parse(text)) if _qualified(f, owner) == name),
        None,
    )


def _free_name(text: str, function: str, region: extraction.Region) -> str:
    """Return a name for an extracted function that the module does not have: what its first branch is about."""
    statement = next(
        (s for s in region.statements if isinstance(s, extraction.BRANCHES)), region.statements[0]
    )
    head = getattr(statement, "target", None) or getattr(statement, "test", None)
    words = [n.id for n in ast.walk(head) if isinstance(n, ast.Name)] if head is not None else []
    about = next((word.lower() for word in words if word not in ("self", "cls", "isinstance", "len")), "")
    base, about = function.strip("_"), about.strip("_")
    base = base if base.endswith(about) else f"{base}_{about}"
    name, number = f"_{base}", 1
    while re.search(rf"\b{re.escape(name)}\b", text):
        number += 1
        name = f"_{base}_{number}"
    return name


def _functions(text: str, measure: str) -> list[tuple[str, float, int]]:
    """Return (qualified name, measure, first line) of each function of a module."""
    return [(name, measures.get(measure, 0.0), line) for name, line, measures in measures_in(text, "Python")]


def _qualified(function: Function, owner: ast.ClassDef | None) -> str:
    return f"{owner.name}.{function.name}" if owner is not None else function.name
