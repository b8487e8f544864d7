"""Deciding on approvals: by others than the asker, on what was shown, by a policy or a quorum, before their end."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from qflow_dagster.approvals import approval, arbiter, authorization, records
from qflow_dagster.approvals.arbiter import DecisionRefusedError
from qflow_dagster.approvals.authorization import ApprovalRefusedError
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.approvals.reminders import warn_of_expiry
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import expire_due, verify_history
from tests import decisions
from tests.approvals.conftest import PATCH, approved, ask, end_its_term, reason_of, status

# Deciding


def test_the_asker_cannot_decide_neither_by_the_code_nor_by_the_table(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, requested_by="ada")
        with pytest.raises(DecisionRefusedError, match="ada asked for this approval: somebody else"):
            decisions.approve(connection, id_, actor="ada")
        insert = text(
            "INSERT INTO approval_decisions (approval_id, actor, requested_by, decision) VALUES (:i, 'ada', :by, 'approve')"
        )
        with pytest.raises(IntegrityError, match="four_eyes"), connection.begin_nested():
            connection.execute(insert, {"i": id_, "by": "ada"})
        with pytest.raises(IntegrityError, match="fk_approval"), connection.begin_nested():
            connection.execute(insert, {"i": id_, "by": "somebody"})


def test_a_quorum_needs_so_many_different_people(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, required_approvals=2)
        first = decisions.approve(connection, id_, actor="ada")
        again = decisions.approve(connection, id_, actor="ada")
        assert (first.status, first.token, again.approvals) == ("pending", None, 1)
        second = decisions.approve(connection, id_, actor="bob")
        assert (second.status, second.approvals) == ("approved", 2)
        assert second.token is not None
        assert decisions.approve(connection, id_, actor="bob").token is None


def test_one_denial_ends_it(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, required_approvals=3)
        decisions.approve(connection, id_, actor="ada")
        assert decisions.deny(connection, id_, actor="bob", comment="no").status == "denied"
        with pytest.raises(DecisionRefusedError, match="is denied already"):
            decisions.approve(connection, id_, actor="carol")
        with pytest.raises(DecisionRefusedError, match="ada has decided already"):
            decisions.deny(connection, id_, actor="ada")


@pytest.mark.parametrize("actor", ["", "  ", "\u200b\u3164", "policy:edit", "Team:shop", "x" * 201])
def test_a_decision_needs_a_name_that_a_person_may_have(engine: Engine, actor: str) -> None:
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError):
            decisions.approve(connection, id_, actor=actor)


SPELLINGS = [
    "Ada",
    " ada",
    "ada\u00a0",
    "a\u200bda",
    "\uff41da",
    "ADA",
    "ada\ufe0f\u034f\u3164\u2800\U000e0100",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_is_no_other_person(engine: Engine, spelling: str) -> None:
    with engine.begin() as connection:
        own = ask(connection, requested_by="ada")
        with pytest.raises(DecisionRefusedError, match="asked for this approval"):
            decisions.approve(connection, own, actor=spelling)
        twice = ask(connection, required_approvals=2)
        decisions.approve(connection, twice, actor="ada")
        assert decisions.approve(connection, twice, actor=spelling).approvals == 1


@pytest.mark.parametrize(
    ("deciders", "asking"),
    [(["ada"], "eve"), (["ada", "bob"], "Bob"), (["ada", "ADA"], "eve"), (["ada", "ada\ufe0f"], "eve")],
)
def test_a_quorum_that_nobody_can_reach_is_refused_at_once(
    engine: Engine, approvals_settings: Callable[..., None], deciders: list[str], asking: str
) -> None:
    approvals_settings(deciders={"edit": deciders}, quorum={"edit": 2})
    with engine.begin() as connection, pytest.raises(UsageError, match="edit needs 2 approvals, and 1 of"):
        ask(connection, requested_by=asking, required_approvals=None)


def test_settings_say_who_may_decide_a_kind(engine: Engine, approvals_settings: Callable[..., None]) -> None:
    approvals_settings(deciders={"edit": ["ada"]})
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError, match=r"bob may not decide approvals of kind edit.*ada"):
            decisions.approve(connection, id_, actor="bob")
        with pytest.raises(DecisionRefusedError, match="bob may not"):
            arbiter.revoke(connection, id_, actor="bob", reason="x")
        assert decisions.approve(connection, id_, actor="ada").status == "approved"


def test_a_team_may_decide_where_it_is_named(engine: Engine, approvals_settings: Callable[..., None]) -> None:
    approvals_settings(
        deciders={"edit": ["cy", "team:shop"]}, teams={"shop": ["ada", "bot"]}, quorum={"edit": 2}
    )
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError, match="names: cy, team:shop"):
            decisions.approve(connection, id_, actor="eve")
        decisions.approve(connection, id_, actor="Ada")
        assert decisions.approve(connection, id_, actor="cy").status == "approved"
        # The requester is one of three deciders; two others are left, not three.
        with pytest.raises(UsageError, match="needs 3 approvals, and 2 of its deciders"):
            ask(connection, required_approvals=3)
    approvals_settings(deciders={"edit": ["team:shp"]}, teams={"shop": ["ada"]})
    with engine.begin() as connection, pytest.raises(UsageError, match="names the team 'shp'"):
        ask(connection)


def test_a_comment_decides_nothing_and_is_kept(engine: Engine, sent: Callable[[str], list[Any]]) -> None:
    with engine.begin() as connection:
        id_ = ask(connection)
        # Also by the requester, who may not decide.
        arbiter.comment(connection, id_, actor="bot", words="the second hunk is needed by #7")
        with pytest.raises(DecisionRefusedError, match="a comment has 1 to"):
            arbiter.comment(connection, id_, actor="ada", words=" ")
        assert decisions.approve(connection, id_, actor="ada").status == "approved"
        with pytest.raises(DecisionRefusedError, match="is approved: it waits for no decision"):
            arbiter.comment(connection, id_, actor="ada", words="late")
        history = records.approval_history(connection, id_)
        assert verify_history(connection, id_) is None
        assert records.disagreements(connection) == []
        [shown] = records.show(connection, id_)["comments"]
        assert (shown["actor"], shown["comment"]) == ("bot", "the second hunk is needed by #7")
        over = ask(connection, ttl=0.001)
    with (
        engine.begin() as connection,
        pytest.raises(DecisionRefusedError, match="is expired: it waits for no decision"),
    ):
        arbiter.comment(connection, over, actor="ada", words="late")
    assert [entry["event"] for entry in history] == ["created", "requested", "comment", "approve"]
    assert history[2]["data"]["comment"] == "the second hunk is needed by #7"


def test_what_was_shown_must_be_what_is_decided(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError, match="look again"):
            arbiter.approve(connection, id_, actor="ada", digest="00" * 32)
        digest = records.show(connection, id_)["digest"]
        assert arbiter.approve(connection, id_, actor="ada", digest=digest).status == "approved"


def test_decisions_are_never_changed_or_taken_away(engine: Engine) -> None:
    id_, _ = approved(engine)
    for statement in (
        "UPDATE approval_decisions SET comment = 'x'",
        "DELETE FROM approval_decisions",
        "TRUNCATE approval_decisions",
    ):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    assert status(engine, id_) == "approved"


# Its end


def test_at_its_end_it_can_neither_be_decided_nor_used_and_the_sweep_agrees(engine: Engine) -> None:
    with engine.begin() as connection:
        undecided = ask(connection)
    unused, token = approved(engine)
    for id_ in (undecided, unused):
        end_its_term(engine, id_)
    with pytest.raises(DecisionRefusedError, match="has expired"), engine.begin() as connection:
        decisions.approve(connection, undecided, actor="ada")
    assert reason_of(engine, token) == "expired"
    with engine.begin() as connection:
        assert set(expire_due(connection)) == {undecided, unused}
    assert {status(engine, undecided), status(engine, unused)} == {"expired"}
    assert reason_of(engine, token) == "expired"


def test_reminders_come_once_each_at_their_parts_of_the_term(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    """Of a term of 1,000 s: after 500, 800 and 950; two that were missed are one."""
    with engine.begin() as connection:
        id_ = ask(connection, ttl=1_000)
    for passed, reminded, following in (
        (499, 0, 500),
        (501, 1, 800),
        (501, 0, 800),
        (960, 1, None),
        (999, 0, None),
    ):
        with engine.begin() as connection:
            shift = text("""
                UPDATE approvals a SET requested_at = now() - make_interval(secs => :s),
                    expires_at = now() + make_interval(secs => 1000 - :s),
                    warn_at = now() - make_interval(secs => :s) + (warn_at - requested_at)
            """)
            connection.execute(shift, {"s": passed})
            assert warn_of_expiry(connection) == [id_] * reminded
            due = connection.scalar(text("SELECT extract(epoch FROM warn_at - requested_at) FROM approvals"))
            assert due == (following and pytest.approx(following, abs=0.1))
    reminders = [message for message in sent("approval_notifications") if message.get("event") == "expiring"]
    assert [(message["reminder"], message["reminders"]) for message in reminders] == [(1, 3), (3, 3)]


def test_without_reminders_there_are_none(engine: Engine, approvals_settings: Callable[..., None]) -> None:
    approvals_settings(reminders=[])
    with engine.begin() as connection:
        ask(connection, ttl=1_000)
        assert connection.scalar(text("SELECT warn_at FROM approvals")) is None


def test_it_can_be_revoked_until_it_is_used(engine: Engine) -> None:
    id_, token = approved(engine)
    with engine.begin() as connection:
        arbiter.revoke(connection, id_, actor="bot", reason="changed my mind")
    assert reason_of(engine, token) == "revoked"
    with pytest.raises(DecisionRefusedError, match="nothing left to revoke"), engine.begin() as connection:
        arbiter.revoke(connection, id_, actor="ada", reason="again")


# What is asked for


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "party"}, "not a kind of approval"),
        ({"target": " "}, "needs a target"),
        ({"requested_by": ""}, "needs a requester"),
        ({"reason": ""}, "needs a reason"),
        ({"target": "\u200b"}, "needs a target"),
        ({"reason": " \u3164\n\u2063"}, "needs a reason"),
        ({"owner": "bo\u202eb"}, "characters that hide"),
        ({"owner": ""}, "a person is named by"),
        ({"required_approvals": 101}, "1 to 100"),
        ({"required_approvals": 0}, "1 to 100"),
        ({"required_approvals": 1.5}, "1 to 100"),
        ({"ttl": 1e12}, "at most"),
        ({"ttl": 0}, "at most"),
        ({"target": "a\0b"}, "target holds NUL"),
        # What is approved is bound by its digest: nothing of it is replaced.
        ({"content": float("nan")}, "cannot be stored as JSON"),
        ({"content": {"patch": "a\0b"}}, "cannot be stored as JSON"),
        ({"content": {"patch": "\ud800"}}, "cannot be stored as JSON"),
        ({"content": {"patch": "x" * 5_000_001}}, "are allowed"),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused_and_leaves_nothing(
    engine: Engine, change: dict[str, Any], words: str
) -> None:
    with engine.begin() as connection:
        with pytest.raises(UsageError, match=words):
            ask(connection, **change)
        assert connection.scalar(text("SELECT count(*) FROM workflows")) == 0


def test_content_altered_in_the_table_is_found_by_the_check_and_refused_at_use(engine: Engine) -> None:
    id_, token = approved(engine)
    with engine.begin() as connection:
        connection.execute(text('UPDATE approvals SET content = \'{"patch": "evil"}\''))
    assert reason_of(engine, token, content={"patch": "evil"}) == "mismatch"
    assert reason_of(engine, token) == "mismatch"
    with engine.begin() as connection:
        assert records.disagreements(connection)[0]["id"] == str(id_)
        # Even with a digest that fits: the one in the chain of hashes does not.
        new = approval.digest_of("edit", "src/a.py", {"patch": "evil"})
        connection.execute(text("UPDATE approvals SET digest = :digest"), {"digest": new})
        assert records.disagreements(connection)[0]["problem"] == "its content is not what was asked for"


# Policy


def test_no_policy_approves_by_default(engine: Engine) -> None:
    with pytest.raises(DecisionRefusedError, match="a person decides"), engine.begin() as connection:
        arbiter.issue_approval(
            connection,
            "edit",
            "src/a.py",
            PATCH,
            requested_by="bot",
            reason="r",
            evidence=Evidence(confidence=1.0, gates={"tests": True}),
        )


def test_a_policy_approves_what_is_sure_small_and_green(
    engine: Engine, approvals_settings: Callable[..., None]
) -> None:
    approvals_settings(policy_kinds=["edit"])
    with engine.begin() as connection:
        issued = arbiter.issue_approval(
            connection,
            "edit",
            "src/a.py",
            PATCH,
            requested_by="bot",
            reason="r",
            evidence=Evidence(confidence=0.95, gates={"tests": True}),
        )
        shown = records.show(connection, issued.approval_id)
        lives = connection.scalar(text("SELECT extract(epoch FROM expires_at - created_at) FROM workflows"))
    assert shown["decisions"][0]["actor"] == "policy:edit"
    assert shown["evidence"] == {"confidence": 0.95, "gates": {"tests": True}}
    assert lives == 60
    assert issued.token is not None
    with engine.begin() as connection:
        authorization.authorize_edit(connection, issued.token, "src/a.py", PATCH, actor="run")


# Properties


DECISIONS = st.lists(
    st.tuples(
        st.sampled_from(["approve", "deny", "revoke", "use", "expire"]),
        st.sampled_from(["ada", "bob", "carol", "bot"]),
    ),
    max_size=8,
)


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=DECISIONS, quorum=st.integers(1, 3))
def test_whatever_the_order_of_decisions_the_rules_hold(
    engine: Engine, steps: list[tuple[str, str]], quorum: int
) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, required_approvals=quorum)
    approvers: set[str] = set()
    now, decided, token, used = "pending", {}, None, 0
    for verb, actor in steps:
        try:
            with engine.begin() as connection:
                if verb == "use":
                    authorization.authorize_edit(connection, token or "none", "src/a.py", PATCH, actor=actor)
                    assert now == "approved"
                    now, used = "consumed", used + 1
                elif verb == "expire":
                    if now in ("pending", "approved"):
                        connection.execute(
                            text("UPDATE workflows SET expires_at = clock_timestamp() WHERE id = :i"),
                            {"i": id_},
                        )
                        expire_due(connection)
                        now = "expired"
                elif verb == "revoke":
                    arbiter.revoke(connection, id_, actor=actor, reason="r")
                    assert now in ("pending", "approved")
                    now = "revoked"
                else:
                    answer = (decisions.approve if verb == "approve" else decisions.deny)(
                        connection, id_, actor=actor
                    )
                    assert actor != "bot"
                    if actor in decided:
                        assert decided[actor] == verb
                        continue
                    assert now == "pending"
                    decided[actor] = verb
                    approvers |= {actor} if verb == "approve" else set()
                    now = answer.status
                    token = answer.token or token
                    assert now == (
                        "denied" if verb == "deny" else "approved" if len(approvers) == quorum else "pending"
                    )
        except (DecisionRefusedError, ApprovalRefusedError):
            pass
        assert status(engine, id_) == now
    assert used <= 1
    with engine.connect() as connection:
        assert verify_history(connection, id_) is None
