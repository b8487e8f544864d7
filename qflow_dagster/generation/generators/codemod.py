"""Changes of Python's syntax tree (`generation.codemods`)."""

from collections.abc import Iterable

import libcst

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import codemods
from qflow_dagster.generation.generators.protocol import Proposal, Request


class Codemod:
    """Applies the codemod named after the rule."""

    name = "codemod"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether there is a codemod for this Python rule."""
        return language == "python" and rule.id in codemods.CODEMODS

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal that changes all places of the file."""
        try:
            text = codemods.rewrite(request.rule.id, request.text)
        except (libcst.ParserSyntaxError, RecursionError) as error:
            raise QflowError(f"{request.path} could not be parsed: {type(error).__name__}") from None
        if text != request.text:
            yield Proposal(contents={request.path: text}, note="libcst")
