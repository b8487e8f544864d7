"""Benchmark of operations: `python -m benchmarks.operations`.

Errors taken in and grouped per second by each way in; the time of a tick of each sensor with
100,000 rows waiting; approvals decided and used per second. All on an embedded server with fsync on. How long it takes
from a decision until its run has used it: `benchmarks.reaction`.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import requests
import uvicorn
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks import alarms, intake
from qflow_dagster.approvals import arbiter, authorization, records
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.infrastructure import error_analysis
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.infrastructure.error_rate_tracker import ErrorTracker, Occurrence, track_errors
from qflow_dagster.notifications import endpoints
from qflow_dagster.quantumflow import NewWorkflow, create_workflows, transition
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.approvals import approval_decisions, approval_expiry
from qflow_dagster.sensors.infrastructure import expired_leases, new_errors, undelivered_notifications
from qflow_dagster.settings import settings
from qflow_dagster.web.app import build_app

WAITING = 100_000
BATCH = 10_000
TICKS = 20

console = Console()


def decided(connection: Any, approval_id: UUID) -> arbiter.DecisionResult:
    """Approve as a page does: with the digest of what it read."""
    digest = records.show(connection, approval_id)["digest"]
    return arbiter.approve(connection, approval_id, actor="ada", digest=digest)


def fresh(home: Path, name: str) -> Engine:
    """Yield an engine on a new migrated database."""
    url = embedded.url(home, name)
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    return engine


def per_second(count: int, work: Callable[[], Any]) -> float:
    """How many of `count` are done per second."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def occurrences(count: int) -> list[Occurrence]:
    """Errors of a hundred operations, ten thousand messages each, with stacks of twenty kinds."""
    return [
        Occurrence(
            operation=f"service.{n % 100}",
            kind=("TimeoutError", "KeyError", "ConnectionError")[n % 3],
            message=f"request {n} from 10.0.{n % 256}.{n % 99} failed",
            stack=f'  File "/srv/app/module_{n % 20}.py", line {n % 400}, in handle_{n % 20}\n' * 3,
            context={"request": n, "user": f"u{n % 1_000}"},
        )
        for n in range(count)
    ]


def errors(home: Path, count: int) -> list[tuple[str, float]]:
    """Intake by each way, and grouping."""
    engine = fresh(home, "bench_errors")
    given = occurrences(count)
    found = []

    def stored(batch: int) -> None:
        for start in range(0, count, batch):
            with engine.begin() as connection:
                track_errors(connection, given[start : start + batch])

    found.append(("track_errors, 1,000 at a time", per_second(count, lambda: stored(1_000))))
    found.append(
        ("analysis (grouping, alerts, breakers)", per_second(count, lambda: error_analysis.analyze(engine)))
    )

    def tracked() -> None:
        tracker = ErrorTracker(engine)
        for occurrence in given:
            tracker.track(occurrence)
        tracker.close()

    found.append(("ErrorTracker, one thread, until stored", per_second(count, tracked)))
    few = count // 20
    rate = per_second(few, lambda: post_envelopes(engine, few))
    found.append(("envelopes over HTTP, 8 clients, answered = stored", rate))
    engine.dispose()
    return found


