"""What a rule finds in one text, before and after a change; of measures, as far as a text tells them.

A condition on a function is looked at again where its measure follows from the text; the others
(a hotspot's rank, who committed) are as they were, whatever the change. Does not belong here:
what a gate makes of it (`validation`).
"""

from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion.facts import BlobFacts, SymbolFact

IN_TEXT = ("cognitive", "cyclomatic", "nesting", "parameters", "code_lines")


def fixable_findings(rule: Rule) -> bool:
    """Whether a change of the text can make the rule find less, and it can be seen there."""
    metric = rule.matcher.metric
    if metric is None:
        return True
    return metric.of == "function" and any(one.measure in IN_TEXT for one in metric.conditions())


def places(rule: Rule, text: str, path: str, language: str, facts: BlobFacts) -> int:
    """In how many places the rule finds something in the text, of which `facts` are known."""
    metric = rule.matcher.metric
    if metric is None:
        return sum(not match.suppressed for match in matches_in(rule, text, path, language))
    if not fixable_findings(rule):
        return 0
    seen = [condition for condition in metric.conditions() if condition.measure in IN_TEXT]
    measured = [
        _measures(symbol) for symbol in facts.symbols if symbol.decisions is not None and symbol.seq > 0
    ]
    return sum(all(condition.holds(measures) for condition in seen) for measures in measured)


def _measures(symbol: SymbolFact) -> dict[str, float]:
    given = {
        "cognitive": symbol.cognitive,
        "cyclomatic": (symbol.decisions or 0) + 1,
        "nesting": symbol.nesting,
        "parameters": symbol.parameters,
        "code_lines": symbol.code_lines,
    }
    return {name: value for name, value in given.items() if value is not None}
