"""Consensus: the numbers, one vote per instance, the clock, and what may gate."""

import math
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

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
from qflow_dagster.evolution.sharing.imports import ImportReport, import_packages
from qflow_dagster.evolution.sharing.publisher import publish
from qflow_dagster.evolution.sharing.rule_packages import opened, sign
from qflow_dagster.evolution.sharing.votes import OwnVote, cast, pooled, quarantined, settle, subjects
from qflow_dagster.quantumflow import expire_due, verify_history
from tests.evolution.sharing.rule_instances import (
    AT,
    Home,
    Peer,
    make_home,
    make_rule,
    ours,
    place,
    publishable,
)

__all__ = ["make_home", "ours", "place"]

RULE = make_rule()
DAY = timedelta(days=1)


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


class Vote:
    """An imported rule that instances vote on: three whom we trust, and whom else they bring."""

    def __init__(self, home: Home, place: Path, peers: int = 4) -> None:
        self.home, self.place = home, place
        self.peers = [Peer(f"peer-{number}") for number in range(peers)]
        home.trusted = [peer.key for peer in self.peers]
        self.put(self.peers[0].package(RULE, uses=0, successes=0), "package")
        self.take()

    def put(self, raw: bytes, name: str) -> None:
        (self.place / f"{name}.json").write_bytes(raw)

    def take(self) -> ImportReport:
        with self.home.connected() as connection:
            return import_packages(connection, self.place, actor="ada")

    def vote(
        self, number: int, vote: str = "approve", confidence: float = 0.95, **given: Any
    ) -> ImportReport:
        self.put(self.peers[number].vote(RULE, vote, confidence, **given), f"vote-{number}")
        return self.take()

    def close(self) -> list[str]:
        self.home.pass_time(301)
        return self.settle()

    def settle(self) -> list[str]:
        with self.home.connected() as connection:
            return [settled.state for settled in settle(connection)]

    @property
    def state(self) -> str:
        with self.home.connected() as connection:
            return connection.execute(
                text("SELECT status FROM workflows WHERE type = 'rule_consensus'")
            ).scalar_one()

    @property
    def gates(self) -> bool:
        with self.home.connected() as connection:
            return RULE.digest not in quarantined(connection)


@pytest.fixture
def vote(ours: Home, place: Path, monkeypatch: pytest.MonkeyPatch) -> Vote:
    # That rules are tried out is tested elsewhere; here it would only cost a process each time.
    monkeypatch.setattr(
        "qflow_dagster.evolution.sharing.imports.refusals", lambda rules, known: [""] * len(rules)
    )
    return Vote(ours, place)


def test_an_imported_rule_gates_once_three_instances_agreed_and_not_before(vote: Vote) -> None:
    assert (vote.state, vote.gates) == ("voting", False)
    for number in range(3):
        vote.vote(number)
    assert vote.settle() == []
    assert (vote.state, vote.gates) == ("voting", False)
    assert vote.close() == ["agreed"]
    assert (vote.state, vote.gates) == ("agreed", True)
    told = [m for m in vote.home.sent() if m["type"] == "rule_consensus"]
    assert [(m["from"], m["to"]) for m in told] == [(None, "voting"), ("voting", "agreed")]
    with vote.home.connected() as connection:
        assert verify_history(connection) is None
        result = connection.execute(
            text("SELECT result FROM workflows WHERE type = 'rule_consensus'")
        ).scalar_one()
        assert result == {"reason": "3 of 3 approve, mean confidence 0.95"}


def test_an_instance_has_one_vote_however_often_it_votes(vote: Vote) -> None:
    for number in range(6):
        vote.vote(0, at=AT + number * DAY)
    vote.put(vote.peers[0].vote(RULE, "approve", 0.9, at=AT + 9 * DAY), "another file")
    vote.vote(1)
    assert vote.close() == ["expired"]


