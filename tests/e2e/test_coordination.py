"""Task graphs, goals and knowledge on a real daemon: killed in the middle, every task ends once."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.execution import sparc_records
from qflow_dagster.quantumflow import verify_history
from tests.e2e.test_dagster import QFLOW, commit, environment, eventually, free_port, git, home, qflow
from tests.http_server import local_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
__all__ = ["environment", "home"]
WIDTH, LAYERS = 8, 5
# The layer whose tasks are under way when everything is killed.
HELD = 2


def layered(held_by: str) -> dict[str, Any]:
    """Layers of tasks, each after two of the layer before, and a map at the end.

    One layer asks a server that answers when it is told to: no task of it ends before.
    """
    tasks: list[dict[str, Any]] = []
    for layer in range(LAYERS):
        doing = (
            {"role": "admin", "adapter": "http", "arguments": {"url": held_by}}
            if layer == HELD
            else {"adapter": "shell", "arguments": {"command": ["sh", "-c", "sleep 0.4; echo done"]}}
        )
        for n in range(WIDTH):
            after = [f"t{layer - 1}-{n}", f"t{layer - 1}-{(n + 1) % WIDTH}"] if layer else []
            tasks.append({"name": f"t{layer}-{n}", "depends_on": after, **doing})
    tasks.append(
        {
            "name": "map",
            "map": "run.items",
            "depends_on": [f"t{LAYERS - 1}-0"],
            "adapter": "shell",
            "arguments": {"command": ["echo", "item ${item}"]},
        }
    )
    return {"name": "layers", "input": {"items": list(range(20))}, "tasks": tasks}


def up(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [*QFLOW, "up", "--port", str(free_port())]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """The daemon with its runs and their tasks at one moment, as a machine that loses power does."""
    root = psutil.Process(process.pid)
    family: set[psutil.Process] = set()
    # All are stopped first: one that still ran could start another that nobody knows of.
    while found := {root, *root.children(recursive=True)} - family:
        for member in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.suspend()
        family |= found
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def test_killed_in_the_middle_every_task_ends_once_and_goals_and_questions_go_on(
    environment: dict[str, str], engine: Engine, home: Path
) -> None:
    environment |= {"QFLOW_QUANTUMFLOW_LEASE": "20", "QFLOW_QUANTUMFLOW_RETRY_DELAY": "1"}
    folder = home / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "cart.py").write_text("def add(item, cart=[]):\n    return [*cart, item]\n")
    commit(folder, "first")
    qflow(environment, "run", str(folder), "--items", "0")
    [item] = qflow(environment, "work", "list")
    goal = qflow(environment, "sparc", "start", "--item", item["id"])["id"]
    asked = qflow(
        environment,
        "knowledge",
        "add",
        "question",
        json.dumps({"question": "where is add defined?"}),
        "--repo",
        "shop",
    )["id"]

    def tasks(graph: str) -> list[Any]:
        """Name, state and attempt of every task, and how often it was completed."""
        query = text("""
            SELECT t.name, w.status, w.attempt, count(*) FILTER (WHERE e.to_status = 'completed') AS ends
            FROM tasks t JOIN workflows w ON w.id = t.id JOIN workflow_events e ON e.workflow_id = t.id
            WHERE t.graph_id = :graph GROUP BY t.id, w.id
        """)
        with engine.connect() as connection:
            return list(connection.execute(query, {"graph": graph}))

    def running(graph: str) -> set[str]:
        return {task.name for task in tasks(graph) if task.status == "running"}

    def state(id_: str) -> str:
        with engine.connect() as connection:
            return str(connection.scalar(text("SELECT status FROM workflows WHERE id = :id"), {"id": id_}))

    def phase() -> str:
        with engine.connect() as connection:
            return sparc_records.show(connection, UUID(goal))["phase"]

    with local_server() as server:
        server.delay = 600
        file = home / "graph.json"
        file.write_text(json.dumps(layered(server.url)))
        graph = qflow(environment, "tasks", "submit", str(file))["id"]
        layer = {f"t{HELD}-{n}" for n in range(WIDTH)}
        process = up(environment)
        try:
            eventually(lambda: running(graph) == layer, "a whole layer is under way")
            kill_all(process)
            held = running(graph)
            assert held == layer
            server.delay = 0
            process = up(environment)
            eventually(lambda: state(graph) == "completed", "the graph is done")
            eventually(lambda: phase() == "completion", "the goal waits for a person")
            eventually(lambda: state(asked) == "resolved", "an answer")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(180)
    done = tasks(graph)
    assert (len(done), {task.ends for task in done}) == (WIDTH * LAYERS + 21, {1})
    # Those that were running when the power went were done by another; nobody did any other twice.
    assert {task.name for task in done if task.attempt > 1} == held
    assert {task.attempt for task in done if task.name not in held} == {1}
    with engine.connect() as connection:
        result = connection.scalar(text("SELECT result FROM workflows WHERE id = :id"), {"id": graph})
        assert [part["output"].strip() for part in result["map"]] == [f"item {n}" for n in range(20)]
        assert verify_history(connection) is None
