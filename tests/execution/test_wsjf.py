"""The score: one formula, inputs in their ranges, nothing invented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import wsjf
from qflow_dagster.execution.classifier import classify
from qflow_dagster.execution.work_items import parent_state

VALUES = st.sampled_from(wsjf.SCALE)
SHARES = st.none() | st.floats(0, 1)
COUNTS = st.none() | st.integers(0, 10_000)


def test_the_example_of_the_literature() -> None:
    inputs = {"business_value": 8, "time_criticality": 5, "risk_reduction": 1, "job_size": 8}
    assert wsjf.score(inputs) == 1.75


@given(VALUES, VALUES, VALUES, st.sampled_from(wsjf.SCALE))
def test_it_is_within_its_range_and_a_smaller_job_never_scores_less(
    a: int, b: int, c: int, size: int
) -> None:
    names = list(wsjf.NAMES)
    score = wsjf.score(dict(zip(names, (a, b, c, size), strict=True)))
    assert score is not None
    assert 0.15 <= score <= 60
    smaller = wsjf.score(dict(zip(names, (a, b, c, 1), strict=True)))
    assert smaller is not None
    assert smaller >= score


@given(st.sampled_from(sorted(wsjf.NAMES)))
def test_what_is_missing_is_missing(name: str) -> None:
    inputs = {other: 5 for other in wsjf.NAMES if other != name}
    assert wsjf.score(inputs) is None
    given_inputs = {other: wsjf.Input(5, "ada", "stated").as_json() for other in inputs}
    lines = wsjf.explain(given_inputs, None)
    assert any(line == f"{wsjf.NAMES[name]}: missing" for line in lines)
    assert f"{wsjf.NAMES[name]} is missing" in lines[-1]


@given(
    SHARES, COUNTS, COUNTS, COUNTS, st.floats(0, 5_000), st.integers(0, 1_000), st.integers(1, 500), COUNTS
)
def test_derived_inputs_are_in_range_or_missing(
    heat: float | None,
    busiest: int | None,
    recent: int | None,
    year: int | None,
    age: float,
    errors: int,
    places: int,
    lines: int | None,
) -> None:
    derived = [
        wsjf.business_value(heat, "warning", errors),
        wsjf.time_criticality(recent, max(busiest or 0, recent or 0), "info", age, errors),
        wsjf.risk_reduction("warning", recent, year),
        wsjf.job_size(places, lines, True),
    ]
    assert all(one is None or one.value > 0 for one in derived)
    assert (derived[0] is None) == (heat is None)
    assert (derived[1] is None) == (recent is None)
    assert derived[1] is None or derived[1].value <= 10
    assert (derived[3] is None) == (lines is None)


@given(st.lists(st.none() | st.floats(0.1, 1_000), min_size=1, max_size=20))
def test_the_smallest_of_each_column_is_one_and_a_larger_measure_is_never_less(
    column: list[float | None],
) -> None:
    inputs = wsjf.relative([None if value is None else wsjf.Measure(value, "f") for value in column])
    assert [one is None for one in inputs] == [value is None for value in column]
    pairs = sorted(
        (value, one.value) for value, one in zip(column, inputs, strict=True) if one and value is not None
    )
    assert all(value in wsjf.SCALE for _, value in pairs)
    assert [value for _, value in pairs] == sorted(value for _, value in pairs)
    assert not pairs or pairs[0][1] == 1


def test_a_hotspot_comes_before_a_small_fix_of_a_benchmark_folder() -> None:
    hotspot = wsjf.business_value(0.9, "warning")
    found = wsjf.business_value(0.05, "error")
    assert found is not None
    benchmark = found.of_role("below benchmarks/")
    assert benchmark.value == wsjf.MINOR_ROLE * found.value
    large, small = wsjf.job_size(3, 900, False), wsjf.job_size(1, 40, True)
    values, sizes = wsjf.relative([hotspot, benchmark]), wsjf.relative([large, small])
    scores = [
        v.value / s.value for v, s in zip(values, sizes, strict=True) if v is not None and s is not None
    ]
    assert scores[0] > scores[1]


def test_what_is_merely_informed_of_is_worth_little_however_hot_the_file() -> None:
    hot = wsjf.business_value(1.0, "info")
    warned = wsjf.business_value(0.25, "warning")
    failing = wsjf.business_value(0.0, "info", recent_errors=10)
    assert hot is not None
    assert warned is not None
    assert failing is not None
    assert hot.value < warned.value < failing.value


def test_a_wide_column_is_spread_so_that_its_largest_differ() -> None:
    column = [wsjf.Measure(value, "f") for value in (0.1, 5.0, 10.0)]
    assert [one.value for one in wsjf.relative(column) if one] == [1, 8, 20]


def test_what_texts_state_is_relative_to_the_smallest_of_their_plan() -> None:
    def inputs(priority: str | None, points: int) -> dict[str, dict]:
        return {
            name: one.as_json() for name, one in wsjf.of_text(priority, None, points, "story", False).items()
        }

    rows = [inputs(None, 3), inputs("critical", 13)]
    for _ in range(2):
        for row, change in zip(rows, wsjf.relative_texts(rows), strict=True):
            row.update(change)
    for name in wsjf.NAMES:
        assert min(row[name]["value"] for row in rows) == 1
    assert (rows[1]["business_value"]["value"], rows[1]["job_size"]["value"]) == (8, 5)
    assert "priority critical, relative to the smallest of the plan" in wsjf.explain(rows[1], 2.0)[0]
    # Beside derived inputs, whose smallest is 1, they are what the text states.
    derived = {name: {"value": 1, "source": "derived", "formula": "f"} for name in wsjf.NAMES}
    for row, change in zip(rows, wsjf.relative_texts([*rows, derived]), strict=False):
        row.update(change)
    assert (rows[1]["business_value"]["value"], rows[1]["job_size"]["value"]) == (20, 13)


def test_of_a_large_job_a_slice_as_large_as_the_usual_job_counts() -> None:
    column = [wsjf.Measure(value, "f") for value in (2.0, 4.0, 40.0)]
    assert [one.value for one in wsjf.sliced([*column, None]) if one] == [2.0, 4.0, 4.0]
    assert "a slice as large as the usual job, of f = 40.0" in str(wsjf.sliced(column)[2])
    assert wsjf.sliced([None]) == [None]


@pytest.mark.parametrize(
    ("name", "value"), [("job_size", 4), ("risk_reduction", 10), ("joy", 1), ("job_size", 0)]
)
def test_a_stated_input_out_of_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=name):
        wsjf.stated(name, value, "ada")


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_parent_is_done_when_all_its_children_ended_and_one_was_done(
    children: int, ended: int, done: int, working: int
) -> None:
    ended, done, working = (
        min(ended, children),
        min(done, ended, children),
        min(working, children - min(ended, children)),
    )
    state = parent_state("capability", children, ended, done, working)
    assert (state == "done") == (ended == children and done > 0)
    if working:
        assert state == "implementing"


@pytest.mark.parametrize(
    ("text", "level", "kind"),
    [
        (
            "Strategic theme: every service on one platform within five years and a common way to deploy",
            "theme",
            None,
        ),
        ("Epic: refactor the storage infrastructure so that backups need no downtime", "epic", "enabler"),
        ("Epic: customers pay by invoice in twelve countries", "epic", "business"),
        ("Capability: search across teams in all of our products", "capability", None),
        ("Fix the crash when the cart is empty", "story", None),
    ],
)
def test_a_text_is_classified_by_its_words(text: str, level: str, kind: str | None) -> None:
    analysis = classify(text)
    assert (analysis.level, analysis.kind) == (level, kind)
    assert analysis.reasons


@given(st.text(min_size=1, max_size=2_000).filter(str.strip))
def test_any_text_gets_a_name_and_a_confidence(text: str) -> None:
    analysis = classify(text)
    assert 0 <= analysis.confidence <= 1
    assert 0 < len(analysis.name) <= 60
    assert analysis == classify(text)
