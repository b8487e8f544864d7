"""Circuit breakers: open after failures, one probe at a time whoever asks, shared by all processes."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import URL, Engine, create_engine, text

from qflow_dagster.database import engine_for
from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import breaker_observation, circuit_breaker
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker
from qflow_dagster.infrastructure.error_rate_tracker import rate, track_successes
from qflow_dagster.quantumflow import get_events, verify_history
from qflow_dagster.settings.platform import ErrorsSettings
from tests import forks


class DownError(Exception):
    """Raised by a failing call."""


def call(engine: Engine, *, fails: bool = False, operation: str = "model") -> None:
    with through_breaker(engine, operation):
        if fails:
            raise DownError("no answer")


def fail(engine: Engine, times: int = 1, operation: str = "model") -> None:
    for _ in range(times):
        with pytest.raises(DownError):
            call(engine, fails=True, operation=operation)


def state(engine: Engine, operation: str = "model") -> str:
    with engine.connect() as connection:
        return circuit_breaker.show(connection, operation)["state"]


def wait_is_over(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE circuit_breakers SET probe_at = clock_timestamp()"))


def test_five_failures_in_a_row_open_it_and_then_nothing_is_called(engine: Engine) -> None:
    fail(engine, 4)
    assert state(engine) == "closed"
    fail(engine)
    assert state(engine) == "open"
    called = []
    with (
        pytest.raises(CircuitOpenError, match=r"another (59|60) s") as refusal,
        through_breaker(engine, "model"),
    ):
        called.append(1)
    assert called == []
    assert 55 < refusal.value.seconds <= 60


def test_a_success_between_starts_the_count_anew(engine: Engine) -> None:
    fail(engine, 4)
    call(engine)
    fail(engine, 4)
    assert state(engine) == "closed"


def test_half_of_the_calls_failing_opens_it_too(engine: Engine) -> None:
    for _ in range(3):
        fail(engine, 2)
        call(engine)
    assert state(engine) == "closed"
    fail(engine)
    assert state(engine) == "open"
    with engine.connect() as connection:
        assert circuit_breaker.show(connection, "model")["reason"] == "7 of 10 calls failed within 60 s"


def test_two_successful_probes_close_it(engine: Engine, sent: Callable[[str], list[Any]]) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    call(engine)
    assert state(engine) == "half_open"
    call(engine)
    assert state(engine) == "closed"
    with engine.begin() as connection:
        shown = circuit_breaker.show(connection, "model")
        assert verify_history(connection, shown["id"]) is None
    assert [message["to"] for message in sent("circuit_breaker_notifications")] == [
        "closed",
        "open",
        "half_open",
        "closed",
    ]


def test_a_failed_probe_opens_it_again_for_the_whole_time(engine: Engine) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    fail(engine)
    with engine.connect() as connection:
        assert circuit_breaker.show(connection, "model")["next_probe_in"] > 55


def test_a_probe_whose_process_died_counts_as_failed_and_cannot_report_any_more(engine: Engine) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    with engine.begin() as connection:
        lost = circuit_breaker.admit(connection, "model")
    assert not isinstance(lost, CircuitOpenError)
    with pytest.raises(CircuitOpenError):
        call(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE circuit_breakers SET probe_until = clock_timestamp()"))
    with pytest.raises(CircuitOpenError):
        call(engine)
    assert state(engine) == "open"
    with engine.begin() as connection:
        circuit_breaker.record_success(connection, lost)
    assert state(engine) == "open"


def test_an_interrupted_probe_lets_the_next_one_through(engine: Engine) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    with pytest.raises(KeyboardInterrupt), through_breaker(engine, "model"):
        raise KeyboardInterrupt
    call(engine)
    assert state(engine) == "half_open"


def test_errors_that_are_the_callers_own_do_not_count(engine: Engine) -> None:
    for _ in range(6):
        with pytest.raises(ValueError, match="wrong"), through_breaker(engine, "model", ignore=(ValueError,)):
            raise ValueError("wrong")
    with engine.connect() as connection:
        assert rate(connection, "model").errors == 0


def hold(engine: Engine, state: str, reason: str = "maintenance") -> None:
    with engine.begin() as connection:
        circuit_breaker.hold(connection, "model", state, actor="ada", reason=reason)


def release(engine: Engine) -> None:
    with engine.begin() as connection:
        circuit_breaker.release(connection, "model", actor="ada")


def test_held_open_it_refuses_until_it_is_released_and_then_probes(engine: Engine) -> None:
    hold(engine, "open")
    with pytest.raises(UsageError, match="held open already"):
        hold(engine, "open")
    with pytest.raises(UsageError, match="the reason to hold"):
        hold(engine, "closed", " ")
    with pytest.raises(UsageError, match="open or closed"):
        hold(engine, "OPEN")
    wait_is_over(engine)
    with engine.begin() as connection:
        breaker_observation.observe(connection, "model", failures=1, successes_before=0)
        track_successes(connection, [("model", 0.0, 5)])
        assert breaker_observation.observe_successes(connection) == []
        assert breaker_observation.observe_quiet(connection) == []
    with pytest.raises(CircuitOpenError, match=r"held open \(maintenance\).*breakers release model"):
        call(engine)
    release(engine)
    call(engine)
    assert state(engine) == "half_open"
    call(engine)
    assert state(engine) == "closed"


def test_held_closed_it_admits_every_call_until_it_is_released(engine: Engine) -> None:
    fail(engine, 5)
    hold(engine, "closed", "the checks fail, not the service")
    fail(engine, 12)
    assert state(engine) == "closed"
    release(engine)
    with pytest.raises(UsageError, match="is not held"):
        release(engine)
    fail(engine, 4)
    assert state(engine) == "closed"
    fail(engine)
    assert state(engine) == "open"


def test_an_open_one_can_be_held_open_and_the_history_names_who_did(engine: Engine) -> None:
    fail(engine, 5)
    hold(engine, "open")
    with engine.connect() as connection:
        shown = circuit_breaker.show(connection, "model")
        assert (shown["state"], shown["held"], shown["next_probe_in"]) == ("open", True, None)
        last = get_events(connection, shown["id"])[-1]
    assert (last.from_status, last.to_status, last.actor) == ("open", "open", "ada")


@pytest.mark.parametrize("fails", [False, True])
def test_the_result_of_a_call_from_before_a_change_of_state_does_not_count(
    engine: Engine, fails: bool
) -> None:
    """A slow call of the closed breaker ends while it probes, and again after it closed."""
    with engine.begin() as connection:
        stale = [circuit_breaker.admit(connection, "model") for _ in range(6)]

    def report(admission: object) -> None:
        assert isinstance(admission, circuit_breaker.Admission)
        with engine.begin() as connection:
            if fails:
                circuit_breaker.record_failure(connection, admission, DownError("late"))
            else:
                circuit_breaker.record_success(connection, admission)

    fail(engine, 5)
    report(stale.pop())
    assert state(engine) == "open"
    wait_is_over(engine)
    call(engine)
    report(stale.pop())
    assert state(engine) == "half_open"
    call(engine)
    while stale:
        report(stale.pop())
    assert state(engine) == "closed"
    with engine.connect() as connection:
        assert circuit_breaker.show(connection, "model")["failures"] == 0


def test_failures_from_before_it_closed_do_not_open_it_again(engine: Engine) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    call(engine)
    call(engine)
    # 6 of 12 calls of the last minute failed, of these 1 of 6 since it closed.
    fail(engine)
    for _ in range(4):
        call(engine)
    assert state(engine) == "closed"


def test_each_opening_without_a_recovery_doubles_the_wait_up_to_a_limit(
    engine: Engine, errors_settings: Callable[..., None]
) -> None:
    errors_settings(breaker_reset_max=200)
    fail(engine, 5)
    waits = []
    for _ in range(4):
        with engine.connect() as connection:
            waits.append(round(circuit_breaker.show(connection, "model")["next_probe_in"]))
        wait_is_over(engine)
        fail(engine)
    assert waits == [60, 120, 200, 200]
    wait_is_over(engine)
    call(engine)
    call(engine)
    fail(engine, 5)
    with engine.connect() as connection:
        assert round(circuit_breaker.show(connection, "model")["next_probe_in"]) == 60


def test_slow_calls_open_it_and_a_slow_probe_keeps_it_open(
    engine: Engine, errors_settings: Callable[..., None]
) -> None:
    errors_settings(breaker_slow=0.001, alert_total=5)

    def slow_call() -> None:
        with through_breaker(engine, "model"):
            time.sleep(0.002)

    for _ in range(4):
        slow_call()
    assert state(engine) == "closed"
    slow_call()
    assert state(engine) == "open"
    with engine.connect() as connection:
        assert circuit_breaker.show(connection, "model")["reason"] == "5 of 5 calls took 0.001 s or more"
    wait_is_over(engine)
    slow_call()
    assert state(engine) == "open"


def test_limits_of_single_operations(engine: Engine, errors_settings: Callable[..., None]) -> None:
    errors_settings(breakers={"model*": {"failures": 2}, "*": {"failures": 3}})
    fail(engine, 2)
    fail(engine, 2, operation="mail")
    assert (state(engine), state(engine, "mail")) == ("open", "closed")
    fail(engine, operation="mail")
    assert state(engine, "mail") == "open"
    with pytest.raises(ValidationError, match=r"'failure' is not a limit; valid ones: failures, probe, rate"):
        ErrorsSettings(breakers={"model": {"failure": 2}})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ErrorsSettings(breakers={"model": {"failures": 0}})


def test_a_probe_that_takes_longer_than_its_term_still_works(
    engine: Engine, errors_settings: Callable[..., None]
) -> None:
    errors_settings(breaker_probe=0.3)
    fail(engine, 5)
    wait_is_over(engine)
    with through_breaker(engine, "model"):
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            with pytest.raises(CircuitOpenError):
                call(engine)
            time.sleep(0.1)
    call(engine)
    assert state(engine) == "closed"


def test_by_hand_it_is_closed(engine: Engine) -> None:
    hold(engine, "open")
    with engine.begin() as connection:
        circuit_breaker.reset(connection, "model", actor="ada")
        with pytest.raises(UsageError, match="closed already"):
            circuit_breaker.reset(connection, "model", actor="ada")
        with pytest.raises(UsageError, match="there is no circuit breaker 'other'"):
            circuit_breaker.reset(connection, "other", actor="ada")
    call(engine)


def test_without_the_database_calls_go_through_unguarded() -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    call(away)
    with pytest.raises(DownError):
        call(away, fails=True)


def probe_once(database: URL, pipe: Pipe) -> None:
    """One call through a half-open breaker, at the moment that comes from the pipe."""
    engine = engine_for(database)
    with engine.connect():
        pass
    pipe.send("ready")
    time.sleep(max(pipe.recv() - time.time(), 0))
    try:
        with through_breaker(engine, "model"):
            # As long as a real call: the others come meanwhile.
            time.sleep(1.0)
        pipe.send("through")
    except CircuitOpenError:
        pipe.send("refused")


def test_of_16_processes_exactly_one_probes(engine: Engine, database: URL) -> None:
    fail(engine, 5)
    wait_is_over(engine)
    pipes = [forks.Pipe() for _ in range(16)]
    for _, theirs in pipes:
        with theirs:
            forks.start(probe_once, database, theirs)
    for ours, _ in pipes:
        assert ours.recv() == "ready"
    start = time.time() + 0.3
    for ours, _ in pipes:
        ours.send(start)
    answers = [ours.recv() for ours, _ in pipes]
    assert answers.count("through") == 1
    assert answers.count("refused") == 15
    assert state(engine) == "half_open"
    with engine.connect() as connection:
        into_half_open = connection.scalar(
            text("SELECT count(*) FROM workflow_events WHERE to_status = 'half_open'")
        )
    assert into_half_open == 1


STEPS = st.lists(st.sampled_from(["success", "failure", "wait", "reset", "open"]), max_size=14)


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_it_follows_its_machine_whatever_happens(
    engine: Engine, errors_settings: Callable[..., None], steps: list[str]
) -> None:
    """Beside a model of it: three failures open, two probes close."""
    errors_settings(breaker_failures=3, alert_total=1_000_000)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM circuit_breakers"))
    operation = f"model-{time.monotonic_ns()}"
    now, failures, successes, waiting, held = "closed", 0, 0, False, False
    for step in steps:
        admitted = now == "closed" or not (waiting or held)
        match step:
            case "success" | "failure":
                try:
                    call(engine, fails=step == "failure", operation=operation)
                    called = True
                except DownError:
                    called = True
                except CircuitOpenError:
                    called = False
                assert called == admitted
                if not called:
                    continue
                if now == "closed":
                    failures = failures + 1 if step == "failure" else 0
                    now, waiting = ("open", True) if failures == 3 else ("closed", False)
                elif step == "failure":
                    now, waiting, successes = "open", True, 0
                else:
                    successes = 1 if now == "open" else successes + 1
                    now, failures = ("closed", 0) if successes == 2 else ("half_open", failures)
            case "wait":
                wait_is_over(engine)
                waiting = False
            case _:
                try:
                    with engine.begin() as connection:
                        if step == "reset":
                            circuit_breaker.reset(connection, operation, actor="a")
                            now, failures, successes, held = "closed", 0, 0, False
                        else:
                            circuit_breaker.hold(connection, operation, "open", actor="a", reason="r")
                            now, held, successes = "open", True, 0
                except UsageError:
                    assert now == "closed" if step == "reset" else held
        with engine.connect() as connection:
            found = {row["operation"]: row["state"] for row in circuit_breaker.breakers(connection)}
        assert found.get(operation, "closed") == now
