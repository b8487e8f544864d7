"""Importing what other instances published: whose word is taken, what it is worth, and what is refused."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, text

from qflow_dagster.database import engine_for
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing.imports import (
    distrust,
    import_packages,
    imported_priors,
    prior,
)
from qflow_dagster.evolution.sharing.publisher import publish
from qflow_dagster.evolution.sharing.rule_packages import MAX_FILE_BYTES
from qflow_dagster.evolution.sharing.votes import quarantined
from tests import forks
from tests.evolution.sharing.rule_instances import (
    AT,
    Home,
    Peer,
    make_home,
    make_rule,
    ours,
    place,
    publishable,
    refused,
    take,
)

__all__ = ["make_home", "ours", "place"]

RULE = make_rule()


def test_a_package_of_the_rules_that_are_shipped_is_taken_as_prior_evidence_only(
    ours: Home, place: Path
) -> None:
    rule = next(rule for rule in load_rules() if rule.fix == "codemod")
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(rule))
    (imported,) = take(ours, place, peer.key).imported
    assert imported.was_here
    with ours.connected() as connection:
        assert rule.digest not in quarantined(connection)
        assert imported_priors(connection).keys() == {(rule.id, rule.digest)}
        assert connection.scalar(text("SELECT count(*) FROM workflows")) == 0


def test_nobody_is_trusted_by_default_and_nobody_imports_from_himself(
    make_home: Callable[[str], Home], place: Path
) -> None:
    ann, bob = make_home("ann"), make_home("bob")
    with ann.connected() as connection:
        publish(connection, place, [publishable(RULE)])
    ann.trusted = [ann.key]
    assert take(ann, place).own == 1
    report = take(bob, place)
    assert report.imported == []
    (reason,) = refused(report).values()
    assert reason == f"{ann.label} is not trusted; its key is {ann.key}"
    assert len(take(bob, place, ann.key).imported) == 1
    with bob.connected() as connection:
        # Somebody vouched for the key; it counts without being in the settings.
        assert len(imported_priors(connection)) == 1
        (named_by,) = connection.scalars(text("SELECT named_by FROM rule_imports"))
        assert named_by == "ada"
    fingerprint = ann.label.removeprefix("ann-")
    bob.trusted = [ann.key]
    with bob.connected() as connection, pytest.raises(UsageError, match="take its key out of there first"):
        distrust(connection, fingerprint, actor="ada")
    bob.trusted = []
    with bob.connected() as connection:
        assert distrust(connection, fingerprint, actor="ada") == 1
        assert imported_priors(connection) == {}
        assert RULE.digest in quarantined(connection)
        with pytest.raises(UsageError, match="nothing was taken in"):
            distrust(connection, fingerprint, actor="ada")


def test_trust_that_is_withdrawn_no_longer_weighs(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    ours.trusted = [peer.key]
    assert len(take(ours, place).imported) == 1
    ours.trusted = []
    with ours.connected() as connection:
        assert imported_priors(connection) == {}
        assert RULE.digest in quarantined(connection)


def test_an_old_package_does_not_come_back(ours: Home, place: Path) -> None:
    peer = Peer()
    old, new = (
        peer.package(RULE, AT, accepted=100.0),
        peer.package(RULE, AT + timedelta(days=1), accepted=1.0),
    )
    (place / "a.json").write_bytes(new)
    assert len(take(ours, place, peer.key).imported) == 1
    (place / "a.json").write_bytes(old)
    report = take(ours, place, peer.key)
    assert (report.imported, list(refused(report).values())) == (
        [],
        [f"a newer one of {peer.identity.instance.label} is there or was imported"],
    )
    with ours.connected() as connection:
        assert list(imported_priors(connection).values()) == [pytest.approx((0.25, 0.5))]


def test_of_two_packages_of_an_instance_the_newer_one_counts(ours: Home, place: Path) -> None:
    peer = Peer()
    for days, accepted in ((2, 4.0), (1, 40.0), (3, 8.0)):
        (place / f"{days}.json").write_bytes(peer.package(RULE, AT + timedelta(days=days), accepted=accepted))
    report = take(ours, place, peer.key)
    assert [one.package.evidence.accepted for one in report.imported] == [8.0]
    assert len(report.refused) == 2


def test_priors_are_pooled_one_contribution_per_instance(ours: Home, place: Path) -> None:
    peers = [Peer() for _ in range(3)]
    for number, peer in enumerate(peers):
        (place / f"{number}.json").write_bytes(peer.package(RULE, accepted=4.0, denied=4.0 * number))
    assert len(take(ours, place, *(peer.key for peer in peers)).imported) == 3
    with ours.connected() as connection:
        assert imported_priors(connection)[RULE.id, RULE.digest] == pytest.approx((3.0, 3.0))
        assert connection.scalar(text("SELECT count(*) FROM workflows")) == 1


COUNTS = st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=6)


@given(COUNTS, st.floats(0, 1), st.floats(0, 1_000))
def test_priors_are_never_worth_more_than_their_limit(
    counts: list[tuple[float, float]], discount: float, limit: float
) -> None:
    accepted, denied = prior(counts, discount, limit)
    assert min(accepted, denied) >= 0
    assert accepted + denied <= limit * (1 + 1e-9)
    # Of what is next to nothing, half can be rounded up.
    assert accepted + denied <= discount * sum(a + d for a, d in counts) * (1 + 1e-9) + 1e-300


def test_a_loud_instance_does_not_drown_the_others() -> None:
    assert prior([(1e9, 0), (0, 40), (0, 40)], 0.25, 10) == pytest.approx((10 / 3, 20 / 3))
    assert prior([], 0.25, 10) == (0, 0)


def test_hostile_files_are_named_and_the_others_taken(ours: Home, place: Path, tmp_path: Path) -> None:
    peer = Peer()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "stolen.json").write_bytes(peer.package(make_rule("own/stolen")))
    good = place / "peer" / "own"
    good.mkdir(parents=True)
    (good / "good.json").write_bytes(peer.package(RULE))
    (place / "huge.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    (place / "deep.json").write_bytes(b"[" * 500_000)
    (place / "latin.json").write_bytes(b'{"a":"\xe9"}')
    (place / "escape\x1b[2J.json").write_bytes(b"{}")
    (place / "link.json").symlink_to(outside / "stolen.json")
    (place / "linked").symlink_to(outside)
    (place / "loop").symlink_to(place)
    (place / "folder.json").mkdir()
    (place / ".half.json").write_bytes(b"being written")
    (place / "readme.md").write_text("no package")
    os.mkfifo(place / "pipe.json")
    (place / "liar.json").write_bytes(
        peer.package(make_rule("own/liar", examples=[{"bad": "baz()\n", "good": "x\n"}]))
    )
    deepest = place.joinpath(*["d"] * 30)
    deepest.mkdir(parents=True)
    (deepest / "too_deep.json").write_bytes(peer.package(make_rule("own/deep")))
    report = take(ours, place, peer.key)
    assert [one.rule.id for one in report.imported] == [RULE.id]
    reasons = refused(report)
    assert reasons.pop("liar.json").startswith("own/liar, example 1")
    assert reasons == {
        "huge.json": "it is larger than 1,000,000 bytes",
        "deep.json": "it is not valid JSON",
        "latin.json": "it is not valid JSON",
        '"escape\\033[2J.json"': "it is not signed",
        "link.json": "it is not a regular file, or is not readable",
        "pipe.json": "it is not a regular file",
    }
    assert all("\n" not in words for words in reasons.values())


def test_whoever_is_killed_before_the_commit_imports_it_again(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    with ours.active(), ours.engine.connect() as connection:
        assert len(import_packages(connection, place, trust=[peer.key], actor="ada").imported) == 1
        connection.rollback()
    assert ours.sent() == []
    assert len(take(ours, place, peer.key).imported) == 1
    assert [message["type"] for message in ours.sent()].count("rule_imported") == 1


def import_and_die(database: URL, place: Path, key: str) -> None:
    with engine_for(database).begin() as connection:
        import_packages(connection, str(place), trust=[key], actor="ada")
        os.kill(os.getpid(), signal.SIGKILL)


def test_an_importing_process_that_is_killed_leaves_nothing_half_done(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    process = forks.start(
        import_and_die, ours.engine.url, place, peer.key, environment={"QFLOW_HOME": str(ours.home)}
    )
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with ours.connected() as connection:
        assert imported_priors(connection) == {}
    assert len(take(ours, place, peer.key).imported) == 1


def test_two_importers_at_once_import_each_package_once(
    ours: Home, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = [Peer(f"peer-{number}") for number in range(4)]
    for peer in peers:
        for name in ("a", "b", "c"):
            rule = make_rule(f"own/{name}")
            (place / f"{peer.identity.instance.label}-{name}.json").write_bytes(peer.package(rule))
            (place / f"{peer.identity.instance.label}-{name}.vote.json").write_bytes(
                peer.vote(rule, "approve", 0.9)
            )
    ours.trusted = [peer.key for peer in peers]
    monkeypatch.setattr(
        "qflow_dagster.evolution.sharing.imports.refusals", lambda rules, known: [""] * len(rules)
    )
    barrier, reports = threading.Barrier(3), []

    def go() -> None:
        with ours.engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            barrier.wait()
            reports.append(import_packages(connection, place, actor="ada"))

    with ours.active():
        threads = [threading.Thread(target=go) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(len(report.imported) for report in reports) == 12
    assert sum(len(report.imported) + report.known for report in reports) == 36
    with ours.connected() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rule_imports")) == 12
        assert connection.scalar(text("SELECT count(*) FROM rule_votes WHERE vote = 'approve'")) == 12
        assert connection.scalar(text("SELECT count(*) FROM workflows WHERE type = 'rule_consensus'")) == 3
    assert [message["type"] for message in ours.sent()].count("rule_imported") == 12


def test_rules_of_ours_that_no_pack_has_are_known_when_they_are_named(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    with ours.connected() as connection:
        own: list[Rule] = [*load_rules(), RULE]
        report = import_packages(connection, place, trust=[peer.key], actor="ada", rules=own)
        assert report.imported[0].was_here
        assert RULE.digest not in quarantined(connection)
