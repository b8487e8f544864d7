"""Approvals: bound to their content, decided by others than the asker, used once, never after their end."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from qflow_dagster.approvals import approval, arbiter, authorization, records
from qflow_dagster.approvals.approved_workflows import request_workflow, start_approved
from qflow_dagster.approvals.arbiter import DecisionRefusedError
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import expire_due, find, register, verify_history
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ApprovalsSettings
from tests import decisions

PATCH = {"patch": "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n@@ -1 +1 @@\n-a\n+b\n"}
register("test.report")


@pytest.fixture
def approvals_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of approvals for one test."""

    def change(**values: Any) -> None:
        current = settings()
        monkeypatch.setattr(current, "approvals", ApprovalsSettings(**values))

    return change


def ask(
    connection: Connection, kind: str = "edit", target: str = "src/a.py", content: Any = PATCH, **options: Any
) -> UUID:
    return arbiter.request_approval(
        connection, kind, target, content, **{"requested_by": "bot", "reason": "because", **options}
    )


def approved(engine: Engine, **options: Any) -> tuple[UUID, str]:
    with engine.begin() as connection:
        id_ = ask(connection, **options)
        token = decisions.approve(connection, id_, actor="ada").token
    assert token is not None
    return id_, token


def status(engine: Engine, id_: UUID) -> str:
    with engine.connect() as connection:
        return records.show(connection, id_)["status"]


def end_its_term(engine: Engine, id_: UUID) -> None:
    with engine.begin() as connection:
        for table in ("workflows", "approvals"):
            connection.execute(
                text(f"UPDATE {table} SET expires_at = clock_timestamp() WHERE id = :id"), {"id": id_}
            )


def reason_of(
    engine: Engine, token: str | Reference, kind: str = "edit", target: str = "src/a.py", content: Any = PATCH
) -> str:
    with pytest.raises(ApprovalRefusedError) as refused, engine.begin() as connection:
        authorization.authorize(connection, token, kind, target, content, actor="run")
    return refused.value.reason


def test_an_approved_edit_may_be_made_once(engine: Engine) -> None:
    id_, token = approved(engine)
    with engine.begin() as connection:
        used = authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="run", run_id="r1")
    assert used == (id_, "edit", "src/a.py", PATCH)
    assert status(engine, id_) == "consumed"
    assert reason_of(engine, token) == "already_used"


@pytest.mark.parametrize(
    ("kind", "target", "content"),
    [
        ("workflow", "src/a.py", PATCH),
        ("edit", "src/b.py", PATCH),
        ("edit", "src/a.py", {"patch": PATCH["patch"] + "\n"}),
        ("edit", "src/a.py", {**PATCH, "more": 1}),
    ],
    ids=["kind", "target", "content", "more"],
)
def test_a_token_is_refused_for_anything_else_and_stays_good(
    engine: Engine, kind: str, target: str, content: Any
) -> None:
    id_, token = approved(engine)
    assert reason_of(engine, token, kind, target, content) == "mismatch"
    assert status(engine, id_) == "approved"


def test_the_refusal_says_the_same_whatever_the_reason_and_the_history_says_which(engine: Engine) -> None:
    id_, token = approved(engine)
    words = set()
    for presented, target in ((token, "other"), ("qfa_wrong", "src/a.py"), ("", "src/a.py")):
        with pytest.raises(ApprovalRefusedError) as refused, engine.begin() as connection:
            authorization.authorize_edit(connection, presented, target, PATCH, actor="run")
        words.add(str(refused.value))
    assert len(words) == 1
    with engine.connect() as connection:
        events = [entry["event"] for entry in records.approval_history(connection, id_)]
    assert events == ["created", "requested", "approve", "refused: mismatch"]


def test_an_action_that_fails_does_not_burn_its_approval(engine: Engine) -> None:
    id_, token = approved(engine)
    with pytest.raises(DBAPIError, match="division by zero"), engine.begin() as connection:  # noqa: PT012
        authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="run")
        connection.execute(text("SELECT 1 / 0"))
    assert status(engine, id_) == "approved"
    with engine.begin() as connection:
        authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="run")


def test_a_reference_stands_for_the_token_within_our_own_database(engine: Engine) -> None:
    id_, _ = approved(engine)
    assert reason_of(engine, Reference(id_), content={"patch": "other"}) == "mismatch"
    with engine.begin() as connection:
        authorization.authorize_edit(connection, Reference(id_), "src/a.py", PATCH, actor="run")
    assert reason_of(engine, Reference(uuid4())) == "not_found"


