"""Consensus: the numbers that decide a vote, a promotion and a rollback."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.evolution.sharing import consensus
from qflow_dagster.evolution.sharing.consensus import (
    MACHINE,
    Ballot,
    Outcomes,
    count,
    next_state,
    own_ballot,
    probability_above,
)


def yes(*confidences: float) -> list[Ballot]:
    return [Ballot("approve", confidence) for confidence in confidences]


def no(*confidences: float) -> list[Ballot]:
    return [Ballot("reject", confidence) for confidence in confidences]


@pytest.mark.parametrize(
    ("ballots", "state"),
    [
        (yes(0.9, 0.9, 0.9), "agreed"),
        (yes(0.85, 0.85, 0.85), "agreed"),
        (yes(0.84, 0.85, 0.85), "expired"),
        (yes(0.99, 0.99), "expired"),
        ([], "expired"),
        # Two of three are 0.667.
        (yes(0.99, 0.99) + no(0.5), "rejected"),
        (yes(0.99, 0.99, 0.99) + no(0.5), "agreed"),
        (yes(0.99, 0.99, 0.99) + no(0.90), "agreed"),
        (yes(0.99, 0.99, 0.99) + no(0.91), "rejected"),
        (yes(*[0.99] * 100) + no(0.901), "rejected"),
        (no(0.95), "rejected"),
        (yes(0.99, 0.99) + [Ballot("abstain", 0)] * 5, "expired"),
        # A surer rejection must not lift the mean over the bar.
        (yes(0.84, 0.84, 0.84) + no(0.90), "expired"),
    ],
)
def test_what_a_vote_comes_to(ballots: list[Ballot], state: str) -> None:
    assert count(ballots).state == state


BALLOTS = st.lists(st.builds(Ballot, st.sampled_from(["approve", "reject", "abstain"]), st.floats(0, 1)))


@given(BALLOTS, st.randoms())
def test_the_order_of_votes_is_nothing_and_an_agreement_has_its_numbers(
    ballots: list[Ballot], random: Any
) -> None:
    decision = count(ballots)
    shuffled = random.sample(ballots, len(ballots))
    assert count(shuffled).state == decision.state
    if decision.state == "agreed":
        votes = [ballot for ballot in ballots if ballot.vote != "abstain"]
        approvals = [ballot.confidence for ballot in votes if ballot.vote == "approve"]
        assert len(votes) >= 3
        assert len(approvals) / len(votes) >= 0.67
        assert sum(approvals) / len(approvals) >= 0.85 - 1e-12
        assert all(ballot.confidence <= 0.9 for ballot in votes if ballot.vote == "reject")
        assert count([*ballots, Ballot("reject", 0.95)]).state == "rejected"


@pytest.mark.parametrize(
    ("state", "reports", "to"),
    [
        ("agreed", [(40, 39), (40, 38), (20, 19)], "promoted"),
        ("agreed", [(40, 39), (40, 38), (19, 19)], None),
        ("agreed", [(50, 49), (50, 49), (0, 0)], None),
        ("agreed", [(40, 38), (40, 38), (20, 18)], None),
        ("promoted", [(40, 39), (40, 38), (20, 19)], None),
        ("promoted", [(10, 7)], "rolled_back"),
        ("promoted", [(9, 0)], None),
        ("agreed", [(4, 3), (4, 3), (4, 2)], "rolled_back"),
        ("agreed", [(12, 9)], None),
        ("agreed", [], None),
    ],
)
def test_promotion_and_rollback_by_pooled_outcomes(
    state: str, reports: list[tuple[int, int]], to: str | None
) -> None:
    decision = next_state(state, [Outcomes(*report) for report in reports])
    assert (decision.state if decision else None) == to


@pytest.mark.parametrize("outcomes", [(0, 0), (10, 10), (20, 17), (100, 90), (1_000, 849)])
def test_the_posterior_is_that_of_beta(outcomes: tuple[int, int]) -> None:
    """Against the density itself, integrated by Simpson's rule."""
    uses, successes = outcomes
    a, b = successes + 1, uses - successes + 1
    log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def density(p: float) -> float:
        if p >= 1:
            return math.exp(log_norm) if b == 1 else 0.0
        return math.exp(log_norm + (a - 1) * math.log(p) + (b - 1) * math.log1p(-p))

    steps = 20_000
    width = 0.15 / steps
    weights = [1 if i in (0, steps) else 4 if i % 2 else 2 for i in range(steps + 1)]
    area = math.fsum(w * density(0.85 + i * width) for i, w in enumerate(weights)) * width / 3
    assert probability_above(0.85, Outcomes(*outcomes)) == pytest.approx(area, abs=1e-6)


@given(st.integers(0, 2_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_our_own_vote_follows_from_our_own_outcomes(outcomes: tuple[int, int]) -> None:
    uses, successes = outcomes
    ballot = own_ballot(Outcomes(uses, successes))
    assert 0 <= ballot.confidence <= 1
    if uses < 10:
        assert ballot == Ballot("abstain", 0.0)
    else:
        assert ballot.vote == ("approve" if (successes + 1) / (uses + 2) >= 0.85 else "reject")
        if successes < uses:
            more = own_ballot(Outcomes(uses, successes + 1))
            assert (more.vote, more.confidence) >= ("approve", ballot.confidence) or ballot.vote == "reject"


def test_few_successes_are_an_unsure_approval_and_many_failures_a_veto() -> None:
    assert own_ballot(Outcomes(10, 10)) == ("approve", pytest.approx(0.833, abs=1e-3))
    assert own_ballot(Outcomes(20, 20)).confidence > 0.95
    assert own_ballot(Outcomes(20, 10)) == ("reject", pytest.approx(1, abs=1e-3))
    assert own_ballot(Outcomes(1_000_000_000, 990_000_000)).confidence == pytest.approx(1)


def test_a_rule_that_may_gate_is_never_pruned_and_a_rollback_alerts() -> None:
    assert not set(consensus.MAY_GATE) & MACHINE.terminal
    assert MACHINE.dead == "rolled_back"
    assert MACHINE.transitions["rejected"] == MACHINE.transitions["rolled_back"] == frozenset()


def test_the_documentation_shows_the_machine_that_runs() -> None:
    page = Path(consensus.__file__).parents[3] / "docs" / "publishing.md"
    assert MACHINE.mermaid() in page.read_text()
