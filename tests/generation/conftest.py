"""The improvement loop on a small repository, with worker processes: what ends or hangs them is tried here."""

import pytest
from sqlalchemy import Engine, text

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


def changes(loop: Loop) -> dict[str, list[str]]:
    """Return the changed lines of each suggested file, after the loop has run."""
    found: dict[str, list[str]] = {}
    for suggestion in loop.improve():
        with loop.engine.connect() as connection:
            patch = connection.scalar(
                text(
                    "SELECT c.patch FROM candidates c JOIN suggestions s ON s.candidate_id = c.id WHERE s.id = :id"
                ),
                {"id": suggestion["id"]},
            )
        path = ""
        for line in str(patch).splitlines():
            path = line.removeprefix("+++ b/") if line.startswith("+++ ") else path
            if line.startswith("+") and not line.startswith("+++"):
                found.setdefault(path, []).append(line[1:].strip())
    return found
