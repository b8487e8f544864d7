"""Generation: candidates of several generators side by side; a hostile one harms no other."""

import time
from collections.abc import Iterable

import pytest
from sqlalchemy import text

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import work_items
from qflow_dagster.generation import candidate_records, proposing
from qflow_dagster.generation import generators as registry
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import Proposal, Request
from qflow_dagster.settings import settings
from tests.improvement_loop import MUTABLE, NONE, Loop


class Hostile:
    """A generator that does what it is told to by its name."""

    isolated = True
    cost = 0.0

    def __init__(self, name: str) -> None:
        self.name = name

    def fits(self, rule: Rule, language: str) -> bool:
        return True

    def generate(self, request: Request) -> Iterable[Proposal]:
        match self.name:
            case "crash":
                import os

                os.kill(os.getpid(), 11)
            case "hang":
                time.sleep(600)
            case "raise":
                raise RuntimeError("no idea")
            case "escape":
                yield Proposal(contents={"../../etc/passwd": "x"})
            case "break":
                yield Proposal(contents={request.path: "def broken(:\n"})


ENTRY = """
import sys; sys.path.insert(0, {root!r})
from qflow_dagster import processes
from qflow_dagster.generation import generators as registry
from tests.generation.test_orchestrator import Hostile
known = registry.generators()
known.update({{name: Hostile(name) for name in {names!r}}})
processes.serve()
"""


def test_a_generator_that_crashes_hangs_or_lies_harms_no_other(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    from qflow_dagster import processes

    names = ["crash", "hang", "raise", "escape", "break"]
    everything = {**generators(), **{name: Hostile(name) for name in names}}
    for module in (proposing, registry):
        monkeypatch.setattr(module, "generators", lambda: everything)
    root = str(Path(__file__).parents[2])
    monkeypatch.setattr(processes, "ENTRY", ENTRY.format(root=root, names=names))
    monkeypatch.setattr(settings().generation, "timeout", 20)
    loop.repository.commit({"a.py": MUTABLE})
    [*waiting] = loop.improve()
    assert [row["rule"] for row in waiting] == ["python/mutable-default"]
    with loop.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT generator, outcome, problem FROM generation_attempts WHERE generator = ANY(:names)"),
            {"names": names},
        ).all()
    told = {row.generator: (row.outcome, row.problem) for row in rows}
    assert told["crash"] == ("failed", "it ended with code -11")
    assert told["hang"] == ("failed", "it did not answer in time")
    assert told["raise"] == ("failed", "RuntimeError: no idea")
    assert told["escape"][0] == told["break"][0] == "proposed"


def test_what_two_propose_alike_is_one_candidate_with_both_as_sources(loop: Loop) -> None:
    loop.repository.commit({"b.py": NONE})
    [suggestion] = loop.improve()
    assert sorted(suggestion["sources"]) == ["codemod", "ruff-fix"]
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM candidates")) == 1


def test_the_number_of_items_is_bounded_and_each_commit_is_tried_once(loop: Loop) -> None:
    loop.repository.commit({f"f{n}.py": NONE for n in range(5)})
    loop.find()
    loop.plan()
    assert loop.generate(limit=2).items == 2
    assert loop.generate(limit=10).items == 3
    assert loop.generate(limit=10).items == 0


def test_an_item_nothing_is_proposed_for_goes_back_with_the_reason(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposing, "generators", dict)
    loop.repository.commit({"b.py": NONE})
    assert loop.improve() == []
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="feature")
        shown = work_items.show(connection, feature["id"])
    assert shown["state"] == "backlog"
    assert shown["history"][-1]["data"] == {"reason": "nothing was proposed"}


@pytest.mark.parametrize(
    ("by", "of"), [("generator", "codemod"), ("rule", "python/mutable-default"), ("language", "python")]
)
def test_how_changes_fare_is_told_by_generator_rule_and_language(loop: Loop, by: str, of: str) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.improve()
    with loop.engine.connect() as connection:
        [row] = candidate_records.analytics(connection, by=by)
    assert (row[by], row["asked"], row["passed"], row["accepted"]) == (of, 1, 1, 0)
