"""No regular expression of the package takes longer than in proportion to its text, whatever that is."""

import pytest

from tests.safety.patterns import Found, all_patterns, slow_input

# A quadratic pattern takes twenty times as long; one that is linear a tenth of it. The same is
# tried on texts of a million characters by `python -m tests.safety.patterns 1000000 1`.
SIZE, SECONDS = 40_000, 0.15


@pytest.mark.timeout(300)
def test_every_pattern_is_linear_on_inputs_made_against_it() -> None:
    patterns = all_patterns()
    assert len(patterns) > 200
    slow = {one.where: found for one in patterns if (found := slow_input(one, SIZE, SECONDS))}
    assert slow == {}


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\s*at (?P<function>.+?) in (?P<file>.+?):line (?P<line>\d+)",
        r"([/\\][\w. -]*\w[\w.-]*){2,}x",
        r"(a+)+b",
        r"(?m)^\s*x",
        r"[a-z]+@",
        r"/\*[\s\S]*?\*/",
        r"-----BEGIN.*?-----END",
    ],
)
def test_the_inputs_find_patterns_that_are_not(pattern: str) -> None:
    import re

    assert slow_input(Found("here", re.compile(pattern), False), 2 * SIZE, SECONDS) is not None
