"""Calibration: beliefs are judged on outcomes nobody had seen, and mended only where that helps."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.evolution import calibration

pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def drawn(count: int, truth, seed: int = 1) -> list[calibration.Pair]:  # type: ignore[no-untyped-def]
    """Predictions spread over 0.5 to 1, that come true as often as `truth` says."""
    chance = random.Random(seed)
    said = [0.5 + chance.random() / 2 for _ in range(count)]
    return [(value, chance.random() < truth(value)) for value in said]


def test_the_brier_score_is_the_mean_squared_error() -> None:
    assert calibration.brier([(1.0, True), (0.5, False), (0.0, True)]) == pytest.approx((0 + 0.25 + 1) / 3)
    assert calibration.brier([]) is None


@given(pairs)
def test_the_reliability_diagram_holds_every_prediction_once(given_: list[calibration.Pair]) -> None:
    bins = calibration.reliability(given_)
    assert sum(one.number for one in bins) == len(given_)
    assert all(0 <= one.observed <= 1 and 0 <= one.predicted <= 1 for one in bins)


@given(pairs)
def test_what_mends_never_turns_the_order_around(given_: list[calibration.Pair]) -> None:
    mend = calibration.fit(given_)
    values = [mend(n / 20) for n in range(21)]
    assert values == sorted(values)
    assert all(0 < value < 1 for value in values)


def test_overconfidence_is_mended_and_the_score_gets_better() -> None:
    found = calibration.evaluate(drawn(600, lambda said: said - 0.35))
    assert found.brier is not None
    assert found.recalibrated is not None
    assert found.recalibrated < found.brier - 0.05
    assert found.calibrator is not None
    assert found.calibrator(0.9) == pytest.approx(0.55, abs=0.15)


def test_good_predictions_are_left_as_they_are() -> None:
    left = sum(
        calibration.evaluate(drawn(300, lambda said: said, seed)).calibrator is None for seed in range(20)
    )
    assert left >= 12


def test_too_few_outcomes_mend_nothing() -> None:
    found = calibration.evaluate(drawn(calibration.MIN_OUTCOMES - 1, lambda said: 0.0))
    assert found.calibrator is None
    assert found.recalibrated is None
    assert found.brier is not None
