"""Appends recorded tests to a test file, for statements of a function that no test runs."""

import ast
from collections.abc import Iterable

from qflow_dagster.evolution import goal_rules
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Proposal, Request, Withheld
from qflow_dagster.generation.python_lines import lines_of


class RaiseCoverage:
    """Writes the tests that were recorded for a goal into the test file that exists."""

    name = "raise-coverage"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether the rule is that of a goal on coverage, and the file is Python."""
        return language == "python" and rule.id == goal_rules.COVERAGE

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal, or why there is none."""
        tests = request.surroundings.recorded
        if tests is None:
            return
        if not tests.text:
            yield Proposal(contents={}, withheld=(Withheld(1, tests.evidence),))
            return
        lines = lines_of(request.text)
        head = [
            node for node in ast.parse(request.text).body if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        row = max((node.end_lineno or 0 for node in head), default=0)
        text = "".join([*lines[:row], *(f"{line}\n" for line in tests.imports), *lines[row:]])
        yield Proposal(contents={request.path: text.rstrip("\n") + "\n" + tests.text}, note=self.name)
