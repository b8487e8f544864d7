"""The improvement loop killed anywhere: no edit is lost or made twice, no approval used for nothing."""

import random
import signal

from sqlalchemy import text

from qflow_dagster.agents import edit_lifecycle, edit_verification
from qflow_dagster.approvals import arbiter
from qflow_dagster.generation import orchestrator
from qflow_dagster.quantumflow import reclaim_expired, verify_history
from tests import forks
from tests.agents.applier import generate_apply_verify
from tests.agents.conftest import branches, untouched
from tests.agents.test_edit_lifecycle import CODE, MOVED
from tests.improvement_loop import MUTABLE, NONE, Loop

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
    process = forks.start(generate_apply_verify, url, point)
    process.join()
    assert process.exitcode == -signal.SIGKILL, point


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
        edit_verification.verify_applied(loop.engine)
    approved = suggestions[: len(order)]
    assert {loop.state(suggestion["id"]) for suggestion in approved} == {"verified"}
    for suggestion in approved:
        assert loop.repository.git("rev-list", "--count", f"main..{suggestion['branch']}") == "1"
    untouched(loop, head)
    with loop.engine.connect() as connection:
        assert verify_history(connection) is None


def test_killed_while_the_target_moves_every_edit_follows_it_once(loop: Loop) -> None:
    loop.repository.commit({"a.py": CODE, "b.py": NONE})
    applied, waiting = sorted(loop.improve(), key=lambda suggestion: suggestion["paths"])
    loop.approve(applied)
    loop.apply()
    edit_verification.verify_applied(loop.engine)
    loop.approve(waiting)
    head = loop.repository.commit({"a.py": MOVED, "b.py": NONE.replace("value ==", "value.name ==")})
    loop.find()
    for point in ("change:before", "change:after", "request:before", "request:after"):
        killed(loop, point)
        assert loop.state(waiting["approval"]) == "approved", point
    loop.apply()
    assert loop.state(waiting["approval"]) == "revoked"
    for point in ("rebase:before", "rebase:after", "move:after", "set_branch:before", "set_branch:after"):
        killed(loop, point)
    edit_lifecycle.follow_targets(loop.engine)
    edit_verification.verify_applied(loop.engine)
    assert loop.state(applied["id"]) == "verified"
    assert loop.repository.git("rev-list", f"main..{applied['branch']}", "--count") == "1"
    loop.repository.git("merge", "--quiet", "--squash", applied["branch"])
    loop.repository.git("commit", "--quiet", "-m", "squashed")
    loop.find()
    for point in ("move:before", "move:after", "delete:before", "delete:after"):
        killed(loop, point)
    edit_lifecycle.follow_targets(loop.engine)
    assert loop.state(applied["id"]) == "merged"
    assert branches(loop) == []
    assert loop.repository.git("rev-parse", "main~1") == head
    with loop.engine.connect() as connection:
        assert verify_history(connection) is None
        assert connection.scalar(text("SELECT count(*) FROM suggestions WHERE replaces IS NOT NULL")) == 1


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
