"""Decisions that nobody made are not accepted, in process and over real sockets; the honest one is."""

import os
import random
import socket
from collections.abc import Callable
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy import Engine

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.web import peers
from qflow_dagster.web.access import csrf_token
from qflow_dagster.web.app import build_app
from tests.security.mutations import HOST, Decision, attack, mutated
from tests.web.conftest import PATCH, home, served

__all__ = ["home", "served"]
OVER_SOCKETS = 300

Owner = Callable[[peers.Address, peers.Address], int | None]


def in_process(look_up: Owner) -> Owner:
    """Clients in process are ours; those of real sockets are looked up as ever."""
    return lambda client, server: os.geteuid() if client[0] == "testclient" else look_up(client, server)


def honest_decision(engine: Engine) -> tuple[UUID, Decision]:
    """An approval that waits, and what the form of its page sends."""
    with engine.begin() as connection:
        id_ = arbiter.request_approval(
            connection,
            "edit",
            "src/cart.py",
            {"patch": PATCH},
            requested_by="bot",
            reason="counts were ignored",
        )
        digest = records.show(connection, id_)["digest"]
    fields = (("csrf", csrf_token(peers.own_name(), str(id_))), ("digest", digest), ("decision", "approve"))
    return id_, Decision(f"/approvals/{id_}", fields)


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_no_mutated_decision_is_accepted(engine: Engine, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(peers, "socket_owner", in_process(peers.socket_owner))
    app = build_app(engine, host="127.0.0.1")
    accepted, answers = attack(app, engine, lambda: honest_decision(engine), count)
    assert accepted == 0
    assert {200, 303} & set(answers) <= {200}, "a page may be shown, a decision is never answered"
    assert min(answers[403], answers[421], answers[401], answers[409]) > count / 100


def test_no_mutated_decision_is_accepted_over_a_socket(served: str, engine: Engine) -> None:
    chance = random.Random(1)
    id_, decision = honest_decision(engine)
    for _ in range(OVER_SOCKETS):
        wrong = mutated(decision, chance)
        # A whole address as target is a proxy's way to write the path, and our process is ours.
        if "another process" not in wrong.faults and not wrong.path.startswith("http://"):
            assert sent(served, wrong) != b"303", wrong
    with engine.connect() as connection:
        assert records.show(connection, id_)["status"] == "pending"
    assert sent(served, decision) == b"303"


def sent(address: str, decision: Decision) -> bytes:
    """The status of the answer to a request written byte by byte."""
    host, port = address.removeprefix("http://").split(":")
    body = urlencode(decision.fields)
    # The server has another port than the request was made for.
    values = [(name, value.replace(HOST, f"{host}:{port}")) for name, value in decision.headers]
    target = f"{decision.path or '/'}{'?' if decision.query else ''}{decision.query}"
    lines = [f"{decision.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in values)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", body]
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall("\r\n".join(lines).encode())
        answer = b""
        while b" " not in answer.partition(b"\r\n")[0][9:]:
            chunk = client.recv(4_096)
            if not chunk:
                break
            answer += chunk
    return answer[9:12]
