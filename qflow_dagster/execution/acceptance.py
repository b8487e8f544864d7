"""Acceptance criteria of planned work: sentences that are true when it is done, only of what work can change.

A measure such as the number of bug fixes counts the past: no change lowers it, so nothing is accepted by it.
"""

import re
from collections.abc import Sequence

from qflow_dagster.evolution.conditions import Condition
from qflow_dagster.evolution.rules import Rule

# Measures that a change of the code itself changes.
CHANGEABLE = {
    "cognitive": "cognitive complexity",
    "cyclomatic": "cyclomatic complexity",
    "nesting": "nesting",
    "parameters": "number of parameters",
    "code_lines": "lines of code",
    "maintainability": "maintainability index",
    "functions": "number of functions",
    "fan_out": "number of imported files",
    "cycle_size": "files in the cycle of imports",
    "duplication": "share of duplicated lines",
    "duplicated_lines": "number of duplicated lines",
}
_NEGATED = {">": "at most", ">=": "below", "<": "at least", "<=": "above", "==": "not"}
_AT_MOST = re.compile(r"(?P<what>[^\n]*) is at most (?P<value>[0-9.]+)")


def reachable(rule: Rule) -> bool:
    """Return whether work can make the findings of a rule disappear."""
    return rule.matcher.metric is None or bool(_changeable(rule))


def of_rule(rule: Rule | None, rule_id: str, path: str, symbols: Sequence[str]) -> list[str]:
    """Return what is true once a rule has no finding in a file; of measures, for each of the functions found."""
    if rule is None or rule.matcher.metric is None:
        return [f"{rule_id} has no finding in {path}"]
    conditions = _changeable(rule)
    of_functions = rule.matcher.metric.of == "function"
    names = [f"{symbol} ({path})" for symbol in symbols if symbol] if of_functions else []
    return [
        # One condition that no longer holds is enough.
        " or ".join(
            f"{CHANGEABLE[c.measure]} of {name} is {_NEGATED[c.operator]} {c.value:g}" for c in conditions
        )
        for name in names or [path]
    ]


def bound(sentences: Sequence[str]) -> float | None:
    """Return what a measure is to be at most, by the first sentence that says so; None: none does."""
    found = (_AT_MOST.fullmatch(sentence) for sentence in sentences)
    return next((float(match["value"]) for match in found if match is not None), None)


def strictest(sentences: Sequence[str]) -> list[str]:
    """Return the sentences without repetitions; of several bounds of one measure, the strictest."""
    lowest: dict[str, float] = {}
    for sentence in sentences:
        if bound := _AT_MOST.fullmatch(sentence):
            value = float(bound["value"])
            lowest[bound["what"]] = min(value, lowest.get(bound["what"], value))
    kept = []
    for sentence in dict.fromkeys(sentences):
        bound = _AT_MOST.fullmatch(sentence)
        if bound is None or float(bound["value"]) == lowest[bound["what"]]:
            kept.append(sentence)
    # What holds for every change stands last.
    return sorted(kept, key=lambda sentence: sentence.startswith("the repository's own tests"))


def _changeable(rule: Rule) -> list[Condition]:
    metric = rule.matcher.metric
    return [c for c in metric.conditions() if c.measure in CHANGEABLE] if metric is not None else []
