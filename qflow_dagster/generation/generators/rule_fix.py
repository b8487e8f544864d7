"""The rule's own fix: an ast-grep template, filled in at each match."""

from collections.abc import Iterable

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.examples import ROUNDS, matches_in
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Proposal, Request


class RuleFix:
    """Applies the template of the rule until the rule matches nothing more."""

    name = "rule-fix"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it is a rule of ast-grep with a template."""
        return rule.matcher.ast_grep is not None and rule.fix is not None and rule.fix != "codemod"

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal that changes all places of the file."""
        text = request.text
        for _ in range(ROUNDS):
            matches = matches_in(request.rule, text, request.path, request.language)
            edits = [edit for match in matches if not match.suppressed for edit in match.edits or []]
            if not edits:
                break
            text = matchers.apply_edits(text, edits)
        if text != request.text:
            yield Proposal(contents={request.path: text}, note="the rule's own fix")
