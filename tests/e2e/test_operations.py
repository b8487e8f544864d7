"""Operations on a real daemon: decided in the page, used once; errors of a foreign program, told and recovered; kill -9."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.approvals.approved_workflows import request_workflow
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.infrastructure import circuit_breaker, error_records
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.notifications import endpoints
from qflow_dagster.quantumflow import find, send_with_notify, verify_history
from qflow_dagster.settings import settings
from tests import decisions
from tests.e2e.test_dagster import QFLOW, environment, eventually, free_port, home
from tests.http_server import local_server
from tests.web.test_inbox import form_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
__all__ = ["environment", "home"]
ROOT = Path(__file__).parents[2]
# A type that every process knows.
TYPE = "notification"


@pytest.fixture(autouse=True)
def same_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that seals addresses is the one the started processes use."""
    monkeypatch.setattr(settings(), "home", home)


def notice(n: int) -> dict[str, Any]:
    return {
        "endpoint": "none",
        "endpoint_id": "none",
        "queue": "none",
        "title": f"n{n}",
        "body": "",
        "data": {},
    }


def started(engine: Engine) -> list[str | None]:
    """The keys of the workflows that approvals have started."""
    with engine.connect() as connection:
        query = text("SELECT key FROM workflows WHERE type = :type AND key LIKE 'approval:%' ORDER BY id")
        return list(connection.scalars(query, {"type": TYPE}))


