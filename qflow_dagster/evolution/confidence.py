"""The statistics of rule confidence: Beta posteriors from outcomes, trust levels, drift. Pure functions.

Outcomes are collected in `outcomes`, thresholds in `thresholds`; `calibration` checks whether
estimates come true, `trust` combines all of it.

The unknown share of a rule's changes that people accept is estimated by a Beta distribution. The
prior comes from the confidence that the rule states and from the record of its family; each decision updates
it, with a weight that decays with age. Requesting a person's approval is compared with the mean of the
estimate, because requests are how a rule earns evidence; acting without approval is compared with
the lower bound, so that little evidence never suffices.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import scipy

Level = Literal["show", "ask", "act"]
LEVELS: tuple[Level, ...] = ("show", "ask", "act")
# Weight of the stated confidence in decisions, and the maximum weight of the family's record.
STATED = 5.0
FAMILY = 5.0
# One-sided probability of the lower bound: nine in ten rules with such a record are better than it.
CREDIBLE = 0.9
# Decisions below which no rule acts without approval, whatever confidence it states.
MIN_DECISIONS = 10
# Drift: the number of newest decisions compared with those before, and the probability required.
RECENT = 10
MIN_DRIFT_PROBABILITY = 0.99
_POINTS = (np.arange(512) + 0.5) / 512


class LabelledOutcome(NamedTuple):
    """An outcome that counts for or against a rule: its age in days, its weight, and whether it is good."""

    age: float
    weight: float
    good: bool


@dataclass(frozen=True)
class BetaEstimate:
    """A Beta distribution over the share of a rule's changes that people accept."""

    good: float
    bad: float

    @property
    def mean(self) -> float:
        """The expected share."""
        return self.good / (self.good + self.bad)

    @property
    def lower(self) -> float:
        """The quantile at 1 - `CREDIBLE`: the share exceeds it with probability `CREDIBLE`."""
        return float(scipy.special.betaincinv(self.good, self.bad, 1 - CREDIBLE))

    def plus(self, good: float, bad: float) -> "BetaEstimate":
        """Return the estimate after additional good and bad evidence."""
        return BetaEstimate(self.good + good, self.bad + bad)


def prior(
    stated: float, family: tuple[float, float] = (0.0, 0.0), imported: tuple[float, float] = (0.0, 0.0)
) -> BetaEstimate:
    """Return the estimate before any outcome of the rule itself.

    Args:
        stated: The confidence that the rule's definition states, 0 to 1.
        family: The (good, bad) counts of rules of the same family, scaled down to at most `FAMILY` decisions.
        imported: The (good, bad) counts reported by other instances, already discounted.
    """
    # A stated certainty is not accepted.
    stated = min(max(stated, 0.01), 0.99)
    scale = min(1.0, FAMILY / sum(family)) if sum(family) else 0.0
    return BetaEstimate(
        STATED * stated + family[0] * scale + imported[0],
        STATED * (1 - stated) + family[1] * scale + imported[1],
    )


def decayed_counts(outcomes: Sequence[LabelledOutcome], half_life: float) -> tuple[float, float]:
    """Return the summed (good, bad) weights of outcomes, halved for each `half_life` (days) of age."""
    good = bad = 0.0
    for outcome in outcomes:
        weight = outcome.weight * 0.5 ** (max(outcome.age, 0.0) / half_life)
        if outcome.good:
            good += weight
        else:
            bad += weight
    return good, bad


def wilson(good: float, total: float, probability: float = CREDIBLE) -> float:
    """Return the one-sided lower bound of Wilson's score interval (Wilson 1927); 0 without evidence."""
    if total <= 0:
        return 0.0
    z = float(scipy.special.ndtri(probability))
    share = good / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + z * z / total))


def probability_better(estimate: BetaEstimate, other: BetaEstimate, margin: float = 0.0) -> float:
    """Return the probability that the share of `estimate` exceeds that of `other` minus `margin`.

    Averages over 512 equally likely values of `other`; exact to about 0.001.
    """
    values = np.clip(scipy.special.betaincinv(other.good, other.bad, _POINTS) - margin, 0.0, 1.0)
    return float(np.mean(1 - scipy.special.betainc(estimate.good, estimate.bad, values)))


def level(
    mean: float, lower: float, thresholds: Mapping[str, float], *, decisions: int, may_act: bool = True
) -> Level:
    """Return a rule's trust level: show findings only, ask for approval of changes, or act by policy.

    `decisions` counts people's decisions on this rule; `may_act` is false for rules on trial.
    """
    if mean < thresholds["ask"]:
        return "show"
    if may_act and decisions >= MIN_DECISIONS and lower >= thresholds["act"]:
        return "act"
    return "ask"


def drifted(good: Sequence[bool]) -> bool:
    """Return whether the newest `RECENT` decisions (the last ones) are worse than those before.

    Both sides start from the uniform prior Beta(1, 1), and both need at least `RECENT` decisions.
    """
    recent, before = good[-RECENT:], good[:-RECENT]
    if len(recent) < RECENT or len(before) < RECENT:
        return False
    current = BetaEstimate(1 + sum(recent), 1 + len(recent) - sum(recent))
    previous = BetaEstimate(1 + sum(before), 1 + len(before) - sum(before))
    return probability_better(previous, current) >= MIN_DRIFT_PROBABILITY


def thompson_draw(estimates: Sequence[BetaEstimate], generator: random.Random) -> int:
    """Return the position of the estimate with the highest random draw (Thompson sampling, 1933)."""
    draws = [generator.betavariate(estimate.good, estimate.bad) for estimate in estimates]
    return max(range(len(draws)), key=draws.__getitem__)
