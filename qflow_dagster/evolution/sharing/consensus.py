"""The rules of a consensus on a shared rule: votes, agreement, promotion, rollback. Pure functions.

Contains the vote an instance casts from its own outcomes, the counting of votes, and the state machine.
Files and rows are in `votes`.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import scipy

from qflow_dagster.quantumflow import StateMachine, register
from qflow_dagster.registry import Queue, WorkflowTypeName

Vote = Literal["approve", "reject", "abstain"]

# An agreement requires this many votes, this share of approvals among them, this mean confidence of the
# approvals; a rejection more confident than that prevents it. Two of three are less than 0.67.
MIN_VOTES = 3
MIN_APPROVAL_SHARE = 0.67
MIN_CONFIDENCE = 0.85
VETO_CONFIDENCE = 0.90
# Outcomes that an instance needs before it votes, and the success rate that decides its vote.
MIN_OWN_DECISIONS = 10
MIN_OWN_RATE = 0.85
# Promotion on all instances requires this success rate, with this many instances and uses.
PROMOTION_RATE, PROMOTION_INSTANCES, PROMOTION_USES = 0.95, 3, 100
# Rollback on all instances: a success rate below the lower bound of the publishing threshold.
ROLLBACK_RATE, ROLLBACK_USES = 0.75, 10

MACHINE = StateMachine(
    name="rule_consensus",
    initial="voting",
    transitions={
        "voting": frozenset({"agreed", "rejected", "expired"}),
        "agreed": frozenset({"promoted", "rolled_back"}),
        "promoted": frozenset({"rolled_back"}),
        "rejected": frozenset(),
        # Nothing was decided: the next vote opens another round.
        "expired": frozenset({"voting"}),
        "rolled_back": frozenset(),
    },
    # Not `promoted`: it can still be rolled back, and must not be pruned while it may gate.
    terminal=frozenset({"rejected", "expired", "rolled_back"}),
    completed="promoted",
    # So that it alerts.
    dead="rolled_back",
    # Not `expired=`: the clock alone must not end a vote that has to be counted.
)
TYPE = register(WorkflowTypeName.RULE_CONSENSUS, machine=MACHINE, queue=Queue.RULE_NOTIFICATIONS).name
MAY_GATE = ("agreed", "promoted")


class Ballot(NamedTuple):
    """The vote of an instance; its confidence is the probability that it is right."""

    vote: Vote
    confidence: float


class Outcomes(NamedTuple):
    """The number of an instance's uses of a rule, and of successes among them."""

    uses: int
    successes: int


class Decision(NamedTuple):
    """The result of a consensus, and the reason."""

    state: str
    reason: str


def own_ballot(outcomes: Outcomes) -> Ballot:
    """Return this instance's vote from its own outcomes, under a uniform prior.

    Approval where the posterior's mean reaches `MIN_OWN_RATE`, else rejection; its confidence is the
    posterior probability that the rate of success lies on that side. Too few outcomes: an abstention.
    """
    if outcomes.uses < MIN_OWN_DECISIONS:
        return Ballot("abstain", 0.0)
    above = probability_above(MIN_OWN_RATE, outcomes)
    mean = (outcomes.successes + 1) / (outcomes.uses + 2)
    return Ballot("approve", above) if mean >= MIN_OWN_RATE else Ballot("reject", 1 - above)


def probability_above(rate: float, outcomes: Outcomes) -> float:
    """Return the probability that the true success rate exceeds `rate` (0 < rate < 1), under a uniform prior.

    The posterior is Beta(s + 1, n - s + 1).
    """
    return float(scipy.special.betaincc(outcomes.successes + 1, outcomes.uses - outcomes.successes + 1, rate))


def count(ballots: Iterable[Ballot]) -> Decision:
    """Return the result of a vote that closes; abstentions do not count.

    The mean confidence is that of the approvals: if it included all votes, a more confident rejection would raise it.
    """
    cast = [ballot for ballot in ballots if ballot.vote != "abstain"]
    approvals = [ballot.confidence for ballot in cast if ballot.vote == "approve"]
    vetoes = [ballot for ballot in cast if ballot.vote == "reject" and ballot.confidence > VETO_CONFIDENCE]
    if vetoes:
        surest = max(ballot.confidence for ballot in vetoes)
        return Decision("rejected", f"vetoed at confidence {surest:.2f}")
    if len(cast) < MIN_VOTES:
        return Decision("expired", f"{len(cast)} of {MIN_VOTES} votes")
    share = len(approvals) / len(cast)
    if share < MIN_APPROVAL_SHARE:
        return Decision(
            "rejected", f"{len(approvals)} of {len(cast)} approve, {MIN_APPROVAL_SHARE:.0%} are needed"
        )
    mean = sum(approvals) / len(approvals)
    if mean < MIN_CONFIDENCE:
        return Decision("expired", f"mean confidence {mean:.2f}, {MIN_CONFIDENCE:.2f} is needed")
    return Decision("agreed", f"{len(approvals)} of {len(cast)} approve, mean confidence {mean:.2f}")


def next_state(state: str, reports: Sequence[Outcomes]) -> Decision | None:
    """Return the next state of an agreed or promoted rule by the outcomes of all instances; None: unchanged."""
    used = [report for report in reports if report.uses]
    uses, successes = sum(r.uses for r in used), sum(r.successes for r in used)
    rate = successes / uses if uses else 1.0
    words = f"success {rate:.2f} in {uses} uses by {len(used)} instances"
    if uses >= ROLLBACK_USES and rate < ROLLBACK_RATE:
        return Decision("rolled_back", words)
    enough = len(used) >= PROMOTION_INSTANCES and uses >= PROMOTION_USES
    if state == "agreed" and enough and rate >= PROMOTION_RATE:
        return Decision("promoted", words)
    return None
