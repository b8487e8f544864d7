"""Thresholds: they follow regret, within bounds, and every change is recorded and can be taken back."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import thresholds
from qflow_dagster.evolution.thresholds import Decision

decisions = st.lists(st.builds(Decision, st.floats(0, 1), st.booleans()), max_size=60)
BOUNDS = (0.8, 0.98)


def made(count: int, believed: float, good: bool, start: int = 0) -> list[Decision]:
    """So many decisions, one a minute, from now on: later than anything this test records."""
    now = datetime.now(UTC)
    return [Decision(believed, good, now + timedelta(minutes=start + n + 1)) for n in range(count)]


@given(decisions, st.floats(0.8, 0.98))
def test_a_move_is_at_most_two_steps_stays_in_bounds_and_pays(known: list[Decision], value: float) -> None:
    change = thresholds.adapted(value, known, 0.9, BOUNDS)
    if change is not None:
        assert BOUNDS[0] <= change.value <= BOUNDS[1]
        assert abs(change.value - value) <= 2 * thresholds.STEP + 1e-3
        before, after = (thresholds.regret(at, known, 0.9) for at in (value, change.value))
        assert before - after >= thresholds.MIN_GAIN


def test_a_wrong_act_costs_as_much_as_nine_needless_questions() -> None:
    assert thresholds.regret(0.9, [Decision(0.95, False)], 0.9) == pytest.approx(9)
    assert thresholds.regret(0.9, [Decision(0.85, True)], 0.9) == pytest.approx(1)
    assert thresholds.regret(0.9, [Decision(0.95, True), Decision(0.85, False)], 0.9) == 0


def test_bad_acts_raise_it_and_needless_questions_lower_it() -> None:
    raised = thresholds.adapted(0.9, made(5, 0.91, False) + made(10, 0.97, True), 0.9, BOUNDS)
    lowered = thresholds.adapted(0.9, made(20, 0.88, True), 0.9, BOUNDS)
    assert raised is not None
    assert raised.value > 0.9
    assert lowered is not None
    assert lowered.value < 0.9


def test_nine_decisions_move_nothing() -> None:
    assert thresholds.adapted(0.9, made(9, 0.91, False), 0.9, BOUNDS) is None


@pytest.fixture
def connection(engine: Engine) -> Connection:
    with engine.begin() as connection:
        yield connection  # type: ignore[misc]


def test_a_change_is_recorded_with_its_reason_told_and_taken_back_once(connection: Connection) -> None:
    assert thresholds.current(connection) == {"ask": 0.7, "act": 0.9, "publish": 0.85}
    change = thresholds.adapt(connection, "act", made(12, 0.92, False))
    assert change is not None
    assert thresholds.current(connection)["act"] == change.value
    [row] = thresholds.changes(connection)
    assert (row["previous"], row["value"], row["actor"]) == (0.9, change.value, thresholds.ACTOR)
    assert "12 decisions" in row["reason"]
    assert thresholds.revert(connection, row["id"], actor="ada", reason="a bad day") == 0.9
    assert thresholds.current(connection)["act"] == 0.9
    with pytest.raises(QflowError, match="take back"):
        thresholds.revert(connection, row["id"], actor="ada", reason="again")
    with pytest.raises(QflowError, match="there is no change"):
        thresholds.revert(connection, 999, actor="ada", reason="x")
    told = connection.scalars(text("SELECT payload FROM messages WHERE queue = 'rule_notifications'")).all()
    assert [one["event"] for one in told] == ["threshold", "threshold"]


def test_each_move_waits_for_new_decisions(connection: Connection) -> None:
    earlier = [Decision(0.92, False, datetime.now(UTC) - timedelta(days=n + 1)) for n in reversed(range(12))]
    assert thresholds.adapt(connection, "act", earlier) is not None
    assert thresholds.adapt(connection, "act", earlier) is None
    assert thresholds.adapt(connection, "act", [*earlier, *made(12, 0.97, False)]) is not None


def test_what_a_person_took_back_is_not_concluded_again_from_the_same_decisions(
    connection: Connection,
) -> None:
    earlier = [Decision(0.92, False, datetime.now(UTC) - timedelta(days=n + 1)) for n in reversed(range(40))]
    assert thresholds.adapt(connection, "act", earlier) is not None
    [row] = thresholds.changes(connection)
    thresholds.revert(connection, row["id"], actor="ada", reason="the reviewers were new")
    good = itertools.chain(earlier, made(12, 0.99, True))
    assert thresholds.adapt(connection, "act", list(good)) is None
