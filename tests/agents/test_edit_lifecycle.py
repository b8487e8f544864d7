"""What becomes of edits when their target branch moves: real commits, real merges, real branches."""

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from qflow_dagster.agents import (
    edit_branches,
    edit_lifecycle,
    edit_records,
    edit_verification,
    self_improvement,
    suggestion_states,
)
from qflow_dagster.agents.edit_comparison import Content, Decision, Facts, decide
from qflow_dagster.errors import QflowError
from qflow_dagster.execution import work_items
from qflow_dagster.settings import settings
from tests.agents.conftest import branches
from tests.improvement_loop import MUTABLE, NONE, Loop

HEAD = "".join(f"LIMIT_{number} = {number}\n" for number in range(6))
CODE = f"{HEAD}\n\n{MUTABLE}"
MOVED = f'"""A module."""\n\n{CODE}'
CONFLICT = MUTABLE.replace("collect(item, found=[])", "collect(item, found=[], limit=3)")


def verified(loop: Loop, files: dict[str, str | bytes]) -> list[dict[str, Any]]:
    """Commit files with findings; return the suggestions, applied and verified."""
    loop.repository.commit(files)
    suggestions = loop.improve()
    for suggestion in suggestions:
        loop.approve(suggestion)
    loop.apply()
    edit_verification.verify_applied(loop.engine)
    assert {loop.state(suggestion["id"]) for suggestion in suggestions} == {"verified"}
    return suggestions


def followed(loop: Loop) -> dict[str, str]:
    """Ingest what there is, and compare; return what became of each edit, by id."""
    loop.find()
    loop.plan()
    return {str(each.edit_id): each.reason for each in edit_lifecycle.follow_targets(loop.engine)}


def edit(loop: Loop, suggestion: dict[str, Any]) -> dict[str, Any]:
    with loop.engine.connect() as connection:
        return edit_records.show(connection, suggestion["id"])


def listed(loop: Loop) -> list[tuple[str, str]]:
    """Return the state of each edit and the reason for it, as lists show them."""
    with loop.engine.connect() as connection:
        return [(row["state"], row["state_reason"]) for row in edit_records.find(connection)]


def feature(loop: Loop, suggestion: dict[str, Any]) -> str:
    with loop.engine.connect() as connection:
        [item] = self_improvement.show(connection, suggestion["id"])["work_items"]
        return work_items.show(connection, item)["state"]