def test_a_newer_vote_replaces_an_older_one_and_no_older_one_comes_back(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number)
    assert vote.vote(3, "reject", 0.99, at=AT).votes.counted == [RULE.id]
    assert vote.vote(3, "approve", 0.9, at=AT + DAY).votes.counted == [RULE.id]
    assert vote.vote(3, "reject", 0.99, at=AT).votes.counted == []
    assert vote.close() == ["agreed"]


def test_a_sure_rejection_vetoes(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number, confidence=1.0)
    vote.vote(3, "reject", 0.91)
    assert vote.close() == ["rejected"]
    assert not vote.gates


def test_a_vote_after_the_close_is_refused_and_its_outcomes_are_not(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number)
    vote.home.pass_time(301)
    report = vote.vote(3, "reject", 0.99, uses=10, successes=9)
    assert (report.votes.counted, report.votes.late) == ([], [RULE.id])
    assert (vote.state, vote.gates) == ("agreed", True)
    # An instance that voted cannot change its vote either.
    assert vote.vote(0, "reject", 0.99, uses=7, successes=7, at=AT + DAY).votes.late == [RULE.id]
    with vote.home.connected() as connection:
        ballots = connection.execute(text("SELECT vote, uses FROM rule_votes ORDER BY instance")).all()
        assert sorted(map(tuple, ballots)) == sorted(
            [("approve", 7), ("approve", 40), ("approve", 40), ("abstain", 10)]
        )
        assert sorted(pooled(connection, [RULE.digest])[RULE.digest])[:2] == [(7, 7), (10, 9)]


def test_a_vote_nobody_decided_is_opened_again_by_the_next_one(vote: Vote) -> None:
    vote.vote(0)
    assert vote.close() == ["expired"]
    assert vote.vote(1, "abstain", 0.0).votes.late == [RULE.id]
    assert vote.state == "expired"
    assert vote.vote(2).votes.counted == [RULE.id]
    assert vote.state == "voting"
    vote.vote(1, at=AT + DAY)
    assert vote.close() == ["agreed"]


def test_the_sweep_of_the_core_ends_no_vote_uncounted(vote: Vote) -> None:
    vote.home.pass_time(10_000)
    with vote.home.connected() as connection:
        assert expire_due(connection) == []
    assert vote.state == "voting"


def test_votes_of_strangers_and_of_rules_unknown_here_do_not_count(vote: Vote) -> None:
    stranger = Peer("stranger")
    vote.put(stranger.vote(RULE, "reject", 0.99), "stranger")
    vote.put(vote.peers[1].vote(make_rule("own/unknown"), "approve", 0.9), "unknown")
    report = vote.take()
    assert [refused.name for refused in report.refused] == ["stranger.json"]
    assert (report.votes.counted, report.votes.late) == ([], [])
    vote.put(vote.peers[1].package(make_rule("own/unknown")), "unknown package")
    assert vote.take().votes.counted == ["own/unknown"]


def test_a_vote_that_names_the_rule_of_a_digest_wrongly_opens_nothing(vote: Vote) -> None:
    body = opened(vote.peers[1].vote(RULE, "reject", 0.99))
    wrong = {n: v for n, v in body.items() if n not in ("instance", "signature")} | {"rule_id": "own/other"}
    vote.put(sign(wrong, vote.peers[1].identity), "wrong")
    assert vote.take().votes == ([], [])
    with vote.home.connected() as connection:
        assert [subject.rule_id for subject in subjects(connection)] == [RULE.id]


def test_trust_withdrawn_before_the_close_takes_the_vote_with_it(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number)
    vote.home.trusted = vote.home.trusted[1:]
    assert vote.close() == ["expired"]


def test_a_success_everywhere_is_promoted_and_a_failure_later_rolled_back_for_all(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number, uses=40, successes=39)
    vote.close()
    assert vote.settle() == ["promoted"]
    assert vote.gates
    for number in range(3):
        vote.vote(number, uses=80, successes=50, at=AT + DAY)
    assert vote.state == "rolled_back"
    assert not vote.gates
    assert [message["to"] for message in vote.home.sent("workflow_alerts")] == ["rolled_back"]
    # For good: neither votes nor packages bring it back, only another version of the rule.
    vote.vote(3, at=AT + 2 * DAY)
    vote.put(vote.peers[1].package(RULE, AT + 2 * DAY), "again")
    vote.take()
    assert vote.close() == []
    assert (vote.state, vote.gates) == ("rolled_back", False)


