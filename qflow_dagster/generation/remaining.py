"""Number of matches of a rule in one text, before and after a change, as far as the text alone shows.

A condition on a function's metrics is evaluated again if it follows from the text; the others
(a hotspot's rank, who committed) count as unchanged. Does not belong here: the verdict of a gate
(`validation`).
"""

from qflow_dagster.evolution import goal_rules, matchers
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import import_cycles
from qflow_dagster.generation.generators.protocol import ImportCycle
from qflow_dagster.ingestion.facts import BlobFacts, SymbolFact

# What extracting functions lowers; where a rule bounds several, the first.
REDUCIBLE = ("cognitive", "cyclomatic", "nesting", "code_lines")
TEXT_MEASURES = ("cognitive", "cyclomatic", "nesting", "parameters", "code_lines")


def fixable_findings(rule: Rule) -> bool:
    """Return whether a change of the text can remove findings of the rule, and the text shows it."""
    metric = rule.matcher.metric
    if metric is None:
        return True
    return metric.of == "function" and any(
        condition.measure in TEXT_MEASURES for condition in metric.conditions()
    )


def count_findings(
    rule: Rule, text: str, path: str, language: str, facts: BlobFacts, cycle: ImportCycle | None = None
) -> int:
    """Return in how many places the rule finds something in the text; `facts` are those of the text.

    Of a bound of duplicated lines these are the lines, of one of a cycle of imports the files in it.
    """
    metric = rule.matcher.metric
    if duplication_bound(rule) is not None:
        return duplicated_lines(text, language)
    if cycle_bound(rule) is not None:
        return len(import_cycles.members(path, text, cycle)) if cycle is not None else 0
    if metric is None:
        return sum(not match.suppressed for match in matches_in(rule, text, path, language))
    if not fixable_findings(rule):
        return 0
    conditions = [condition for condition in metric.conditions() if condition.measure in TEXT_MEASURES]
    functions = [
        _measures(symbol) for symbol in facts.symbols if symbol.decisions is not None and symbol.seq > 0
    ]
    return sum(all(condition.holds(measures) for condition in conditions) for measures in functions)


def reducible_bound(rule: Rule) -> tuple[str, float] | None:
    """Return the measure of a function that a rule bounds and that smaller functions lower, and its bound."""
    metric = rule.matcher.metric
    if metric is None or metric.of != "function":
        return None
    bounds = {c.measure: c.value for c in metric.conditions() if c.operator == ">"}
    return next(((measure, bounds[measure]) for measure in REDUCIBLE if measure in bounds), None)


def duplication_bound(rule: Rule) -> float | None:
    """Return how many duplicated lines a goal allows in a file; None: the rule is about something else."""
    metric = rule.matcher.metric
    conditions = metric.conditions() if metric is not None and metric.of == "file" else []
    bounds = [c.value for c in conditions if (c.measure, c.operator) == ("duplicated_lines", ">")]
    return bounds[0] if len(conditions) == len(bounds) == 1 else None


def cycle_bound(rule: Rule) -> float | None:
    """Return how many files a rule allows in the cycle of imports of a file; None: it is about something else."""
    metric = rule.matcher.metric
    conditions = metric.conditions() if metric is not None and metric.of == "file" else []
    return next((c.value for c in conditions if (c.measure, c.operator) == ("cycle_size", ">")), None)


def needs_repository(rule: Rule) -> bool:
    """Return whether the text of a file does not show what the rule finds in it."""
    return cycle_bound(rule) is not None or rule.id == goal_rules.COVERAGE


def duplicated_lines(text: str, language: str) -> int:
    """Return how many lines of a text stand in it more than once, as the metric counts them."""
    # Imported late: no other measure needs what they import.
    from qflow_dagster.ingestion.extraction import extract
    from qflow_dagster.metrics.duplication import in_file

    facts = extract(text.encode(), matchers.LANGUAGES.get(language, ""))
    return in_file(facts.fingerprints, facts.lines) if facts.fingerprints is not None else 0


def measures_in(text: str, language: str) -> list[tuple[str, int, dict[str, float]]]:
    """Return (qualified name, first line, measures) of each function in a text."""
    from qflow_dagster.ingestion.extraction import extract

    return [
        (symbol.qualified_name, symbol.start_line, _measures(symbol))
        for symbol in extract(text.encode(), language).symbols
        if symbol.decisions is not None and symbol.seq > 0
    ]


def _measures(symbol: SymbolFact) -> dict[str, float]:
    values = {
        "cognitive": symbol.cognitive,
        "cyclomatic": (symbol.decisions or 0) + 1,
        "nesting": symbol.nesting,
        "parameters": symbol.parameters,
        "code_lines": symbol.code_lines,
    }
    return {name: value for name, value in values.items() if value is not None}
