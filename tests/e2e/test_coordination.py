"""Task graphs, goals and knowledge on a real daemon: killed in the middle, every task ends once."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.quantumflow import verify_history
from tests.e2e.test_dagster import QFLOW, commit, environment, eventually, free_port, git, home, qflow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
__all__ = ["environment", "home"]
WIDTH, LAYERS = 8, 5


def layered() -> dict[str, Any]:
    """Layers of tasks, each after two of the layer before, and a map at the end."""
    tasks: list[dict[str, Any]] = []
    for layer in range(LAYERS):
        for n in range(WIDTH):
            after = [f"t{layer - 1}-{n}", f"t{layer - 1}-{(n + 1) % WIDTH}"] if layer else []
            tasks.append({"name": f"t{layer}-{n}", "depends_on": after, "adapter": "shell",
                          "arguments": {"command": ["sh", "-c", "sleep 0.4; echo done"]}})  # fmt: skip
    tasks.append({"name": "map", "map": "run.items", "depends_on": [f"t{LAYERS - 1}-0"], "adapter": "shell",
                  "arguments": {"command": ["echo", "item ${item}"]}})  # fmt: skip
    return {"name": "layers", "input": {"items": list(range(20))}, "tasks": tasks}


def up(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [*QFLOW, "up", "--port", str(free_port()), "--inbox-port", str(free_port())]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """The daemon with its runs and their tasks, as a machine that loses power does."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def test_killed_in_the_middle_every_task_ends_once_and_goals_and_questions_go_on(
    environment: dict[str, str], engine: Engine, home: Path
) -> None:
    environment |= {"QFLOW_QUANTUMFLOW_LEASE": "10", "QFLOW_QUANTUMFLOW_RETRY_DELAY": "1"}
    folder = home / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "cart.py").write_text("def add(item, cart=[]):\n    cart.append(item)\n    return cart\n")
    commit(folder, "first")
    qflow(environment, "run", str(folder), "--items", "0")
    [item] = qflow(environment, "work", "list")
    goal = qflow(environment, "sparc", "start", "--item", item["id"])["id"]
    asked = qflow(environment, "knowledge", "add", "question", json.dumps({"question": "where is add defined?"}),
                  "--repo", "shop")["id"]  # fmt: skip
    file = home / "graph.json"
    file.write_text(json.dumps(layered()))
    graph = qflow(environment, "tasks", "submit", str(file))["id"]

    def completed() -> int:
        with engine.connect() as connection:
            query = text(
                "SELECT count(*) FROM tasks t JOIN workflows w ON w.id = t.id WHERE w.status = 'completed'"
            )
            return connection.scalar(query) or 0

    process = up(environment)
    try:
        eventually(lambda: completed() >= 0.3 * WIDTH * LAYERS, "tasks are done")
        kill_all(process)
        assert completed() < WIDTH * LAYERS
        process = up(environment)
        eventually(
            lambda: qflow(environment, "tasks", "show", graph)["state"] == "completed", "the graph is done"
        )
        eventually(
            lambda: qflow(environment, "sparc", "show", goal)["phase"] == "completion",
            "the goal waits for a person",
        )
        eventually(lambda: qflow(environment, "knowledge", "show", asked)["state"] == "resolved", "an answer")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
    with engine.connect() as connection:
        query = text("""
            SELECT count(*) AS tasks, count(*) FILTER (WHERE ends = 1) AS once, max(attempt) AS attempts FROM (
                SELECT t.id, w.attempt, count(*) FILTER (WHERE e.to_status = 'completed') AS ends
                FROM tasks t JOIN workflows w ON w.id = t.id JOIN workflow_events e ON e.workflow_id = t.id
                WHERE t.graph_id = :graph GROUP BY t.id, w.attempt) AS counted
        """)
        row = connection.execute(query, {"graph": graph}).one()
        assert (row.tasks, row.once) == (WIDTH * LAYERS + 21, WIDTH * LAYERS + 21)
        # Some were running when the power went: they were done by another.
        assert row.attempts > 1
        result = connection.scalar(text("SELECT result FROM workflows WHERE id = :id"), {"id": graph})
        assert [part["output"].strip() for part in result["map"]] == [f"item {n}" for n in range(20)]
        assert verify_history(connection) is None