def test_evidence_in_packages_is_pooled_with_votes_the_newest_of_each_instance(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number, uses=10, successes=10)
    vote.close()
    vote.put(vote.peers[0].package(RULE, AT + DAY, uses=90, successes=88), "package")
    vote.take()
    with vote.home.connected() as connection:
        assert sorted(pooled(connection, [RULE.digest])[RULE.digest]) == [(10, 10), (10, 10), (90, 88)]
    assert vote.state in ("agreed", "promoted")
    vote.settle()
    assert vote.state == "promoted"


def test_a_vote_is_signed_and_bound_to_its_rule(vote: Vote) -> None:
    raw = vote.peers[1].vote(RULE, "reject", 0.95)
    vote.put(raw.replace(b'"reject"', b'"approve"'), "turned")
    vote.put(raw.replace(RULE.digest.hex().encode(), b"0" * 64), "moved")
    vote.put(raw.replace(b"qflow-rule-vote/1", b"qflow-rule/1"), "disguised")
    report = vote.take()
    assert {refused.name for refused in report.refused} == {"turned.json", "moved.json", "disguised.json"}
    assert report.votes.counted == []


def outcomes_of(connection: Connection, place: Path, outcomes: tuple[int, int]) -> dict[str, str]:
    mine = [OwnVote.of(subject, Outcomes(*outcomes)) for subject in subjects(connection)]
    return cast(connection, place, mine)


def test_three_instances_agree_by_what_each_saw_itself(make_home: Callable[[str], Home], place: Path) -> None:
    homes = [make_home(name) for name in ("ann", "bob", "cleo")]
    for home in homes:
        home.trusted = [other.key for other in homes if other is not home]
    rule = make_rule(fix=None)
    with homes[0].connected() as connection:
        assert publish(connection, place, [publishable(rule, origin="mined")]).failed == []
        # Its own rule needs nobody's word to gate at home; it votes like the others.
        assert rule.digest not in quarantined(connection)
        assert outcomes_of(connection, place, (60, 59)) == {}
    for home in homes[1:]:
        with home.connected() as connection:
            import_packages(connection, place, actor="ada")
            assert quarantined(connection) == {rule.digest}
    for home in homes[1:]:
        with home.connected() as connection:
            assert [subject.state for subject in subjects(connection)] == ["voting"]
            assert outcomes_of(connection, place, (40, 40)) == {}
    before = {path: path.read_bytes() for path in place.rglob("*.json")}
    assert len(before) == 4
    for home in homes:
        with home.connected() as connection:
            import_packages(connection, place, actor="ada")
            assert connection.scalar(text("SELECT count(*) FROM rule_votes")) == 3
        home.pass_time(301)
        with home.connected() as connection:
            assert [settled.state for settled in settle(connection)] == ["agreed"]
            assert rule.digest not in quarantined(connection)
        with home.connected() as connection:
            assert [settled.state for settled in settle(connection)] == ["promoted"]
    # Saying the same again writes nothing.
    with homes[1].connected() as connection:
        outcomes_of(connection, place, (40, 40))
    assert {path: path.read_bytes() for path in place.rglob("*.json")} == before


def test_a_vote_is_opened_and_settled_once_by_many_at_once(vote: Vote) -> None:
    for number in range(3):
        vote.vote(number)
    vote.home.pass_time(301)
    settled: list[str] = []

    def go() -> None:
        with vote.home.engine.begin() as connection:
            settled.extend(one.state for one in settle(connection))

    with vote.home.active():
        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # Whoever came later may have seen that it is a success everywhere.
    assert settled.count("agreed") == 1
    assert settled.count("promoted") <= 1
    assert len(settled) <= 2
