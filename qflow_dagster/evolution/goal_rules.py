"""Rules made of a goal's own bound: a measure is above it, whether or not a rule of a pack reports that.

Such a rule is in no pack and has no row: it follows from its id, such as `goal/cognitive-above-14`. Does not belong
here: goals (`execution.sparc`), changes that lower a measure (`generation.generators`).
"""

import math
import re
from functools import cache

from qflow_dagster.evolution.rules import RULE, Rule

MEASURES = ("cognitive", "cyclomatic", "nesting", "parameters", "code_lines")
FILE_MEASURES = ("duplicated_lines", "cycle_size")
COVERAGE = "goal/raise-coverage"
_ID = re.compile(r"goal/(?P<measure>[a-z-]+)-above-(?P<bound>[0-9]{1,6})")


def of_bound(measure: str, operator: str, value: float) -> Rule | None:
    """Return the rule that finds what misses a bound of its measure from above; None: it is no such bound."""
    if measure not in (*MEASURES, *FILE_MEASURES) or operator not in ("<", "<="):
        return None
    bound = math.ceil(value) - 1 if operator == "<" else math.floor(value)
    return of_id(f"goal/{measure.replace('_', '-')}-above-{bound}") if bound >= 0 else None


@cache
def of_id(rule_id: str) -> Rule | None:
    """Return the rule of an id; None: the id is that of another rule."""
    if rule_id == COVERAGE:
        # It finds something in every test file that a goal names.
        title, where = "Statements of a function that no test runs", "code_lines >= 0"
        return _rule(rule_id, title, "file", where, [{"bad": {"code_lines": 1}, "good": {"code_lines": -1}}])
    match = _ID.fullmatch(rule_id)
    measure = match["measure"].replace("-", "_") if match else ""
    if match is None or measure not in (*MEASURES, *FILE_MEASURES):
        return None
    bound = int(match["bound"])
    of = "file" if measure in FILE_MEASURES else "function"
    title = f"A {of} whose {measure.replace('_', ' ')} is above {bound}"
    examples = [{"bad": {measure: bound + 1}, "good": {measure: bound}}]
    return _rule(rule_id, title, of, f"{measure} > {bound}", examples)


def _rule(rule_id: str, title: str, of: str, where: str, examples: list[dict[str, dict[str, int]]]) -> Rule:
    return RULE.validate_python(
        {
            "id": rule_id,
            "title": title,
            "rationale": "A goal states this bound.",
            "language": "any",
            "category": "maintainability",
            "severity": "info",
            "matcher": {"metric": {"of": of, "where": [where]}},
            "examples": examples,
            "source": "a goal",
            "confidence": 0.7,
            "owner": "team:platform",
            "pack": "goals",
        }
    )
