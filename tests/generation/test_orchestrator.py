"""Generation: candidates of several generators side by side; a hostile one harms no other."""

import dataclasses
import time
from collections.abc import Iterable

import pytest
from sqlalchemy import text

from qflow_dagster.agents import edit_verification, exclusion, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution.matchers import Edit, apply_changes
from qflow_dagster.evolution.rules import Matcher, Rule, load_rules
from qflow_dagster.execution import work_items
from qflow_dagster.generation import candidate_records, orchestrator, proposing, workers
from qflow_dagster.generation import generators as registry
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import Fix, Proposal, Request
from qflow_dagster.generation.generators.ruff_fix import RuffFix
from qflow_dagster.generation.validation import validate
from qflow_dagster.settings import settings
from tests.generation.conftest import request
from tests.improvement_loop import MUTABLE, NONE, Loop

PACKAGE = {"setup.py": "", "a.py": NONE}


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
known = registry.installed()
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


class Twin(RuffFix):
    """A second generator, which proposes what ruff proposes."""

    name = "twin"
    isolated = False


def test_what_two_propose_alike_is_one_candidate_with_both_as_sources(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {**generators(), "twin": Twin()}
    for module in (proposing, registry, workers):
        monkeypatch.setattr(module, "generators", lambda: everything)
    loop.repository.commit({"b.py": NONE})
    [suggestion] = loop.improve()
    assert sorted(suggestion["sources"]) == ["ruff-fix", "twin"]
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM candidates")) == 1


def test_the_number_of_items_is_bounded_and_each_commit_is_tried_once(loop: Loop) -> None:
    loop.repository.commit({f"p{n}/{name}": code for n in range(5) for name, code in PACKAGE.items()})
    loop.find()
    loop.plan()
    assert loop.generate(limit=2).items == 2
    assert loop.generate(limit=10).items == 3
    assert loop.generate(limit=10).items == 0


def test_a_rule_is_changed_once_per_package_whatever_the_number_of_files(loop: Loop) -> None:
    loop.repository.commit(
        {
            "a.py": NONE,
            "b/c.py": NONE + "\n\n" + NONE.replace("missing", "also"),
            "p/setup.py": "",
            "p/d.py": NONE,
        }
    )
    by_paths = {tuple(row["paths"]): row for row in loop.improve()}
    assert set(by_paths) == {("a.py", "b/c.py"), ("p/d.py",)}
    together = by_paths["a.py", "b/c.py"]
    assert together["title"].endswith("3 locations in 2 files")
    with loop.engine.connect() as connection:
        shown = self_improvement.show(connection, together["id"])
    assert sorted(shown["locations"]) == ["a.py:2", "b/c.py:2", "b/c.py:6"]
    loop.approve(together)
    [applied] = loop.apply()
    assert applied.problem is None
    edit_verification.verify_applied(loop.engine)
    with loop.engine.connect() as connection:
        done = work_items.find(connection, level="story", state="done")
    assert sorted(item["path"] for item in done) == ["a.py", "b/c.py"]


def test_a_reviewer_leaves_a_location_out_and_decides_on_the_rest(loop: Loop) -> None:
    also = NONE.replace("missing", "also")
    loop.repository.commit({"a.py": NONE + "\n\n" + also, "b.py": NONE})
    [before] = loop.improve()
    with pytest.raises(UsageError, match=r"a\.py:3 is not changed by it; there are"):
        exclusion.exclude(loop.engine, before["id"], ["a.py:3"], actor="ada", reason="no")
    with pytest.raises(UsageError, match="nothing would be left"):
        exclusion.exclude(loop.engine, before["id"], ["a.py:2", "a.py:6", "b.py:2"], actor="ada", reason="no")
    new = exclusion.exclude(loop.engine, before["id"], ["a.py:2", "b.py:2"], actor="ada", reason="meant")
    assert loop.state(before["id"]) == "superseded"
    assert loop.state(before["approval"]) == "revoked"
    [after] = loop.waiting()
    assert (after["id"], after["paths"]) == (new, ["a.py"])
    assert ("python/comparison-to-none", "a.py", 2) not in loop.open()
    loop.approve(after)
    [applied] = loop.apply()
    assert applied.commit is not None
    text_after = loop.repository.git("show", f"{applied.commit}:a.py")
    assert text_after.strip() == (NONE + "\n\n" + also.replace("== None", "is None")).strip()


def test_a_change_has_no_more_files_than_its_agent_may_change_and_the_rest_goes_back(loop: Loop) -> None:
    loop.repository.commit({f"f{n}.py": NONE for n in range(7)})
    [suggestion] = loop.improve()
    assert len(suggestion["paths"]) == PROFILES["code_quality"].max_files
    with loop.engine.connect() as connection:
        [*left] = work_items.find(connection, level="story", state="backlog")
    assert len(left) == 7 - len(suggestion["paths"])


def test_a_location_that_fails_a_gate_does_not_block_the_others() -> None:
    code = "def a(x):\n    return x == 1\n\n\ndef b(x):\n    return x == 2\n"
    good = Fix(2, 2, (Edit(code.index("x == 1"), code.index("x == 1") + 6, "not x"),))
    broken = Fix(6, 6, (Edit(code.index("x == 2"), code.index("x == 2") + 6, "x is is"),))
    rule = next(rule for rule in load_rules() if rule.id == "python/comparison-to-none")
    rule = rule.model_copy(
        update={"matcher": Matcher.model_validate({"ast-grep": {"rule": {"pattern": "x == $A"}}})}
    )
    text_after, _ = apply_changes(code, [good.edits, broken.edits])
    result = validate(
        dataclasses.replace(request(code=code), rule=rule, findings=()),
        Proposal(contents={"a.py": text_after}, fixes=(good, broken)),
        [rule],
    )
    assert result.passed
    assert result.fixes == (good,)
    assert [(location.line, location.reason.split(":")[0]) for location in result.withheld] == [(6, "parses")]


def test_an_item_nothing_is_proposed_for_goes_back_with_the_reason(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposing, "generators", dict)
    loop.repository.commit({"b.py": NONE})
    assert loop.improve() == []
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="story")
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


@pytest.mark.parametrize(("missing", "changes"), [("a.py", 0), ("b.py", 1)])
def test_a_blob_that_is_missing_costs_the_change_of_its_file_alone(
    loop: Loop, missing: str, changes: int
) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": "y = 2\n"})
    loop.find()
    loop.plan()
    loop.repository.loose(f"HEAD:{missing}").unlink()
    loop.generate()
    assert len(loop.waiting()) == changes


def test_a_generation_that_a_missing_blob_prevents_says_so(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": "y = 2\n"})
    loop.find()
    loop.plan()
    loop.repository.loose("HEAD:a.py").unlink()
    loop.generate()
    with loop.engine.connect() as connection:
        [failed] = orchestrator.failures(connection, "run-of-the-test")
        assert orchestrator.failures(connection, "another-run") == []
    assert failed["changes"] == 1
    assert "a.py is too large, not UTF-8, or missing from the repository" in failed["reason"]