def test_only_the_hash_of_a_token_is_stored_and_no_message_carries_it(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    id_, token = approved(engine)
    with engine.connect() as connection:
        everything = ""
        for table in ("approvals", "approval_decisions", "workflows", "workflow_events", "messages"):
            everything += "".join(connection.scalars(text(f"SELECT {table}::text FROM {table}")))
    assert token not in everything
    messages = sent("approval_notifications")
    assert [message["to"] for message in messages] == ["pending", "pending", "approved"]
    assert {message["workflow_id"] for message in messages} == {str(id_)}


def test_requests_for_workflows_go_to_a_queue_of_their_own(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    with engine.begin() as connection:
        ask(connection, "workflow", "test.report", {"type": "test.report", "payload": {}})
    assert sent("approval_notifications") == []
    assert {message["type"] for message in sent("workflow_approval_notifications")} == {"workflow_approval"}


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


@pytest.mark.parametrize("actor", ["", "  ", "policy:edit", "x" * 201])
def test_a_decision_needs_a_name_that_a_person_may_have(engine: Engine, actor: str) -> None:
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError):
            decisions.approve(connection, id_, actor=actor)


def test_settings_say_who_may_decide_a_kind(engine: Engine, approvals_settings: Callable[..., None]) -> None:
    approvals_settings(deciders={"edit": ["ada"]})
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError, match=r"bob may not decide approvals of kind edit.*ada"):
            decisions.approve(connection, id_, actor="bob")
        with pytest.raises(DecisionRefusedError, match="bob may not"):
            arbiter.revoke(connection, id_, actor="bob", reason="x")
        assert decisions.approve(connection, id_, actor="ada").status == "approved"


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


def test_a_warning_is_sent_once_near_the_end(engine: Engine, sent: Callable[[str], list[Any]]) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, ttl=100)
        assert arbiter.warn_of_expiry(connection) == []
        connection.execute(text("UPDATE approvals SET warn_at = statement_timestamp()"))
        assert arbiter.warn_of_expiry(connection) == [id_]
        assert arbiter.warn_of_expiry(connection) == []
    assert sent("approval_notifications")[-1]["event"] == "expiring"


def test_the_warning_comes_after_four_fifths_of_the_term(engine: Engine) -> None:
    with engine.begin() as connection:
        ask(connection, ttl=1_000)
        part = connection.scalar(
            text(
                "SELECT extract(epoch FROM warn_at - w.created_at) FROM approvals a JOIN workflows w USING (id)"
            )
        )
    assert part == pytest.approx(800)


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
        ({"kind": "party"}, "no kind of approval"),
        ({"target": " "}, "needs a target"),
        ({"requested_by": ""}, "needs a requester"),
        ({"reason": ""}, "needs a reason"),
        ({"required_approvals": 101}, "1 to 100"),
        ({"ttl": 1e12}, "at most"),
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


# Workflows that wait for an approval


def test_an_approved_workflow_starts_once_with_exactly_what_was_asked(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = request_workflow(connection, "test.report", {"week": 47}, requested_by="bot", reason="weekly")
        assert find(connection, type_name="test.report") == []
    assert start_approved(engine, worker="w") == []
    with engine.begin() as connection:
        decisions.approve(connection, id_, actor="ada")
    [started] = start_approved(engine, worker="w", run_id="r")
    assert start_approved(engine, worker="w") == []
    with engine.connect() as connection:
        [workflow] = find(connection, type_name="test.report")
        used = records.approval_history(connection, id_)[-1]
    assert (workflow.id, workflow.payload) == (started.workflow_id, {"week": 47})
    assert (used["event"], used["run_id"]) == ("consumed", "r")


def test_one_that_cannot_start_holds_up_no_other(engine: Engine) -> None:
    with engine.begin() as connection:
        wrong = ask(connection, "workflow", "no.such", {"type": "no.such", "payload": {}})
        right = request_workflow(connection, "test.report", {}, requested_by="bot", reason="r")
        for id_ in (wrong, right):
            decisions.approve(connection, id_, actor="ada")
    results = {item.approval_id: item for item in start_approved(engine, worker="w")}
    assert results[right].workflow_id
    assert "unknown workflow type" in (results[wrong].problem or "")
    assert status(engine, wrong) == "approved"


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


def test_none_of_100_000_mutated_tokens_is_accepted(engine: Engine) -> None:
    """Each differs from a good one by a character, its case, its length or its order."""
    _, token = approved(engine)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    chance = random.Random(47)
    mutants = set()
    while len(mutants) < 100_000:
        letters = list(token)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(letters))
            match chance.randrange(5):
                case 0:
                    letters[at] = chance.choice(alphabet)
                case 1:
                    letters[at] = letters[at].swapcase()
                case 2:
                    del letters[at]
                case 3:
                    letters.insert(at, chance.choice(alphabet + " \0\n%'é"))
                case _:
                    other = chance.randrange(len(letters))
                    letters[at], letters[other] = letters[other], letters[at]
        mutants.add("".join(letters))
    mutants.discard(token)
    hashes = [approval.hash_token(mutant) for mutant in mutants]
    with engine.connect() as connection:
        found = connection.scalar(
            text("SELECT count(*) FROM approvals WHERE token_hash = ANY(:h)"), {"h": hashes}
        )
    assert found == 0
    for mutant in chance.sample(sorted(mutants), 200):
        assert reason_of(engine, mutant) == "not_found"
    with engine.begin() as connection:
        authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="run")
