"""Beliefs: what evidence makes of a rule, and what the rule may then do."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.evolution import confidence
from qflow_dagster.evolution.confidence import BetaEstimate, LabelledOutcome

LIMITS = {"ask": 0.7, "act": 0.9}
counts = st.floats(0, 200)
beliefs = st.builds(BetaEstimate, st.floats(0.1, 200), st.floats(0.1, 200))


def after(accepted: int, denied: int, stated: float = 0.9) -> BetaEstimate:
    return confidence.prior(stated).plus(accepted, denied)


def level(belief: BetaEstimate, decisions: int, *, may_act: bool = True) -> str:
    return confidence.level(belief.mean, belief.lower, LIMITS, decisions=decisions, may_act=may_act)


def test_a_new_rule_that_is_sure_of_itself_asks_but_never_acts() -> None:
    for stated in (0.9, 0.99, 1.0):
        assert level(confidence.prior(stated), 0) == "ask"


def test_a_rule_that_says_little_for_itself_only_shows() -> None:
    assert level(confidence.prior(0.6), 0) == "show"


def test_autonomy_is_earned_by_acceptance_and_lost_by_denials() -> None:
    assert level(after(9, 0), 9) == "ask"
    assert level(after(30, 0), 30) == "act"
    assert level(after(30, 3), 33) == "ask"
    assert level(after(2, 12), 14) == "show"


def test_what_is_on_trial_never_acts() -> None:
    assert level(after(300, 0), 300, may_act=False) == "ask"


@given(st.floats(0, 1), st.tuples(counts, counts), st.tuples(st.floats(0, 10), st.floats(0, 10)))
def test_the_lower_bound_is_below_the_mean_and_both_are_shares(
    stated: float, family: tuple[float, float], imported: tuple[float, float]
) -> None:
    belief = confidence.prior(stated, family, imported)
    assert 0 <= belief.lower <= belief.mean <= 1


@given(beliefs, st.floats(0.1, 50))
def test_good_evidence_never_lowers_and_bad_evidence_never_raises(belief: BetaEstimate, more: float) -> None:
    better, worse = belief.plus(more, 0), belief.plus(0, more)
    assert better.mean > belief.mean > worse.mean
    assert better.lower >= belief.lower - 1e-9
    assert worse.lower <= belief.lower + 1e-9


@given(st.integers(0, 100), st.integers(0, 100))
def test_the_lower_bound_holds_as_often_as_it_says(good: int, bad: int) -> None:
    # By the definition of a quantile: of draws from the belief nine in ten are above.
    belief = BetaEstimate(1 + good, 1 + bad)
    chance = random.Random(good * 1_000 + bad)
    above = statistics.mean(chance.betavariate(belief.good, belief.bad) >= belief.lower for _ in range(2_000))
    assert above == pytest.approx(confidence.CREDIBLE, abs=0.04)


def test_a_family_counts_at_most_as_much_as_what_the_rule_says() -> None:
    alone = confidence.prior(0.9).mean
    assert confidence.prior(0.9, (0, 1_000)).mean == pytest.approx(alone / 2, abs=0.01)
    assert alone > confidence.prior(0.9, (0, 2)).mean > confidence.prior(0.9, (0, 1_000)).mean


def test_an_outcome_counts_half_after_its_half_life() -> None:
    judged = [
        LabelledOutcome(0, 1.0, True),
        LabelledOutcome(180, 1.0, True),
        LabelledOutcome(360, 2.0, False),
    ]
    assert confidence.decayed_counts(judged, 180) == (pytest.approx(1.5), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("good", "total", "bound"), [(0, 0, 0), (10, 10, 0.859), (50, 100, 0.436), (0, 10, 0)]
)
def test_wilson_is_as_published(good: int, total: int, bound: float) -> None:
    # z = 1.2816, by hand: (p + z²/2n - z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    assert confidence.wilson(good, total) == pytest.approx(bound, abs=0.002)


@given(beliefs, beliefs)
def test_either_is_better_and_never_both(one: BetaEstimate, other: BetaEstimate) -> None:
    assert confidence.probability_better(one, other) + confidence.probability_better(
        other, one
    ) == pytest.approx(1, abs=0.01)


@given(beliefs, beliefs, st.floats(0, 0.3))
def test_a_margin_only_helps(one: BetaEstimate, other: BetaEstimate, margin: float) -> None:
    assert (
        confidence.probability_better(one, other, margin) >= confidence.probability_better(one, other) - 1e-9
    )


def test_better_agrees_with_drawing() -> None:
    one, other = BetaEstimate(18, 4), BetaEstimate(30, 15)
    chance = random.Random(1)
    drawn = statistics.mean(
        chance.betavariate(one.good, one.bad) > chance.betavariate(other.good, other.bad)
        for _ in range(20_000)
    )
    assert confidence.probability_better(one, other) == pytest.approx(drawn, abs=0.01)


def test_a_rule_that_got_worse_drifts_and_one_that_was_always_so_does_not() -> None:
    assert confidence.drifted(
        [True] * 30 + [False, True, False, False, True, False, False, True, False, False]
    )
    assert not confidence.drifted([True, False] * 20)
    assert not confidence.drifted([False] * 10 + [True] * 10)
    assert not confidence.drifted([True] * 9 + [False] * 10)


def test_steady_rules_are_rarely_held_to_drift() -> None:
    chance = random.Random(7)
    looks = alarms = 0
    for _ in range(60):
        decisions = [chance.random() < 0.85 for _ in range(60)]
        for end in range(20, 61, 10):
            looks += 1
            alarms += confidence.drifted(decisions[:end])
    assert alarms / looks < 0.02


def test_traffic_goes_to_whichever_is_likely_better_and_the_other_keeps_a_share() -> None:
    chance = random.Random(3)
    arms = [BetaEstimate(8, 4), BetaEstimate(10, 2)]
    served = [confidence.thompson_draw(arms, chance) for _ in range(2_000)]
    assert 0.6 < statistics.mean(served) < 0.95
