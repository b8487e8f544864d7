"""Formulae of metrics, each with its source: pure functions of scalars or of numpy arrays of one shape."""

from typing import Any

import numpy as np

Numbers = Any


def cyclomatic(decisions: Numbers) -> Numbers:
    """Return the independent paths through a function: decisions + 1 (McCabe: A Complexity Measure, 1976)."""
    return decisions + 1


def halstead_volume(operators: Numbers, operands: Numbers, distinct: Numbers) -> Numbers:
    """Return the volume N log2 n in bits, with N = all operators and operands, n = distinct ones (Halstead 1977)."""
    return (operators + operands) * np.log2(np.maximum(distinct, 1))


def halstead_difficulty(
    distinct_operators: Numbers, operands: Numbers, distinct_operands: Numbers
) -> Numbers:
    """Return the difficulty n1 / 2 * N2 / n2 (Halstead 1977); 0 where there are no operands."""
    return distinct_operators / 2 * operands / np.maximum(distinct_operands, 1)


def halstead_effort(difficulty: Numbers, volume: Numbers) -> Numbers:
    """Return the effort D * V in elementary mental discriminations (Halstead 1977)."""
    return difficulty * volume


def maintainability(volume: Numbers, cyclomatic: Numbers, code_lines: Numbers) -> Numbers:
    """Return the maintainability index from 0 to 100.

    171 - 5.2 ln V - 0.23 G - 16.2 ln L (Oman, Hagemeister 1992), scaled and cut to 0..100 as
    Visual Studio does (Microsoft: Code metrics, maintainability index range and meaning).
    """
    index = (
        171
        - 5.2 * np.log(np.maximum(volume, 1))
        - 0.23 * cyclomatic
        - 16.2 * np.log(np.maximum(code_lines, 1))
    )
    return np.clip(index * 100 / 171, 0, 100)


def instability(fan_in: Numbers, fan_out: Numbers) -> Numbers:
    """Return Ce / (Ca + Ce), 0 stable to 1 unstable; NaN without any dependency (Martin 1994)."""
    total = np.asarray(fan_in, float) + fan_out
    return np.divide(fan_out, total, out=np.full_like(total, np.nan), where=total > 0)


def coupling_degree(common: Numbers, commits_a: Numbers, commits_b: Numbers) -> Numbers:
    """Return common commits / mean of both files' commits, 0 to 1 (Tornhill: Your Code as a Crime Scene)."""
    return common / ((commits_a + commits_b) / 2)


def percentile_rank(values: np.ndarray) -> np.ndarray:
    """Return the share of other values that are smaller, 0 to 1; ties get their mean rank, a single value 1."""
    if len(values) < 2:
        return np.ones(len(values))
    # Not by scipy.stats: importing it takes most of a second of each first run.
    _, number, count = np.unique(values, return_inverse=True, return_counts=True)
    smaller_or_half_of_ties = np.cumsum(count) - (count + 1) / 2
    return smaller_or_half_of_ties[number] / (len(values) - 1)


def fewest_holding_half(shares: np.ndarray) -> int:
    """Return the smallest number of parts with at least half of the sum (truck factor; Avelino et al. 2016)."""
    ordered = np.sort(np.asarray(shares, float))[::-1]
    if not len(ordered) or ordered.sum() <= 0:
        return 0
    return int(np.searchsorted(np.cumsum(ordered), ordered.sum() / 2 - 1e-9) + 1)
