"""Suggestions and edits: applied only when approved, once, on a branch of their own; verified; reverted."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from qflow_dagster.agents import edit_commits, edits, improvement_policy, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES, Record, exceeds, should_act
from qflow_dagster.approvals import arbiter
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.execution import work_items
from qflow_dagster.generation import orchestrator, validation
from qflow_dagster.infrastructure.error_analysis import analyse
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.quantumflow import reclaim_expired, verify_history
from qflow_dagster.settings import settings
from tests import decisions
from tests.evolution.judgements_in_database import decided
from tests.improvement_loop import MUTABLE, NONE, Loop

ROOT = Path(__file__).parents[2]
APPLIER = Path(__file__).with_name("applier.py")


def branches(loop: Loop) -> list[str]:
    listing = loop.repository.git("for-each-ref", "--format=%(refname:short)", "refs/heads/qflow")
    return listing.split()


def untouched(loop: Loop, head: str) -> None:
    """The user's branch and work tree are as they were."""
    assert loop.repository.git("rev-parse", "HEAD") == head
    assert loop.repository.git("status", "--porcelain") == ""
    assert loop.repository.git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_from_a_finding_to_a_verified_commit_with_trailers(loop: Loop) -> None:
    head = loop.repository.commit({"app/a.py": MUTABLE})
    [suggestion] = loop.improve()
    assert branches(loop) == []
    loop.approve(suggestion)
    [applied] = loop.apply()
    assert applied.problem is None
    untouched(loop, head)
    assert branches(loop) == [suggestion["branch"]]
    words = loop.repository.git("show", "-s", "--format=%an|%s|%P%n%B", applied.commit or "")
    assert words.startswith(f"qflow|A mutable default argument: app/a.py|{head}")
    for trailer, value in {
        "Qflow-Rule": "python/mutable-default",
        "Qflow-Generators": "codemod",
        "Qflow-Suggestion": str(suggestion["id"]),
        "Qflow-Approval": str(suggestion["approval"]),
        "Qflow-Run": "run-of-the-test",
    }.items():
        assert f"{trailer}: {value}" in words
    assert loop.state(suggestion["approval"]) == "consumed"
    [verified] = edits.verify_applied(loop.engine)
    assert verified.good
    assert loop.state(suggestion["id"]) == "verified"
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="feature", state="all")
        [row] = self_improvement.statistics(connection)
        outcome = edits.show(connection, suggestion["id"])["outcome"]
        assert verify_history(connection) is None
    assert feature["state"] == "done"
    assert (row["suggested"], row["applied"], row["acceptance"]) == (1, 1, 1.0)
    assert (outcome["before"]["findings"], outcome["after"]["findings"]) == (1, 0)


def test_a_finding_whose_edit_waits_to_be_merged_is_not_worked_on_again(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    edits.verify_applied(loop.engine)
    loop.repository.commit({"other.py": "x = 1\n"})
    loop.find()
    loop.plan()
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="feature", state="all")
    assert feature["state"] == "done"
    # Taken back, it is work again.
    edits.revert(loop.engine, suggestion["id"], actor="ada", reason="not so")
    with loop.engine.connect() as connection:
        [feature] = work_items.find(connection, level="feature", state="all")
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
    [verified] = edits.verify_applied(loop.engine)
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
        [feature] = work_items.find(connection, level="feature")
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
    [verified] = edits.verify_applied(loop.engine)
    assert not verified.good
    assert loop.state(suggestion["id"]) == "reverted"
    branch = suggestion["branch"]
    assert loop.repository.git("show", f"{branch}:a.py") == MUTABLE.strip()
    assert loop.repository.git("rev-parse", f"{branch}~1") == applied.commit
    assert "This reverts commit" in loop.repository.git("show", "-s", "--format=%B", branch)
    untouched(loop, head)
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "reverted"
    assert edits.verify_applied(loop.engine) == []


def test_a_person_reverts_and_a_branch_somebody_built_on_is_left_alone(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE})
    first, second = loop.improve()
    for suggestion in (first, second):
        loop.approve(suggestion)
    loop.apply()
    edits.verify_applied(loop.engine)
    commit = edits.revert(loop.engine, first["id"], actor="ada", reason="changed my mind")
    assert loop.repository.git("rev-parse", first["branch"]) == commit
    with pytest.raises(QflowError, match="was reverted before"):
        edits.revert(loop.engine, first["id"], actor="ada", reason="again")
    tree = loop.repository.git("rev-parse", f"{second['branch']}^{{tree}}")
    mine = loop.repository.git("commit-tree", "-p", second["branch"], "-m", "mine", tree)
    loop.repository.git("update-ref", f"refs/heads/{second['branch']}", mine)
    with pytest.raises(edit_commits.BranchMovedError):
        edits.revert(loop.engine, second["id"], actor="ada", reason="too late")
    assert loop.state(second["id"]) == "verified"
    assert loop.repository.git("rev-parse", second["branch"]) == mine


def test_a_checked_out_branch_is_never_moved(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    loop.repository.git("checkout", "--quiet", suggestion["branch"])
    with pytest.raises(edit_commits.BranchMovedError, match="checked out"):
        edits.revert(loop.engine, suggestion["id"], actor="ada", reason="x")
    assert loop.repository.git("status", "--porcelain") == ""
    loop.repository.git("checkout", "--quiet", "main")
    edits.revert(loop.engine, suggestion["id"], actor="ada", reason="x")


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


# kill -9

POINTS = [
    "authorize:before",
    "authorize:after",
    "make_commit:before",
    "make_commit:after",
    "record:after",
    "set_branch:before",
    "set_branch:after",
    "verify:before",
    "verify:after",
]


def killed(loop: Loop, point: str) -> None:
    url = loop.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, str(APPLIER), url, point], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr


