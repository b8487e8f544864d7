"""Removes duplicated lines within a Python file: what several functions have becomes one."""

import ast
from collections.abc import Iterable

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.deduplication import shared
from qflow_dagster.generation.generators.protocol import Proposal, Request
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_compiled import compiled
from qflow_dagster.generation.regions import functions
from qflow_dagster.generation.remaining import duplicated_lines, duplication_bound

MAX_FUNCTIONS = 20


class RemoveDuplication:
    """Makes functions of equal statements until the duplicated lines of the file are within the bound."""

    name = "remove-duplication"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether the rule bounds the duplicated lines of a file, and the file is Python."""
        return language == "python" and duplication_bound(rule) is not None

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal, or none where the bound cannot be reached."""
        bound = duplication_bound(request.rule)
        if bound is None or request.embedded is not None:
            return
        file, text = File(request), request.text
        starts = {
            function.name: file.source.offset(function.lineno, 1)
            for function, _ in functions(ast.parse(text))
        }
        excluded = frozenset(name for name, start in starts.items() if compiled(file, start, start))
        left = duplicated_lines(text, request.language)
        for _ in range(MAX_FUNCTIONS):
            if left <= bound:
                break
            found = ((duplicated_lines(after, request.language), after) for after in shared(text, excluded))
            better = next((pair for pair in found if pair[0] < left), None)
            if better is None:
                return
            left, text = better
        if text != request.text and left <= bound:
            yield Proposal(contents={request.path: text}, note=self.name)
