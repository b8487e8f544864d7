"""Standings: rules earn and lose their autonomy by what people decide, and everybody is told."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.evolution import confidence, outcomes, rule_set, thresholds, trust
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.trust import RuleTrust
from tests.evolution.judgements_in_database import decided

RULE = "python/mutable-default"


@pytest.fixture
def rule(engine: Engine) -> Rule:
    with engine.connect() as connection:
        return rule_set.by_id(rule_set.current(connection))[RULE]


def standing(engine: Engine, rule: Rule) -> RuleTrust:
    with engine.connect() as connection:
        return trust.of_rule(connection, rule)


def refresh(engine: Engine) -> list[trust.LevelChange]:
    """What moved of the rule; others of its family may move with it."""
    with engine.begin() as connection:
        return [one for one in trust.refresh(connection) if one.rule_id == RULE]


def test_a_rule_nobody_decided_on_asks_and_says_why_it_does_not_act(engine: Engine, rule: Rule) -> None:
    one = standing(engine, rule)
    assert one.level == "ask"
    assert one.because == f"0 decisions, {confidence.MIN_DECISIONS} are needed"


def test_acceptance_brings_it_to_act_and_denials_back_to_showing(
    engine: Engine, rule: Rule, sent: Callable[[str], list[Any]]
) -> None:
    refresh(engine)
    decided(engine, rule, [True] * 40)
    assert standing(engine, rule).level == "act"
    assert [(one.before, one.after) for one in refresh(engine)] == [("ask", "act")]
    decided(engine, rule, [False] * 40)
    one = standing(engine, rule)
    assert one.level == "show"
    assert one.drifted
    assert "is below" in one.because
    assert [(one.before, one.after, one.drifts) for one in refresh(engine)] == [("act", "show", True)]
    told = [one for one in sent("rule_notifications") if one.get("rule") == RULE]
    assert [one["event"] for one in told] == ["promotion", "drift"]


def test_nothing_is_written_or_told_while_nothing_changes(engine: Engine) -> None:
    refresh(engine)
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT count(*) FROM rule_confidence"))
    assert refresh(engine) == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rule_confidence")) == before


def test_old_luck_does_not_hold(engine: Engine, rule: Rule) -> None:
    decided(engine, rule, [True] * 40, days=2_000)
    assert standing(engine, rule).level == "ask"
    decided(engine, rule, [True] * 40)
    assert standing(engine, rule).level == "act"


def test_a_rule_that_was_edited_begins_anew(engine: Engine, rule: Rule) -> None:
    decided(engine, rule, [True] * 40)
    edited = rule.model_copy(update={"fix": "other"})
    assert standing(engine, edited).level == "ask"
    assert standing(engine, edited).decisions == 0


def test_its_family_speaks_for_a_new_rule(engine: Engine, rule: Rule) -> None:
    with engine.connect() as connection:
        family = [
            one
            for one in rule_set.current(connection)
            if trust.family_of(one) == trust.family_of(rule) and one.id != rule.id
        ]
    before = standing(engine, rule).mean
    decided(engine, family[0], [False] * 10)
    assert standing(engine, rule).mean < before
    # Of another family nothing is concluded.
    with engine.connect() as connection:
        known = trust.of_rules(connection, rule_set.current(connection))
        others = [one for one in known.values() if trust.family_of(one.rule) != trust.family_of(rule)]
    assert all(one.estimate == confidence.prior(one.rule.confidence) for one in others)


def test_a_variant_inherits_half_of_what_its_parent_proved_where_both_agree(
    engine: Engine, rule: Rule
) -> None:
    variant = rule.model_copy(update={"version": rule.version + 1, "status": "trial"})
    with engine.begin() as connection:
        rule_set.begin_lifecycle(
            connection,
            variant,
            "variant",
            "not in tests",
            actor="test",
            parent=rule.digest,
            evidence={"kept": 10, "remaining": 2},
        )
    one, plain = standing(engine, variant), confidence.prior(rule.confidence)
    assert one.estimate == plain.plus(5, 1)
    assert one.decisions == 0


def test_the_threshold_of_acting_follows_what_was_decided(engine: Engine, rule: Rule) -> None:
    # People accept all of what the rule was not sure enough of to act.
    decided(engine, rule, [True] * 20, believed=(0.93, 0.88))
    with engine.begin() as connection:
        [change] = trust.adapt(connection)
        assert thresholds.current(connection)["act"] == change.value == pytest.approx(0.87)


def test_beliefs_that_do_not_come_true_are_mended_and_make_rules_more_careful(
    engine: Engine, rule: Rule
) -> None:
    decided(engine, rule, [n % 2 == 0 for n in range(120)], believed=(0.95, 0.92), digest=b"another rule")
    with engine.connect() as connection:
        found = trust.evaluate_calibration(connection)
    assert found.calibrator is not None
    assert found.recalibrated is not None
    assert found.brier is not None
    assert found.recalibrated < found.brier
    one = standing(engine, rule)
    assert one.mean < one.estimate.mean
    assert one.lower <= one.estimate.lower


def test_a_policy_that_acted_above_the_evidence_is_found(engine: Engine, rule: Rule) -> None:
    with engine.connect() as connection:
        assert trust.above_evidence(connection) == []
    decided(engine, rule, [True], actor="policy:edit", believed=(0.99, 0.97))
    with engine.connect() as connection:
        [found] = trust.above_evidence(connection)
    assert found["rule"] == RULE


def test_collecting_twice_from_two_processes_counts_once(engine: Engine, rule: Rule) -> None:
    decided(engine, rule, [True] * 3, collect=False)
    with engine.begin() as one, engine.begin() as other:
        first = outcomes.collect(one)
        one.commit()
        second = outcomes.collect(other)
    assert (first, second) == (3, 0)


def test_a_timeline_is_kept_for_the_picture(engine: Engine, rule: Rule) -> None:
    refresh(engine)
    decided(engine, rule, [True] * 12)
    refresh(engine)
    with engine.connect() as connection:
        line = trust.timeline(connection, RULE)
    assert [row["decisions"] for row in line] == [0, 12]
    assert line[0]["mean"] < line[1]["mean"]
