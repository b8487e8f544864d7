"""Conditions on measures, ``cognitive > 15``: parsed once, true of a row or of a table.

Belongs here: which measures there are, and what may be said of them. The table form is SQL
made of these names and numbers only: nothing a rule says reaches a statement otherwise.
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
    "authors": "coalesce(c.authors, 0)",
    "bug_fixes": "coalesce(c.bug_fixes, 0)",
    "commits_365": "coalesce(c.commits_365, 0)",
    "bus_factor": "c.bus_factor",
    "knowledge_loss": "coalesce(c.knowledge_loss, 0)",
}
# Of the file, for both.
SHARED = {"hotspot_rank": "h.rank", "hotspot_score": "coalesce(h.score, 0)"}
OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq}
_FORM = re.compile(r"\s*([a-z_0-9]+)\s*(>=|<=|==|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")


class ConditionError(ValueError):
    """A condition that says nothing."""


class Condition(NamedTuple):
    """One comparison of a measure with a number."""

    measure: str
    operator: str
    value: float
    expression: str

    @classmethod
    def parse(cls, text: str, of: str) -> "Condition":
        """Read ``measure operator number``, for measures of a `function` or a `file`.

        Raises:
            ConditionError: it is none; the message names what there is.
        """
        known = {**(FUNCTION if of == "function" else FILE), **SHARED}
        found = _FORM.fullmatch(text)
        if not found or found[1] not in known:
            raise ConditionError(
                f"{text!r} is no condition: MEASURE {'|'.join(OPERATORS)} NUMBER, where a {of} has the "
                f"measures {', '.join(sorted(known))}"
            )
        return cls(found[1], found[2], float(found[3]), known[found[1]])

    def holds(self, measures: Mapping[str, float]) -> bool:
        """Whether it is true of these measures; of one that is missing nothing is."""
        value = measures.get(self.measure)
        return value is not None and OPERATORS[self.operator](value, self.value)

    def sql(self) -> str:
        """The same as an SQL condition."""
        return f"{self.expression} {'=' if self.operator == '==' else self.operator} {self.value!r}"
