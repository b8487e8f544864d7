"""Health checks of database, disk, queues, leases, circuit breakers, error rates, services and this process.

Each probe opens and closes its own resources. Does not belong here: checks of other domains (they
register their own), processing of results (`health_agent`).
"""

import shutil
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

import psutil
from sqlalchemy import Connection, Engine, func, select, text

from qflow_dagster.database.revisions import current_revision, newest_revision
from qflow_dagster.infrastructure import heartbeats, service_probes
from qflow_dagster.infrastructure.error_rate_tracker import rates
from qflow_dagster.infrastructure.health_agent import Check, CheckResult, threshold_result
from qflow_dagster.quantumflow import registered_types, verify_history
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.settings import settings

# A circuit breaker that is open for less than this is not a problem.
OPEN_TOO_LONG = 60.0
# Seconds for which a transaction may hold messages back: degraded, unhealthy.
HELD, HELD_LONG = 30.0, 300.0
# Expired leases are returned every half minute.
RETURNED_LATE = 120.0


def checks(engine: Engine) -> list[Check]:
    """Return all checks of this domain on that database."""

    def reading(
        probe: Callable[[Connection], Mapping[str, CheckResult]],
    ) -> Callable[[], Mapping[str, CheckResult]]:
        def read() -> Mapping[str, CheckResult]:
            with engine.connect() as connection:
                return probe(connection)

        return read

    return [
        Check("database", lambda: database(engine)),
        Check("migrations", lambda: migrations(engine)),
        Check("disk", disk),
        Check("process", process),
        Check("queue_depth", reading(queue_depth)),
        Check("queue_age", reading(queue_age)),
        Check("leases", reading(leases)),
        Check("circuit_breakers", reading(open_breakers)),
        Check("error_rate", reading(error_rate)),
        Check("dead_workflows", reading(dead_workflows)),
        Check("recovery", reading(recovery)),
        Check("held_messages", reading(held_messages)),
        Check("web", reading(web_process)),
        Check("service", lambda: service_probes.probe_all(engine)),
        Check("history", reading(history), deep=True),
    ]


def database(engine: Engine) -> dict[str, CheckResult]:
    """Measure one round trip to the database, in milliseconds."""
    started = time.perf_counter()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    took = (time.perf_counter() - started) * 1_000
    limit = settings().health.response
    return {"database": threshold_result(took, limit, limit * 5, f"a round trip takes {took:.1f} ms", "ms")}


def migrations(engine: Engine) -> dict[str, CheckResult]:
    """Return whether the database has the migrations that this code needs."""
    current, needed = current_revision(engine), newest_revision()
    if current == needed:
        return {"migrations": CheckResult("healthy", f"at revision {current}")}
    return {
        "migrations": CheckResult(
            "unhealthy", f"at revision {current}, this code needs {needed}: qflow db migrate"
        )
    }


def recovery(connection: Connection) -> dict[str, CheckResult]:
    """Return whether the server accepts writes: in recovery, as a standby does, it only reads."""
    if connection.scalar(select(func.pg_is_in_recovery())):
        return {
            "recovery": CheckResult(
                "unhealthy", "the server is in recovery (a standby?): nothing can be written"
            )
        }
    return {"recovery": CheckResult("healthy", "the server accepts writes")}


def held_messages(connection: Connection) -> dict[str, CheckResult]:
    """Find messages that nobody can receive yet, because an older transaction of any program is still open."""
    query = text("""
        SELECT held.count, held.age, oldest.pid, oldest.age AS open_for, oldest.application_name AS program
        FROM (
            SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS age
            FROM messages WHERE xact >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        ) AS held
        LEFT JOIN LATERAL (
            SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
            UNION ALL
            SELECT NULL, 'prepared transaction ' || gid,
                   extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
            ORDER BY age DESC NULLS LAST LIMIT 1
        ) AS oldest ON true
    """)
    row = connection.execute(query).one()
    if row.age <= HELD:
        return {"held_messages": CheckResult("healthy", "no message is held back", 0.0, HELD, "s")}
    message = f"{row.count:,} messages wait, since {row.age:.0f} s, for the end of a transaction"
    if row.open_for is not None:
        of = " of ".join(filter(None, (row.pid and f"process {row.pid}", row.program)))
        message += f" ({of}, open for {row.open_for:.0f} s)"
    return {"held_messages": threshold_result(row.age, HELD, HELD_LONG, message, "s")}


def web_process(connection: Connection) -> dict[str, CheckResult]:
    """Return whether the web process lives; nothing where none has been started, or it was stopped as intended."""
    silent = heartbeats.silence(connection, heartbeats.WEB)
    if silent is None:
        return {}
    message = f"the web process (inbox, intake of errors) gave its last sign of life {silent:.0f} s ago"
    return {"web": threshold_result(silent, heartbeats.SILENT, heartbeats.SILENT, message, "s")}


