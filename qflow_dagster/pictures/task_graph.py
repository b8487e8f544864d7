"""Pictures of a task graph: boxes with arrows as SVG, and lines for a terminal.

Belongs here: pure functions from rows of `task_records.tasks_of` to text. All names
are escaped.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from qflow_dagster.safety.display import visible_line

# Colours that people who cannot see red and green can tell apart; the state is written as well.
COLOURS = {
    "completed": "#3a6ea5",
    "running": "#f0a35e",
    "waiting": "#f6d9a8",
    "ready": "#c3d5e6",
    "pending": "#e8eef4",
    "failed": "#a3280e",
    "blocked": "#d9622b",
    "skipped": "#b8c1cc",
    "cancelled": "#b8c1cc",
}
MARKS = {
    "completed": "✓",
    "running": "▶",
    "waiting": "…",
    "ready": "○",
    "pending": "·",
    "failed": "✗",
    "blocked": "▪",
    "skipped": "-",
    "cancelled": "x",
}
MAX_BOXES = 150
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 150, 34, 46, 12
FONT = "font-family='system-ui, sans-serif'"


def layers(tasks: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group a graph's top-level tasks into layers by the longest path to them.

    No task of a layer depends on another one of the same layer.
    """
    top = {task["name"]: task for task in tasks if task["depth"] == 0}
    rank: dict[str, int] = {}
    pending = list(reversed(top))
    while pending:
        name = pending[-1]
        missing = [other for other in top[name]["depends_on"] if other in top and other not in rank]
        if missing:
            pending += missing
            continue
        pending.pop()
        rank.setdefault(name, max((rank[o] + 1 for o in top[name]["depends_on"] if o in rank), default=0))
    result: list[list[dict[str, Any]]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name, task in top.items():
        result[rank[name]].append(task)
    return result


def svg(tasks: Sequence[dict[str, Any]], title: str) -> str:
    """Draw the graph from left to right, coloured by state; above `MAX_BOXES` tasks, draw counts per layer instead.

    A task with an address (`href`) is a link.
    """
    columns = layers(tasks)
    if sum(map(len, columns)) > MAX_BOXES:
        return _counts(columns, title)
    tallest = max(map(len, columns), default=1)
    height = 50 + tallest * (BOX_HEIGHT + GAP_Y)
    width = max(400, 20 + len(columns) * (BOX_WIDTH + GAP_X))
    positions: dict[str, tuple[float, float]] = {}
    for x, column in enumerate(columns):
        offset = (tallest - len(column)) * (BOX_HEIGHT + GAP_Y) / 2
        for y, task in enumerate(column):
            positions[task["name"]] = (10 + x * (BOX_WIDTH + GAP_X), 40 + offset + y * (BOX_HEIGHT + GAP_Y))
    body = []
    for column in columns:
        for task in column:
            x, y = positions[task["name"]]
            for other in task["depends_on"]:
                if other in positions:
                    start_x, start_y = positions[other][0] + BOX_WIDTH, positions[other][1] + BOX_HEIGHT / 2
                    middle = (start_x + x) / 2
                    body.append(
                        f"<path d='M{start_x:.0f} {start_y:.0f} C{middle:.0f} {start_y:.0f} "
                        f"{middle:.0f} {y + BOX_HEIGHT / 2:.0f} {x:.0f} {y + BOX_HEIGHT / 2:.0f}' "
                        "fill='none' stroke='#8a94a3'/>"
                    )
    for column in columns:
        for task in column:
            body += _box(task, *positions[task["name"]])
    return _svg(
        width, height, title, body, role="group" if any(task.get("href") for task in tasks) else "img"
    )


def lines(tasks: Sequence[dict[str, Any]]) -> list[str]:
    """Return the tasks as lines for a terminal: state, name, dependencies; parts indented below their task."""
    result = []
    for task in tasks:
        after = f"  after {', '.join(task['depends_on'])}" if task["depends_on"] else ""
        seconds = (
            f"  {task['seconds']:.1f} s"
            if task["seconds"] is not None and task["state"] == "completed"
            else ""
        )
        error = f"  {task['error']['message'].splitlines()[0][:100]}" if _failed(task) else ""
        mark = MARKS.get(task["state"], "?")
        result.append(
            f"{'   ' * task['depth']}{mark} {task['name']}  ({task['state']}){after}{seconds}{error}"
        )
    return result


def _failed(task: dict[str, Any]) -> bool:
    return bool(task["state"] == "failed" and task["error"] and task["error"].get("message"))


def _box(task: dict[str, Any], x: float, y: float) -> list[str]:
    colour = COLOURS.get(task["state"], "#fff")
    ink = "#fff" if task["state"] in ("completed", "failed", "blocked") else "#1f2933"
    name = task["name"] if len(task["name"]) <= 20 else task["name"][:19] + "…"
    href = task.get("href")
    begin, end = (f"<a href='{_text(href)}'>", "</a>") if href else ("", "")
    return [
        f"{begin}<g><title>{_text(task['name'])}: {_text(task['state'])}</title>",
        f"<rect x='{x:.0f}' y='{y:.0f}' width='{BOX_WIDTH}' height='{BOX_HEIGHT}' rx='5' fill='{colour}'/>",
        f"<text x='{x + 8:.0f}' y='{y + 15:.0f}' {FONT} font-size='11' font-weight='600' fill='{ink}'>"
        f"{_text(name)}</text>",
        f"<text x='{x + 8:.0f}' y='{y + 28:.0f}' {FONT} font-size='10' fill='{ink}'>"
        f"{_text(task['role'])}, {_text(task['state'])}</text></g>{end}",
    ]


def _counts(columns: Sequence[Sequence[dict[str, Any]]], title: str) -> str:
    """Draw a bar per layer, split by state; above 60 layers, neighbours share a bar."""
    step = -(-len(columns) // 60)
    groups = [
        [task for column in columns[at : at + step] for task in column] for at in range(0, len(columns), step)
    ]
    max_tasks = max(map(len, groups), default=1)
    width = 700 / max(len(groups), 1)
    body = []
    for number, group in enumerate(groups):
        bottom = 250.0
        for state, colour in COLOURS.items():
            count = sum(task["state"] == state for task in group)
            bar_height = 200 * count / max_tasks
            bottom -= bar_height
            if count:
                body.append(
                    f"<rect x='{10 + number * width:.1f}' y='{bottom:.1f}' width='{width * 0.85:.1f}' "
                    f"height='{bar_height:.1f}' fill='{colour}'><title>{count} {state}</title></rect>"
                )
    total = sum(map(len, columns))
    return _svg(720, 280, f"{title}: {total:,} tasks by layer, at most {max_tasks:,} in one", body)


def _svg(width: float, height: float, title: str, body: Sequence[str], role: str = "img") -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
        f"role='{role}' aria-label='{_text(title)}'><rect width='100%' height='100%' fill='#fff'/>"
        f"<text x='10' y='22' {FONT} font-size='14' font-weight='600' fill='#1f2933'>{_text(title)}</text>"
        f"{''.join(body)}</svg>"
    )


def _text(text: str) -> str:
    return escape(visible_line(text), quote=True)
