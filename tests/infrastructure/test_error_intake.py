"""Errors as they are taken in: without loss, within bounds, and without secrets."""

import subprocess
import sys
import threading
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import (
    ErrorTracker,
    Occurrence,
    rate,
    track_errors,
)
from tests.infrastructure.conftest import count

PYTHON_STACK = '  File "a.py", line 3, in f\n    raise'


def test_a_row_that_any_program_inserts_is_grouped(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO error_occurrences (operation, message) VALUES ('billing', 'no answer from 10.0.0.1')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO error_occurrences (operation, message) VALUES ('billing', 'no answer from 10.0.0.2')"
            )
        )
    found = error_analysis.analyze(engine)
    assert (found.occurrences, len(found.new_groups)) == (2, 1)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
    assert (group["state"], group["count"], group["kind"], group["severity"]) == ("open", 2, "Error", "error")


def test_a_burst_of_20_000_from_many_threads_is_stored_whole(engine: Engine) -> None:
    tracker = ErrorTracker(engine)

    def fail_often(number: int) -> None:
        for n in range(2_500):
            tracker.track(Occurrence(operation="burst", message=f"{number} {n}"))
            tracker.succeeded("burst")

    threads = [threading.Thread(target=fail_often, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.close()
    with engine.connect() as connection:
        found = rate(connection, "burst")
    assert (found.errors, found.total, found.rate) == (20_000, 40_000, 0.5)
    assert tracker.dropped == 0


def test_a_process_that_ends_has_written_what_it_tracked(engine: Engine, database: URL) -> None:
    program = (
        "import sys; from sqlalchemy import make_url; from qflow_dagster.database import engine_for\n"
        "from qflow_dagster.infrastructure.error_rate_tracker import ErrorTracker, Occurrence\n"
        "tracker = ErrorTracker(engine_for(make_url(sys.argv[1])))\n"
        "[tracker.track(Occurrence(operation='short')) for _ in range(500)]\n"
    )
    url = database.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", program, url], check=True, timeout=240)
    assert count(engine) == 500


def test_while_the_database_is_away_errors_are_kept(engine: Engine, database: URL) -> None:
    tracker = ErrorTracker(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE error_occurrences RENAME TO away"))
    tracker.track(Occurrence(operation="kept"))
    with pytest.raises(Exception, match="error_occurrences"):
        tracker.flush()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO error_occurrences"))
    tracker.close()
    assert count(engine) == 1


@pytest.mark.parametrize(
    "poison",
    [
        {"operation": "\0"},
        {"operation": "\ud800"},
        {"message": "\0\ud800", "kind": "\0", "stack": "\0", "correlation_id": "\0", "run_id": "\0"},
        {"context": {"\0": ["\ud800", float("nan"), 10**5_000]}},
        {"age": float("nan")},
        {"age": float("inf")},
        {"age": -1e300},
        {"age": 1e300},
        {"message": "x" * 1_000_000, "stack": "y" * 1_000_000},
    ],
    ids=lambda poison: "-".join(poison),
)
def test_no_value_that_is_tracked_stops_what_is_tracked_after_it(
    engine: Engine, poison: dict[str, Any]
) -> None:
    tracker = ErrorTracker(engine)
    tracker.track(Occurrence(**{"operation": "poison", **poison}))
    tracker.track(Occurrence(operation="good"))
    tracker.succeeded("go\0od")
    tracker.close()
    assert (count(engine), tracker.dropped) == (2, 0)
    assert error_analysis.analyze(engine).occurrences == 2


def test_what_the_database_refuses_is_dropped_and_counted_and_the_rest_written(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE error_occurrences ADD CONSTRAINT poison CHECK (message <> 'poison')")
        )
        connection.execute(
            text("ALTER TABLE operation_successes ADD CONSTRAINT bad CHECK (operation <> 'bad')")
        )
    tracker = ErrorTracker(engine)
    for n in range(100):
        tracker.track(Occurrence(operation="op", message="poison" if n % 10 == 7 else "good"))
        tracker.succeeded("bad" if n == 50 else "op")
    tracker.flush()
    assert count(engine) == 90
    # Said of itself, with the next that is written.
    tracker.track(Occurrence(operation="op"))
    tracker.close()
    with engine.connect() as connection:
        said = connection.scalar(
            text("SELECT message FROM error_occurrences WHERE operation = 'error_tracker'")
        )
        assert rate(connection, "op").total == 91 + 99
    assert said == "11 errors were dropped"


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_an_operation_of_no_or_too_long_a_name_is_refused_where_it_is_named(
    engine: Engine, name: str
) -> None:
    tracker = ErrorTracker(engine)
    with pytest.raises(UsageError, match="1 to 200"):
        tracker.succeeded(name)
    with pytest.raises(UsageError, match="1 to 200"), tracker.operation(name):
        pass
    tracker.close()
    assert count(engine, "operation_successes") == 0


def test_an_occurrence_that_cannot_be_read_stops_nobodys_analysis(engine: Engine) -> None:
    """Any program may insert rows: whatever is in them, the others are grouped."""
    rows = [
        ("poison.line", f'  File "a.py", line {"9" * 5_000}, in f', "now()"),
        ("poison.slow", "  at " + "x in " * 200_000, "now()"),
        ("poison.time", None, "'infinity'"),
        ("poison.past", None, "'-infinity'"),
        ("poison.bc", None, "'4000-01-01 BC'"),
        ("poison.late", None, "'20000-01-01'"),
        ("good", PYTHON_STACK, "now()"),
    ]
    with engine.begin() as connection:
        for operation, stack, at in rows:
            insert = f"INSERT INTO error_occurrences (operation, stack, at) VALUES (:operation, :stack, {at})"
            connection.execute(text(insert), {"operation": operation, "stack": stack})
    assert error_analysis.analyze(engine).occurrences == len(rows)
    with engine.connect() as connection:
        groups = {group["operation"]: group for group in error_records.find(connection)}
        for group in groups.values():
            assert len(error_records.show(connection, group["id"])["occurrences"]) == 1
    assert set(groups) == {operation for operation, _, _ in rows}
    assert groups["good"]["frames"] == [{"file": "a.py", "line": 3, "function": "f"}]
    assert groups["poison.line"]["frames"] == groups["poison.slow"]["frames"] == []


def test_a_context_is_kept_up_to_its_bounds_the_small_parts_first(engine: Engine) -> None:
    context = {
        "tags": {"a": "b"},
        "many": list(range(10_000)),
        "large": {str(n): "x" * 1_000 for n in range(200)},
        "text": "y" * 50_000,
    }
    with engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="op", context=context, stack="z" * 50_000 + "\nlast")])
        row = connection.execute(text("SELECT context, stack FROM error_occurrences")).one()
    assert row.context["tags"] == {"a": "b"}
    assert row.context["many"] == list(range(200))
    assert row.context["text"] == "y" * 10_000
    assert row.context["large"].endswith("characters left out]")
    assert row.stack == "z" * 2_000 + "\nlast"


