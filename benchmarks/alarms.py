"""A day of simulated operation with planted faults: `python -m benchmarks.operations --days 3`.

The calls, errors and results of checks of each minute are made up; the database, the analysis of errors, the alerts and
the health agent are the real ones. They read the time from functions of PostgreSQL, which a schema in front of the
others replaces. What must raise an alarm, and what must not, is written down below before anything is measured.
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from rich.table import Table
from sqlalchemy import Engine, event, text

from qflow_dagster.database import engine_for
from qflow_dagster.infrastructure import error_analysis, health_agent, health_exceptions, services
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.infrastructure.health_agent import CheckResult, threshold_result
from qflow_dagster.infrastructure.incidents import Status

MINUTES = 24 * 60
# Minutes after the end of a fault within which an alarm is still about it, and between two alarms that are one.
GRACE, SAME = 3, 10

# Calls per minute of each operation, and the share that fails on a good day.
OPERATIONS = {
    "web.home": (600, 0.001),
    "web.search": (120, 0.005),
    "shop.cart": (240, 0.002),
    "shop.pay": (60, 0.01),
    "mail.send": (12, 0.02),
    "report.build": (15, 0.01),
    "import.file": (30, 0.02),
    "api.rare": (3, 0.03),
}
SERVICES = ("shop", "database", "cache", "api", "mail", "search")


class Fault(NamedTuple):
    """A planted fault, in minutes of the day; `share` of calls that fail, or how its checks answer."""

    name: str
    what: str
    start: int
    end: int
    share: float = 0.0
    status: Status = "healthy"
    # Whether it must raise an alarm.
    alarm: bool = True


FAULTS = (
    Fault("shop.pay", "30 % of calls fail", 600, 620, 0.30),
    Fault("web.home", "8 % of calls fail", 780, 810, 0.08),
    Fault("mail.send", "all of few calls fail", 240, 250, 1.0),
    Fault("shop.cart", "half of the calls fail for a minute", 1_320, 1_321, 0.5),
    Fault("api.rare", "all of 3 calls a minute fail", 1_080, 1_140, 1.0),
    Fault("web.search", "12 % of calls fail", 900, 915, 0.12),
    Fault("service:shop", "down", 540, 552, status="unhealthy"),
    Fault("service:database", "slow", 660, 690, status="degraded"),
    Fault("service:cache", "up and down every minute", 840, 880, status="unhealthy"),
    Fault("service:search", "does not answer in time", 1_200, 1_210, status="unknown"),
    Fault("disk", "88 to 93 % full, the limit is 90", 1_020, 1_080, status="degraded"),
    Fault("service:api", "down because the shop is", 540, 552, status="unhealthy", alarm=False),
    Fault("service:mail", "down in a maintenance window", 180, 240, status="unhealthy", alarm=False),
    Fault("shop.cart", "200 errors of two hours ago arrive", 720, 721, alarm=False),
    Fault("web.search", "100 warnings within a minute", 960, 961, alarm=False),
)


class Alarm(NamedTuple):
    """A message that an operation or a check is not well."""

    name: str
    minute: int


def simulate(engine: Engine, *, seed: int = 1, minutes: int = MINUTES) -> list[Alarm]:
    """Run a day on an empty database, and return what raised an alarm."""
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA simulated"))
        connection.execute(text("CREATE TABLE simulated.clock AS SELECT clock_timestamp() AS at"))
        for function in ("clock_timestamp", "statement_timestamp", "now"):
            connection.execute(
                text(
                    f"CREATE FUNCTION simulated.{function}() RETURNS timestamptz LANGUAGE sql STABLE "
                    "AS 'SELECT at FROM simulated.clock'"
                )
            )
    simulated = engine_for(engine.url)

    @event.listens_for(simulated, "connect")
    def _in_front(connection: Any, _: Any) -> None:
        connection.execute("SET search_path TO simulated, pg_catalog, public")
        connection.commit()

    chance = random.Random(seed)
    with simulated.begin() as connection:
        connection.execute(text("UPDATE simulated.clock SET at = :at"), {"at": begin})
        services.add(connection, "shop", "http://127.0.0.1:1/")
        services.add(connection, "api", "http://127.0.0.1:2/", depends_on=["service:shop"])
        health_exceptions.plan(
            connection,
            "service:mail",
            seconds=3_600.0 + 60,
            reason="new disks",
            actor="ada",
            starts=begin + timedelta(minutes=180),
        )
    alarms = []
    for minute in range(minutes):
        with simulated.begin() as connection:
            connection.execute(
                text("UPDATE simulated.clock SET at = :at"), {"at": begin + timedelta(minutes=minute + 1)}
            )
        with simulated.begin() as connection:
            report_calls(connection, minute, chance)
        alarms += [Alarm(name, minute) for name in error_analysis.analyze(simulated).alerts]
        with simulated.begin() as connection:
            changes = health_agent.record(connection, results_of(minute, chance))
        alarms += [Alarm(change["name"], minute) for change in changes if change["to"] != "healthy"]
    simulated.dispose()
    return alarms


def active(name: str, minute: int) -> Fault | None:
    """Return the fault of an operation or check at a minute."""
    return next((f for f in FAULTS if f.name == name and f.start <= minute < f.end), None)


def report_calls(connection: Any, minute: int, chance: random.Random) -> None:
    """Report the calls of a minute."""
    errors: list[Occurrence] = []
    successes: list[tuple[str, float, int]] = []
    for name, (calls, share) in OPERATIONS.items():
        fault = active(name, minute)
        done: dict[int, int] = defaultdict(int)
        for _ in range(calls):
            age = chance.uniform(0, 60)
            if chance.random() < (fault.share if fault and fault.share else share):
                errors.append(Occurrence(operation=name, kind="E", message="failed", age=age))
            else:
                done[int(age)] += 1
        successes += [(name, float(age), count) for age, count in done.items()]
        if fault and "warnings" in fault.what:
            errors += [Occurrence(operation=name, kind="W", severity="warning")] * 100
        if fault and "two hours ago" in fault.what:
            errors += [
                Occurrence(operation=name, kind="E", message="failed", age=7_200.0 + chance.uniform(0, 60))
                for _ in range(200)
            ]
    track_errors(connection, errors)
    track_successes(connection, successes)


def results_of(minute: int, chance: random.Random) -> dict[str, dict[str, CheckResult]]:
    """Return what the checks of a minute answer; each service fails by itself about three times a day."""
    results = {}
    for name in (f"service:{service}" for service in SERVICES):
        status: Status = "unhealthy" if chance.random() < 3 / MINUTES else "healthy"
        fault = active(name, minute)
        if fault and not ("every minute" in fault.what and minute % 2 == 1):
            status = fault.status
        results[name] = CheckResult(status, status)
    around = chance.uniform(88.0, 93.0) if active("disk", minute) else chance.uniform(60.0, 70.0)
    full = threshold_result(around, 90.0, 95.0, f"{around:.1f} % full", "%")
    return {"service": results, "disk": {"disk": full}}


def assess(alarms: list[Alarm]) -> tuple[list[tuple[Fault, list[Alarm]]], list[Alarm]]:
    """Return the alarms of each fault, and those of none."""
    left = list(alarms)
    by_fault = []
    for fault in FAULTS:
        own = [a for a in left if a.name == fault.name and fault.start <= a.minute <= fault.end + GRACE]
        left = [alarm for alarm in left if alarm not in own]
        by_fault.append((fault, own))
    return by_fault, left


def episodes(alarms: list[Alarm]) -> int:
    """Return how often something began to be not well."""
    last: dict[str, int] = {}
    count = 0
    for alarm in sorted(alarms, key=lambda alarm: alarm.minute):
        count += alarm.minute - last.get(alarm.name, -SAME - 1) > SAME
        last[alarm.name] = alarm.minute
    return count


def tables(days: int, fresh: Callable[[str], Engine]) -> list[Table]:
    """Simulate days, and return the results as tables; `fresh` makes an empty database of a name."""
    detected: dict[Fault, list[int]] = defaultdict(list)
    messages: dict[Fault, int] = defaultdict(int)
    false: dict[str, int] = defaultdict(int)
    for seed in range(1, days + 1):
        engine = fresh(f"day_{seed}")
        by_fault, others = assess(simulate(engine, seed=seed))
        engine.dispose()
        for fault, alarms in by_fault:
            messages[fault] += len(alarms)
            if alarms:
                detected[fault].append(min(alarm.minute for alarm in alarms) - fault.start)
        for name in {alarm.name for alarm in others}:
            false[name] += episodes([alarm for alarm in others if alarm.name == name])
    faults = Table("planted", "what", "alarm", "days", "minutes until", "messages a day", title="Faults")
    for fault in FAULTS:
        delays = detected[fault]
        wanted = "must" if fault.alarm else "must not"
        until = f"{statistics.median(delays):g}, at most {max(delays)}" if delays else "-"
        share = f"{messages[fault] / days:.1f}"
        faults.add_row(fault.name, fault.what, wanted, f"{len(delays)} of {days}", until, share)
    due = [fault for fault in FAULTS if fault.alarm]
    missed = sum(days - len(detected[fault]) for fault in due)
    wrong = sum(false.values()) + sum(len(detected[fault]) for fault in FAULTS if not fault.alarm)
    total = Table("what", "number", title=f"Alarms of {days} simulated days")
    total.add_row("faults that must raise an alarm", str(len(due) * days))
    total.add_row("missed", str(missed))
    total.add_row("false alarms", f"{wrong}{f' ({dict(false)})' if false else ''}")
    return [faults, total]
