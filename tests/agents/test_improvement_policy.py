"""When to act, and which changes reach too far to be suggested."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.agents import improvement_policy, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES, Record, exceeds, should_act
from tests.improvement_loop import Loop


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 200), st.none() | st.integers(0, 200))
def test_the_numbers_of_acting(outcomes: list[bool], idle: int, failure: int | None) -> None:
    record = Record(outcomes, idle, failure)
    act, why = should_act(record)
    assert why
    assert should_act(record, forced=True)[0]
    if failure is not None and failure < 10:
        assert not act
    elif idle >= 30:
        assert act
    elif len(outcomes) < 8:
        assert not act
    rate = record.success_rate
    experimental = improvement_policy.is_experimental(record)
    assert experimental == (idle > 100 or (len(outcomes) >= 8 and rate is not None and rate < 0.3))


def test_a_patch_that_reaches_too_far_is_no_suggestion() -> None:
    lines = "".join(f"+{n}\n" for n in range(600))
    patch = f"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -0,0 +1,600 @@\n{lines}"
    assert exceeds(PROFILES["code_quality"], patch) == "it changes 600 lines, 500 are allowed"
    assert exceeds(PROFILES["refactoring"], patch) is None
    assert exceeds(PROFILES["refactoring"], patch, 51) == "it changes 51 public definitions, 50 are allowed"


def test_a_change_of_more_public_definitions_than_allowed_is_no_suggestion(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = "def {}(value):\n    return value == None\n\n\n"
    loop.repository.commit({"a.py": none.format("first") + none.format("second") + none.format("_own")})
    for symbols, suggested in ((1, 0), (2, 1)):
        changed = {name: replace(one, max_symbols=symbols) for name, one in PROFILES.items()}
        monkeypatch.setattr(self_improvement, "PROFILES", changed)
        loop.repository.commit({"b.py": f"x = {symbols}\n"})
        assert len(loop.improve()) == suggested
