"""Calibration of estimated confidence: Brier score, reliability diagram, isotonic recalibration. Pure functions.

Predictions are made elsewhere (`confidence`), before their outcome is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

# (what was predicted, whether it came true), in the order of the outcomes.
Pair = tuple[float, bool]
BINS = 10
# Outcomes needed before predictions are recalibrated, and the share of them held out to evaluate it.
MIN_OUTCOMES = 60
HELD_OUT = 0.3
# Recalibrated values stay between this and 1 - this: no prediction is certain.
MIN_PROBABILITY = 0.02


class Bin(NamedTuple):
    """One point of a reliability diagram: number of predictions, their mean, and the share that came true."""

    number: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibrator:
    """A monotone step function from what is predicted to what is then seen."""

    predicted: tuple[float, ...]
    observed: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return the recalibrated prediction, interpolated linearly between fitted points."""
        return float(np.interp(value, self.predicted, self.observed))


@dataclass(frozen=True)
class Calibration:
    """How predictions performed on held-out outcomes.

    `brier` is the score of the raw predictions, `recalibrated` that after a calibrator fitted to earlier
    outcomes (None where there were too few). `calibrator` is present only if it improved the score.
    """

    count: int
    brier: float | None
    recalibrated: float | None
    bins: tuple[Bin, ...]
    calibrator: Calibrator | None


def brier(pairs: Sequence[Pair]) -> float | None:
    """Return the mean squared difference of prediction and outcome (Brier 1950).

    0 is best, always predicting 0.5 scores 0.25; None without predictions.
    """
    return sum((p - good) ** 2 for p, good in pairs) / len(pairs) if pairs else None


def reliability(pairs: Sequence[Pair]) -> tuple[Bin, ...]:
    """Return the points of the reliability diagram: predictions in `BINS` equal ranges, empty ones omitted."""
    ranges: list[list[Pair]] = [[] for _ in range(BINS)]
    for pair in pairs:
        ranges[min(int(pair[0] * BINS), BINS - 1)].append(pair)
    return tuple(
        Bin(
            len(members),
            sum(p for p, _ in members) / len(members),
            sum(good for _, good in members) / len(members),
        )
        for members in ranges
        if members
    )


def fit(pairs: Sequence[Pair]) -> Calibrator:
    """Fit an isotonic regression (pool adjacent violators) of outcomes to predictions."""
    # Equal predictions are one point whose value is the share that came true.
    groups: dict[float, list[bool]] = {}
    for predicted, good in sorted(pairs):
        groups.setdefault(predicted, []).append(good)
    shares = [sum(outcomes) / len(outcomes) for outcomes in groups.values()]
    fitted = scipy.optimize.isotonic_regression(
        shares, weights=[len(outcomes) for outcomes in groups.values()]
    ).x
    return Calibrator(
        tuple(groups), tuple(float(np.clip(y, MIN_PROBABILITY, 1 - MIN_PROBABILITY)) for y in fitted)
    )


def evaluate(pairs: Sequence[Pair]) -> Calibration:
    """Score predictions on the last part of the outcomes, raw and recalibrated on the first part.

    Below `MIN_OUTCOMES` only the raw score is computed, over all outcomes.
    """
    if len(pairs) < MIN_OUTCOMES:
        return Calibration(len(pairs), brier(pairs), None, reliability(pairs), None)
    split = round(len(pairs) * (1 - HELD_OUT))
    training, held_out = pairs[:split], pairs[split:]
    fitted = fit(training)
    before, after = brier(held_out), brier([(fitted(p), good) for p, good in held_out])
    useful = before is not None and after is not None and after < before
    return Calibration(len(pairs), before, after, reliability(held_out), fit(pairs) if useful else None)
