"""The picture of files that change together as SVG: files on a circle, a line for each pair.

Belongs here: pure functions from plain values to SVG. Frame, colours and escaping are those of `charts`.
"""

from collections.abc import Sequence
from math import cos, pi, sin
from typing import NamedTuple

from qflow_dagster.pictures.charts import BLUE, FAINT, INK, WIDTH, frame, words

RADIUS, HEIGHT = 150, 420


class Pair(NamedTuple):
    """Two files that change together, and in which share of their changes, 0 to 1."""

    first: str
    second: str
    degree: float


def circle(pairs: Sequence[Pair], title: str) -> str:
    """Draw the pairs as lines between their files on a circle; thicker lines for higher degrees."""
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    centre, middle = WIDTH / 2, 30 + (HEIGHT - 30) / 2
    angle = {path: 2 * pi * number / len(paths) for number, path in enumerate(paths)}
    at = {path: (centre + RADIUS * cos(a), middle + RADIUS * sin(a)) for path, a in angle.items()}
    body = []
    for pair in sorted(pairs, key=lambda pair: pair.degree):
        (x1, y1), (x2, y2) = at[pair.first], at[pair.second]
        body.append(
            f"<path d='M{x1:.1f},{y1:.1f} Q{centre:.1f},{middle:.1f} {x2:.1f},{y2:.1f}' fill='none' stroke='{BLUE}' "
            f"stroke-width='{0.6 + 4 * pair.degree:.1f}' stroke-opacity='{0.25 + 0.6 * pair.degree:.2f}'/>"
        )
    for path in paths:
        x, y = at[path]
        body.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{FAINT}'/>")
        right = x >= centre
        name = path if len(path) <= 32 else "…" + path[-31:]
        body.append(words(x + (8 if right else -8), y + 4, name, 10, INK, anchor="start" if right else "end"))
    return frame(HEIGHT, title, body)
