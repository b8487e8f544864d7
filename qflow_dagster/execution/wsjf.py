"""Weighted shortest job first: the score, and how its inputs follow from measures.

WSJF = (user-business value + time criticality + risk reduction or opportunity enablement) / job
size, after SAFe 6.0 (https://framework.scaledagile.com/wsjf/). All four are relative, on the modified
Fibonacci scale 1, 2, 3, 5, 8, 13, 20: the smallest item of each column is 1. So first each item gets a measure
(`Measure`), then the column becomes inputs (`relative`). Pure functions; what cannot be measured is missing (None),
and with a missing input there is no score.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from qflow_dagster.errors import UsageError

SCALE = (1, 2, 3, 5, 8, 13, 20)
NAMES = {
    "business_value": "user-business value",
    "time_criticality": "time criticality",
    "risk_reduction": "risk reduction",
    "job_size": "job size",
}
SEVERITY = {"error": 7, "warning": 4, "info": 1}
# Lines of code that a person reads in an hour.
LINES_PER_HOUR = 200
# Changes of tests, examples and benchmarks are worth less than those of what users run.
MINOR_ROLE = 0.25


class Measure(NamedTuple):
    """What an input is derived from: a positive number, and its formula."""

    value: float
    formula: str

    def of_role(self, minor: str) -> "Measure":
        """Return what it is worth in a file that users do not run: a test, an example (`minor` says which)."""
        return (
            Measure(MINOR_ROLE * self.value, f"{MINOR_ROLE} [{minor}] x ({self.formula})") if minor else self
        )


@dataclass(frozen=True)
class Input:
    """One input of the score: its value, its source, and the formula."""

    value: int
    # `derived`, `text`, or the name of the person who stated it.
    source: str
    formula: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are stored."""
        return {"value": self.value, "source": self.source, "formula": self.formula}


def score(inputs: Mapping[str, int | None]) -> float | None:
    """Return the score of these inputs (0.15 to 60), rounded to 2 decimals; None if one is missing."""
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
    if value not in SCALE:
        raise UsageError(f"{name} must be one of {', '.join(map(str, SCALE))}, not {value}")
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
    stated_value = score_input.get("stated", score_input["value"])
    as_stated = "" if stated_value == score_input["value"] else ", relative to the smallest of the plan"
    return f"{score_input['value']}  ({score_input['source']}: {score_input['formula']}{as_stated})"


def business_value(heat: float | None, severity: str, recent_errors: int = 0) -> Measure | None:
    """Return the value by how much of the project's work is in the file, what is found, and its errors of two weeks.

    `heat` is 0 to 1: the file's changes relative to the most changed file's, times its rank by complexity; None: the
    file is not measured. What is merely informed of is worth a seventh of an error, however hot the file.
    """
    if heat is None or severity not in SEVERITY:
        return None
    share = SEVERITY[severity] / SEVERITY["error"]
    errors = min(1.0, recent_errors / 10)
    return Measure(
        share * (1 + 19 * heat) + 20 * errors,
        f"{share:.2f} [{severity}] x (1 + 19 x heat {heat:.2f}) "
        f"+ 20 x errors of two weeks {errors:.2f} [{recent_errors}]",
    )


def time_criticality(
    commits_90: int | None, busiest_90: int, severity: str, age_days: float | None, errors: int = 0
) -> Measure | None:
    """Return the urgency by the file's changes of 90 days relative to the busiest hotspot's, age of finding, errors.

    The age is full at 90 days; changes and age count by the severity of what is found.
    """
    if commits_90 is None or age_days is None or severity not in SEVERITY:
        return None
    share = SEVERITY[severity] / SEVERITY["error"]
    trend = min(1.0, commits_90 / busiest_90) if busiest_90 else 0.0
    age = min(1.0, age_days / 90)
    failing = min(1.0, errors / 10)
    return Measure(
        1 + 9 * (share * (0.5 * trend + 0.25 * age) + 0.25 * failing),
        f"1 + 9 x ({share:.2f} [{severity}] x (0.5 x changes {trend:.2f} [{commits_90} of {busiest_90} in 90 days] "
        f"+ 0.25 x age {age:.2f} [{age_days:.0f} days]) + 0.25 x errors {failing:.2f} [{errors}])",
    )


def risk_reduction(severity: str, bug_fixes: int | None, bus_factor: int | None) -> Measure | None:
    """Return the risk by the severity of the finding, the file's bug fixes, and how many people know the file."""
    if severity not in SEVERITY or bug_fixes is None:
        return None
    fixes = 2 if bug_fixes >= 15 else 1 if bug_fixes >= 5 else 0
    single_owner = 1 if bus_factor == 1 else 0
    return Measure(
        SEVERITY[severity] + fixes + single_owner,
        f"{severity} {SEVERITY[severity]} + {fixes} [{bug_fixes} bug fixes] "
        f"+ {single_owner} [{'one person knows' if single_owner else 'several people know'} it]",
    )


