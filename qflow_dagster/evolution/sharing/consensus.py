"""What the instances together hold of a rule: votes, agreement, promotion, rollback.

Belongs here: the vote an instance casts from its own outcomes, counting votes, the life of a rule
that came from elsewhere, whether it may gate anything. Does not belong here: statements and files
(`votes`), packages (`publisher`).

Pure functions and the state machine only.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from scipy import special

from qflow_dagster.quantumflow import StateMachine, register
from qflow_dagster.registry import Queue, WorkflowTypeName

Vote = Literal["approve", "reject", "abstain"]

# An agreement takes this many votes, this share of approvals among them, this mean confidence of the
# approvals; a rejection more confident than that prevents it. Two of three are less than 0.67.
VOTES = 3
APPROVALS = 0.67
CONFIDENCE = 0.85
VETO = 0.90
# What an instance needs of its own before it votes, and the rate of success it votes on.
OWN_DECISIONS = 10
OWN_RATE = 0.85
# Promotion to all: at least this much success of so many instances and uses.
PROMOTION_RATE, PROMOTION_INSTANCES, PROMOTION_USES = 0.95, 3, 100
# Rollback for all: less success than the lower bound of the publishing threshold.
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
    """One instance's vote; its confidence is the probability that it is right."""

    vote: Vote
    confidence: float


class Outcomes(NamedTuple):
    """How often an instance used a rule, and how often that was a success."""

    uses: int
    successes: int


class Decision(NamedTuple):
    """What a consensus comes to, and why."""

    state: str
    reason: str


def own_ballot(outcomes: Outcomes) -> Ballot:
    """This instance's vote on its own outcomes, under a uniform prior.

    Approval where the posterior's mean reaches `OWN_RATE`, else rejection; its confidence is the
    posterior probability that the rate of success lies on that side. Too few outcomes: an abstention.
    """
    if outcomes.uses < OWN_DECISIONS:
        return Ballot("abstain", 0.0)
    above = probability_above(OWN_RATE, outcomes)
    mean = (outcomes.successes + 1) / (outcomes.uses + 2)
    return Ballot("approve", above) if mean >= OWN_RATE else Ballot("reject", 1 - above)


def probability_above(rate: float, outcomes: Outcomes) -> float:
    """The probability that the true rate of success exceeds `rate` (0 < rate < 1), under a uniform prior.

    The posterior is Beta(s + 1, n - s + 1).
    """
    return float(special.betaincc(outcomes.successes + 1, outcomes.uses - outcomes.successes + 1, rate))


def count(ballots: Iterable[Ballot]) -> Decision:
    """What a vote comes to when it closes; abstentions do not count.

    The mean confidence is that of the approvals: with all votes in it, a surer rejection would help.
    """
    cast = [ballot for ballot in ballots if ballot.vote != "abstain"]
    approvals = [ballot.confidence for ballot in cast if ballot.vote == "approve"]
    vetoes = [ballot for ballot in cast if ballot.vote == "reject" and ballot.confidence > VETO]
    if vetoes:
        surest = max(ballot.confidence for ballot in vetoes)
        return Decision("rejected", f"vetoed at confidence {surest:.2f}")
    if len(cast) < VOTES:
        return Decision("expired", f"{len(cast)} of {VOTES} votes")
    share = len(approvals) / len(cast)
    if share < APPROVALS:
        return Decision("rejected", f"{len(approvals)} of {len(cast)} approve, {APPROVALS:.0%} are needed")
    mean = sum(approvals) / len(approvals)
    if mean < CONFIDENCE:
        return Decision("expired", f"mean confidence {mean:.2f}, {CONFIDENCE:.2f} is needed")
    return Decision("agreed", f"{len(approvals)} of {len(cast)} approve, mean confidence {mean:.2f}")


def next_state(state: str, reports: Sequence[Outcomes]) -> Decision | None:
    """Where the pooled outcomes of all instances take an agreed or promoted rule; None: it stays."""
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
