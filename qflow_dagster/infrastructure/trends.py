"""Where a value is heading: robust slope and forecast. Pure functions.

Does not belong here: reading samples (`health_agent`).
"""

from collections.abc import Sequence

import numpy as np

# Pairs grow with the square of the samples; more change the median little.
MAX_SAMPLES = 300


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Median of the slopes between all pairs of samples, per unit of `times`; None with fewer than two.

    Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968): up
    to 29 % of the samples may be wild without moving it.
    """
    x, y = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(x) > MAX_SAMPLES:
        chosen = np.linspace(0, len(x) - 1, MAX_SAMPLES).astype(int)
        x, y = x[chosen], y[chosen]
    first, second = np.triu_indices(len(x), k=1)
    apart = x[second] - x[first]
    usable = apart != 0
    if not usable.any():
        return None
    return float(np.median((y[second] - y[first])[usable] / apart[usable]))


def time_to_threshold(times: Sequence[float], values: Sequence[float], threshold: float) -> float | None:
    """How long until `threshold` is reached if it goes on like this, in the unit of `times`.

    0 where the last value has reached it; None where the trend does not lead there.
    """
    if len(values) == 0:
        return None
    current = values[-1]
    if current >= threshold:
        return 0.0
    slope = theil_sen(times, values)
    if slope is None or slope <= 0:
        return None
    return (threshold - current) / slope
