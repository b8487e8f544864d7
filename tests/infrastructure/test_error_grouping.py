"""How people group errors: rules by pattern, merging and splitting, and releases in which errors are resolved."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import error_analysis, error_grouping, error_records, releases
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.quantumflow.tables import workflow_events


def occur(engine: Engine, *messages: str, release: str | None = None, user: str | None = None) -> list[UUID]:
    """Let an error of each message occur; return the new groups."""
    context = {name: value for name, value in (("release", release), ("user", user)) if value}
    with engine.begin() as connection:
        for message in messages:
            track_errors(connection, [Occurrence(operation="pay", message=message, context=context or None)])
    return error_analysis.analyze(engine).new_groups


def test_a_merged_error_is_shown_as_part_of_the_other_also_later_until_it_is_split(engine: Engine) -> None:
    one, other = occur(engine, "card refused"), occur(engine, "card declined")
    with engine.begin() as connection:
        error_grouping.merge(connection, other, one[0], actor="ada", reason="the same bank")
    assert occur(engine, "card declined") == []
    with engine.begin() as connection:
        [group] = error_records.find(connection)
        assert (group["id"], group["count"]) == (one[0], 3)
        shown = error_records.show(connection, error_records.resolve_id(connection, str(other[0])))
        assert (shown["id"], shown["merged"], len(shown["occurrences"])) == (one[0], other, 3)
        error_grouping.split(connection, other, actor="bob")
        assert {(row["id"], row["count"]) for row in error_records.find(connection)} == {
            (one[0], 1),
            (other[0], 2),
        }
        entries = connection.execute(
            select(workflow_events.c.actor, workflow_events.c.to_status)
            .where(workflow_events.c.workflow_id == other[0])
            .order_by(workflow_events.c.seq)
        )
        assert entries.all()[1:] == [("ada", "merged"), ("bob", "open")]


def test_what_was_merged_into_an_error_follows_it_and_regresses_it(engine: Engine) -> None:
    first, second, third = (occur(engine, message)[0] for message in ("a", "b", "c"))
    with engine.begin() as connection:
        error_grouping.merge(connection, [third], second, actor="ada")
        error_grouping.merge(connection, [second], first, actor="ada")
        error_records.decide(connection, [first], "resolved", actor="ada")
    occur(engine, "c")
    with engine.begin() as connection:
        [group] = error_records.find(connection)
        assert (group["id"], group["state"], group["count"]) == (first, "regressed", 4)


def test_what_cannot_be_merged_or_split_is_refused(engine: Engine) -> None:
    one, other, third = (occur(engine, message)[0] for message in ("a", "b", "c"))
    with engine.begin() as connection:
        error_grouping.merge(connection, [other], one, actor="ada")
    for ids, into, problem in (
        ([one], one, "into itself"),
        ([other], third, "is merged into"),
        ([third], other, "is merged into"),
    ):
        with pytest.raises(UsageError, match=problem), engine.begin() as connection:
            error_grouping.merge(connection, ids, into, actor="ada")
    with pytest.raises(UsageError, match="is not merged"), engine.begin() as connection:
        error_grouping.split(connection, [one], actor="ada")


def test_a_rule_gives_later_errors_that_match_all_its_patterns_a_fingerprint(engine: Engine) -> None:
    before = occur(engine, "no route to db-a")
    with engine.begin() as connection:
        number = error_grouping.add_rule(
            connection, {"message": "NO ROUTE to ?b-*", "operation": "pay"}, ["database"], actor="ada"
        )
    assert len(occur(engine, "no route to db-a", "no route to db-of-orders", "no route to queue")) == 2
    with engine.begin() as connection:
        [rule] = error_grouping.rules(connection)
        assert (rule["id"], rule["actor"], rule["fingerprint"]) == (number, "ada", ["database"])
        error_grouping.remove_rule(connection, number, actor="bob")
        assert error_grouping.rules(connection) == []
    assert occur(engine, "no route to db-a") == []
    with engine.connect() as connection:
        counts = {row["id"]: row["count"] for row in error_records.find(connection)}
    assert counts[before[0]] == 2


@pytest.mark.parametrize(
    ("patterns", "fingerprint", "problem"),
    [
        ({}, ["x"], "at least one pattern"),
        ({"message": "a"}, [], "and a fingerprint"),
        ({"colour": "a"}, ["x"], "no field of a grouping rule"),
        ({"message": "a" * 201}, ["x"], "1 to 200 characters"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(
    engine: Engine, patterns: dict[str, str], fingerprint: list[str], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem), engine.begin() as connection:
        error_grouping.add_rule(connection, patterns, fingerprint, actor="ada")
    with pytest.raises(UsageError, match="no grouping rule 7"), engine.begin() as connection:
        error_grouping.remove_rule(connection, 7, actor="ada")


@pytest.mark.parametrize(
    ("resolved_in", "occurs_in", "state"),
    [
        ("shop@1.10.0", "shop@1.9.3", "resolved"),
        ("shop@1.10.0", "shop@1.10.0", "regressed"),
        ("shop@1.10.0", "shop@2.0.0", "regressed"),
        ("shop@1.10.0", None, "regressed"),
        (None, "shop@1.9.3", "regressed"),
        # Commits have no order but that in which they were first seen.
        ("f00dfeed", "0ld0ne", "resolved"),
        ("0ld0ne", "f00dfeed", "regressed"),
    ],
)
def test_an_error_that_is_resolved_in_a_release_regresses_only_from_that_one_on(
    engine: Engine, resolved_in: str | None, occurs_in: str | None, state: str
) -> None:
    [group] = occur(engine, "a", release="0ld0ne")
    occur(engine, "b", release="f00dfeed")
    with engine.begin() as connection:
        error_records.decide(connection, [group], "resolved", actor="ada", release=resolved_in)
    occur(engine, "a", release=occurs_in)
    with engine.connect() as connection:
        shown = error_records.show(connection, group)
    assert (shown["state"], shown["first_release"]) == (state, "0ld0ne")
    assert shown["last_release"] == (occurs_in or "0ld0ne")


def test_the_order_of_releases_is_that_of_their_versions_else_as_they_were_seen() -> None:
    seen = {"a": datetime(2026, 1, 1, tzinfo=UTC), "b": datetime(2026, 2, 1, tzinfo=UTC)}
    assert releases.is_before("shop@1.9", "shop@1.10rc1", {})
    assert not releases.is_before("1.10", "1.9", seen)
    assert releases.is_before("a", "b", seen)
    assert releases.is_before("b", "not seen yet", seen)
    assert not releases.is_before("a", "a", seen)


def test_users_are_counted_once_each(engine: Engine) -> None:
    [group] = occur(engine, "a", "a", user="1f")
    occur(engine, "a", user="2e")
    occur(engine, "a")
    with engine.connect() as connection:
        assert error_records.show(connection, group)["users"] == 2