def test_killed_anywhere_no_edit_is_lost_none_made_twice_no_approval_used_for_nothing(loop: Loop) -> None:
    """Every point once, then some in a random order, on one loop after another."""
    head = loop.repository.commit({f"f{n}.py": NONE.replace("missing", f"missing_{n}") for n in range(10)})
    suggestions = loop.improve()
    order = POINTS + random.Random(4).choices(POINTS, k=4)
    for suggestion, point in zip(suggestions, order, strict=False):
        loop.approve(suggestion)
        killed(loop, point)
        with loop.engine.connect() as connection:
            used = connection.scalar(
                text("SELECT count(*) FROM workflows WHERE type = 'edit_approval' AND status = 'consumed'")
            )
            made = connection.scalar(text("SELECT count(*) FROM edits"))
        assert used == made, f"after {point} approvals and edits go together"
        untouched(loop, head)
    for _ in range(3):
        loop.apply()
        edits.verify_applied(loop.engine)
    approved = suggestions[: len(order)]
    assert {loop.state(suggestion["id"]) for suggestion in approved} == {"verified"}
    for suggestion in approved:
        assert loop.repository.git("rev-list", "--count", f"main..{suggestion['branch']}") == "1"
    untouched(loop, head)
    with loop.engine.connect() as connection:
        assert verify_history(connection) is None


def test_killed_while_generating_the_next_run_takes_the_work_up_once_the_lease_is_over(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    loop.plan()
    with loop.engine.begin() as connection:
        orchestrator.request_generation(connection, loop.snapshot(), limit=1)
        # Each kill costs an attempt.
        connection.execute(text("UPDATE workflows SET max_attempts = 20 WHERE type = 'generation'"))
    for point in ("ask:before", "ask:after", "judge:after", "store:before", "store:after", "suggest:after"):
        killed(loop, point)
        with loop.engine.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM suggestions")) == 0, point
            connection.execute(
                text("UPDATE workflows SET lease_expires_at = now() WHERE type = 'generation'")
            )
            assert len(reclaim_expired(connection)) == 1, point
    assert loop.generate().passed == 1
    [suggestion] = loop.waiting()
    with loop.engine.connect() as connection:
        for table in ("suggestions", "candidates", "approvals"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1
    assert suggestion["rule"] == "python/mutable-default"


def test_an_edit_that_new_errors_are_put_down_to_is_reverted(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    [applied] = loop.apply()
    edits.verify_applied(loop.engine)
    assert edits.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="shop", message="no list")] * 3)
    analyse(loop.engine)
    with loop.engine.begin() as connection:
        suspect = json.dumps({"repository": "project", "commit": applied.commit, "path": "a.py"})
        connection.execute(
            text("UPDATE error_groups SET suspect = CAST(:suspect AS jsonb)"), {"suspect": suspect}
        )
    # Not by an error its profile does not watch for any more, nor by few errors among many calls.
    with monkeypatch.context() as patched:
        unwatched = {name: replace(profile, window=0.0) for name, profile in PROFILES.items()}
        unwatched["self_improving"] = PROFILES["self_improving"]
        patched.setattr(edits, "PROFILES", unwatched)
        assert edits.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_successes(connection, [("shop", 0.0, 997)])
    assert edits.revert_suspected(loop.engine) == []
    with loop.engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="shop", message="no list")] * 30)
    [reverted] = edits.revert_suspected(loop.engine)
    assert (reverted.edit_id, reverted.good) == (suggestion["id"], False)
    assert "shop: no list (33 of 1030 failed)" in reverted.reason
    assert loop.state(suggestion["id"]) == "reverted"


def test_a_branch_left_by_a_kill_goes_when_its_approval_ends(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    killed(loop, "set_branch:after")
    assert branches(loop) == [suggestion["branch"]]
    with loop.engine.begin() as connection:
        arbiter.revoke(connection, suggestion["approval"], actor="ada", reason="enough")
    loop.apply()
    assert branches(loop) == []
    assert loop.state(suggestion["id"]) == "rejected"


# When to act


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 200), st.none() | st.integers(0, 200))
def test_the_numbers_of_acting(outcomes: list[bool], idle: int, failure: int | None) -> None:
    record = Record(outcomes, idle, failure)
    act, why = should_act(record)
    assert why
    assert should_act(record, forced=True)[0]
    if failure is not None and failure < 10:
        assert not act
    elif idle >= 30:
        assert act
    elif len(outcomes) < 8:
        assert not act
    rate = record.success_rate
    experimental = improvement_policy.is_experimental(record)
    assert experimental == (idle > 100 or (len(outcomes) >= 8 and rate is not None and rate < 0.3))


def test_a_patch_that_reaches_too_far_is_no_suggestion() -> None:
    lines = "".join(f"+{n}\n" for n in range(600))
    patch = f"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -0,0 +1,600 @@\n{lines}"
    assert exceeds(PROFILES["code_quality"], patch) == "it changes 600 lines, 500 are allowed"
    assert exceeds(PROFILES["refactoring"], patch) is None
    assert exceeds(PROFILES["refactoring"], patch, 51) == "it changes 51 public definitions, 50 are allowed"


def test_a_change_of_more_public_definitions_than_allowed_is_no_suggestion(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = "def {}(value):\n    return value == None\n\n\n"
    loop.repository.commit({"a.py": none.format("first") + none.format("second") + none.format("_own")})
    for symbols, suggested in ((1, 0), (2, 1)):
        changed = {name: replace(one, max_symbols=symbols) for name, one in PROFILES.items()}
        monkeypatch.setattr(self_improvement, "PROFILES", changed)
        loop.repository.commit({"b.py": f"x = {symbols}\n"})
        assert len(loop.improve()) == suggested