def post_envelopes(engine: Engine, count: int) -> None:
    """So many envelopes of one event, from eight clients."""
    app = build_app(engine, host="127.0.0.1")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    event = json.dumps(
        {"transaction": "shop", "exception": {"values": [{"type": "E", "value": "v"}]}}
    ).encode()
    body = (
        b'{"event_id":"1"}\n' + json.dumps({"type": "event", "length": len(event)}).encode() + b"\n" + event
    )

    def client() -> None:
        session = requests.Session()
        for _ in range(count // 8):
            session.post(f"http://127.0.0.1:{port}/api/1/envelope/", data=body, timeout=30).raise_for_status()

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    server.should_exit = True


def approvals(home: Path, count: int) -> list[tuple[str, float]]:
    """Asking, deciding and using, each in a transaction of its own, and calls through a closed breaker."""
    engine = fresh(home, "bench_approvals")
    content = {"patch": "x" * 2_000}
    ids: list[Any] = []
    tokens: list[str] = []

    def ask() -> None:
        for n in range(count):
            with engine.begin() as connection:
                ids.append(
                    arbiter.request_approval(
                        connection, "edit", f"f{n}", content, requested_by="bot", reason="r"
                    )
                )

    def decide() -> None:
        for id_ in ids:
            with engine.begin() as connection:
                tokens.append(decided(connection, id_).token or "")

    def use() -> None:
        for n, token in enumerate(tokens):
            with engine.begin() as connection:
                authorization.authorize_edit(connection, token, f"f{n}", content, actor="run")

    def call() -> None:
        for _ in range(count):
            with through_breaker(engine, "model"):
                pass

    found = [
        ("ask for an approval", per_second(count, ask)),
        ("approve", per_second(count, decide)),
        ("use a token", per_second(count, use)),
        ("call through a closed breaker", per_second(count, call)),
    ]
    engine.dispose()
    return found


def ticks(home: Path) -> list[tuple[str, int, float, float]]:
    """(sensor, rows waiting, median and slowest tick in ms), empty and with `WAITING` rows of each kind."""
    engine = fresh(home, "bench_ticks")
    database = Database(url=engine.url.render_as_string(hide_password=False))
    found = measure_ticks(database, 0)
    fill(engine)
    return found + measure_ticks(database, WAITING)


def fill(engine: Engine) -> None:
    """Rows that wait: approvals pending and approved, errors, notifications."""
    insert = text("""
        INSERT INTO approvals (id, kind, target, content, digest, requested_by, reason, required_approvals,
                               expires_at, warn_at)
        SELECT id, split_part(type, '_', 1), 't', '{}', sha256(id::text::bytea), 'bot', 'r', 1, expires_at,
               statement_timestamp() + interval '1 hour'
        FROM workflows WHERE id = ANY(:ids)
    """)
    for kind, status in (("edit_approval", None), ("workflow_approval", "approved"), ("notification", None)):
        for _ in range(0, WAITING, BATCH):
            with engine.begin() as connection:
                new = [NewWorkflow(type=kind, payload={"title": "t"}, ttl=7_200.0) for _ in range(BATCH)]
                ids = create_workflows(connection, new, actor="bench")
                if kind != "notification":
                    connection.execute(insert, {"ids": ids})
                if status:
                    transition(connection, ids, status, actor="bench")
    with engine.begin() as connection:
        endpoints.add(connection, "ops", "approval_notifications", "https://example.org/")
        for start in range(0, WAITING, BATCH):
            track_errors(
                connection, [Occurrence(operation=f"o{n % 50}") for n in range(start, start + BATCH)]
            )
        waiting = text(
            "UPDATE workflows SET available_at = now() - interval '5 min' WHERE type = 'notification'"
        )
        connection.execute(waiting)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def measure_ticks(database: Database, waiting: int) -> list[tuple[str, int, float, float]]:
    """Measure the time of a tick of each sensor."""
    sensors: list[Any] = [
        approval_decisions,
        approval_expiry,
        new_errors,
        undelivered_notifications,
        expired_leases,
    ]
    found = []
    with dg.DagsterInstance.ephemeral() as instance:
        for sensor in sensors:
            times = []
            for _ in range(TICKS):
                with dg.build_sensor_context(instance=instance, resources={"database": database}) as context:
                    started = time.perf_counter()
                    sensor(context)
                    times.append((time.perf_counter() - started) * 1_000)
            found.append((sensor.name, waiting, statistics.median(times), max(times)))
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=100_000, help="errors to take in")
    parser.add_argument("--approvals", type=int, default=500, help="approvals to decide")
    parser.add_argument("--days", type=int, default=0, help="only simulate so many days with planted faults")
    parser.add_argument("--intake", type=float, help="only take in events over HTTP, so many seconds per way")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="qb-"))
    home.chmod(0o755)
    settings().home = home
    embedded.start(home)
    try:
        if arguments.intake:
            console.print(intake.table(fresh(home, "bench_intake"), arguments.intake))
            return
        if arguments.days:
            for table in alarms.tables(arguments.days, lambda name: fresh(home, name)):
                console.print(table)
            return
        rates = Table("what", "per second", title="Throughput")
        for what, rate in (*errors(home, arguments.errors), *approvals(home, arguments.approvals)):
            rates.add_row(what, f"{rate:,.0f}")
        console.print(rates)
        times = Table("sensor", "rows waiting", "median ms", "slowest ms", title="A tick")
        for name, waiting, median, slowest in ticks(home):
            times.add_row(name, f"{waiting:,}", f"{median:.1f}", f"{slowest:.1f}")
        console.print(times)
    finally:
        embedded.stop(home)


if __name__ == "__main__":
    main()
