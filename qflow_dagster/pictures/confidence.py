"""Pictures of rules as SVG: confidence over time with outcomes, and the reliability diagram.

Belongs here: pure functions from plain values to SVG. Frame, colours and escaping are those of `charts`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from qflow_dagster.evolution.calibration import Bin
from qflow_dagster.pictures.charts import BLUE, FAINT, GRID, INK, ORANGE, WIDTH, frame, words

TOP, BOTTOM, LEFT, RIGHT = 44, 228, 34, WIDTH - 10
GREEN = "#3f8f5b"


class Point(NamedTuple):
    """The estimated confidence at a time: mean and lower bound."""

    at: datetime
    mean: float
    lower: float


class Mark(NamedTuple):
    """An outcome at a time: good, bad, or neither."""

    at: datetime
    good: bool | None


def of_rule(
    rule: str,
    timeline: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
) -> str:
    """Draw a rule's confidence and outcomes over time, from `trust.timeline` and `outcomes.history`."""
    newest = max((row["version"] for row in timeline), default=0)
    points = [Point(row["at"], row["mean"], row["lower"]) for row in timeline if row["version"] == newest]
    marks = [Mark(row["at"], row["good"]) for row in reversed(history) if row["weight"] > 0]
    suffix = f", version {newest}" if newest else ""
    return confidence(points, marks, limits, f"{rule}{suffix}: estimated confidence")


def confidence(
    points: Sequence[Point], marks: Sequence[Mark], thresholds: Mapping[str, float], title: str
) -> str:
    """Draw mean (line) and lower bound (area) over time, thresholds, and outcomes along the bottom."""
    times = [point.at.timestamp() for point in [*points, *marks]]
    first, last = (min(times), max(times)) if times else (0.0, 1.0)
    span = (last - first) or 1.0

    def x(at: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * (at.timestamp() - first) / span

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * value

    body = []
    for value in (0.0, 0.5, 1.0):
        body.append(
            f"<line x1='{LEFT}' y1='{y(value):.1f}' x2='{RIGHT}' y2='{y(value):.1f}' stroke='{GRID}'/>"
        )
        body.append(words(LEFT - 5, y(value) + 4, f"{value:.1f}", 10, FAINT, anchor="end"))
    for name in ("ask", "act"):
        at = y(thresholds[name])
        dashed = f"stroke='{FAINT}' stroke-dasharray='4 3'"
        body.append(f"<line x1='{LEFT}' y1='{at:.1f}' x2='{RIGHT}' y2='{at:.1f}' {dashed}/>")
        body.append(words(RIGHT, at - 3, f"{name} {thresholds[name]:.2f}", 10, FAINT, anchor="end"))
    if points:
        # An estimate is valid until the next one.
        held = [*points, points[-1]._replace(at=datetime.fromtimestamp(last, points[-1].at.tzinfo))]
        low = _steps([(x(point.at), y(point.lower)) for point in held])
        area = f"{low} {x(held[-1].at):.1f},{BOTTOM} {x(held[0].at):.1f},{BOTTOM}"
        body.append(f"<polygon points='{area}' fill='#dbe6f1'/>")
        mean = _steps([(x(point.at), y(point.mean)) for point in held])
        body.append(f"<polyline points='{mean}' fill='none' stroke='{BLUE}' stroke-width='2'/>")
    for point in marks:
        colour = FAINT if point.good is None else GREEN if point.good else ORANGE
        body.append(f"<circle cx='{x(point.at):.1f}' cy='{BOTTOM + 12}' r='3.5' fill='{colour}'/>")
    if times:
        zone = (points[0].at if points else marks[0].at).tzinfo
        body.append(words(LEFT, BOTTOM + 32, f"{datetime.fromtimestamp(first, zone):%Y-%m-%d}", 10, FAINT))
        body.append(
            words(
                RIGHT, BOTTOM + 32, f"{datetime.fromtimestamp(last, zone):%Y-%m-%d}", 10, FAINT, anchor="end"
            )
        )
    legend = "line: expected acceptance, area: lower bound, dots: accepted (green), refused (orange)"
    body.append(words(WIDTH / 2, BOTTOM + 32, legend, 10, FAINT, anchor="middle"))
    return frame(BOTTOM + 40, title, body)


def reliability(bins: Sequence[Bin], title: str) -> str:
    """Draw the reliability diagram: observed against predicted rates; the diagonal is perfect calibration."""
    side = BOTTOM - TOP

    def x(value: float) -> float:
        return LEFT + side * value

    def y(value: float) -> float:
        return BOTTOM - side * value

    body = [
        f"<rect x='{x(0):.1f}' y='{y(1):.1f}' width='{side}' height='{side}' fill='none' stroke='{GRID}'/>",
        f"<line x1='{x(0):.1f}' y1='{y(0):.1f}' x2='{x(1):.1f}' y2='{y(1):.1f}' stroke='{FAINT}' "
        "stroke-dasharray='4 3'/>",
        words(x(0.5), BOTTOM + 16, "predicted", 10, FAINT, anchor="middle"),
        words(x(0) - 5, y(1) + 8, "1.0", 10, FAINT, anchor="end"),
        words(x(0) - 5, y(0), "0.0", 10, FAINT, anchor="end"),
    ]
    maximum = max((point.number for point in bins), default=1)
    for point in bins:
        radius = 3 + 6 * (point.number / maximum) ** 0.5
        body.append(
            f"<circle cx='{x(point.predicted):.1f}' cy='{y(point.observed):.1f}' r='{radius:.1f}' fill='{BLUE}' "
            "fill-opacity='.75'/>"
        )
    for number, point in enumerate(bins):
        line = f"{point.number:,} predicted {point.predicted:.2f}, came true {point.observed:.2f}"
        body.append(words(x(1) + 30, TOP + 14 + 17 * number, line, 11, INK))
    return frame(BOTTOM + 26, title, body)


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """Return the corners of a step function."""
    corners = [f"{points[0][0]:.1f},{points[0][1]:.1f}"]
    for (_, before), (at, value) in pairwise(points):
        corners += [f"{at:.1f},{before:.1f}", f"{at:.1f},{value:.1f}"]
    return " ".join(corners)
