"""Conditions on measures, such as ``cognitive > 15``: parsing, evaluation on a row, translation to SQL.

The SQL form consists of the names and numbers of this module only: no other text of a rule
reaches a statement.
"""

import operator
import re
from collections.abc import Mapping
from typing import NamedTuple

# Measure -> SQL expression, over the joins of `metric_findings`.
FUNCTION = {
    "cognitive": "m.cognitive",
    "cyclomatic": "m.cyclomatic",
    "nesting": "m.nesting",
    "parameters": "m.parameters",
    "code_lines": "m.code_lines",
    "maintainability": "m.maintainability",
}
FILE = {
    "code_lines": "m.code_lines",
    "functions": "m.functions",
    "fan_in": "m.fan_in",
    "fan_out": "m.fan_out",
    "cycle_size": "m.cycle_size",
    "duplication": "coalesce(d.ratio, 0)",
    "duplicated_lines": "coalesce(d.duplicated_lines, 0)",
    "authors": "coalesce(c.authors, 0)",
    "bug_fixes": "coalesce(c.bug_fixes, 0)",
    "commits_365": "coalesce(c.commits_365, 0)",
    "bus_factor": "c.bus_factor",
    "knowledge_loss": "coalesce(c.knowledge_loss, 0)",
}
# Measures of the file, available to conditions of functions and of files.
SHARED = {"hotspot_rank": "h.rank", "hotspot_score": "coalesce(h.score, 0)"}
OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq}
_FORM = re.compile(r"\s*([a-z_0-9]+)\s*(>=|<=|==|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")


class ConditionError(ValueError):
    """A text that is not a valid condition."""


class Condition(NamedTuple):
    """One comparison of a measure with a number."""

    measure: str
    operator: str
    value: float
    expression: str

    @classmethod
    def parse(cls, text: str, of: str) -> "Condition":
        """Parse ``measure operator number``; `of` is ``function`` or ``file``.

        Raises:
            ConditionError: The text is not a condition; the message lists the measures.
        """
        measures = {**(FUNCTION if of == "function" else FILE), **SHARED}
        parsed = _FORM.fullmatch(text)
        if not parsed or parsed[1] not in measures:
            raise ConditionError(
                f"{text!r} is not a condition: MEASURE {'|'.join(OPERATORS)} NUMBER, where a {of} has the "
                f"measures {', '.join(sorted(measures))}"
            )
        return cls(parsed[1], parsed[2], float(parsed[3]), measures[parsed[1]])

    def holds(self, measures: Mapping[str, float]) -> bool:
        """Return whether the condition is true; it is false where its measure is missing."""
        value = measures.get(self.measure)
        return value is not None and OPERATORS[self.operator](value, self.value)

    def sql(self) -> str:
        """Return the condition as SQL."""
        return f"{self.expression} {'=' if self.operator == '==' else self.operator} {self.value!r}"
