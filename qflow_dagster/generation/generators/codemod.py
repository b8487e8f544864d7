"""Changes that no template expresses (`generation.codemods`)."""

from collections.abc import Iterable

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import codemods, fixes
from qflow_dagster.generation.generators.protocol import Proposal, Request


class Codemod:
    """Applies the codemod named after the rule at each location."""

    name = "codemod"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether there is a codemod for this rule."""
        return language in rule.language and rule.fix == "codemod" and rule.id in codemods.CODEMODS

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal of a change for each location."""
        yield fixes.propose(request, codemods.CODEMODS[request.rule.id], f"codemod {request.rule.id}")
