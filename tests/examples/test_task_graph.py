"""The task graph: submitted, and done to its end."""

import json
import subprocess
from collections.abc import Callable

from tests.cli.test_commands import ok
from tests.examples.conftest import EXAMPLES

Run = Callable[..., subprocess.CompletedProcess[str]]
GRAPH = str(EXAMPLES / "task_graph" / "release.yaml")


def done(qflow: Run, *options: str) -> dict:
    id_ = ok(qflow("tasks", "submit", GRAPH, *options)).strip()
    ok(qflow("tasks", "work"))
    return json.loads(ok(qflow("tasks", "show", id_, "--json")))


def test_the_graph_releases_three_services(qflow: Run) -> None:
    graph = done(qflow)
    assert graph["state"] == "completed"
    assert graph["result"]["announce"]["output"] == "released 3 services\n"
    assert graph["critical_path"] == ["build", "count", "announce"]


def test_with_other_input_its_condition_does_not_hold(qflow: Run) -> None:
    graph = done(qflow, "--input", '{"services": ["web"]}')
    states = {task["name"]: task["state"] for task in graph["tasks"]}
    assert (states["count"], states["announce"]) == ("completed", "skipped")
