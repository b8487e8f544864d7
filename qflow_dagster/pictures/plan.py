"""Pictures of a plan as self-contained SVG: burn-up, cumulative flow, roadmap, age of started work.

Belongs here: pure functions from plain values to SVG text. Does not belong here: reading them. All text is escaped.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from statistics import quantiles

from qflow_dagster.execution.plan_history import Day, Planned, Started
from qflow_dagster.pictures.charts import BLUE, FAINT, GRID, INK, ORANGE, WIDTH, fit, frame, spread, words

WAITING, STARTED = "#c3d5e6", "#f0a35e"
TOP, HEIGHT, ROW = 56, 300, 22
MAX_BARS = 40
LABEL_WIDTH = 240


def cumulative_flow(days: Sequence[Day]) -> str:
    """Draw the numbers of items by state over time, stacked: done below, then in progress, then waiting."""
    peak = max(map(_scope, days), default=0)
    layers = (("done", BLUE, "done"), ("started", STARTED, "in progress"), ("waiting", WAITING, "waiting"))
    body, below = [], [0] * len(days)
    for column, colour, _ in layers:
        above = [base + getattr(row, column) for base, row in zip(below, days, strict=True)]
        edge = [*_line(above, peak), *reversed(_line(below, peak))]
        body.append(f"<polygon points='{_points(edge)}' fill='{colour}'/>")
        below = above
    legend = (
        [(colour, f"{name} ({getattr(days[-1], column):,})") for column, colour, name in layers]
        if days
        else []
    )
    return frame(HEIGHT, "Cumulative flow", [*body, *_axes(days, peak), *_legend(legend)])


def burn_up(days: Sequence[Day]) -> str:
    """Draw the scope (all items that are not cancelled) and what of it is done over time."""
    scope, done = [_scope(day) for day in days], [day.done for day in days]
    peak = max(scope, default=0)
    body = _axes(days, peak)
    for values, colour in ((scope, FAINT), (done, BLUE)):
        body.append(
            f"<polyline points='{_points(_line(values, peak))}' fill='none' "
            f"stroke='{colour}' stroke-width='2'/>"
        )
    legend = [(FAINT, f"scope ({scope[-1]:,})"), (BLUE, f"done ({done[-1]:,})")] if days else []
    return frame(HEIGHT, "Burn-up", [*body, *_legend(legend)])


def aging(started: Sequence[Started], done: Sequence[float]) -> str:
    """Draw the days that items are in progress for, beside those in which 50 % and 85 % of earlier ones were done."""
    drawn = started[:MAX_BARS]
    limits = [quantiles(done, n=20, method="inclusive")[at] for at in (9, 16)] if len(done) > 1 else []
    peak = max([days for _, days in drawn] + limits, default=0) or 1
    height, width = TOP + ROW * len(drawn) + 24, WIDTH - LABEL_WIDTH - 50
    body = []
    for row, (title, days) in enumerate(drawn):
        y, late = TOP + row * ROW, bool(limits) and days > limits[1]
        body.append(words(0, y + 14, fit(title, LABEL_WIDTH - 8, 11), 11, INK))
        body.append(_bar(LABEL_WIDTH, y + 3, width * days / peak, ORANGE if late else BLUE))
        body.append(words(LABEL_WIDTH + width * days / peak + 5, y + 14, f"{days:.1f}", 10, FAINT))
    for limit, share in zip(limits, (50, 85), strict=False):
        x = LABEL_WIDTH + width * limit / peak
        body.append(
            f"<line x1='{x:.1f}' y1='{TOP}' x2='{x:.1f}' y2='{height - 22}' "
            f"stroke='{INK}' stroke-dasharray='3'/>"
        )
        body.append(words(x, height - 8, f"{share} %", 10, FAINT, anchor="middle"))
    past = (
        f"lines: in {limits[0]:.1f} and {limits[1]:.1f} days, 50 % and 85 % of {len(done):,} items were done"
        if limits
        else "too little was done in 90 days to compare with"
    )
    title = "Days in progress" + (
        f" ({len(drawn)} oldest of {len(started):,})" if len(drawn) < len(started) else ""
    )
    return frame(height, title, [*body, words(0, 38, past, 11, FAINT)])


def roadmap(rows: Sequence[Planned], today: date) -> str:
    """Draw a bar for each epic or theme, filled as far as its items are done; today is a line.

    Without a first day it is a diamond at the last one.
    """
    drawn = rows[:MAX_BARS]
    first = min([row.starts or row.ends for row in drawn] + [today])
    last = max([row.ends for row in drawn] + [today])
    height, width = TOP + ROW * len(drawn) + 24, WIDTH - LABEL_WIDTH - 60
    span = (last - first).days + 1

    def x_of(day: date) -> float:
        return LABEL_WIDTH + width * (day - first).days / span

    body = []
    for step in range(5):
        day = first + timedelta(days=round((span - 1) * step / 4))
        x = x_of(day)
        body.append(f"<line x1='{x:.1f}' y1='{TOP - 6}' x2='{x:.1f}' y2='{height - 22}' stroke='{GRID}'/>")
        body.append(words(x, height - 8, day.isoformat(), 10, FAINT, anchor="middle"))
    for row, (title, starts, ends, items, done) in enumerate(drawn):
        y, end = TOP + row * ROW, x_of(ends + timedelta(days=1))
        body.append(words(0, y + 14, fit(title, LABEL_WIDTH - 8, 11), 11, INK))
        if starts is None:
            body.append(f"<path d='M{end:.1f} {y + 4} l6 7 l-6 7 l-6 -7 z' fill='{ORANGE}'/>")
        else:
            length = end - x_of(starts)
            body.append(_bar(x_of(starts), y + 3, length, WAITING))
            body.append(_bar(x_of(starts), y + 3, length * done / items if items else 0, BLUE))
        body.append(words(end + 8, y + 14, f"{done}/{items}", 10, FAINT))
    now = x_of(today)
    body.append(f"<line x1='{now:.1f}' y1='{TOP - 10}' x2='{now:.1f}' y2='{height - 22}' stroke='{ORANGE}'/>")
    body.append(words(now, TOP - 13, "today", 10, ORANGE, anchor="middle"))
    empty = "Roadmap: no item has an iteration or a due date"
    title = "Roadmap" + (f" ({len(drawn)} first of {len(rows):,})" if len(drawn) < len(rows) else "")
    return frame(height, title if rows else empty, body)


def _scope(day: Day) -> int:
    return day.waiting + day.started + day.done


def _bar(x: float, y: float, length: float, colour: str) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(length, 0):.1f}' height='15' rx='2' fill='{colour}'/>"


def _line(values: Sequence[int], peak: int) -> list[tuple[float, float]]:
    bottom, step = HEIGHT - 26, WIDTH / max(len(values) - 1, 1)
    return [(i * step, bottom - (bottom - TOP) * value / (peak or 1)) for i, value in enumerate(values)]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _axes(days: Sequence[Day], peak: int) -> list[str]:
    bottom, step = HEIGHT - 26, WIDTH / max(len(days) - 1, 1)
    body = [f"<line x1='0' y1='{y}' x2='{WIDTH}' y2='{y}' stroke='{GRID}'/>" for y in (TOP, bottom)]
    body.append(words(WIDTH, TOP - 5, f"{peak:,}", 10, FAINT, anchor="end"))
    for index in spread(len(days), 6):
        x = min(max(index * step, 30), WIDTH - 30)
        body.append(words(x, bottom + 16, days[index].day.isoformat(), 10, FAINT, anchor="middle"))
    return body


def _legend(entries: Sequence[tuple[str, str]]) -> list[str]:
    body = []
    for number, (colour, label) in enumerate(entries):
        body.append(f"<rect x='{number * 150}' y='30' width='11' height='11' fill='{colour}'/>")
        body.append(words(number * 150 + 16, 40, label, 11, INK))
    return body