def test_an_operation_counts_its_successes_and_tracks_what_it_raises(engine: Engine) -> None:
    tracker = ErrorTracker(engine)

    @tracker.tracked("charge")
    def charge(amount: int) -> int:
        return 100 // amount

    assert charge(2) == 50
    with pytest.raises(ZeroDivisionError):
        charge(0)
    tracker.close()
    with engine.connect() as connection:
        assert (rate(connection, "charge").errors, rate(connection, "charge").total) == (1, 2)
        row = connection.execute(text("SELECT kind, stack, correlation_id FROM error_occurrences")).one()
    assert row.kind == "ZeroDivisionError"
    assert "in charge" in row.stack
    assert len(row.correlation_id) == 32


SECRETS = {
    "password=hunter2-planted": "hunter2-planted",
    "postgresql://ada:planted-pw@db/x": "planted-pw",
    "Authorization: Bearer abcdef0123456789planted": "abcdef0123456789planted",
    "key AKIAABCDEFGHIJKLMNOP here": "AKIAABCDEFGHIJKLMNOP",
    "ghp_0123456789abcdefghijABCDEFGHIJ456789": "ghp_0123456789abcdefghijABCDEFGHIJ456789",
    "token qfa_wT6WpLUYj74kjRYXgAnv4HrfS0z2sdWABsrjfdUDLbg": "qfa_wT6WpLUYj74kjRYXgAnv4HrfS0z2sdWABsrjfdUDLbg",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIplanted\n-----END RSA PRIVATE KEY-----": "MIIplanted",
    "https://hooks.slack.com/services/T00/B00/plantedplanted": "plantedplanted",
    '{"client_secret": "planted-client"}': "planted-client",
}


@pytest.mark.parametrize(("words", "secret"), SECRETS.items(), ids=[str(n) for n in range(len(SECRETS))])
def test_planted_secrets_are_nowhere_in_the_database(engine: Engine, words: str, secret: str) -> None:
    with engine.begin() as connection:
        track_errors(
            connection,
            [
                Occurrence(
                    operation="op",
                    message=f"failed: {words}",
                    stack=f'  File "a.py", line 1, in f\n    {words}',
                    context={
                        "env": {"DB_PASSWORD": secret, "words": words},
                        "api_key": secret,
                        "list": [words],
                    },
                    correlation_id=words,
                )
            ],
        )
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        for table in ("error_occurrences", "error_groups", "workflows", "messages", "workflow_events"):
            stored = "".join(connection.scalars(text(f"SELECT {table}::text FROM {table}")))
            assert secret not in stored, table
        assert "[redacted]" in (connection.scalar(text("SELECT message FROM error_occurrences")) or "")


def test_what_can_never_be_stored_is_refused_where_it_is_reported(engine: Engine) -> None:
    tracker = ErrorTracker(engine)
    for wrong in (
        Occurrence(operation=""),
        Occurrence(operation="x", severity="terrible"),
        Occurrence(operation="x", context={1, 2}),
    ):
        with pytest.raises(UsageError):
            tracker.track(wrong)
    tracker.track(Occurrence(operation="nul", message="a\0b", stack="\ud800"))
    tracker.close()
    assert count(engine) == 1
