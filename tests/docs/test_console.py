"""Commands in the documentation print what it shows (`make docs-output` rewrites it)."""

from pathlib import Path

import pytest
from sqlalchemy import URL

from tests import databases
from tests.cli.conftest import home
from tests.docs import console

__all__ = ["home"]


@pytest.mark.parametrize("page", console.pages(), ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Path, database: URL, home: Path) -> None:
    session = console.Session(home, database.render_as_string(hide_password=False))
    try:
        for done in console.replay(page, session):
            assert done.agrees, f"$ {done.now.command}\n{done.printed}"
    finally:
        session.close()
        databases.drop(database.set(database=f"{database.database}_dagster"))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\n", "a\nb\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("took 1.5 s at 2026-01-01 10:00:00\n", "took 12 s at 2026-02-03 11:12:13\n", True),
        ("id 01a224b3-405f-7d72 and eff67edc7b\n", "id 01a224b3-ffff-7d72  and 0123456789\n", True),
        ("", "surprise\n", False),
    ],
)
def test_what_may_differ_and_what_may_not(shown: str, printed: str, same: bool) -> None:
    assert console.agree(shown, printed) is same
