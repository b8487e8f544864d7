"""The rule's own fix: an ast-grep template, filled in at each match."""

from collections.abc import Iterable

from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import fixes
from qflow_dagster.generation.generators.protocol import Proposal, Request
from qflow_dagster.generation.javascript_text import in_context
from qflow_dagster.generation.preconditions.file import File


class RuleFix:
    """Fills in the template of the rule at each location."""

    name = "rule-fix"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it is a rule of ast-grep with a template."""
        return rule.matcher.ast_grep is not None and rule.fix is not None and rule.fix != "codemod"

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal of a fix for each location."""
        yield fixes.propose(request, _edits, "the rule's own fix")


def _edits(file: File, match: Match) -> list[Edit] | None:
    return None if match.edits is None else in_context(file, match, match.edits)
