"""Pictures of metrics as self-contained SVG: hotspot map, histogram, trend, stacked bars.

Belongs here: pure functions from plain values to SVG text. Does not belong here: reading
tables, or how Dagster shows a picture. All text is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from qflow_dagster.safety.display import visible_line

WIDTH = 720
FONT = "font-family='system-ui, sans-serif'"
INK, FAINT, GRID = "#1f2933", "#6b7785", "#e4e7eb"
# From cold to hot; readable on white, and in order of brightness for the colour-blind.
SCALE = ("#e8eef4", "#c3d5e6", "#f6d9a8", "#f0a35e", "#d9622b", "#a3280e")
BLUE, ORANGE = "#3a6ea5", "#d9622b"
# Of stacked values, from the bottom on.
STACK = (BLUE, "#f0a35e", "#a3280e")


class Tile(NamedTuple):
    """A file on the hotspot map: `size` in lines of code, `heat` from 0 to 1, `href` where a click leads."""

    path: str
    size: float
    heat: float
    href: str = ""


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float


def hotspot_map(
    tiles: Sequence[Tile],
    title: str,
    *,
    limit: int = 300,
    height: int = 420,
    colour: str = "hotspot score",
) -> str:
    """Draw a treemap: a rectangle per file, area = lines of code, colour = heat, grouped by top folder.

    Only the `limit` largest files are drawn, and the title says so. Layout: squarified
    treemaps (Bruls, Huizing and van Wijk 2000).
    """
    drawn = sorted((t for t in tiles if t.size > 0), key=lambda t: -t.size)[:limit]
    if len(drawn) < len(tiles):
        title = f"{title} ({len(drawn)} largest of {len(tiles)} files)"
    folders: dict[str, list[Tile]] = {}
    for tile in drawn:
        folders.setdefault(tile.path.partition("/")[0] if "/" in tile.path else "", []).append(tile)
    groups = sorted(folders.items(), key=lambda item: -sum(t.size for t in item[1]))
    area = Box(0, 34, WIDTH, height - 34 - 26)
    body = []
    for (folder, members), box in zip(
        groups, squarify([sum(t.size for t in m) for _, m in groups], area), strict=True
    ):
        labelled = box.height > 44 and box.width > 60 and folder
        inner = Box(box.x, box.y + 14, box.width, box.height - 14) if labelled else box
        if labelled:
            body.append(words(box.x + 3, box.y + 11, fit(folder, box.width - 6, 10), 10, INK, weight=600))
        for tile, place in zip(members, squarify([t.size for t in members], inner), strict=True):
            body.append(_tile(tile, place))
        body.append(
            f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='{box.width:.1f}' height='{box.height:.1f}' "
            "fill='none' stroke='#fff' stroke-width='2'/>"
        )
    # The links within a picture are hidden from a screen reader by the role of an image.
    role = "group" if any(tile.href for tile in drawn) else "img"
    return frame(height, title, [*body, *_legend(height, colour)], role=role)


def histogram(counts: Sequence[tuple[str, int]], title: str, *, height: int = 240, marked: int = 0) -> str:
    """Draw vertical bars with their counts; bars from index `marked` on have a warning colour (0: none)."""
    top, bottom, maximum = 44, height - 28, max((n for _, n in counts), default=0) or 1
    step = WIDTH / max(len(counts), 1)
    body = [f"<line x1='0' y1='{bottom}' x2='{WIDTH}' y2='{bottom}' stroke='{FAINT}'/>"]
    for index, (label, count) in enumerate(counts):
        tall = (bottom - top) * count / maximum
        x = index * step
        colour = ORANGE if marked and index >= marked else BLUE
        body.append(
            f"<rect x='{x + step * 0.12:.1f}' y='{bottom - tall:.1f}' width='{step * 0.76:.1f}' "
            f"height='{tall:.1f}' fill='{colour}' rx='1.5'/>"
        )
        body.append(words(x + step / 2, bottom - tall - 5, f"{count:,}", 10, FAINT, anchor="middle"))
        body.append(words(x + step / 2, bottom + 16, label, 11, INK, anchor="middle"))
    return frame(height, title, body)


def trend(
    labels: Sequence[str], bars: Sequence[float], line: Sequence[float], title: str, *, height: int = 260
) -> str:
    """Draw bars (such as commits) and a line (such as lines of code) over time; all three have the same length.

    The two have scales of their own: the bars' largest value is written on the left, the
    line's on the right.
    """
    top, bottom = 48, height - 26
    maximum, peak = max(bars, default=0) or 1, max(line, default=0) or 1
    step = WIDTH / max(len(labels), 1)
    body = [
        f"<line x1='0' y1='{y:.1f}' x2='{WIDTH}' y2='{y:.1f}' stroke='{GRID}'/>"
        for y in (top, (top + bottom) / 2, bottom)
    ]
    for index, value in enumerate(bars):
        tall = (bottom - top) * value / maximum
        body.append(
            f"<rect x='{index * step + step * 0.1:.1f}' y='{bottom - tall:.1f}' width='{step * 0.8:.2f}' "
            f"height='{tall:.1f}' fill='#c3d5e6'/>"
        )
    points = [(i * step + step / 2, bottom - (bottom - top) * max(v, 0) / peak) for i, v in enumerate(line)]
    if len(points) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f"<polyline points='{path}' fill='none' stroke='{ORANGE}' stroke-width='2'/>")
    for index in spread(len(labels), 7):
        x = min(max(index * step + step / 2, 22), WIDTH - 24)
        body.append(words(x, bottom + 16, labels[index], 10, FAINT, anchor="middle"))
    body.append(words(0, top - 6, f"{maximum:,.0f}", 10, BLUE))
    body.append(words(WIDTH, top - 6, f"{peak:,.0f}", 10, ORANGE, anchor="end"))
    return frame(height, title, body)


def stacked(labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str) -> str:
    """Draw a bar of stacked values per label, the first series at the bottom; the largest sum is on the left."""
    height, top = 260, 48
    bottom = height - 26
    peak = max((sum(values) for values in zip(*series.values(), strict=True)), default=0) or 1
    step = WIDTH / max(len(labels), 1)
    wide = min(step * 0.8, 60)
    body = [f"<line x1='0' y1='{y}' x2='{WIDTH}' y2='{y}' stroke='{GRID}'/>" for y in (top, bottom)]
    below = [0.0] * len(labels)
    for number, ((name, values), fill) in enumerate(zip(series.items(), STACK, strict=False)):
        x = WIDTH - 100 * (len(series) - number)
        body.append(f"<rect x='{x}' y='{top - 18}' width='11' height='11' fill='{fill}'/>")
        body.append(words(x + 15, top - 9, name, 10, INK))
        for index, value in enumerate(values):
            tall = (bottom - top) * value / peak
            y = bottom - (bottom - top) * below[index] / peak - tall
            below[index] += value
            if value:
                left = index * step + (step - wide) / 2
                body.append(
                    f"<rect x='{left:.1f}' y='{y:.1f}' width='{wide:.1f}' height='{tall:.1f}' fill='{fill}'/>"
                )
    for index in spread(len(labels), 7):
        x = min(max(index * step + step / 2, 22), WIDTH - 24)
        body.append(words(x, bottom + 16, labels[index], 10, FAINT, anchor="middle"))
    body.append(words(0, top - 6, f"{peak:,.0f}", 10, BLUE))
    return frame(height, title, body)


def sparkline(values: Sequence[float], title: str) -> str:
    """Draw values over time as a small line without axes, for a cell of a table; '' for fewer than two."""
    if len(values) < 2:
        return ""
    peak = max(values) or 1
    step = 128 / (len(values) - 1)
    points = " ".join(
        f"{i * step:.1f},{24 - 22 * max(value, 0) / peak:.1f}" for i, value in enumerate(values)
    )
    label = f"{title}: {values[0]:,.0f} at first, {values[-1]:,.0f} at last, at most {peak:,.0f}"
    return (
        f"<svg class='sparkline' viewBox='0 0 128 26' role='img' aria-label='{_safe(label)}'>"
        f"<title>{_safe(label)}</title><polyline points='{points}'/></svg>"
    )


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """Lay out rectangles in `box` with areas in proportion to `sizes` (descending), as square as can be."""
    total = sum(sizes)
    if total <= 0:
        return [Box(box.x, box.y, 0, 0) for _ in sizes]
    scale = box.width * box.height / total
    areas = [size * scale for size in sizes]
    placed: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(box.width, box.height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row, box = _lay_row(areas[start:end], box)
        placed += row
        start = end
    return placed


def _worst(row: Sequence[float], side: float) -> float:
    """Return the largest aspect ratio in a row of areas laid along `side`."""
    total = sum(row)
    if total <= 0 or side <= 0:
        return float("inf")
    return max(side * side * max(row) / total**2, total**2 / (side * side * max(min(row), 1e-9)))


def _lay_row(row: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """Lay areas along the shorter side of `box`; return them and what is left of it."""
    total = sum(row)
    if box.width >= box.height:
        thick = total / box.height if box.height else 0
        edges = _edges(row, total, box.y, box.height)
        placed = [Box(box.x, a, thick, b - a) for a, b in edges]
        return placed, Box(box.x + thick, box.y, max(box.width - thick, 0), box.height)
    thick = total / box.width if box.width else 0
    edges = _edges(row, total, box.x, box.width)
    placed = [Box(a, box.y, b - a, thick) for a, b in edges]
    return placed, Box(box.x, box.y + thick, box.width, max(box.height - thick, 0))


def _edges(row: Sequence[float], total: float, start: float, length: float) -> list[tuple[float, float]]:
    places, running = [start], 0.0
    for area in row:
        running += area
        places.append(start + length * (running / total if total else 0))
    return list(pairwise(places))


def _tile(tile: Tile, box: Box) -> str:
    colour = SCALE[min(int(tile.heat * len(SCALE)), len(SCALE) - 1)]
    name = tile.path.rpartition("/")[2]
    drawn = (
        f"<g><title>{_safe(tile.path)}: {tile.size:,.0f} lines, heat {tile.heat:.2f}</title>"
        f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='{box.width:.1f}' height='{box.height:.1f}' "
        f"fill='{colour}' stroke='#fff' stroke-width='.6'/>"
    )
    labelled = box.width > 52 and box.height > 16
    if labelled:
        ink = "#fff" if tile.heat >= 4 / len(SCALE) else INK
        drawn += words(box.x + 3, box.y + 12, fit(name, box.width - 6, 9), 9, ink)
    drawn += "</g>"
    if not tile.href:
        return drawn
    # The keyboard stops at the large ones; the others are in the list of files.
    skipped = "" if labelled else " tabindex='-1'"
    return f"<a href='{_safe(tile.href)}'{skipped}>{drawn}</a>"


def _legend(height: int, meaning: str) -> list[str]:
    y = height - 16
    body = [words(0, y + 9, f"area: lines of code, colour: {meaning}", 10, FAINT)]
    for index, colour in enumerate(SCALE):
        body.append(f"<rect x='{WIDTH - 230 + index * 22}' y='{y}' width='22' height='11' fill='{colour}'/>")
    body.append(words(WIDTH - 236, y + 9, "cold", 10, FAINT, anchor="end"))
    body.append(words(WIDTH - 230 + 22 * len(SCALE) + 6, y + 9, "hot", 10, FAINT))
    return body


def frame(height: int, title: str, body: Sequence[str], *, role: str = "img") -> str:
    """Return the complete picture with its title and elements."""
    heading = words(0, 18, title, 14, INK, weight=600)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' "
        f"height='{height}' role='{role}' aria-label='{_safe(title)}' {FONT}>"
        f"<rect width='100%' height='100%' fill='#fff'/>{heading}"
        f"{''.join(body)}</svg>"
    )


def words(
    x: float, y: float, text: str, size: int, colour: str, *, anchor: str = "start", weight: int = 400
) -> str:
    """Return escaped text at a position in pixels."""
    anchored = "" if anchor == "start" else f" text-anchor='{anchor}'"
    weighted = "" if weight == 400 else f" font-weight='{weight}'"
    style = f"font-size='{size}' fill='{colour}'{anchored}{weighted}"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{_safe(text)}</text>"


def fit(text: str, width: float, size: int) -> str:
    """Return `text`, cut so that it probably fits `width` pixels at `size` (0.56 em per letter)."""
    available = int(width / (size * 0.56))
    return text if len(text) <= available else text[: max(available - 1, 1)] + "…"


def spread(count: int, maximum: int) -> list[int]:
    """Return at most `maximum` indices of `count`, evenly spread."""
    if count <= maximum:
        return list(range(count))
    return [round(i * (count - 1) / (maximum - 1)) for i in range(maximum)]


def _safe(text: str) -> str:
    """Escape text, and remove the control characters that XML forbids."""
    return escape(visible_line(text), quote=True)
