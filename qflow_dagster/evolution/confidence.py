"""How far a rule may be trusted: beliefs made of outcomes, levels of autonomy, drift. Pure functions.

Belongs here: the arithmetic. Does not belong here: which outcomes there are (`outcomes`), the
thresholds and how they adapt (`thresholds`), whether beliefs come true (`calibration`).

A rule is believed to be right with a probability nobody knows; what is known of it is a Beta
distribution. The prior is what the rule says of itself and how its family does; each decision
moves it, old ones less. Asking a person is how a rule earns evidence, so it takes the mean;
acting without one takes the lower bound, so that little evidence never suffices.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

Level = Literal["show", "ask", "act"]
LEVELS: tuple[Level, ...] = ("show", "ask", "act")
# Decisions that a rule's stated confidence is worth, and at most its family's record.
STATED = 5.0
FAMILY = 5.0
# One-sided: nine in ten rules of such a record are better than the bound.
CREDIBLE = 0.9
# Decisions without which no rule acts, whatever it says of itself.
ENOUGH = 10
# Of a drift: decisions of the present, decisions before them, and how sure it has to be.
RECENT = 10
SURE = 0.99
_POINTS = (np.arange(512) + 0.5) / 512


class Judged(NamedTuple):
    """What somebody or something said of a rule: how long ago (days), how much it counts, good or bad."""

    age: float
    weight: float
    good: bool


@dataclass(frozen=True)
class Belief:
    """A Beta distribution over the share of a rule's changes that are wanted."""

    good: float
    bad: float

    @property
    def mean(self) -> float:
        """Expected share."""
        return self.good / (self.good + self.bad)

    @property
    def lower(self) -> float:
        """The bound below which the share is with a probability of 1 - `CREDIBLE`."""
        return float(special.betaincinv(self.good, self.bad, 1 - CREDIBLE))

    def plus(self, good: float, bad: float) -> "Belief":
        """The belief after so much more evidence."""
        return Belief(self.good + good, self.bad + bad)


def prior(
    stated: float, family: tuple[float, float] = (0.0, 0.0), imported: tuple[float, float] = (0.0, 0.0)
) -> Belief:
    """What is believed before any outcome of the rule itself.

    `stated` is its own confidence, `family` the (good, bad) counts of rules of its kind, worth at
    most `FAMILY` decisions; `imported` what other instances saw, discounted by whoever read it.
    """
    # Neither certainty is anybody's to state.
    stated = min(max(stated, 0.01), 0.99)
    scale = min(1.0, FAMILY / sum(family)) if sum(family) else 0.0
    return Belief(
        STATED * stated + family[0] * scale + imported[0],
        STATED * (1 - stated) + family[1] * scale + imported[1],
    )


def counted(judged: Sequence[Judged], half_life: float) -> tuple[float, float]:
    """(good, bad): the weights of what was judged, halved for each `half_life` (days) of age."""
    good = bad = 0.0
    for one in judged:
        weight = one.weight * 0.5 ** (max(one.age, 0.0) / half_life)
        if one.good:
            good += weight
        else:
            bad += weight
    return good, bad


def wilson(good: float, total: float, sure: float = CREDIBLE) -> float:
    """Lower bound of Wilson's score interval (Wilson 1927), one-sided; 0 without any evidence."""
    if total <= 0:
        return 0.0
    z = float(special.ndtri(sure))
    share = good / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + z * z / total))


def better(one: Belief, other: Belief, margin: float = 0.0) -> float:
    """The probability that `one` is truly better than `other`, or worse by less than `margin`.

    The mean over 512 equally likely values of `other` of what `one` exceeds; exact to about 0.001.
    """
    values = np.clip(special.betaincinv(other.good, other.bad, _POINTS) - margin, 0.0, 1.0)
    return float(np.mean(1 - special.betainc(one.good, one.bad, values)))


def level(
    mean: float, lower: float, thresholds: Mapping[str, float], *, decisions: int, may_act: bool = True
) -> Level:
    """What the rule may do: only show what it finds, ask a person about its change, or act by policy.

    `decisions` are people's, of this rule; `may_act` is false for rules on trial.
    """
    if mean < thresholds["ask"]:
        return "show"
    if may_act and decisions >= ENOUGH and lower >= thresholds["act"]:
        return "act"
    return "ask"


def drifted(good: Sequence[bool]) -> bool:
    """Whether the newest `RECENT` decisions (the last ones) are of a worse rule than those before.

    Both are judged from the same ignorance, Beta(1, 1); needs as many decisions before as now.
    """
    recent, before = good[-RECENT:], good[:-RECENT]
    if len(recent) < RECENT or len(before) < RECENT:
        return False
    now = Belief(1 + sum(recent), 1 + len(recent) - sum(recent))
    then = Belief(1 + sum(before), 1 + len(before) - sum(before))
    return better(then, now) >= SURE


def drawn(beliefs: Sequence[Belief], chance: random.Random) -> int:
    """Thompson sampling (1933): the position of whichever has the highest draw from its own belief."""
    draws = [chance.betavariate(belief.good, belief.bad) for belief in beliefs]
    return max(range(len(draws)), key=draws.__getitem__)
