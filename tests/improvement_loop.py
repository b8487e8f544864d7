"""What the tests of the improvement loop share: a small project with things to mend, and the loop on it."""

import dataclasses
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.agents import edits, self_improvement
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import orchestrator
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics.pipeline import compute_all
from tests import decisions
from tests.ingestion.conftest import GitRepository, Ingested

MUTABLE = "def collect(item, found=[]):\n    return [*found, item]\n"
NONE = "def missing(value):\n    return value == None\n"


@dataclasses.dataclass
class Loop:
    """The loop on one repository called `project`, step by step."""

    engine: Engine
    repository: GitRepository
    ingested: Ingested
    name: str = "project"

    def snapshot(self) -> Snapshot:
        with self.engine.connect() as connection:
            return current_snapshot(connection, self.name)

    def find(self) -> dict[str, int]:
        """Ingest HEAD, measure it, evaluate all rules; returns what changed."""
        self.ingested(self.repository)
        snapshot = self.snapshot()
        compute_all(self.engine, snapshot.id)
        evaluation = rule_engine.evaluate(self.engine, self.name)
        with self.engine.begin() as connection:
            return findings.update(connection, snapshot, evaluation)

    def plan(self) -> safe_work_planner.PlanResult:
        with self.engine.begin() as connection:
            return safe_work_planner.plan(connection, self.snapshot())

    def generate(self, limit: int = 10) -> orchestrator.Summary:
        with self.engine.begin() as connection:
            orchestrator.request_generation(connection, self.snapshot(), limit=limit)
        return orchestrator.work(
            self.engine,
            worker="test",
            run_id="run-of-the-test",
            accept=lambda c, k: self_improvement.suggest(c, k) and None,
            limits_of=self_improvement.limits_of,
            limit=limit,
        )

    def improve(self) -> list[dict[str, Any]]:
        """Everything up to the approval; returns the suggestions that wait."""
        self.find()
        self.plan()
        self.generate()
        return self.waiting()

    def waiting(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return self_improvement.find(connection, states=["awaiting_approval"])

    def approve(self, suggestion: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            decisions.approve(connection, suggestion["approval"], actor="ada")

    def apply(self) -> list[edits.ApplyResult]:
        return edits.apply_approved(self.engine, worker="test")

    def state(self, id_: UUID) -> str:
        with self.engine.connect() as connection:
            return connection.scalar(text("SELECT status FROM workflows WHERE id = :id"), {"id": id_})

    def open(self) -> list[tuple[str, str, int]]:
        """(rule, path, line) of what is open."""
        with self.engine.connect() as connection:
            rows = findings.find(connection, limit=1_000)
        return sorted((row["rule"], row["path"], row["line"]) for row in rows)


@pytest.fixture
def loop(engine: Engine, repository: GitRepository, ingested: Ingested, in_this_process: None) -> Loop:
    """The loop in the process of the test."""
    return Loop(engine, repository, ingested)
