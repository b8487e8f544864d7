"""Trends of measured values: robust slope and forecast. Pure functions.

Does not belong here: reading samples (`health_agent`).
"""

from collections.abc import Sequence

import numpy as np
import scipy

# The number of pairs is quadratic in the samples, and more samples change the median little.
MAX_SAMPLES = 300


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the median slope between all pairs of samples, per unit of `times`; None without two times.

    Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968): up
    to 29 % of the samples may be outliers without effect.
    """
    x, y = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(x) > MAX_SAMPLES:
        chosen = np.linspace(0, len(x) - 1, MAX_SAMPLES).astype(int)
        x, y = x[chosen], y[chosen]
    if len(x) == 0 or (x == x[0]).all():
        return None
    return float(scipy.stats.theilslopes(y, x).slope)  # type: ignore[attr-defined]


def time_to_threshold(times: Sequence[float], values: Sequence[float], threshold: float) -> float | None:
    """Return how long until `threshold` is reached if the trend continues, in the unit of `times`.

    0 if the last value has reached it; None if the trend does not lead there.
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
