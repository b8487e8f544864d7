"""Many processes at one approval: the machine holds, one wins."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, Engine, text

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.quantumflow import verify_history
from tests import decisions

WORKER = Path(__file__).with_name("worker.py")


def race(
    database: URL, acts: list[tuple[str, str, str]], at_start: Callable[[float], None] = lambda _: None
) -> list[dict[str, str]]:
    """Each act (verb, id or token, name) in a process of its own, all at the same moment.

    `at_start` is told that moment (seconds since the epoch) just before it.
    """
    command = [sys.executable, str(WORKER), database.render_as_string(hide_password=False)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(acts) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        start = time.time() + 0.5
        at_start(start)
        process.stdin.write(f"{start}\n")
        process.stdin.flush()
        return json.loads(process.communicate(timeout=120)[0])


def test_of_64_processes_with_one_token_one_may_act(engine: Engine, database: URL) -> None:
    with engine.begin() as connection:
        id_ = arbiter.request_approval(
            connection, "edit", "src/a.py", {"patch": "x"}, requested_by="bot", reason="r"
        )
        token = decisions.approve(connection, id_, actor="ada").token or ""
    answers = race(database, [("use", token, f"p{n}") for n in range(64)])
    assert [answer for answer in answers if "ok" in answer] == [{"ok": str(id_)}]
    assert {answer["refused"] for answer in answers if "refused" in answer} == {"already_used"}
    with engine.connect() as connection:
        refused = connection.scalar(
            text("SELECT count(*) FROM approval_refusals WHERE reason = 'already_used'")
        )
    assert refused == 63


def test_deciders_racing_each_other_revocation_and_the_end_leave_one_answer(
    engine: Engine, database: URL
) -> None:
    with engine.begin() as connection:
        ids = [
            arbiter.request_approval(
                connection,
                "edit",
                f"f{n}",
                {"patch": "x"},
                requested_by="bot",
                reason="r",
                required_approvals=2,
            )
            for n in range(2)
        ]

    def end_the_second(start: float) -> None:
        """Its term is over while they decide."""
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE workflows SET expires_at = to_timestamp(:at) WHERE id = :id"),
                {"at": start + 0.03, "id": ids[1]},
            )

    acts = [
        (verb, str(id_), f"{verb}{n}")
        for id_ in ids
        for n in range(4)
        for verb in ("approve", "deny", "approve", "revoke")
    ]
    answers = race(database, acts, end_the_second)
    for id_ in ids:
        with engine.connect() as connection:
            shown = records.show(connection, id_)
            assert verify_history(connection, id_) is None
            ended = connection.scalar(
                text(
                    "SELECT count(*) FROM workflow_events WHERE workflow_id = :id AND to_status <> 'pending'"
                ),
                {"id": id_},
            )
        approvals = sum(decision["decision"] == "approve" for decision in shown["decisions"])
        denials = len(shown["decisions"]) - approvals
        match shown["status"]:
            case "approved":
                assert (approvals, denials) == (2, 0)
            case "denied":
                assert (approvals < 2, denials) == (True, 1)
            case "revoked":
                assert denials == 0
            case _:
                assert (shown["status"], denials) == ("pending", 0)
                assert approvals < 2
        # Revoked after it was approved is the one way to two ends.
        assert ended is not None
        assert ended <= 2
    assert any("ok" in answer for answer in answers)
