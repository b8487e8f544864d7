"""Ruff's own fixes of one rule."""

from collections.abc import Iterable

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import fixes
from qflow_dagster.generation.generators.protocol import Proposal, Request


class RuffFix:
    """Takes the fix that ruff reports with each finding."""

    name = "ruff-fix"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it is a rule of ruff that ruff can fix."""
        return rule.matcher.ruff is not None and rule.fix in ("ruff", "ruff-unsafe")

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal of a fix for each location."""
        yield fixes.propose(request, fixes.own_edits, f"ruff {request.rule.matcher.ruff}")
