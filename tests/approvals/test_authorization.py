"""Using approvals: bound to their content, used once, their tokens stored as hashes and not to be guessed."""

import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.approvals import approval, authorization, records
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference
from tests.approvals.conftest import PATCH, approved, reason_of, status


def test_an_approved_edit_may_be_made_once(engine: Engine) -> None:
    id_, token = approved(engine)
    with engine.begin() as connection:
        used = authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="run", run_id="r1")
    assert used == (id_, "edit", "src/a.py", PATCH, {})
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
