"""The score: one formula, inputs in their ranges, nothing invented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import wsjf
from qflow_dagster.execution.classifier import classify
from qflow_dagster.execution.work_items import parent_state

VALUES = st.integers(1, 10)
SHARES = st.none() | st.floats(0, 1)
COUNTS = st.none() | st.integers(0, 10_000)


def test_the_example_of_the_literature() -> None:
    inputs = {"business_value": 8, "time_criticality": 7, "risk_reduction": 6, "job_size": 12}
    assert wsjf.score(inputs) == 1.75


@given(VALUES, VALUES, VALUES, st.sampled_from(wsjf.SCALE))
def test_it_is_within_its_range_and_a_smaller_job_never_scores_less(
    a: int, b: int, c: int, size: int
) -> None:
    names = list(wsjf.NAMES)
    score = wsjf.score(dict(zip(names, (a, b, c, size), strict=True)))
    assert score is not None
    assert 0.15 <= score <= 30
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
    SHARES, SHARES, COUNTS, COUNTS, st.floats(0, 5_000), st.integers(0, 1_000), st.integers(1, 500), COUNTS
)
def test_derived_inputs_are_in_range_or_missing(
    hotspot: float | None,
    fan_in: float | None,
    recent: int | None,
    year: int | None,
    age: float,
    errors: int,
    places: int,
    lines: int | None,
) -> None:
    derived = [
        wsjf.business_value(hotspot, fan_in),
        wsjf.time_criticality(recent, year, age, errors),
        wsjf.risk_reduction("warning", recent, year),
    ]
    assert all(one is None or 1 <= one.value <= 10 for one in derived)
    assert (derived[0] is None) == (hotspot is None and fan_in is None)
    size = wsjf.job_size(places, lines, True)
    assert (size is None) == (lines is None)
    assert size is None or size.value in wsjf.SCALE


@pytest.mark.parametrize(
    ("name", "value"), [("job_size", 4), ("risk_reduction", 11), ("joy", 1), ("job_size", 0)]
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
        ("Fix the crash when the cart is empty", "feature", None),
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
