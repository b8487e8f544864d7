"""Publishing and importing between instances: what leaves the house, whose word is taken, and what it is worth."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import consensus, rule_packages
from qflow_dagster.evolution.sharing.imports import (
    ImportReport,
    distrust,
    import_packages,
    imported_priors,
    imported_rules,
    prior,
)
from qflow_dagster.evolution.sharing.publisher import Publishable, publish
from qflow_dagster.evolution.sharing.rule_packages import LARGEST
from qflow_dagster.evolution.sharing.shared_stores import BRANCH, open_place
from qflow_dagster.evolution.sharing.votes import quarantined
from qflow_dagster.quantumflow import workflow_type
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
from tests.ingestion.conftest import GitRepository

__all__ = ["make_home", "ours", "place"]

RULE = make_rule()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def take(home: Home, place: Path | str, *trust: str) -> ImportReport:
    with home.connected() as connection:
        return import_packages(connection, place, trust=trust, actor="ada")


def refused(report: ImportReport) -> dict[str, str]:
    return dict(report.refused)


def test_a_rule_goes_from_one_instance_to_another_with_its_evidence(
    make_home: Callable[[str], Home], place: Path
) -> None:
    ann, bob = make_home("ann"), make_home("bob")
    with ann.connected() as connection:
        report = publish(connection, place, [publishable(RULE)])
    (name,) = files_in(place)
    assert [told.what for told in report.published] == [RULE.id]
    assert name == f"{ann.label}/own/bar/1-{RULE.digest.hex()[:16]}.json"
    (message,) = ann.sent()
    assert (message["type"], message["rule_id"], message["instance"]) == (
        "rule_published",
        RULE.id,
        ann.label,
    )
    bob.trusted = [ann.key]
    report = take(bob, place)
    (imported,) = report.imported
    assert imported.rule == RULE.model_copy(update={"status": "trial"})
    assert (imported.instance.label, imported.was_here) == (ann.label, False)
    assert imported.prior == pytest.approx((9.5, 0.5))
    with bob.connected() as connection:
        assert imported_priors(connection) == {(RULE.id, RULE.digest): pytest.approx((9.5, 0.5))}
        assert [one.rule.id for one in imported_rules(connection)] == [RULE.id]
        assert RULE.digest in quarantined(connection)
    assert {message["type"] for message in bob.sent()} == {"rule_imported", "rule_consensus"}
    again = take(bob, place)
    assert (again.imported, again.known, again.refused) == ([], 1, [])


def test_only_what_is_sure_enough_is_published_the_surest_first(ours: Home, place: Path) -> None:
    rules = [
        publishable(make_rule("own/low"), 0.849),
        publishable(make_rule("own/good"), 0.86),
        publishable(make_rule("own/better"), 0.9),
        publishable(make_rule("own/best"), 0.99),
        publishable(make_rule("own/draft", status="draft"), 0.99),
        publishable(make_rule("own/retired", status="retired"), 0.99),
        publishable(make_rule("own/odd"), 0.99, accepted=-1),
    ]
    with ours.connected() as connection:
        report = publish(connection, place, rules, limit=2)
    assert [told.what for told in report.published] == ["own/best", "own/better"]
    assert {told.what: told.description for told in report.skipped} == {
        "own/low": "its confidence is at least 0.85, 0.85 is needed",
        "own/good": "2 are published at a time",
        "own/draft": "it is draft",
        "own/retired": "it is retired",
    }
    assert [told.what for told in report.failed] == ["own/odd"]
    with ours.connected() as connection:
        assert [told.what for told in publish(connection, place, rules, limit=2).published] == ["own/good"]


def test_publishing_again_changes_nothing_until_there_is_news(ours: Home, place: Path) -> None:
    def go(**evidence: float) -> tuple[int, list[str]]:
        with ours.connected() as connection:
            report = publish(connection, place, [publishable(RULE, evidence.pop("lower", 0.9), **evidence)])
        return len(report.published), [told.description for told in report.skipped]

    assert go() == (1, [])
    before = files_in(place)
    assert go(accepted=38.001) == (0, ["nothing has changed since"])
    assert files_in(place) == before
    assert go(accepted=39.0) == (1, [])
    assert files_in(place).keys() == before.keys()
    assert files_in(place) != before
    # Others must hear that it has become worse.
    assert go(lower=0.4, denied=30.0) == (1, [])
    assert [message["confidence"] for message in ours.sent()] == [0.9, 0.9, 0.4]


def test_a_publisher_killed_after_the_file_and_before_the_row_does_the_rest_the_next_time(
    ours: Home, place: Path
) -> None:
    with ours.active(), ours.engine.connect() as connection:
        publish(connection, place, [publishable(RULE)])
        connection.rollback()
    before = files_in(place)
    assert (len(before), ours.sent()) == (1, [])
    for _ in range(2):
        with ours.connected() as connection:
            publish(connection, place, [publishable(RULE)])
    assert files_in(place) == before
    assert [message["type"] for message in ours.sent()] == ["rule_published"]


def test_of_a_mined_rule_nothing_of_the_repository_leaves_unless_asked(ours: Home, place: Path) -> None:
    mined = make_rule(
        rationale="Seen in secret-project by Ann.",
        source="secret-project, commit abc",
        owner="ann@secret.example",
        examples=[{"bad": "foo(secret_name)\n", "good": "bar(secret_name)\n", "path": "secret/path.py"}],
    )
    one = Publishable(
        rule=mined, confidence_mean=0.95, confidence_lower=0.9, evidence={"accepted": 20, "denied": 1}
    )
    with ours.connected() as connection:
        assert publish(connection, place, [one]).failed == []
    ((name, raw),) = files_in(place).items()
    assert b"secret" not in raw
    assert b"Ann" not in raw
    assert json.loads(raw)["rule"]["examples"] == [{"bad": "foo(x_a)\n", "good": "bar(x_a)\n"}]
    assert bytes.fromhex(json.loads(raw)["digest"]) == mined.digest
    with ours.connected() as connection:
        publish(connection, place, [one], include_examples=True)
    assert b"secret/path.py" in files_in(place)[name]


def test_a_mined_rule_whose_example_cannot_be_made_up_stays_at_home(ours: Home, place: Path) -> None:
    mined = make_rule(matcher={"ast-grep": {"rule": {"all": [{"pattern": "foo($A)"}]}}})
    one = Publishable(
        rule=mined, confidence_mean=0.95, confidence_lower=0.9, evidence={"accepted": 20, "denied": 1}
    )
    with ours.connected() as connection:
        (failed,) = publish(connection, place, [one]).failed
    assert "bad is not found" in failed.description
    assert files_in(place) == {}


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
    (place / "huge.json").write_bytes(b" " * (LARGEST + 1))
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
        "deep.json": "it is no JSON",
        "latin.json": "it is no JSON",
        '"escape\\033[2J.json"': "it is not signed",
        "link.json": "it is no ordinary file, or may not be read",
        "pipe.json": "it is no ordinary file",
    }
    assert all("\n" not in words for words in reasons.values())


def test_what_is_published_stays_inside_the_place(ours: Home, place: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / ours.label).symlink_to(outside)
    with ours.connected() as connection:
        report = publish(connection, place, [publishable(RULE)])
    assert [told.what for told in report.failed] == [RULE.id]
    assert files_in(outside) == {}
    (place / ours.label).unlink()
    # A link in the file's own place is replaced, not followed.
    folder = place / ours.label / "own" / "bar"
    folder.mkdir(parents=True)
    target = folder / f"1-{RULE.digest.hex()[:16]}.json"
    target.symlink_to(outside / "victim")
    with ours.connected() as connection:
        assert len(publish(connection, place, [publishable(RULE)]).published) == 1
    assert not target.is_symlink()
    assert files_in(outside) == {}


def test_a_file_of_another_in_our_place_is_not_taken_for_ours(ours: Home, place: Path) -> None:
    with ours.connected() as connection:
        publish(connection, place, [publishable(RULE)])
    (name,) = files_in(place)
    for other in (b"garbage", Peer("ours").package(RULE)):
        (place / name).write_bytes(other)
        with ours.connected() as connection:
            assert len(publish(connection, place, [publishable(RULE)]).published) == 1
        assert take(ours, place).own == 1


def test_whoever_is_killed_before_the_commit_imports_it_again(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    with ours.active(), ours.engine.connect() as connection:
        assert len(import_packages(connection, place, trust=[peer.key], actor="ada").imported) == 1
        connection.rollback()
    assert ours.sent() == []
    assert len(take(ours, place, peer.key).imported) == 1
    assert [message["type"] for message in ours.sent()].count("rule_imported") == 1


def test_an_importing_process_that_is_killed_leaves_nothing_half_done(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    program = f"""
import os, signal
from sqlalchemy import create_engine
from qflow_dagster.evolution.sharing.imports import import_packages
with create_engine({ours.engine.url.render_as_string(hide_password=False)!r}).begin() as connection:
    import_packages(connection, {str(place)!r}, trust=[{peer.key!r}], actor="ada")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "QFLOW_HOME": str(ours.home)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=120)
    assert done.returncode == -9
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


