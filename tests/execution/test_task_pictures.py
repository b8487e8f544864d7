"""Pictures of graphs: layers, states, and nothing from outside that becomes markup."""

from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.execution.task_records import critical_path
from qflow_dagster.pictures.task_graph import MAX_BOXES, layers, lines, svg


def task(
    name: str, *after: str, state: str = "completed", depth: int = 0, seconds: float | None = 1.0
) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "role": "coder",
        "depends_on": list(after),
        "depth": depth,
        "seconds": seconds,
        "error": {"message": "it broke\nbadly"} if state == "failed" else None,
    }


DIAMOND = [task("a"), task("b", "a", seconds=3.0), task("c", "a"), task("d", "b", "c", state="failed")]


def test_a_layer_holds_what_depends_on_the_layers_before() -> None:
    assert [[one["name"] for one in layer] for layer in layers(DIAMOND)] == [["a"], ["b", "c"], ["d"]]


def test_the_critical_path_is_the_longest_way() -> None:
    assert critical_path(DIAMOND) == (["a", "b", "d"], 5.0)
    assert critical_path([]) == ([], 0.0)


def test_lines_tell_state_dependencies_time_and_error() -> None:
    assert lines([*DIAMOND, task("d-1", depth=1)])[3:] == [
        "✗ d  (failed)  after b, c  it broke",
        "   ✓ d-1  (completed)  1.0 s",
    ]


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20, unique=True), st.text(max_size=50))
def test_any_name_is_text_and_no_markup(names: list[str], title: str) -> None:
    tasks = [task(name, *names[:number]) for number, name in enumerate(names)]
    printable = "".join(c for c in svg(tasks, title) if c.isprintable() or c == " ")
    root = ElementTree.fromstring(printable)
    allowed = {"svg", "rect", "text", "path", "g", "title"}
    assert {element.tag.partition("}")[2] for element in root.iter()} <= allowed


def test_a_graph_too_large_to_draw_is_counted_by_layer() -> None:
    tasks = [task(f"t{n}") for n in range(MAX_BOXES + 1)]
    picture = svg(tasks, "large")
    assert f"{MAX_BOXES + 1} completed" in picture
    assert f"{MAX_BOXES + 1:,} tasks by layer" in picture
