"""The improvement loop on a small repository, without worker processes; task graphs run by a scripted adapter."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from qflow_dagster.execution import task_graph, task_records
from qflow_dagster.execution.task_adapters import ADAPTERS, Call, TaskFailedError
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.execution.task_worker import TaskCounts, work
from qflow_dagster.safety.documents import parse
from tests.improvement_loop import loop
from tests.ingestion.conftest import ingested, make_repository, repository
from tests.worker_processes import in_this_process

__all__ = ["in_this_process", "ingested", "loop", "make_repository", "repository"]


class Script:
    """An adapter that does what the test says, and remembers what was done."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Callable[[Call], Any]] = {}
        self.lock = threading.Lock()

    def __call__(self, call: Call) -> Any:
        with self.lock:
            self.calls.append(call)
        answer = self.answers.get(
            call.name.split("-")[0], lambda call: call.arguments.get("value", call.name)
        )
        return answer(call)

    @property
    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    @property
    def adapters(self) -> Mapping[str, Any]:
        return {**ADAPTERS, "python": self}


@pytest.fixture
def script() -> Script:
    return Script()


def graph(*tasks: dict[str, Any], **fields: Any) -> str:
    return json.dumps(
        {
            "name": "test",
            "tasks": [
                t if {"adapter", "tasks", "template"} & set(t) else {"adapter": "python", **t} for t in tasks
            ],
            **fields,
        }
    )


def submit(engine: Engine, script: Script, *tasks: dict[str, Any], **fields: Any) -> UUID:
    definition = read_graph(parse(graph(*tasks, **fields), "test.yaml"), script.adapters)
    with engine.begin() as connection:
        return task_graph.submit(connection, definition, requested_by="tester")


def do(engine: Engine, script: Script) -> TaskCounts:
    return work(engine, worker="worker", adapters=script.adapters, threads=4)


def states(engine: Engine, id_: UUID) -> dict[str, str]:
    with engine.connect() as connection:
        return {row["name"]: row["state"] for row in task_records.tasks_of(connection, id_)}


def whole(engine: Engine, id_: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        return task_records.show(connection, id_)


def task_id(engine: Engine, id_: UUID, name: str) -> UUID:
    with engine.connect() as connection:
        return next(row["id"] for row in task_records.tasks_of(connection, id_) if row["name"] == name)


def failing(times: int, **given: Any) -> Callable[[Call], Any]:
    left = [times]

    def answer(call: Call) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise TaskFailedError("not yet", kind="external", **given)
        return "done"

    return answer
