"""The inbox in a terminal, as a person works it by keys."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console
from sqlalchemy import Engine
from textual.pilot import Pilot

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.cli.inbox_terminal import InboxTerminal, filter_of
from qflow_dagster.errors import UsageError

PATCH = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
Script = Callable[[Pilot[None], InboxTerminal], Awaitable[None]]


@pytest.fixture
def ask(engine: Engine) -> Callable[..., UUID]:
    def request(reason: str, **options: Any) -> UUID:
        with engine.begin() as connection:
            return arbiter.request_approval(
                connection,
                "edit",
                "a.py",
                {"patch": PATCH},
                reason=reason,
                **{"requested_by": "bot", **options},
            )

    return request


def work(engine: Engine, script: Script, *, actor: str = "ada", size: tuple[int, int] = (140, 40)) -> None:
    async def run() -> None:
        app = InboxTerminal(engine, actor)
        # On a slow machine they would be gone before the test looks.
        app.NOTIFICATION_TIMEOUT = 600
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(pilot, app)

    asyncio.run(run())


def screen(app: InboxTerminal) -> str:
    """What the request's side shows."""
    console = Console(width=120, no_color=True)
    with console.capture() as shown:
        console.print(app.query_one("#text").content)
    return shown.get()


def messages(app: InboxTerminal) -> list[str]:
    return [note.message for note in app._notifications]


def status(engine: Engine, id_: UUID) -> tuple[str, list[str | None]]:
    with engine.connect() as connection:
        row = records.show(connection, id_)
    return row["status"], [decision["comment"] for decision in row["decisions"]]


def test_a_request_is_read_and_approved_with_a_reason(engine: Engine, ask: Callable[..., UUID]) -> None:
    evidence = {"risk": "high", "gates": {"parses": "passed: no syntax error"}}
    first, second = ask("close the file", evidence=evidence), ask("sort \x1b[2Kthe imports [red]")

    async def script(pilot: Pilot[None], app: InboxTerminal) -> None:
        assert app.table.row_count == 2
        shown = screen(app)
        for words in (
            "Changes 2 lines in 1 file: a.py.",
            "tests: they did not run",
            "parses: no syntax error",
            "+x = 2",
        ):
            assert words in shown
        await pilot.press("j")
        await pilot.pause()
        assert "sort <U+001B>[2Kthe imports [red]" in screen(app)
        await pilot.press("k", "a", *"fine", "enter")
        await pilot.pause()
        assert any("is approved (1 of 1 approvals)" in words for words in messages(app))
        assert app.table.row_count == 1

    work(engine, script)
    assert status(engine, first) == ("approved", ["fine"])
    assert status(engine, second) == ("pending", [])


def test_marked_requests_are_denied_together_and_escape_decides_nothing(
    engine: Engine, ask: Callable[..., UUID]
) -> None:
    ids = [ask(f"reason {number}") for number in range(3)]

    async def script(pilot: Pilot[None], app: InboxTerminal) -> None:
        await pilot.press("space", "space", "d", *"no", "escape")
        assert app.table.row_count == 3
        await pilot.press("d", *"too many", "enter")
        await pilot.pause()
        assert app.table.row_count == 1

    work(engine, script)
    assert [status(engine, id_) for id_ in ids] == [
        ("denied", ["too many"]),
        ("denied", ["too many"]),
        ("pending", []),
    ]


def test_who_may_not_decide_is_refused_with_the_reason(engine: Engine, ask: Callable[..., UUID]) -> None:
    id_ = ask("close the file", requested_by="ada")

    async def script(pilot: Pilot[None], app: InboxTerminal) -> None:
        assert "You cannot decide it: ada asked for this approval" in screen(app)
        await pilot.press("a")
        assert not app.query_one("#prompt").display
        assert ["somebody else has to decide it" in words for words in messages(app)] == [True]
        await pilot.press("c", *"please look", "enter")
        await pilot.pause()
        assert "please look" in screen(app)

    work(engine, script)
    assert status(engine, id_) == ("pending", [])


def test_the_filter_selects_and_keeps_what_it_does_not_know_as_text(
    engine: Engine, ask: Callable[..., UUID]
) -> None:
    ask("close the file", evidence={"risk": "high"})
    ask("sort the imports", evidence={"risk": "low"})

    async def script(pilot: Pilot[None], app: InboxTerminal) -> None:
        for typed, rows in (
            ("risk:high", 1),
            ("imports", 1),
            ("risk:high imports", 0),
            ("status:all-of-them", 0),
            ("", 2),
        ):
            app.query_one("#filter").value = typed  # type: ignore[attr-defined]
            await pilot.press("slash", "enter")
            await pilot.pause()
            assert app.table.row_count == rows, typed
        assert any("is no status of approvals" in words for words in messages(app))
        await pilot.press("s")
        assert app.sort == "newest"

    work(engine, script, size=(80, 30))
    chosen = filter_of("repo:shop 12:30 what")
    assert (chosen.status, chosen.repository, chosen.search) == ("pending", "shop", "12:30 what")
    with pytest.raises(UsageError):
        filter_of("kind:nothing")
