"""The improvement loop on a small repository, with worker processes: what ends or hangs them is tried here."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.generation.generators.protocol import Request
from tests.improvement_loop import NONE, Loop
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]


@pytest.fixture
def loop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Loop:
    return Loop(engine, repository, ingested)


RULES = {rule.id: rule for rule in load_rules()}
DEEP = (
    "def deep(a):\n" + "".join(f"{'    ' * n}if a > {n}:\n" for n in range(1, 9)) + f"{'    ' * 9}return 1\n"
)


def request(rule: str = "python/comparison-to-none", code: str = NONE, path: str = "a.py") -> Request:
    return Request(
        repository="project",
        base="0" * 40,
        path=path,
        language="python",
        text=code,
        rule=RULES[rule],
        target="py311",
        findings=((2, "here"),),
    )
