"""Pictures are well-formed, small, escaped, and draw what they are given."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.pictures.charts import Box, Tile, histogram, hotspot_map, squarify, trend

SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60))
def test_a_treemap_fills_its_box_in_proportion_and_without_overlap(sizes: list[float]) -> None:
    sizes.sort(reverse=True)
    box = Box(10, 20, 700, 300)
    placed = squarify(sizes, box)
    areas = [b.width * b.height for b in placed]
    assert sum(areas) == pytest.approx(700 * 300, rel=1e-6)
    for area, size in zip(areas, sizes, strict=True):
        assert area == pytest.approx(700 * 300 * size / sum(sizes), rel=1e-4, abs=1e-3)
    for place in placed:
        assert place.x >= 10 - 1e-6
        assert place.y >= 20 - 1e-6
        assert place.x + place.width <= 710 + 1e-6
        assert place.y + place.height <= 320 + 1e-6


def test_the_map_shows_every_file_with_its_name_and_heat() -> None:
    tiles = [Tile("src/hot.py", 500, 1.0), Tile("src/cold.py", 400, 0.0), Tile("setup.py", 10, 0.5)]
    svg = ElementTree.fromstring(hotspot_map(tiles, "shop"))
    titles = [element.text for element in svg.iter(f"{SVG}title")]
    assert sorted(titles) == [
        "setup.py: 10 lines, heat 0.50",
        "src/cold.py: 400 lines, heat 0.00",
        "src/hot.py: 500 lines, heat 1.00",
    ]


def test_a_large_repository_is_cut_to_its_largest_files_and_says_so() -> None:
    tiles = [Tile(f"package{n % 12}/module_{n}.py", 1 + n, n / 5000) for n in range(5000)]
    drawn = hotspot_map(tiles, "big")
    assert "300 largest of 5000 files" in drawn
    assert len(drawn) < 110_000


@given(st.text(min_size=1, max_size=40))
def test_any_name_is_escaped(name: str) -> None:
    for svg in (
        hotspot_map([Tile(name, 100, 0.9)], name),
        histogram([(name, 3)], name),
        trend([name, name], [1, 2], [3, 4], name),
    ):
        assert ElementTree.fromstring(svg).tag == f"{SVG}svg"


def test_nothing_to_draw_is_an_empty_picture_not_an_error() -> None:
    for svg in (hotspot_map([], "none"), histogram([], "none"), trend([], [], [], "none")):
        assert "none" in svg
        ElementTree.fromstring(svg)
