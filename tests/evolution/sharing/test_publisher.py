"""Publishing to other instances: what leaves the house, and that it stays inside the shared place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qflow_dagster.evolution.sharing import consensus, rule_packages
from qflow_dagster.evolution.sharing.imports import (
    imported_priors,
    imported_rules,
)
from qflow_dagster.evolution.sharing.publisher import Publishable, publish
from qflow_dagster.evolution.sharing.votes import quarantined
from qflow_dagster.quantumflow import workflow_type
from tests.evolution.sharing.rule_instances import (
    Home,
    Peer,
    files_in,
    make_home,
    make_rule,
    ours,
    place,
    publishable,
    take,
)

__all__ = ["make_home", "ours", "place"]

RULE = make_rule()


def test_a_rule_goes_from_one_instance_to_another_with_its_evidence(
    make_home: Callable[[str], Home], place: Path
) -> None:
    ann, bob = make_home("ann"), make_home("bob")
    with ann.connected() as connection:
        report = publish(connection, place, [publishable(RULE)])
    (name,) = files_in(place)
    assert [told.subject for told in report.published] == [RULE.id]
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
    assert [told.subject for told in report.published] == ["own/best", "own/better"]
    assert {told.subject: told.message for told in report.skipped} == {
        "own/low": "its confidence is at least 0.85, 0.85 is needed",
        "own/good": "2 are published at a time",
        "own/draft": "it is draft",
        "own/retired": "it is retired",
    }
    assert [told.subject for told in report.failed] == ["own/odd"]
    with ours.connected() as connection:
        assert [told.subject for told in publish(connection, place, rules, limit=2).published] == ["own/good"]


def test_publishing_again_changes_nothing_until_there_is_news(ours: Home, place: Path) -> None:
    def go(**evidence: float) -> tuple[int, list[str]]:
        with ours.connected() as connection:
            report = publish(connection, place, [publishable(RULE, evidence.pop("lower", 0.9), **evidence)])
        return len(report.published), [told.message for told in report.skipped]

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
    assert "bad is not found" in failed.message
    assert files_in(place) == {}


def test_what_is_published_stays_inside_the_place(ours: Home, place: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / ours.label).symlink_to(outside)
    with ours.connected() as connection:
        report = publish(connection, place, [publishable(RULE)])
    assert [told.subject for told in report.failed] == [RULE.id]
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


def test_the_queue_and_the_format_are_what_others_read() -> None:
    assert (workflow_type(consensus.TYPE).queue, rule_packages.PACKAGE_FORMAT) == (
        "rule_notifications",
        "qflow-rule/1",
    )
