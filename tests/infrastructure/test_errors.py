"""Errors that were recorded: their rates and groups, alerting once, regressing, told to breakers."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import circuit_breaker, error_alerts, error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import (
    rate,
    rates,
)
from qflow_dagster.quantumflow import IllegalTransitionError
from tests.infrastructure.conftest import count, failed, succeeded

# Rates


def test_a_rate_counts_what_is_within_the_window_and_nothing_else(engine: Engine) -> None:
    failed(engine, times=3, age=59.0)
    failed(engine, times=5, age=61.0)
    succeeded(engine, times=7, age=1.0)
    succeeded(engine, times=100, age=61.0)
    with engine.connect() as connection:
        found = rate(connection, "pay")
        assert (found.errors, found.total, found.rate) == (3, 10, 0.3)
        assert rate(connection, "pay", window=3_600).total == 115
        assert rate(connection, "unknown").rate == 0.0
        assert [r.operation for r in rates(connection)] == ["pay"]


# Groups


def test_groups_count_on_and_keep_the_worst_severity(engine: Engine) -> None:
    failed(engine, times=2, severity="warning")
    error_analysis.analyze(engine)
    failed(engine, severity="critical")
    failed(engine, severity="error")
    again = error_analysis.analyze(engine)
    assert again.new_groups == []
    with engine.connect() as connection:
        [group] = error_records.find(connection)
    assert (group["count"], group["severity"]) == (4, "critical")


def test_a_resolved_error_that_comes_back_has_regressed_and_says_so_once(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    failed(engine)
    [group] = error_analysis.analyze(engine).new_groups
    with engine.begin() as connection:
        error_records.decide(connection, [group], "resolved", actor="ada", reason="mended")
    failed(engine, age=3_600.0)
    assert error_analysis.analyze(engine).regressed == []
    failed(engine)
    assert error_analysis.analyze(engine).regressed == [group]
    failed(engine)
    assert error_analysis.analyze(engine).regressed == []
    assert [m["to"] for m in sent("error_notifications") if "to" in m] == ["open", "resolved", "regressed"]


def test_people_decide_within_the_machine(engine: Engine) -> None:
    failed(engine)
    [group] = error_analysis.analyze(engine).new_groups
    for state in ("acknowledged", "muted", "open", "resolved"):
        with engine.begin() as connection:
            error_records.decide(connection, [group], state, actor="ada")
    with pytest.raises(IllegalTransitionError), engine.begin() as connection:
        error_records.decide(connection, [group], "muted", actor="ada")
    with engine.connect() as connection:
        assert error_records.find(connection) == []
        assert error_records.find(connection, state="resolved")[0]["id"] == group
        with pytest.raises(UsageError, match="not a state of an error"):
            error_records.find(connection, state="mended")


def test_an_analysis_that_dies_leaves_its_batch_for_the_next(engine: Engine) -> None:
    failed(engine, times=10)
    connection: Connection
    with engine.connect() as connection:
        assert error_analysis.analyze_batch(connection).occurrences == 10
        connection.rollback()
    assert count(engine, "error_groups") == 0
    assert error_analysis.analyze(engine).occurrences == 10


def test_two_analyses_at_once_take_different_rows(engine: Engine) -> None:
    failed(engine, times=3_000)
    with engine.connect() as one, engine.connect() as other:
        first = error_analysis.analyze_batch(one, limit=1_000)
        second = other.execute(error_analysis._TAKE, {"limit": 5_000}).all()
        assert (first.occurrences, len(second)) == (1_000, 2_000)


# Alerts


@pytest.mark.parametrize(
    ("errors", "calls", "alerts"),
    [(1, 20, []), (2, 10, []), (3, 10, ["pay"]), (12, 100, []), (13, 100, ["pay"]), (9, 9, [])],
)
def test_a_rate_alerts_if_it_is_no_chance(engine: Engine, errors: int, calls: int, alerts: list[str]) -> None:
    if calls > errors:
        succeeded(engine, times=calls - errors, age=1.0)
    failed(engine, times=errors)
    assert error_analysis.analyze(engine).alerts == alerts


def test_it_alerts_from_ten_calls_and_five_percent_on_and_not_before(
    engine: Engine, errors_settings: Callable[..., None]
) -> None:
    errors_settings(alert_deviations=0)
    failed(engine, "few", times=9)
    failed(engine, "low", times=4)
    succeeded(engine, "low", times=96, age=1.0)
    failed(engine, "high", times=5)
    succeeded(engine, "high", times=95, age=1.0)
    assert error_analysis.analyze(engine).alerts == ["high"]


def test_a_burst_that_is_over_when_it_is_read_alerts_all_the_same(engine: Engine) -> None:
    failed(engine, times=20, age=600.0)
    assert error_analysis.analyze(engine).alerts == ["pay"]


def test_spread_over_hours_it_does_not_alert(engine: Engine) -> None:
    for hour in range(20):
        failed(engine, age=hour * 120.0)
    assert error_analysis.analyze(engine).alerts == []


@pytest.fixture
def later(engine: Engine) -> Callable[[float], None]:
    """Let so many seconds pass: all that happened was so much earlier."""

    def move(seconds: float) -> None:
        with engine.begin() as connection:
            for table, columns in (
                ("error_occurrences", ("at",)),
                ("operation_successes", ("at",)),
                ("operation_alerts", ("since", "told_at")),
            ):
                moved = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in columns)
                connection.execute(text(f"UPDATE {table} SET {moved}"))

    return move


def events(messages: list[Any]) -> list[tuple[str, bool]]:
    return [(message["event"], message.get("worse", False)) for message in messages if "event" in message]


def test_a_high_rate_is_one_incident_until_it_is_over(
    engine: Engine, sent: Callable[[str], list[Any]], later: Callable[[float], None]
) -> None:
    for _ in range(30):
        succeeded(engine, times=50, age=1.0)
        failed(engine, times=50)
        error_analysis.analyze(engine)
        later(60)
    assert events(sent("error_notifications")) == [("high_error_rate", False)]
    for _ in range(10):
        succeeded(engine, times=100)
        error_analysis.analyze(engine)
        later(60)
    assert events(sent("error_notifications")) == [("high_error_rate", False), ("recovered", False)]
    failed(engine, times=50)
    assert error_analysis.analyze(engine).alerts == ["pay"]


def test_a_rate_around_its_limit_is_one_incident(
    engine: Engine, sent: Callable[[str], list[Any]], later: Callable[[float], None]
) -> None:
    """At times below, at times above: no start and end for each time it crosses the limit."""
    for errors in (60, 20, 70, 30, 80) * 8:
        succeeded(engine, times=1_000 - errors, age=1.0)
        failed(engine, times=errors)
        error_analysis.analyze(engine)
        later(61)
    assert [event for event, _ in events(sent("error_notifications"))] == ["high_error_rate"]


def test_an_alert_is_repeated_once_if_it_became_far_worse(
    engine: Engine, sent: Callable[[str], list[Any]], later: Callable[[float], None]
) -> None:
    for errors in [20] * 6 + [99] * 7:
        succeeded(engine, times=100 - errors, age=1.0)
        failed(engine, times=errors)
        error_analysis.analyze(engine)
        later(61)
    messages = sent("error_notifications")
    assert events(messages) == [("high_error_rate", False), ("high_error_rate", True)]
    assert [message["rate"] for message in messages if "event" in message] == [0.2, 0.99]


@pytest.mark.parametrize(
    ("minutes", "end"), [(20, "recovered"), (90, "new_error_level")], ids=["for a while", "for good"]
)
def test_a_spike_is_one_incident_with_an_end(
    engine: Engine,
    sent: Callable[[str], list[Any]],
    later: Callable[[float], None],
    minutes: int,
    end: str,
) -> None:
    for minute in range(60 + minutes + 10):
        succeeded(engine, times=100_000, age=1.0)
        failed(engine, times=1 if minute < 60 or minute >= 60 + minutes else 20)
        error_analysis.analyze(engine)
        later(60)
    assert events(sent("error_notifications")) == [
        ("error_spike", False),
        ("error_spike", True),
        (end, False),
    ]


def test_of_an_operation_with_a_high_rate_a_spike_is_no_news(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    for n in range(20):
        failed(engine, age=310.0 + n * 100)
    error_analysis.analyze(engine)
    failed(engine, times=50)
    error_analysis.analyze(engine)
    failed(engine, times=5)
    error_analysis.analyze(engine)
    assert events(sent("error_notifications")) == [("high_error_rate", False)]


def test_far_more_errors_than_usual_are_a_spike_even_at_a_low_rate(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    for n in range(60):
        failed(engine, "busy", times=1, age=310.0 + n * 59.0)
        failed(engine, "steady", times=6, age=310.0 + n * 59.0)
    succeeded(engine, "busy", times=100_000)
    succeeded(engine, "steady", times=100_000)
    error_analysis.analyze(engine)
    failed(engine, "busy", times=30)
    failed(engine, "steady", times=33)
    assert error_analysis.analyze(engine).alerts == ["busy"]
    spikes = [message for message in sent("error_notifications") if message.get("event") == "error_spike"]
    assert [(s["operation"], s["errors"], s["before"]) for s in spikes] == [("busy", 30, 60)]


@pytest.mark.parametrize(
    ("lately", "before", "spike"),
    [(9, 0, False), (10, 1, True), (17, 60, False), (18, 60, True), (144, 1_200, False), (145, 1_200, True)],
)
def test_a_spike_is_beyond_four_standard_deviations(lately: int, before: int, spike: bool) -> None:
    assert error_alerts.is_spike(lately, before, 12) is spike


# Breakers hear of it


def test_five_reported_failures_open_the_breaker_and_successes_between_do_not_add_up(engine: Engine) -> None:
    for _ in range(4):
        failed(engine, times=4)
        error_analysis.analyze(engine)
        succeeded(engine, times=20)
    with engine.connect() as connection:
        assert circuit_breaker.show(connection, "pay")["state"] == "closed"
    failed(engine, times=5)
    assert error_analysis.analyze(engine).opened == ["pay"]


def test_warnings_open_nothing(engine: Engine) -> None:
    failed(engine, times=50, severity="warning")
    assert error_analysis.analyze(engine).opened == []


def test_a_breaker_nobody_calls_through_closes_when_it_succeeds_or_is_quiet(
    engine: Engine, errors_settings: Callable[..., None]
) -> None:
    failed(engine, "a", times=5)
    failed(engine, "b", times=5)
    assert error_analysis.analyze(engine).opened == ["a", "b"]
    with engine.begin() as connection:
        assert error_analysis.recover(connection) == []
        connection.execute(
            text(
                "UPDATE circuit_breakers SET opened_at = opened_at - interval '90 s', probe_at = probe_at - interval '90 s'"
            )
        )
        connection.execute(text("UPDATE error_occurrences SET at = at - interval '90 s'"))
    succeeded(engine, "a", times=2)
    with engine.begin() as connection:
        assert error_analysis.recover(connection) == ["a"]
        connection.execute(
            text(
                "UPDATE circuit_breakers SET opened_at = opened_at - interval '60 s', probe_at = probe_at - interval '60 s'"
            )
        )
        connection.execute(text("UPDATE error_occurrences SET at = at - interval '60 s'"))
        assert error_analysis.recover(connection) == ["b"]