def job_size(locations: int, lines: int | None, fixable: bool) -> Measure | None:
    """Return the size by the number of locations, the lines of the functions around them, and whether a fix exists.

    Review, tests and release cost 1 however small the change is. Locations and lines count by their doublings.
    """
    if lines is None:
        return None
    reading = math.log2(1 + lines / LINES_PER_HOUR)
    effort = 1 + math.log2(locations + 1) + reading * (0.25 if fixable else 1.0) + (0 if fixable else 2)
    fix = "fix available: 0.25" if fixable else "no fix available: 2 + 1"
    return Measure(
        effort,
        f"1 + log2({locations} locations + 1) + {fix} x log2(1 + {lines} lines to read / {LINES_PER_HOUR})",
    )


def sliced(column: Sequence[Measure | None]) -> list[Measure | None]:
    """Return job sizes that are at most their median: of a larger job, a slice as large as the usual job is next."""
    values = sorted(measure.value for measure in column if measure is not None)
    if not values:
        return list(column)
    usual = values[len(values) // 2]
    return [
        measure
        if measure is None or measure.value <= usual
        else Measure(usual, f"a slice as large as the usual job, of {measure.formula} = {measure.value:.1f}")
        for measure in column
    ]


def relative(column: Sequence[Measure | None]) -> list[Input | None]:
    """Return the inputs of one column: each measure relative to the smallest one, nearest on the scale.

    If the largest is more than 20 times the smallest, they are spread from 1 to 20 instead: the largest differ too.
    """
    values = [measure.value for measure in column if measure is not None]
    if not values:
        return [None] * len(column)
    smallest, largest = max(min(values), 1e-9), max(values)
    spread = largest > SCALE[-1] * smallest
    inputs: list[Input | None] = []
    for measure in column:
        if measure is None:
            inputs.append(None)
            continue
        if spread:
            ratio = 1 + (SCALE[-1] - 1) * (measure.value - smallest) / (largest - smallest)
            place = f"{ratio:.1f} between the smallest ({smallest:.1f}) and the largest ({largest:.1f})"
        else:
            ratio = measure.value / smallest
            place = f"{ratio:.1f} times the smallest ({smallest:.1f})"
        value = _nearest(ratio)
        formula = f"{measure.formula} = {measure.value:.1f}, {place}"
        inputs.append(Input(value, "derived", formula))
    return inputs


def relative_texts(rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return what changes in the inputs of items of one plan, so that those that texts state are relative, too.

    What a text stated is kept (`stated`). The smallest input of a column is 1: of a plan with derived inputs it is so
    already, and of one that texts alone make up, the others are times the smallest.
    """
    changes: list[dict[str, Any]] = [{} for _ in rows]
    for name in NAMES:
        column = [row[name].get("stated", row[name]["value"]) if name in row else None for row in rows]
        smallest = min((value for value in column if value is not None), default=1)
        for row, value, change in zip(rows, column, changes, strict=True):
            if value is None or row[name]["source"] != "text":
                continue
            relative_value = _nearest(value / smallest)
            if relative_value != row[name]["value"]:
                change[name] = {**row[name], "stated": value, "value": relative_value}
    return changes


def _nearest(ratio: float) -> int:
    return min(SCALE, key=lambda step: (abs(step - ratio), step))


def of_text(
    priority: str | None, days_left: int | None, points: int | None, level: str, bug: bool
) -> dict[str, Input]:
    """Return the inputs of an item that a text asks for, by what the text states; a default where it states nothing."""
    value = _PRIORITIES.get(priority or "", 3)
    urgency = 2 if days_left is None else next((step for days, step in _DAYS if days_left <= days), 3)
    size = _SIZES[level] if points is None else _nearest(points)
    risk = 5 if bug else 2
    return {
        "business_value": _by_text(value, f"priority {priority}" if priority else "no priority stated: 3"),
        "time_criticality": _by_text(
            urgency, f"due in {days_left} days" if days_left is not None else "no due date stated: 2"
        ),
        "risk_reduction": _by_text(risk, "it is about a fault: 5" if bug else "not about a fault: 2"),
        "job_size": _by_text(
            size, f"{points} points" if points is not None else f"no points stated; a {level}: {size}"
        ),
    }


_PRIORITIES = {
    "critical": 20, "urgent": 20, "highest": 20, "p0": 20, "high": 13, "p1": 13, "medium": 5, "normal": 5, "p2": 5,
    "low": 2, "p3": 2, "lowest": 1, "p4": 1,
}  # fmt: skip
_DAYS = ((7, 20), (30, 13), (90, 5))
_SIZES = {"story": 3, "feature": 8, "capability": 13, "epic": 20, "theme": 20}


def _by_text(value: int, formula: str) -> Input:
    return Input(value, "text", formula)
