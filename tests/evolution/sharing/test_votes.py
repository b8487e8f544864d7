"""Votes on imported rules: one per instance, the clock, whose count, and what may gate."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from qflow_dagster.evolution.sharing.consensus import (
    Outcomes,
)
from qflow_dagster.evolution.sharing.imports import RuleImportResult, import_packages
from qflow_dagster.evolution.sharing.publisher import publish
from qflow_dagster.evolution.sharing.rule_packages import opened, sign
from qflow_dagster.evolution.sharing.votes import OwnVote, cast, finalize, pooled, quarantined, subjects
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

    def take(self) -> RuleImportResult:
        with self.home.connected() as connection:
            return import_packages(connection, self.place, actor="ada")

    def vote(
        self, number: int, vote: str = "approve", confidence: float = 0.95, **given: Any
    ) -> RuleImportResult:
        self.put(self.peers[number].vote(RULE, vote, confidence, **given), f"vote-{number}")
        return self.take()

    def close(self) -> list[str]:
        self.home.pass_time(301)
        return self.settle()

    def settle(self) -> list[str]:
        with self.home.connected() as connection:
            return [settled.state for settled in finalize(connection)]

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
            assert [settled.state for settled in finalize(connection)] == ["agreed"]
            assert rule.digest not in quarantined(connection)
        with home.connected() as connection:
            assert [settled.state for settled in finalize(connection)] == ["promoted"]
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
            settled.extend(one.state for one in finalize(connection))

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