def test_decided_in_the_page_used_once_and_errors_of_a_foreign_program_are_told_and_recovered(
    environment: dict[str, str], engine: Engine
) -> None:
    port = free_port()
    environment |= {"QFLOW_ERRORS_BREAKER_RESET": "2"}
    inbox = f"http://127.0.0.1:{port}"
    up = subprocess.Popen(
        [*QFLOW, "up", "--port", str(port)],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    try:
        with local_server() as webhook:
            with engine.begin() as connection:
                endpoints.add(
                    connection,
                    "breakers",
                    "circuit_breaker_notifications",
                    webhook.url,
                    filters={"to": ["open", "closed"]},
                )
                asked = request_workflow(
                    connection, TYPE, notice(1), requested_by="bot", reason="weekly report"
                )
            eventually(lambda: answers(f"{inbox}/health/ready") or up.poll() is not None, "the inbox answers")
            assert up.poll() is None, up.communicate()[1]

            page = requests.get(f"{inbox}/approvals/{asked}", timeout=30)
            decided = time.monotonic()
            answer = requests.post(
                f"{inbox}/approvals/{asked}", {**form_of(page.text), "decision": "approve"}, timeout=30
            )
            assert "approved" in answer.text
            eventually(lambda: started(engine), "the sensor launches a run that uses the approval")
            print(f"from the decision to its use: {time.monotonic() - decided:.1f} s")
            assert started(engine) == [f"approval:{asked}"]
            page = requests.get(f"{inbox}/approvals/{asked}", timeout=30)
            assert f"{inbox}/dagster/runs/" in page.text

            # A foreign program: it knows the address of the database and the name of a table.
            foreign = environment["QFLOW_DATABASE_URL"].replace("+psycopg", "")
            with psycopg.connect(foreign, autocommit=True) as program:
                for n in range(6):
                    program.execute(
                        "INSERT INTO error_occurrences (operation, kind, message) VALUES ('cards', 'Timeout', %s)",
                        [f"no answer {n}"],
                    )

                def breaker() -> str:
                    with engine.connect() as connection:
                        found = {
                            row["operation"]: row["state"] for row in circuit_breaker.breakers(connection)
                        }
                    return found.get("cards", "")

                eventually(lambda: breaker() == "open", "the errors are analyzed and the breaker opens")
                with engine.connect() as connection:
                    [group] = [g for g in error_records.find(connection) if g["operation"] == "cards"]
                assert (group["count"], group["classification"]) == (6, "timeout")
                time.sleep(2)
                program.execute("INSERT INTO operation_successes (operation, count) VALUES ('cards', 2)")
            eventually(lambda: breaker() == "closed", "the breaker closes when it succeeds again")

            def told() -> set[str]:
                bodies = [json.loads(request.body) for request in webhook.received]
                return {body["data"]["to"] for body in bodies if body["data"]["key"] == "cards"}

            eventually(lambda: told() >= {"open", "closed"}, "the webhook is told of both")
            eventually(
                lambda: requests.get(f"{inbox}/health/deep", timeout=30).json()["checks"],
                "the schedule checks health",
            )
            assert "qflow_circuit_breaker_open" in requests.get(f"{inbox}/metrics", timeout=30).text
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        _, words = up.communicate(timeout=180)
    assert up.returncode == 0, words
    with engine.connect() as connection:
        assert verify_history(connection) is None


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


class Processes:
    """The inbox with its notifier, Dagster's daemon and a worker, on an embedded server of their own; any may be killed."""

    def __init__(self, home: Path, database: str, dagster: str) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "QFLOW_HOME": str(home),
            "QFLOW_DATABASE_URL": database,
            "QFLOW_DAGSTER_URL": dagster,
            "DAGSTER_HOME": str(home / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        self.commands = {
            "inbox": [*QFLOW, "inbox", "--quiet", "--port", str(free_port())],
            "daemon": [sys.executable, "-m", "dagster._daemon", "run", "-w", str(ROOT / "workspace.yaml")],
            "worker": [*QFLOW, "worker", "--queues", "quick,long", "--concurrency", "2"],
        }
        self.running: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        """Whatever does not run."""
        for name, command in self.commands.items():
            if name not in self.running or self.running[name].poll() is not None:
                with (self.home / f"{name}.log").open("ab") as log:
                    self.running[name] = subprocess.Popen(
                        command,
                        env=self.environment,
                        cwd=ROOT,
                        start_new_session=True,
                        stdout=log,
                        stderr=log,
                    )

    def kill(self, name: str) -> None:
        """With all its children, as a machine that loses power does."""
        if name == "postgres":
            pid = int((embedded.data_folder(self.home) / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
            embedded.start(self.home)
            return
        process = self.running.get(name)
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self) -> str:
        return "\n".join(
            f"--- {name}\n" + (self.home / f"{name}.log").read_text()[-3_000:] for name in self.commands
        )


@pytest.fixture
def processes(home: Path) -> Iterator[Processes]:
    embedded.start(home)
    url = embedded.url(home)
    dagster_url = url.set(database="qflow_dagster", drivername="postgresql")
    for address in (url, dagster_url.set(drivername="postgresql+psycopg")):
        ensure_database(address)
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text((ROOT / "qflow_dagster" / "dagster.yaml").read_text())
    found = Processes(
        home, url.render_as_string(hide_password=False), dagster_url.render_as_string(hide_password=False)
    )
    engine = engine_for(url)
    migrate(engine)
    engine.dispose()
    yield found
    for name in found.commands:
        found.kill(name)
    embedded.stop(home)


def test_killed_at_random_moments_nothing_is_lost_and_nothing_is_used_twice(
    home: Path, processes: Processes
) -> None:
    """Inbox, notifier, daemon, worker with its runs, and PostgreSQL itself, each by kill -9 while work comes in."""
    chance = random.Random(47)
    engine = engine_for(embedded.url(home))
    approvals, errors = [], 0
    with local_server() as webhook:
        with engine.begin() as connection:
            endpoints.add(connection, "all", "approval_drill", webhook.url)
        for round_, victim in enumerate(("inbox", "postgres", "daemon", "worker", "postgres")):
            processes.start()
            for n in range(8):
                key = round_ * 8 + n
                done = False
                while not done:
                    # A client that finds the database away tries again: what was committed is kept, the rest was not.
                    try:
                        with engine.begin() as connection:
                            id_ = request_workflow(
                                connection, TYPE, notice(key), requested_by="bot", reason=f"r{key}"
                            )
                            decisions.approve(connection, id_, actor="ada")
                            track_errors(connection, [Occurrence(operation="drill", message="it failed")] * 5)

                            send_with_notify(connection, "approval_drill", [{"n": key}])
                        done = True
                    except OperationalError:
                        time.sleep(0.2)
                approvals.append(f"approval:{id_}")
                errors += 5
                time.sleep(chance.uniform(0, 0.6))
            time.sleep(chance.uniform(0, 4))
            processes.kill(victim)

        def settled() -> bool:
            # What ended while the database was away is started again, as a supervisor of services does.
            processes.start()
            try:
                with engine.connect() as connection:
                    groups = error_records.find(connection, state="all", operation="drill")
                    told = {json.loads(request.body)["data"]["n"] for request in webhook.received}
                    return (
                        sorted(map(str, started(engine))) == sorted(approvals)
                        and sum(group["count"] for group in groups) == errors
                        and told == set(range(len(approvals)))
                        and not find(connection, type_name="workflow_approval", status="approved")
                    )
            except OperationalError:
                return False

        try:
            eventually(settled, "everything is used, grouped and told")
        except AssertionError:
            raise AssertionError(processes.log()) from None
        ids: dict[int, set[str]] = {}
        for request in webhook.received:
            body = json.loads(request.body)
            ids.setdefault(body["data"]["n"], set()).add(body["id"])
        assert all(len(found) == 1 for found in ids.values())
    with engine.connect() as connection:
        assert verify_history(connection) is None
        used = connection.scalar(text("SELECT count(*) FROM workflow_events WHERE to_status = 'consumed'"))
    assert used == len(approvals)
    engine.dispose()
