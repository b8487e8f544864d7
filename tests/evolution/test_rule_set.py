"""The rules that hold: packs, and what lives made of them; a life goes one way and is all history."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.quantumflow import IllegalTransitionError, verify_history

RULE = "python/mutable-default"
PACKS = load_rules()
SHIPPED = next(rule for rule in PACKS if rule.id == RULE)


class Life(NamedTuple):
    """A row of `rule_lifecycles` with its state, as `merged` reads it."""

    rule_id: str
    version: int
    digest: bytes
    definition: dict[str, Any]
    status: str


def life(rule: Rule, status: str) -> Life:
    return Life(rule.id, rule.version, rule.digest, rule_set.definition_of(rule), status)


def version(number: int, rule: Rule = SHIPPED) -> Rule:
    return rule.model_copy(update={"version": number, "title": f"Version {number} of it"})


def of_rule(rules: tuple[Rule, ...]) -> list[tuple[int, str]]:
    return [(rule.version, rule.status) for rule in rules if rule.id == RULE]


def test_without_lives_the_packs_hold() -> None:
    assert {rule.digest for rule in rule_set.merged(PACKS, [])} == {rule.digest for rule in PACKS}


def test_a_version_on_trial_stands_beside_the_active_one() -> None:
    assert of_rule(rule_set.merged(PACKS, [life(version(2), "trial")])) == [(1, "active"), (2, "trial")]


def test_a_retired_rule_is_gone_and_a_draft_is_not_there_yet() -> None:
    lives = [life(SHIPPED, "retired"), life(version(2), "draft")]
    assert of_rule(rule_set.merged(PACKS, lives)) == []


def test_a_pack_with_a_newer_version_wins_over_what_became_here() -> None:
    packs = [version(3) if rule.id == RULE else rule for rule in PACKS]
    lives = [life(SHIPPED, "retired"), life(version(2), "active")]
    assert of_rule(rule_set.merged(packs, lives)) == [(3, "active")]


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(["draft", "trial", "active", "retired"])), max_size=6
    )
)
def test_whatever_lives_there_are_no_version_is_there_twice(given_: list[tuple[int, str]]) -> None:
    lives = [life(version(number), status) for number, status in dict(given_).items()]
    found = rule_set.merged(PACKS, lives)
    assert len({rule.digest for rule in found}) == len(found)
    retired = {number for number, status in dict(given_).items() if status == "retired"}
    assert not retired & {number for number, _ in of_rule(found)}


def begin(engine: Engine, rule: Rule) -> Any:
    with engine.begin() as connection:
        return rule_set.begin_lifecycle(
            connection, rule, "variant", "not in tests", actor="test", parent=SHIPPED.digest
        )


def change(engine: Engine, id_: Any, to: str) -> None:
    with engine.begin() as connection:
        rule_set.change(connection, id_, to, actor="ada", reason="because")


def now(engine: Engine) -> list[tuple[int, str]]:
    with engine.connect() as connection:
        return of_rule(rule_set.current(connection))


def test_a_promoted_version_replaces_the_one_of_the_pack_and_other_trials(engine: Engine) -> None:
    second, third = begin(engine, version(2)), begin(engine, version(3))
    for one in (second, third):
        change(engine, one, "trial")
    assert now(engine) == [(1, "active"), (3, "trial"), (2, "trial")]
    change(engine, second, "active")
    assert now(engine) == [(2, "active")]
    with engine.connect() as connection:
        states = {one.version: one.status for one in rule_set.lifecycles(connection, rule=RULE)}
        events = rule_set.events(connection, third)
        assert verify_history(connection) is None
        assert rule_set.next_version(connection, RULE) == 4
    assert states == {1: "retired", 2: "active", 3: "retired"}
    assert events[-1]["reason"] == "version 2 takes its place"


def test_a_retired_rule_returns_only_as_a_new_version(engine: Engine) -> None:
    second = begin(engine, version(2))
    change(engine, second, "retired")
    with pytest.raises(IllegalTransitionError):
        change(engine, second, "trial")
    assert begin(engine, version(2)) is None
    assert begin(engine, version(3)) is not None


def test_a_shipped_rule_gets_a_life_when_it_is_changed(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = rule_set.lifecycle_of(connection, SHIPPED, actor="ada")
        assert rule_set.lifecycle_of(connection, SHIPPED, actor="ada") == id_
    assert now(engine) == [(1, "active")]
    change(engine, id_, "retired")
    assert now(engine) == []


def test_a_change_needs_a_reason(engine: Engine) -> None:
    second = begin(engine, version(2))
    with engine.begin() as connection, pytest.raises(UsageError, match="needs a reason"):
        rule_set.change(connection, second, "trial", actor="ada", reason=" ")
