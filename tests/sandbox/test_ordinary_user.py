"""All of this again as an ordinary user."""

import os

import pytest

from tests.ordinary_user import pytest_as_ordinary_user

FILES = ("isolation", "end", "state", "system_calls", "usage", "toolchains")


@pytest.mark.skipif(os.geteuid() != 0, reason="it is an ordinary user who runs the tests already")
@pytest.mark.parametrize("name", FILES)
def test_it_holds_for_an_ordinary_user_too(name: str) -> None:
    assert " passed" in pytest_as_ordinary_user(f"tests/sandbox/test_{name}.py", "-rs")
