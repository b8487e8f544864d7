"""Weighted shortest job first: the score, and how its inputs follow from measures.

WSJF = (user-business value + time criticality + risk reduction or opportunity enablement) / job
size, after SAFe 6.0 (https://framework.scaledagile.com/wsjf/). Values are 1 to 10, the job size
1 to 20 on the modified Fibonacci scale. Pure functions; an input that cannot be measured is
missing (None), and with a missing input there is no score.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qflow_dagster.errors import UsageError

SCALE = (1, 2, 3, 5, 8, 13, 20)
MAX_VALUE = 10
NAMES = {
    "business_value": "user-business value",
    "time_criticality": "time criticality",
    "risk_reduction": "risk reduction",
    "job_size": "job size",
}
SEVERITY = {"error": 7, "warning": 4, "info": 1}
# Lines of code that a person reads in an hour; a job of size 1 is about an hour.
LINES_PER_SIZE = 200


@dataclass(frozen=True)
class Input:
    """One input of the score: its value, its source, and the formula."""

    value: int
    # `derived`, or the name of the person who stated it.
    source: str
    formula: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are stored."""
        return {"value": self.value, "source": self.source, "formula": self.formula}


def score(inputs: Mapping[str, int | None]) -> float | None:
    """Return the score of these inputs (0.15 to 30), rounded to 2 decimals; None if one is missing."""
    values = [inputs.get(name) for name in NAMES]
    if any(value is None for value in values):
        return None
    value, time, risk, size = (int(v) for v in values if v is not None)
    return round((value + time + risk) / max(size, 1), 2)


def stated(name: str, value: int, by: str) -> Input:
    """Return an input whose value a person states.

    Raises:
        UsageError: unknown input, or the value is out of its range.
    """
    if name not in NAMES:
        raise UsageError(f"unknown input {name!r}; inputs: {', '.join(NAMES)}")
    if name == "job_size" and value not in SCALE:
        raise UsageError(f"job_size must be one of {', '.join(map(str, SCALE))}, not {value}")
    if not 1 <= value <= MAX_VALUE and name != "job_size":
        raise UsageError(f"{name} must be 1 to {MAX_VALUE}, not {value}")
    return Input(value, by, "stated")


def explain(
    inputs: Mapping[str, Mapping[str, Any]], result: float | None, inherited: str | None = None
) -> list[str]:
    """Return the lines that explain a score: each input with its source, and the arithmetic."""
    lines = [f"{NAMES[name]}: {_describe(inputs.get(name))}" for name in NAMES]
    if result is None:
        missing = ", ".join(NAMES[name] for name in NAMES if name not in inputs)
        return [*lines, f"no score: {missing} is missing; state it with `qflow work set`"]
    if inherited is not None:
        return [*lines, f"inputs of {inherited}"]
    value, time, risk, size = (inputs[name]["value"] for name in NAMES)
    return [*lines, f"WSJF = ({value} + {time} + {risk}) / {size} = {result:.2f}"]


def _describe(score_input: Mapping[str, Any] | None) -> str:
    if score_input is None:
        return "missing"
    return f"{score_input['value']}  ({score_input['source']}: {score_input['formula']})"


def business_value(hotspot: float | None, fan_in: float | None) -> Input | None:
    """Return the value by how central the file is: the higher of hotspot score and fan-in rank (both 0 to 1)."""
    if hotspot is None and fan_in is None:
        return None
    share = max(hotspot or 0.0, fan_in or 0.0)
    return _derived(
        1 + 9 * share, f"1 + 9 x max(hotspot score {_number(hotspot)}, fan-in rank {_number(fan_in)})"
    )


def time_criticality(
    commits_90: int | None, commits_365: int | None, age_days: float | None, errors: int = 0
) -> Input | None:
    """Return the urgency by the file's recent changes, the age of the finding, and the errors it causes.

    The trend is the last 90 days' share of the year's commits, full at a half; the age is full
    at 90 days.
    """
    if commits_365 is None or commits_90 is None or age_days is None:
        return None
    trend = min(1.0, 2 * commits_90 / commits_365) if commits_365 else 0.0
    age = min(1.0, age_days / 90)
    failing = min(1.0, errors / 10)
    return _derived(
        1 + 9 * (0.5 * trend + 0.25 * age + 0.25 * failing),
        f"1 + 9 x (0.5 x trend {trend:.2f} [{commits_90} of {commits_365} commits in 90 days] "
        f"+ 0.25 x age {age:.2f} [{age_days:.0f} days] + 0.25 x errors {failing:.2f} [{errors}])",
    )


def risk_reduction(severity: str, bug_fixes: int | None, bus_factor: int | None) -> Input | None:
    """Return the risk by the severity of the finding, the file's bug fixes, and how many people know the file."""
    if severity not in SEVERITY or bug_fixes is None:
        return None
    fixes = 2 if bug_fixes >= 15 else 1 if bug_fixes >= 5 else 0
    single_owner = 1 if bus_factor == 1 else 0
    return _derived(
        SEVERITY[severity] + fixes + single_owner,
        f"{severity} {SEVERITY[severity]} + {fixes} [{bug_fixes} bug fixes] "
        f"+ {single_owner} [{'one person knows' if single_owner else 'several people know'} it]",
    )


def job_size(locations: int, code_lines: int | None, fixable: bool) -> Input | None:
    """Return the size by the number of findings, the length of the file, and whether a fix is available."""
    if code_lines is None:
        return None
    reading_hours = code_lines / LINES_PER_SIZE
    effort = math.log2(locations + 1) + reading_hours * (0.25 if fixable else 1.0) + (0 if fixable else 2)
    size = next((step for step in SCALE if step >= effort), SCALE[-1])
    fix = "fix available: 0.25" if fixable else "no fix available: 2 + 1"
    return Input(
        size,
        "derived",
        f"log2({locations} locations + 1) + {fix} x {code_lines} lines / {LINES_PER_SIZE} = {effort:.1f}, "
        f"next on the scale {'-'.join(map(str, SCALE))}",
    )


def _derived(value: float, formula: str) -> Input:
    return Input(max(1, min(MAX_VALUE, round(value))), "derived", formula)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
