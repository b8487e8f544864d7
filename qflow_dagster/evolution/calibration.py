"""Whether what is believed of changes comes true: Brier score, reliability, and fixable_rules it. Pure functions.

Belongs here: judging predictions that were made before their outcome was known. Does not
belong here: making them (`confidence`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

# (what was predicted, whether it came true), in the order of the outcomes.
Pair = tuple[float, bool]
BINS = 10
# Outcomes before anything is mended, and the part of them that is held out to judge it.
ENOUGH = 60
HELD_OUT = 0.3
# The mended value never says never.
SMALLEST = 0.02


class Bin(NamedTuple):
    """Predictions near each other: how many, their mean, and the share that came true."""

    number: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibrator:
    """A monotone step function from what is predicted to what is then seen."""

    predicted: tuple[float, ...]
    observed: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """The mended prediction; between known ones, in a straight line."""
        return float(np.interp(value, self.predicted, self.observed))


@dataclass(frozen=True)
class Calibration:
    """How predictions did on outcomes that nothing was fitted to.

    `brier` as they were, `mended` after the calibrator that was fitted to earlier outcomes (None
    where there were too few); `calibrator` only where it made them better.
    """

    count: int
    brier: float | None
    mended: float | None
    bins: tuple[Bin, ...]
    calibrator: Calibrator | None


def brier(pairs: Sequence[Pair]) -> float | None:
    """Mean squared difference of prediction and outcome (Brier 1950): 0 is best, 0.25 a coin's."""
    return sum((p - good) ** 2 for p, good in pairs) / len(pairs) if pairs else None


def reliability(pairs: Sequence[Pair]) -> tuple[Bin, ...]:
    """The reliability diagram's points: predictions in `BINS` equal ranges, empty ones left out."""
    ranges: list[list[Pair]] = [[] for _ in range(BINS)]
    for pair in pairs:
        ranges[min(int(pair[0] * BINS), BINS - 1)].append(pair)
    return tuple(
        Bin(len(some), sum(p for p, _ in some) / len(some), sum(good for _, good in some) / len(some))
        for some in ranges
        if some
    )


def fit(pairs: Sequence[Pair]) -> Calibrator:
    """Isotonic regression (pool adjacent violators): the best monotone fit of outcomes to predictions."""
    # Equal predictions are one point: what they came to is one share.
    groups: dict[float, list[bool]] = {}
    for predicted, good in sorted(pairs):
        groups.setdefault(predicted, []).append(good)
    shares = [sum(some) / len(some) for some in groups.values()]
    fitted = isotonic_regression(shares, weights=[len(some) for some in groups.values()]).x
    return Calibrator(tuple(groups), tuple(float(np.clip(y, SMALLEST, 1 - SMALLEST)) for y in fitted))


def evaluate(pairs: Sequence[Pair]) -> Calibration:
    """Judge predictions on the last part of the outcomes; mend them by what the first part shows.

    Every prediction was made before its outcome, so all of them are held out for the raw score;
    for the mended one only the last `HELD_OUT` are.
    """
    if len(pairs) < ENOUGH:
        return Calibration(len(pairs), brier(pairs), None, reliability(pairs), None)
    split = round(len(pairs) * (1 - HELD_OUT))
    known, held_out = pairs[:split], pairs[split:]
    fitted = fit(known)
    before, after = brier(held_out), brier([(fitted(p), good) for p, good in held_out])
    useful = before is not None and after is not None and after < before
    return Calibration(len(pairs), before, after, reliability(held_out), fit(pairs) if useful else None)