def test_a_single_file_can_be_imported_and_not_published_into(ours: Home, tmp_path: Path) -> None:
    peer = Peer()
    file = tmp_path / "mail attachment"
    file.write_bytes(peer.package(RULE))
    assert len(take(ours, file, peer.key).imported) == 1
    with ours.connected() as connection:
        (failed,) = publish(connection, file, [publishable(RULE)]).failed
    assert "is a file" in failed.description
    with pytest.raises(UsageError, match="does not exist"):
        take(ours, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not supported"):
        take(ours, "http://example.org/rules.git")


@pytest.mark.parametrize("kind", ["work tree", "bare", "url"])
def test_a_git_repository_is_a_place_with_a_branch_of_its_own(
    make_home: Callable[[str], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(
        "qflow_dagster.evolution.sharing.publisher.refusals", lambda rules, known: [""] * len(rules)
    )
    ann, bob = make_home("ann"), make_home("bob")
    repository = GitRepository(tmp_path / "repository", *(["--bare"] if kind == "bare" else []))
    head = repository.commit({"a.py": "x = 1\n"}) if kind != "bare" else None
    location = f"file://{repository.path}" if kind == "url" else repository.path
    for home, name in ((ann, "own/a"), (bob, "own/b"), (ann, "own/c")):
        with home.connected() as connection:
            report = publish(connection, location, [publishable(make_rule(name))])
            assert [told.what for told in report.published] == [name], report.failed
            assert publish(connection, location, [publishable(make_rule(name))]).published == []
    assert repository.git("rev-list", "--count", BRANCH) == "3"
    assert len(repository.git("ls-tree", "-r", "--name-only", BRANCH).splitlines()) == 3
    if head:
        assert repository.git("rev-parse", "HEAD") == head
        assert repository.git("status", "--porcelain") == ""
    bob.trusted = [ann.key]
    report = take(bob, str(location))
    assert sorted(one.rule.id for one in report.imported) == ["own/a", "own/c"]
    assert report.own == 1


def test_links_and_large_files_in_git_are_refused(ours: Home, tmp_path: Path) -> None:
    peer = Peer()
    repository = GitRepository(tmp_path / "repository")
    repository.git("checkout", "--quiet", "-b", BRANCH)
    (repository.path / "link.json").symlink_to("/etc/hostname")
    repository.commit(
        {
            "good.json": peer.package(RULE),
            "huge.json": b" " * (LARGEST + 1),
            "odd \x1b.json": b"{}",
            "notes.txt": b"no package",
        }
    )
    report = take(ours, repository.path, peer.key)
    assert [one.rule.id for one in report.imported] == [RULE.id]
    assert refused(report) == {
        "link.json": "it is no ordinary file",
        "huge.json": "it is larger than 1,000,000 bytes",
        '"odd \\033.json"': "it is not signed",
    }


def test_two_publishers_that_meet_on_a_branch_both_arrive(
    make_home: Callable[[str], Home], tmp_path: Path
) -> None:
    ann = make_home("ann")
    repository = GitRepository(tmp_path / "repository", "--bare")
    for location in (repository.path, f"file://{repository.path}"):
        with (
            ann.active(),
            open_place(location, ann.engine) as first,
            open_place(location, ann.engine) as second,
        ):
            assert first.put({"ann-1/a.json": str(location).encode()}) == {}
            assert second.put({"ann-2/b.json": str(location).encode()}) == {}
            assert {file.name for file in second.read()} == {"ann-1/a.json", "ann-2/b.json"}
    assert repository.git("rev-list", "--count", BRANCH) == "4"


def test_a_url_that_does_not_answer_says_so(ours: Home, tmp_path: Path) -> None:
    with ours.connected() as connection, pytest.raises(QflowError, match="there is no repository at"):
        publish(connection, f"file://{tmp_path}/nothing.git", [publishable(RULE)])


def test_rules_of_ours_that_no_pack_has_are_known_when_they_are_named(ours: Home, place: Path) -> None:
    peer = Peer()
    (place / "p.json").write_bytes(peer.package(RULE))
    with ours.connected() as connection:
        own: list[Rule] = [*load_rules(), RULE]
        report = import_packages(connection, place, trust=[peer.key], actor="ada", rules=own)
        assert report.imported[0].was_here
        assert RULE.digest not in quarantined(connection)


def test_the_queue_and_the_format_are_what_others_read() -> None:
    assert (workflow_type(consensus.TYPE).queue, rule_packages.PACKAGE_FORMAT) == (
        "rule_notifications",
        "qflow-rule/1",
    )
