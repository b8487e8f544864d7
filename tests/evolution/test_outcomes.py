"""Outcomes: what became of what a rule found is counted once, and says of the rule what it should."""

from typing import Any

from sqlalchemy import text

from qflow_dagster.agents import edit_verification, self_improvement
from qflow_dagster.evolution import findings, location_records, outcomes, rule_set
from tests import decisions
from tests.improvement_loop import MUTABLE, NONE, Loop

RULE = "python/mutable-default"


def collect(loop: Loop) -> int:
    with loop.engine.begin() as connection:
        return outcomes.collect(connection)


def counted(loop: Loop, rule: str = RULE) -> dict[str, int]:
    with loop.engine.connect() as connection:
        [row] = outcomes.counts(connection, [rule])
    return {kind: row[kind] for kind in outcomes.KINDS if row[kind]}


def labelled(loop: Loop, rule: str = RULE) -> list[tuple[float, bool]]:
    """(weight, good) of what was labelled."""
    with loop.engine.connect() as connection:
        [one] = [one for one in rule_set.current(connection) if one.id == rule]
        evidence = outcomes.evidence(connection).get(one.digest)
    return [] if evidence is None else [(one.weight, one.good) for one in evidence.labelled]


def deny(loop: Loop, suggestion: dict[str, Any]) -> None:
    with loop.engine.begin() as connection:
        decisions.deny(connection, suggestion["approval"], actor="ada", comment="on purpose")
        self_improvement.follow_decisions(connection)


def test_from_shown_to_verified_each_is_counted_once(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    edit_verification.verify_applied(loop.engine)
    assert collect(loop) > 0
    assert collect(loop) == 0
    assert counted(loop) == {"shown": 1, "passed": 1, "approved": 1, "applied": 1, "verified": 1}
    # The person's word counts; that it holds says no more than that.
    assert labelled(loop) == [(1.0, True)]


def test_a_denial_is_counted_with_its_reason_and_what_was_believed(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    deny(loop, suggestion)
    with loop.engine.connect() as connection:
        assert outcomes.count_pending(connection) == 1
    collect(loop)
    with loop.engine.connect() as connection:
        assert outcomes.count_pending(connection) == 0
        [denied] = [row for row in outcomes.history(connection, RULE) if row["kind"] == "denied"]
        [predicted] = outcomes.predictions(connection)
    assert (denied["actor"], denied["reason"], denied["good"]) == ("ada", "on purpose", False)
    assert 0.5 < predicted.confidence_lower < predicted.confidence_mean < 1
    assert predicted.good is False
    assert labelled(loop) == [(1.0, False)]


def test_what_was_approved_and_taken_back_was_no_good_after_all(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    collect(loop)
    assert labelled(loop) == [(1.0, True)]
    edit_verification.revert(loop.engine, suggestion["id"], actor="ada", reason="it broke the shop")
    collect(loop)
    assert labelled(loop) == [(1.0, False)]
    with loop.engine.connect() as connection:
        [reverted] = [row for row in outcomes.history(connection, RULE) if row["kind"] == "reverted"]
        assert reverted["reason"] == "it broke the shop"
        assert [row.good for row in outcomes.predictions(connection)] == [False]


def test_a_finding_somebody_mends_by_hand_is_an_implicit_acceptance(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE + NONE, "b.py": NONE})
    loop.find()
    loop.repository.commit({"a.py": NONE, "b.py": NONE})
    loop.find()
    collect(loop)
    assert counted(loop) == {"shown": 1, "fixed": 1}
    assert labelled(loop) == [(outcomes.FIXED, True)]


def test_a_file_that_is_gone_or_code_that_moved_mends_nothing(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": MUTABLE, "c.py": "x = 1\n"})
    loop.find()
    # One file is deleted, in the other the function has another name.
    loop.repository.git("rm", "--quiet", "a.py")
    loop.repository.commit({"b.py": MUTABLE.replace("collect", "gather")})
    loop.find()
    collect(loop)
    assert "fixed" not in counted(loop)
    assert labelled(loop) == []


def test_what_our_own_edit_mended_is_no_second_acceptance(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    loop.apply()
    loop.repository.git("merge", "--quiet", suggestion["branch"])
    loop.find()
    collect(loop)
    assert "fixed" not in counted(loop)
    assert labelled(loop) == [(1.0, True)]


def test_a_persons_suppression_counts_against_a_rule_and_a_baseline_does_not(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE})
    loop.find()
    with loop.engine.begin() as connection:
        [one] = findings.find(connection, rule=RULE)
        findings.suppress(connection, [one["id"]], actor="ada", reason="meant")
        findings.baseline(connection, loop.snapshot().repository_id, actor="ada")
    collect(loop)
    assert labelled(loop) == [(outcomes.SUPPRESSED, False)]
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rule_outcomes WHERE weight > 0")) == 1


def test_a_candidate_that_fails_a_gate_is_counted_by_the_gate_and_says_nothing_of_the_rule(
    loop: Loop,
) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.improve()
    with loop.engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET status = 'failed'"))
        connection.execute(text("UPDATE gate_results SET verdict = 'failed' WHERE gate = 'metrics'"))
    collect(loop)
    with loop.engine.connect() as connection:
        [failed] = [row for row in outcomes.history(connection, RULE) if row["kind"] == "failed"]
    assert (failed["gate"], failed["weight"]) == ("metrics", 0)
    assert labelled(loop) == []


def test_the_code_of_decisions_is_kept_to_try_variants_on(loop: Loop) -> None:
    # Two packages: one suggestion for each.
    loop.repository.commit(
        {
            "a.py": "x = 1\n\n" + MUTABLE,
            "other/pyproject.toml": "",
            "other/b.py": MUTABLE.replace("collect", "gather"),
        }
    )
    first, second = loop.improve()
    loop.approve(first)
    deny(loop, second)
    collect(loop)
    assert location_records.store_missing(loop.engine) == 2
    assert location_records.store_missing(loop.engine) == 0
    with loop.engine.connect() as connection:
        [rule] = [one for one in rule_set.current(connection) if one.id == RULE]
        kept = location_records.of(connection, rule)
    assert sorted(place.wanted for place in kept) == [False, True]
    for place in kept:
        assert place.text[place.start : place.end] == "[]"
        assert place.language == "python"


def test_of_a_long_file_only_the_statement_around_is_kept() -> None:
    content = "x = 1\n" * 5_000 + MUTABLE + "y = 2\n" * 5_000
    start = content.index("[]")
    kept, offset = location_records.excerpt(content, "python", start, start + 2)
    assert kept == MUTABLE.rstrip()
    assert kept[start - offset : start - offset + 2] == "[]"


def test_outcomes_outlive_their_repository(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    [suggestion] = loop.improve()
    deny(loop, suggestion)
    collect(loop)
    with loop.engine.begin() as connection:
        connection.execute(text("DELETE FROM repositories"))
    assert labelled(loop) == [(1.0, False)]
    assert collect(loop) == 0