def test_an_edit_that_is_merged_is_merged_and_its_branch_is_deleted(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("merge", "--quiet", "--no-ff", "-m", "merge", suggestion["branch"])
    [reason] = followed(loop).values()
    assert reason.startswith("main contains it since ")
    assert loop.state(suggestion["id"]) == "merged"
    assert feature(loop, suggestion) == "done"
    assert branches(loop) == []
    # It is compared once per ingested commit.
    with loop.engine.connect() as connection:
        assert not edit_lifecycle.has_uncompared(connection)
    assert edit_lifecycle.follow_targets(loop.engine) == []


@pytest.mark.parametrize("how", ["cherry-pick", "squash", "by hand", "moved and squashed"])
def test_an_edit_whose_content_the_target_has_is_merged(loop: Loop, how: str) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    git, branch = loop.repository.git, suggestion["branch"]
    if how == "cherry-pick":
        loop.repository.commit({"b.py": "x = 1\n"})
        git("cherry-pick", branch)
    elif how == "by hand":
        loop.repository.commit({"a.py": git("show", f"{branch}:a.py") + "\n"}, "by hand")
    else:
        if how == "moved and squashed":
            loop.repository.commit({"a.py": MOVED})
        git("merge", "--quiet", "--squash", branch)
        git("commit", "--quiet", "-m", "squashed")
    held = git("rev-parse", "HEAD")
    loop.repository.commit({"c.py": "x = 1\n"})
    followed(loop)
    assert loop.state(suggestion["id"]) == "merged"
    assert edit(loop, suggestion)["ended_by"] == held


def test_an_edit_that_was_merged_and_changed_further_is_merged(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("merge", "--quiet", "--squash", suggestion["branch"])
    loop.repository.git("commit", "--quiet", "-m", "squashed")
    content = (loop.repository.path / "a.py").read_text()
    loop.repository.commit({"a.py": content.replace("found is None", "found in (None, 0)")})
    followed(loop)
    assert loop.state(suggestion["id"]) == "merged"


def test_two_edits_squashed_into_one_commit_are_both_merged(loop: Loop) -> None:
    first, second = verified(loop, {"a.py": MUTABLE, "b.py": NONE})
    for suggestion in (first, second):
        loop.repository.git("merge", "--quiet", "--squash", suggestion["branch"])
    loop.repository.git("commit", "--quiet", "-m", "both")
    followed(loop)
    assert {loop.state(first["id"]), loop.state(second["id"])} == {"merged"}


def test_a_merge_that_the_target_reverts_counts_as_reverted(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("merge", "--quiet", "--squash", suggestion["branch"])
    loop.repository.git("commit", "--quiet", "-m", "squashed")
    followed(loop)
    assert loop.state(suggestion["id"]) == "merged"
    loop.repository.git("revert", "--no-edit", "HEAD")
    [reason] = followed(loop).values()
    assert reason.startswith("main reverts it with ")
    assert loop.state(suggestion["id"]) == "reverted"
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "reverted"


def test_a_merge_reverted_before_anyone_looked_counts_as_reverted(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("merge", "--quiet", "--squash", suggestion["branch"])
    loop.repository.git("commit", "--quiet", "-m", "squashed")
    loop.repository.git("revert", "--no-edit", "HEAD")
    followed(loop)
    assert loop.state(suggestion["id"]) == "reverted"


def test_a_finding_fixed_in_another_way_supersedes_the_edit(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.commit({"a.py": "def collect(item, found):\n    return [*found, item]\n"})
    [reason] = followed(loop).values()
    assert "has no finding any more that it removes" in reason
    assert listed(loop) == [("superseded", reason)]
    assert feature(loop, suggestion) == "done"
    assert branches(loop) == []


def test_a_deleted_file_supersedes_the_edit(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE, "b.py": "x = 1\n"})
    loop.repository.git("rm", "--quiet", "a.py")
    loop.repository.commit()
    followed(loop)
    assert loop.state(suggestion["id"]) == "superseded"


def test_a_conflict_is_reported_and_the_work_is_done_again_from_the_new_code(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    tip = loop.repository.git("rev-parse", suggestion["branch"])
    head = loop.repository.commit({"a.py": CONFLICT})
    [reason] = followed(loop).values()
    assert reason == f"it conflicts with main at {head[:10]}: a.py"
    assert listed(loop) == [("conflicting", reason)]
    assert edit(loop, suggestion)["state_reason"] == reason
    assert loop.repository.git("rev-parse", suggestion["branch"]) == tip
    assert feature(loop, suggestion) == "backlog"
    # Another commit changes nothing of it; the work is suggested again.
    loop.repository.commit({"b.py": "x = 1\n"})
    assert followed(loop) == {}
    loop.generate()
    [again] = loop.waiting()
    loop.approve(again)
    loop.apply()
    loop.repository.git("merge", "--quiet", "--no-ff", "-m", "merge", again["branch"])
    followed(loop)
    assert loop.state(again["id"]) == "merged"
    assert loop.state(suggestion["id"]) == "superseded"
    assert branches(loop) == []


def test_a_conflict_that_is_gone_is_verified_again(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.commit({"a.py": CONFLICT})
    followed(loop)
    loop.repository.commit({"a.py": MUTABLE})
    followed(loop)
    assert loop.state(suggestion["id"]) == "applied"
    edit_verification.verify_applied(loop.engine)
    assert loop.state(suggestion["id"]) == "verified"


def test_an_edit_whose_file_has_changed_is_rebased_and_verified_again(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    git, branch = loop.repository.git, suggestion["branch"]
    before = git("rev-parse", branch)
    head = loop.repository.commit({"a.py": MOVED})
    [reason] = followed(loop).values()
    assert reason == f"rebased from {before[:10]} onto main at {head[:10]}"
    after = git("rev-parse", branch)
    assert git("rev-parse", f"{branch}~1") == head
    assert git("show", "-s", "--format=%B", after) == git("show", "-s", "--format=%B", before)
    assert edit(loop, suggestion)["history"][-1]["data"]["from"] == before
    assert loop.state(suggestion["id"]) == "applied"
    [result] = edit_verification.verify_applied(loop.engine)
    assert result.good
    # The former commit counts as well: somebody may have merged that one.
    git("merge", "--quiet", "--no-ff", "-m", "merge", before)
    followed(loop)
    assert loop.state(suggestion["id"]) == "merged"


def test_what_does_not_concern_the_edit_leaves_its_branch_alone(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    tip = loop.repository.git("rev-parse", suggestion["branch"])
    loop.repository.commit({"b.py": "x = 1\n"})
    assert followed(loop) == {}
    assert loop.repository.git("rev-parse", suggestion["branch"]) == tip
    assert loop.state(suggestion["id"]) == "verified"


def test_a_renamed_file_keeps_its_edit(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    loop.repository.git("mv", "a.py", "package.py")
    head = loop.repository.commit()
    followed(loop)
    assert loop.repository.git("rev-parse", f"{suggestion['branch']}~1") == head
    assert "found is None" in loop.repository.git("show", f"{suggestion['branch']}:package.py")
    [result] = edit_verification.verify_applied(loop.engine)
    assert result.good, result.reason


def test_commits_of_others_are_neither_moved_nor_deleted(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    git, branch = loop.repository.git, suggestion["branch"]
    mine = git("commit-tree", "-p", branch, "-m", "mine", f"{branch}^{{tree}}")
    git("update-ref", f"refs/heads/{branch}", mine)
    loop.repository.commit({"a.py": MOVED})
    assert followed(loop) == {}
    edit_lifecycle.close(loop.engine, suggestion["id"], actor="ada", reason="done otherwise")
    assert loop.state(suggestion["id"]) == "closed"
    assert git("rev-parse", branch) == mine


def test_a_branch_that_is_checked_out_is_neither_moved_nor_deleted(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    git, branch = loop.repository.git, suggestion["branch"]
    tip = git("rev-parse", branch)
    loop.repository.commit({"a.py": MOVED})
    git("worktree", "add", "--quiet", str(loop.repository.path.with_name("tree")), branch)
    assert followed(loop) == {}
    edit_lifecycle.close(loop.engine, suggestion["id"], actor="ada", reason="no")
    assert git("rev-parse", branch) == tip
    git("worktree", "remove", str(loop.repository.path.with_name("tree")))
    assert edit_branches.delete_ended(loop.engine) == [branch]
    assert branches(loop) == []


def test_the_target_is_the_branch_that_was_ingested_whatever_is_checked_out_later(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("checkout", "--quiet", suggestion["branch"])
    followed(loop)
    assert loop.state(suggestion["id"]) == "verified"
    assert edit(loop, suggestion)["target"] == "refs/heads/main"


def test_a_person_closes_an_edit_and_the_change_is_not_suggested_again(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    edit_lifecycle.close(loop.engine, suggestion["id"], actor="ada", reason="the callers rely on it")
    assert (loop.state(suggestion["id"]), branches(loop)) == ("closed", [])
    assert edit(loop, suggestion)["end_reason"] == "the callers rely on it"
    assert feature(loop, suggestion) == "backlog"
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "denied"
    with pytest.raises(QflowError, match=r"has ended: it is closed \(the callers rely on it\)"):
        edit_lifecycle.close(loop.engine, suggestion["id"], actor="bob", reason="again")
    with pytest.raises(QflowError, match="is closed"):
        edit_verification.revert(loop.engine, suggestion["id"], actor="bob", reason="again")
    loop.repository.commit({"other.txt": "x\n"})
    assert loop.improve() == []


def test_an_edit_whose_branch_somebody_deleted_is_closed(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("branch", "--quiet", "-D", suggestion["branch"])
    loop.repository.commit({"b.py": "x = 1\n"})
    assert list(followed(loop).values()) == ["its branch was deleted"]
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT outcome FROM candidates")) == "accepted"


def test_branches_are_kept_if_the_settings_say_so(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().improvement, "delete_branches", False)
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("merge", "--quiet", "--no-ff", "-m", "merge", suggestion["branch"])
    followed(loop)
    assert branches(loop) == [suggestion["branch"]]


def test_a_rewritten_target_is_compared_by_what_both_have_in_common(loop: Loop) -> None:
    loop.repository.commit({"readme": "x\n"})
    [suggestion] = verified(loop, {"a.py": MUTABLE})
    loop.repository.git("commit", "--quiet", "--amend", "-m", "rewritten")
    followed(loop)
    assert loop.state(suggestion["id"]) == "verified"
    loop.repository.git("cherry-pick", suggestion["branch"])
    followed(loop)
    assert loop.state(suggestion["id"]) == "merged"


def test_a_rebased_edit_replaces_what_was_pushed_of_it(loop: Loop) -> None:
    [suggestion] = verified(loop, {"a.py": CODE})
    git, branch = loop.repository.git, suggestion["branch"]
    remote = loop.repository.path.with_name("remote.git")
    git("init", "--quiet", "--bare", str(remote))
    edit_branches.push(loop.engine, suggestion["id"], str(remote))
    loop.repository.commit({"a.py": MOVED})
    followed(loop)
    edit_branches.push(loop.engine, suggestion["id"], str(remote))
    assert git("--git-dir", str(remote), "rev-parse", branch) == git("rev-parse", branch)
    # The branch stays where the revert of what was pushed has to follow.
    edit_verification.revert(loop.engine, suggestion["id"], actor="ada", reason="no")
    assert edit_branches.delete_ended(loop.engine) == []
    edit_branches.push(loop.engine, suggestion["id"], str(remote))
    assert edit_branches.delete_ended(loop.engine) == [branch]
    with pytest.raises(QflowError, match=r"no branch .* to push; the edit is reverted: no"):
        edit_branches.push(loop.engine, suggestion["id"], str(remote))


OPEN = ("applied", "verified", "conflicting")
FACTS = st.builds(
    Facts,
    state=st.sampled_from(OPEN),
    content=st.sampled_from(get_args(Content)),
    needed=st.booleans(),
    outdated=st.booleans(),
    branch=st.sampled_from(["ours", "others", "deleted"]),
)


@given(FACTS)
def test_every_decision_is_a_transition_the_machine_allows(facts: Facts) -> None:
    decision = decide(facts)
    machine = suggestion_states.SUGGESTION
    if decision is not None:
        assert machine.allows(facts.state, "applied" if decision == "rebased" else decision)
    if facts.content == "contained":
        assert decision == "merged"
    if decision == "rebased":
        assert facts.branch == "ours"


@given(st.lists(FACTS, max_size=12))
def test_an_ended_edit_stays_ended_and_an_open_one_can_always_be_closed(history: list[Facts]) -> None:
    machine, state = suggestion_states.SUGGESTION, "applied"
    for facts in history:
        decision = decide(facts._replace(state=state))
        state = {"rebased": "applied", None: state}.get(decision, decision)
        if state in suggestion_states.ENDED_EDIT:
            # A merge can still be reverted in the target; nothing else follows.
            assert machine.transitions[state] <= {"reverted"}
            return
        assert {"closed", "reverted", "merged"} <= machine.transitions[state]


def test_every_decision_is_reached() -> None:
    combinations = itertools.product(
        OPEN, get_args(Content), (True, False), (True, False), ("ours", "others", "deleted")
    )
    assert {decide(Facts(*values)) for values in combinations} == {None, *get_args(Decision)}
