"""Suggestions and edits: applied only when approved, once, on a branch of their own; verified; reverted."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from qflow_dagster.agents import (
    edit_commits,
    edit_records,
    edit_verification,
    self_improvement,
    suggestion_statistics,
)
from qflow_dagster.agents.improvement_policy import PROFILES
from qflow_dagster.approvals import arbiter
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.execution import work_items
from qflow_dagster.generation import validation
from qflow_dagster.infrastructure.error_analysis import analyze
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.quantumflow import verify_history
from qflow_dagster.settings import settings
from tests import decisions
from tests.agents.conftest import branches, untouched
from tests.evolution.judgements_in_database import decided
from tests.improvement_loop import MUTABLE, NONE, Loop


def test_from_a_finding_to_a_verified_commit_with_trailers(loop: Loop) -> None:
    head = loop.repository.commit({"app/a.py": MUTABLE})
    loop.repository.git("config", "user.name", "Ann")
    loop.repository.git("config", "user.email", "ann@example.com")
    [suggestion] = loop.improve()
    assert branches(loop) == []
    loop.approve(suggestion)
    [applied] = loop.apply()
    assert applied.problem is None
    untouched(loop, head)
    assert branches(loop) == [suggestion["branch"]]
    words = loop.repository.git("show", "-s", "--format=%an|%s|%P%n%B", applied.commit or "")
    assert words.startswith(f"Ann|A mutable default argument: app/a.py|{head}")
    for trailer, value in {
        "Qflow-Rule": "python/mutable-default",
        "Qflow-Generators": "codemod",
        "Qflow-Suggestion": str(suggestion["id"]),
        "Qflow-Approval": str(suggestion["approval"]),
        "Qflow-Run": "run-of-the-test",
    }.items():
        assert f"{trailer}: {value}" in words
    assert loop.state(suggestion["approval"]) == "consumed"
    [verified] = edit_verification.verify_applied(loop.engine)
    assert verified.good
    assert loop.state(suggestion["id"]) == "verified"
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="story", state="all")
        [row] = suggestion_statistics.statistics(connection)
        outcome = edit_records.show(connection, suggestion["id"])["outcome"]
        assert verify_history(connection) is None
    assert feature["state"] == "done"
    assert (row["suggested"], row["applied"], row["acceptance"]) == (1, 1, 1.0)
    assert (outcome["before"]["findings"], outcome["after"]["findings"]) == (1, 0)


def test_a_finding_whose_edit_waits_to_be_merged_is_not_worked_on_again(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    edit_verification.verify_applied(loop.engine)
    loop.repository.commit({"other.py": "x = 1\n"})
    loop.find()
    loop.plan()
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="story", state="all")
    assert feature["state"] == "done"
    # Taken back, it is work again.
    edit_verification.revert(loop.engine, suggestion["id"], actor="ada", reason="not so")
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="story", state="all")
    assert feature["state"] == "backlog"


def test_what_people_refuse_does_not_keep_the_rest_from_its_turn(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": "def missing(value):\n    return value == None\n"})
    loop.find()
    loop.plan()
    loop.generate(limit=1)
    [first] = loop.waiting()
    with loop.engine.begin() as connection:
        decisions.deny(connection, first["approval"], actor="ada", comment="no")
    loop.apply()
    loop.repository.commit({"c.py": "x = 1\n"})
    loop.find()
    loop.plan()
    loop.generate(limit=1)
    [second] = loop.waiting()
    assert second["paths"] != first["paths"]


def test_an_edit_that_makes_the_code_harder_to_follow_is_reverted(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    monkeypatch.setattr(validation, "max_complexity", lambda before, findings: before)
    [verified] = edit_verification.verify_applied(loop.engine)
    assert (verified.good, verified.reason) == (False, "cognitive complexity is 1, 0 before")
    assert loop.state(suggestion["id"]) == "reverted"


def test_nothing_is_applied_without_an_approval_and_nothing_twice(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    assert loop.apply() == []
    loop.approve(suggestion)
    assert len(loop.apply()) == 1
    assert loop.apply() == []
    assert loop.repository.git("rev-list", "--count", f"main..{suggestion['branch']}") == "1"


def test_a_patch_altered_after_its_approval_is_refused(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    with loop.engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET patch = replace(patch, 'None', 'Evil')"))
    [applied] = loop.apply()
    assert applied.problem == "mismatch"
    assert branches(loop) == []


def test_a_denied_suggestion_ends_and_the_work_goes_back(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    with loop.engine.begin() as connection:
        decisions.deny(connection, suggestion["approval"], actor="ada", comment="not here")
    assert loop.apply() == []
    assert loop.state(suggestion["id"]) == "rejected"
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="story")
        assert feature["state"] == "backlog"
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "denied"
    # The same change is not suggested again, on another commit either.
    loop.repository.commit({"other.txt": "x\n"})
    assert loop.improve() == []
    with loop.engine.connect() as connection:
        shown = work_items.show(connection, feature["id"])
    assert shown["history"][-1]["data"]["suggestion"] == str(suggestion["id"])


def test_the_requester_cannot_approve_its_own_edit(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    with loop.engine.begin() as connection, pytest.raises(arbiter.DecisionRefusedError):
        decisions.approve(connection, suggestion["approval"], actor="agent:code_quality")


def test_a_regression_after_application_is_reverted_by_itself(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = loop.repository.commit({"a.py": MUTABLE, "check.sh": "exit 0\n"})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    [applied] = loop.apply()
    # Since then somebody has said how it is tested, and the change does not stand that test.
    command = "grep -qF found=[] a.py"
    monkeypatch.setattr(settings().generation, "test_commands", {"project": command})
    [verified] = edit_verification.verify_applied(loop.engine)
    assert not verified.good
    assert loop.state(suggestion["id"]) == "reverted"
    branch = suggestion["branch"]
    assert loop.repository.git("show", f"{branch}:a.py") == MUTABLE.strip()
    assert loop.repository.git("rev-parse", f"{branch}~1") == applied.commit
    assert "This reverts commit" in loop.repository.git("show", "-s", "--format=%B", branch)
    untouched(loop, head)
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "reverted"
    assert edit_verification.verify_applied(loop.engine) == []


def test_a_person_reverts_and_a_branch_somebody_built_on_is_left_alone(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE})
    first, second = loop.improve()
    for suggestion in (first, second):
        loop.approve(suggestion)
    loop.apply()
    edit_verification.verify_applied(loop.engine)
    commit = edit_verification.revert(loop.engine, first["id"], actor="ada", reason="changed my mind")
    assert loop.repository.git("rev-parse", first["branch"]) == commit
    with pytest.raises(QflowError, match="was reverted before"):
        edit_verification.revert(loop.engine, first["id"], actor="ada", reason="again")
    tree = loop.repository.git("rev-parse", f"{second['branch']}^{{tree}}")
    mine = loop.repository.git("commit-tree", "-p", second["branch"], "-m", "mine", tree)
    loop.repository.git("update-ref", f"refs/heads/{second['branch']}", mine)
    with pytest.raises(edit_commits.BranchMovedError):
        edit_verification.revert(loop.engine, second["id"], actor="ada", reason="too late")
    assert loop.state(second["id"]) == "verified"
    assert loop.repository.git("rev-parse", second["branch"]) == mine


def test_a_checked_out_branch_is_never_moved(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    loop.repository.git("checkout", "--quiet", suggestion["branch"])
    with pytest.raises(edit_commits.BranchMovedError, match="checked out"):
        edit_verification.revert(loop.engine, suggestion["id"], actor="ada", reason="x")
    assert loop.repository.git("status", "--porcelain") == ""
    loop.repository.git("checkout", "--quiet", "main")
    edit_verification.revert(loop.engine, suggestion["id"], actor="ada", reason="x")


def test_a_day_has_its_limit_and_what_is_over_it_waits(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().improvement, "edits_per_day", 1)
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE})
    for suggestion in loop.improve():
        loop.approve(suggestion)
    problems = [one.problem for one in loop.apply()]
    assert problems.count(None) == 1
    assert "the limit; it stays approved" in str(next(filter(None, problems)))
    with loop.engine.begin() as connection:
        connection.execute(text("UPDATE edits SET applied_at = applied_at - interval '1 day'"))
    assert [one.problem for one in loop.apply()] == [None]


def test_a_policy_approves_what_all_gates_passed_of_a_rule_that_earned_it_and_only_then(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().approvals, "policy_kinds", ["edit"])
    # No gate is skipped: a policy does not approve what was not checked.
    monkeypatch.setattr(settings().generation, "behaviour_seconds", 20)
    monkeypatch.setattr(settings().generation, "test_commands", {"project": "true"})
    # What a rule says of itself is not enough.
    loop.repository.commit({"first.py": MUTABLE.replace("collect", "gather")})
    [unearned] = loop.improve()
    assert loop.state(unearned["approval"]) == "pending"
    for rule in load_rules():
        if rule.id in ("python/mutable-default", "python/comparison-to-none"):
            decided(loop.engine, rule, [True] * 40)
    loop.repository.commit({"a.py": MUTABLE})
    [granted] = [one for one in approved(loop) if "a.py" in one["title"]]
    assert loop.state(granted["approval"]) == "approved"
    assert [one.problem for one in loop.apply()] == [None]
    # Without tests a gate is not green, and a person decides.
    monkeypatch.setattr(settings().generation, "tests", "off")
    loop.repository.commit({"b.py": NONE})
    [asked] = [one for one in loop.improve() if "b.py" in one["title"]]
    assert loop.state(asked["approval"]) == "pending"


def approved(loop: Loop) -> list[dict[str, Any]]:
    """Run the loop; the suggestions of the repository whose approval was granted and not used yet."""
    loop.improve()
    with loop.engine.connect() as connection:
        found = self_improvement.find(connection, repository_id=loop.snapshot().repository_id)
    return [one for one in found if loop.state(one["approval"]) == "approved"]


def test_the_place_for_waiting_suggestions_is_bounded(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().improvement, "waiting", 1)
    loop.repository.commit({"a.py": MUTABLE})
    loop.improve()
    with loop.engine.connect() as connection:
        assert self_improvement.remaining_capacity(connection, loop.snapshot().repository_id) == 0


def test_a_vanished_commit_ends_the_suggestion_and_frees_its_approval(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    with loop.engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET patch = replace(patch, 'a/a.py', 'a/x.py')"))
    assert loop.apply()[0].problem
    assert loop.state(suggestion["approval"]) == "revoked"
    assert loop.state(suggestion["id"]) == "failed"


def test_an_edit_that_new_errors_are_put_down_to_is_reverted(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    [applied] = loop.apply()
    edit_verification.verify_applied(loop.engine)
    assert edit_verification.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="shop", message="no list")] * 3)
    analyze(loop.engine)
    with loop.engine.begin() as connection:
        suspect = json.dumps({"repository": "project", "commit": applied.commit, "path": "a.py"})
        connection.execute(
            text("UPDATE error_groups SET suspect = CAST(:suspect AS jsonb)"), {"suspect": suspect}
        )
    # Not by an error its profile does not watch for any more, nor by few errors among many calls.
    with monkeypatch.context() as patched:
        unwatched = {name: replace(profile, window=0.0) for name, profile in PROFILES.items()}
        unwatched["self_improving"] = PROFILES["self_improving"]
        patched.setattr(edit_verification, "PROFILES", unwatched)
        assert edit_verification.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_successes(connection, [("shop", 0.0, 997)])
    assert edit_verification.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="shop", message="no list")] * 30)
    [reverted] = edit_verification.revert_suspected(loop.engine)
    assert (reverted.edit_id, reverted.good) == (suggestion["id"], False)
    assert "shop: no list (33 of 1030 failed)" in reverted.reason
    assert loop.state(suggestion["id"]) == "reverted"
