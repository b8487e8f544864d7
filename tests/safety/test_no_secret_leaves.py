"""A corpus of planted secrets goes in wherever text comes from outside; none of it comes out anywhere."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.agents import agent_program, assignments
from qflow_dagster.agents.coordination import Capability, Requirement
from qflow_dagster.execution import task_graph
from qflow_dagster.execution.task_adapters import ADAPTERS
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.execution.task_worker import work
from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import ErrorTracker
from qflow_dagster.notifications import delivery, endpoints
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.safety.display import visible_json
from qflow_dagster.safety.documents import parse
from qflow_dagster.safety.logs import SafeFilter
from qflow_dagster.settings import settings
from qflow_dagster.web.app import build_app
from tests.http_server import local_server
from tests.safety.secrets_corpus import Planted, corpus

CORPUS = corpus()
# Tables whose rows a person or another system gets to see.
TABLES = (
    "error_occurrences",
    "error_groups",
    "workflows",
    "workflow_events",
    "messages",
    "assignments",
    "outcomes",
    "tasks",
    "circuit_breakers",
    "operation_alerts",
    "operation_successes",
)


def leaked(words: str) -> list[str]:
    return [planted.kind for planted in CORPUS if planted.secret in words]


def stored(engine: Engine) -> Iterator[tuple[str, str]]:
    with engine.connect() as connection:
        for table in TABLES:
            yield table, "\n".join(connection.scalars(text(f"SELECT {table}::text FROM {table}")))


def test_the_corpus_is_one() -> None:
    assert len({planted.kind for planted in CORPUS}) == len(CORPUS) >= 165
    assert all(planted.secret in planted.text for planted in CORPUS)
    everything = " ".join(planted.text for planted in CORPUS)
    assert len(leaked(everything)) == len(CORPUS)


def test_errors_by_sdk_and_by_library_are_stored_and_shown_without_secrets(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "home", tmp_path)
    client = TestClient(build_app(engine, host="127.0.0.1"), base_url="http://127.0.0.1:3001")
    tracker = ErrorTracker(engine)
    for planted in CORPUS:
        event = {
            "transaction": planted.text[:200],
            "logger": "x",
            "server_name": planted.text,
            "exception": {
                "values": [
                    {
                        "type": planted.text,
                        "value": planted.text,
                        "stacktrace": {
                            "frames": [
                                {
                                    "filename": planted.text,
                                    "function": planted.text,
                                    "lineno": 1,
                                    "pre_context": planted.text.split("\n"),
                                    "context_line": "x " * 145 + planted.text,
                                }
                            ]
                        },
                    }
                ]
            },
            "extra": {"env": [planted.text], planted.text: {"deep": {"deeper": planted.text}}},
            "tags": [[planted.text, planted.text]],
            "contexts": {"trace": {"trace_id": planted.text}},
        }
        assert client.post("/api/1/store/", json=event).status_code == 200
        with pytest.raises(RuntimeError), tracker.operation("library", context={"said": planted.text}):
            raise RuntimeError(planted.text)
    tracker.close()
    assert error_analysis.analyze(engine).occurrences == 2 * len(CORPUS)
    assert {table: leaked(words) for table, words in stored(engine) if leaked(words)} == {}
    with engine.connect() as connection:
        groups = error_records.find(connection, limit=1_000)
        shown = [error_records.show(connection, group["id"]) for group in groups]
    assert leaked(visible_json([groups, shown])) == []
    assert leaked("".join(client.get(path).text for path in ("/approvals", "/metrics", "/health/deep"))) == []


def test_no_notification_carries_a_secret(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "home", tmp_path)
    with local_server() as webhook:
        with engine.begin() as connection:
            endpoints.add(connection, "hook", "planted", webhook.url, options={"each": True})
            payloads = [{"event": planted.kind, "message": planted.text} for planted in CORPUS]
            send_with_notify(connection, "planted", payloads)
        for _ in range(200):
            with engine.begin() as connection:
                delivery.distribute(connection)
            delivery.deliver(engine, worker="test")
            if len(webhook.received) >= len(CORPUS):
                break
        assert len(webhook.received) == len(CORPUS)
        assert leaked(b"".join(received.body for received in webhook.received).decode()) == []


def test_what_agents_and_tasks_say_of_their_failures_has_no_secrets(engine: Engine) -> None:
    with engine.begin() as connection:
        for planted in CORPUS[::8]:
            wanted = Requirement("refactoring", "code", "patch", "simple")
            # Asked for without the secret, which the program knows from elsewhere.
            assignments.create(connection, planted.kind, wanted, requested_by="test")
        connection.execute(text("UPDATE workflows SET max_attempts = 1"))
    texts = json.dumps({planted.kind: planted.text for planted in CORPUS})
    program = f"import json, sys; sys.stderr.write(json.loads({texts!r})[json.load(sys.stdin)['task']]); sys.exit(1)"
    said: list[str] = []
    agent = Capability(name="talker", domains=("refactoring",), output_types=("patch",), complexity="complex")
    agent_program.work(
        engine, agent, [sys.executable, "-c", program], idle=0.3, poll=0.1, timeout=20, report=said.append
    )
    assert len(said) == len(CORPUS[::8])
    assert leaked("\n".join(said)) == []

    def fail(call: object) -> None:
        raise ValueError(planted_by_name[call.name].text)  # type: ignore[attr-defined]

    planted_by_name = {f"t{number}": planted for number, planted in enumerate(CORPUS)}
    graph = json.dumps(
        {
            "name": "g",
            "tasks": [{"name": name, "adapter": "python", "max_attempts": 1} for name in planted_by_name],
        }
    )
    adapters = {**ADAPTERS, "python": fail}
    with engine.begin() as connection:
        task_graph.submit(connection, read_graph(parse(graph, "g"), adapters), requested_by="test")
    assert work(engine, worker="w", adapters=adapters).failed == len(CORPUS)
    assert {table: leaked(words) for table, words in stored(engine) if leaked(words)} == {}


@pytest.mark.parametrize("planted", CORPUS, ids=lambda planted: planted.kind)
def test_logs_have_no_secrets_in_message_or_arguments(planted: Planted) -> None:
    for message, arguments in (("x %s", (planted.text,)), (planted.text, ())):
        record = logging.LogRecord("x", logging.INFO, "f", 1, message, arguments, None)
        SafeFilter().filter(record)
        assert leaked(logging.Formatter("%(message)s").format(record)) == []
    try:
        raise ValueError(planted.text)
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "it failed", None, sys.exc_info(), sinfo=planted.text
        )
    SafeFilter().filter(record)
    assert leaked(logging.Formatter("%(message)s").format(record)) == []
