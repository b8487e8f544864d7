"""Strategies: chosen by how they did, so that the better one wins and none is shut out at once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.sparc_strategies import STRATEGIES, Evidence, choose, matching, named
from qflow_dagster.execution.sparc_targets import Target

GENERAL = matching("finding", "Python")
NAMES = [one.name for one in GENERAL]


def test_without_evidence_every_strategy_is_tried() -> None:
    draw = random.Random(1).betavariate
    chosen = {choose(STRATEGIES, {}, draw)[0].name for _ in range(400)}
    assert chosen == {one.name for one in STRATEGIES}


def test_the_better_one_is_chosen_most_and_the_worse_sometimes() -> None:
    draw = random.Random(2).betavariate
    known = {NAMES[0]: Evidence(20, 18, 0.9), NAMES[1]: Evidence(20, 8, 0.4), NAMES[2]: Evidence(2, 1, 0.5)}
    times = [choose(GENERAL, known, draw)[0].name for _ in range(500)]
    assert times.count(NAMES[0]) > 300
    assert times.count(NAMES[1]) < 10
    # Two uses say little: it still has its chances.
    assert times.count(NAMES[2]) > 20


def test_of_equally_good_ones_the_faster_and_cheaper_is_chosen() -> None:
    known = {
        name: Evidence(50, 40, 0.8, seconds, cost)
        for name, seconds, cost in zip(NAMES, (100.0, 10.0, 100.0), (1.0, 0.0, 1.0), strict=True)
    }
    assert choose(GENERAL, known, lambda a, b: a / (a + b))[0].name == NAMES[1]


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e6), st.floats(0, 1e6)),
        min_size=3,
        max_size=3,
    )
)
def test_any_evidence_chooses_one_of_them(rows: list[tuple[int, int, float, float]]) -> None:
    known = {
        name: Evidence(good + bad, good, 0.5, seconds, cost)
        for name, (good, bad, seconds, cost) in zip(NAMES, rows, strict=True)
    }
    chosen, worth = choose(matching("finding", "Python"), known, random.Random(3).betavariate)
    assert set(worth) == set(NAMES)
    assert worth[chosen.name] == max(worth.values())


def test_a_strategy_is_considered_for_the_measures_that_it_lowers() -> None:
    of_functions, of_files = (
        {strategy.name for strategy in matching("metric", "Python", measure)} - set(NAMES)
        for measure in ("cognitive", "duplicated_lines")
    )
    assert of_files == {"deduplicate"}
    assert {"flatten", "extract", "variable"} <= of_functions
    assert not of_functions & of_files
    assert {strategy.name for strategy in matching("metric", "Go", "duplicated_lines")} == set(NAMES)


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="strategies: together, cheapest-first, most-trusted-first"):
        named("magic")


@pytest.mark.parametrize(
    ("operator", "value", "holds"),
    [
        ("<", 14.0, True),
        ("<", 15.0, False),
        ("<=", 15.0, True),
        (">", 15.0, False),
        (">=", 15.0, True),
        ("<", None, False),
    ],
)
def test_a_target_holds_or_not(operator: str, value: float | None, holds: bool) -> None:
    target = Target.model_validate(
        {"kind": "measure", "measure": "cognitive", "path": "a.py", "operator": operator, "value": 15}
    )
    assert target.holds(value) is holds
    assert target.description == f"cognitive of a.py {operator} 15"