def disk() -> dict[str, CheckResult]:
    """Return how full the disk is that holds `QFLOW_HOME`."""
    home = settings().home.absolute()
    while not home.exists():
        home = home.parent
    usage = shutil.disk_usage(home)
    full = 100.0 * (usage.total - usage.free) / usage.total
    message = f"{full:.0f} % full, {usage.free / 2**30:.1f} GB free"
    limit = settings().health.disk
    return {"disk": threshold_result(full, limit, (limit + 100) / 2, message, "%")}


def process() -> dict[str, CheckResult]:
    """Measure memory of this process, and CPU load of the machine."""
    limits = settings().health
    memory = psutil.Process().memory_info().rss / 2**20
    cpu = psutil.cpu_percent(interval=0.2)
    return {
        "process:memory": threshold_result(
            memory, limits.memory, None, f"this process takes {memory:.0f} MB", "MB"
        ),
        "process:cpu": threshold_result(cpu, limits.cpu, None, f"the cores are {cpu:.0f} % busy", "%"),
    }


def queue_depth(connection: Connection) -> dict[str, CheckResult]:
    """Return the number of claimable rows of each type."""
    limits = settings().health
    query = text("""
        SELECT type, count(*) AS depth FROM workflows
        WHERE claimable AND remaining_dependencies = 0 AND available_at <= statement_timestamp() GROUP BY type
    """)
    return {
        f"queue_depth:{row.type}": threshold_result(
            row.depth, limits.queue_warning, limits.queue_critical, f"{row.depth:,} wait for a worker", "rows"
        )
        for row in connection.execute(query)
    }


def queue_age(connection: Connection) -> dict[str, CheckResult]:
    """Return how long the oldest claimable row has been pending."""
    query = text("""
        SELECT extract(epoch FROM statement_timestamp() - min(available_at))::float8 AS age,
               (array_agg(type ORDER BY available_at))[1] AS type
        FROM workflows WHERE claimable AND remaining_dependencies = 0 AND available_at <= statement_timestamp()
    """)
    row = connection.execute(query).one()
    limit = settings().health.queue_age
    message = f"a {row.type} has waited for {row.age:.0f} s" if row.type else "nothing waits"
    return {"queue_age": threshold_result(row.age or 0.0, limit, limit * 4, message, "s")}


def leases(connection: Connection) -> dict[str, CheckResult]:
    """Find expired leases that were not returned: no sweep runs, or this code does not know their type."""
    late = func.statement_timestamp() - timedelta(seconds=RETURNED_LATE)
    query = select(func.count()).where(workflows.c.lease_expires_at <= late)
    count = connection.scalar(query) or 0
    return {
        "leases": threshold_result(count, 0, None, f"{count:,} leases ran out and were not returned", "rows")
    }


def open_breakers(connection: Connection) -> dict[str, CheckResult]:
    """Find circuit breakers that have been open for over a minute."""
    query = text("""
        SELECT b.operation FROM circuit_breakers b JOIN workflows w ON w.id = b.id
        WHERE w.status <> 'closed' AND NOT b.held AND b.opened_at < clock_timestamp() - make_interval(secs => :long)
        ORDER BY b.opened_at
    """)
    names = connection.scalars(query, {"long": OPEN_TOO_LONG}).all()
    message = f"open for over a minute: {', '.join(names[:5])}" if names else "none is open for long"
    return {"circuit_breakers": threshold_result(len(names), 0, None, message, "breakers")}


def error_rate(connection: Connection) -> dict[str, CheckResult]:
    """Return the highest error rate of an operation with enough calls in the window."""
    limits = settings().errors
    seen = [rate for rate in rates(connection) if rate.total >= limits.alert_total]
    highest = max(seen, key=lambda rate: rate.rate, default=None)
    if highest is None:
        return {
            "error_rate": CheckResult(
                "healthy", "no operation has many calls", 0.0, settings().health.error_rate, "rate"
            )
        }
    limit = settings().health.error_rate
    message = f"{highest.rate:.1%} of the calls of {highest.operation} fail"
    return {"error_rate": threshold_result(highest.rate, limit, limit, message, "rate")}


def dead_workflows(connection: Connection) -> dict[str, CheckResult]:
    """Count workflows that exhausted their attempts within a day."""
    types = [declared.name for declared in registered_types() if declared.machine.dead]
    columns, died = workflows.c, func.count().label("died")
    query = (
        select(columns.type, died)
        .where(
            columns.status == "dead",
            columns.finished_at > func.statement_timestamp() - timedelta(days=1),
            columns.type.in_(types),
        )
        .group_by(columns.type)
        .order_by(died.desc())
    )
    rows = connection.execute(query).all()
    total = sum(row.died for row in rows)
    message = ", ".join(f"{row.died:,} {row.type}" for row in rows[:5]) or "none died within a day"
    return {"dead_workflows": threshold_result(total, 0, None, message, "rows")}


def history(connection: Connection) -> dict[str, CheckResult]:
    """Verify the hash chains of all histories. Deep: reads every event."""
    broken = verify_history(connection)
    if broken is None:
        return {"history": CheckResult("healthy", "every chain holds")}
    return {"history": CheckResult("unhealthy", f"{broken.reason}; see `qflow history verify`")}
