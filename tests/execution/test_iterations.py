"""Iterations hold what fits into them; a forecast repeats the measured past."""

from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import iterations, work_items
from qflow_dagster.execution.work_items import NewItem


def test_the_past_is_repeated() -> None:
    assert iterations.days_needed(10, [1] * 90) == {0.5: 10, 0.85: 10}
    assert iterations.days_needed(0, [0]) == {0.5: 0, 0.85: 0}
    assert iterations.days_needed(5, [0, 0]) == {0.5: None, 0.85: None}
    uneven = iterations.days_needed(20, [0, 0, 0, 4])
    half, most = uneven[0.5], uneven[0.85]
    assert half is not None
    assert most is not None
    # 20 at one a day on average; who wants to be surer gets a later date.
    assert 17 <= half <= 23
    assert most > half


def test_iterations_have_capacity_and_work_is_forecast_from_what_was_done(engine: Engine) -> None:
    with engine.begin() as connection:
        iterations.save(connection, "PI 1", date(2026, 3, 2), date(2026, 5, 10))
        iterations.save(
            connection, "1.1", date(2026, 3, 2), date(2026, 3, 15), capacity=5, planning_interval="PI 1"
        )
        with pytest.raises(UsageError, match="must lie within PI 1"):
            iterations.save(connection, "1.2", date(2026, 5, 1), date(2026, 5, 15), planning_interval="PI 1")
        with pytest.raises(UsageError, match="before it starts"):
            iterations.save(connection, "1.3", date(2026, 5, 2), date(2026, 5, 1))
        for name, ends, within, words in (
            ("PI 1", date(2026, 3, 10), None, "1.1 of PI 1 would lie outside"),
            ("PI 1", date(2026, 5, 10), "PI 1", "cannot lie within itself"),
            ("PI 1", date(2026, 3, 10), "1.1", "1.1 is no planning interval, but an iteration of PI 1"),
            ("1.1.1", date(2026, 3, 10), "1.1", "1.1 is no planning interval"),
            (" ", date(2026, 3, 10), None, "1 to 100 printable characters"),
        ):
            with pytest.raises(UsageError, match=words):
                iterations.save(connection, name, date(2026, 3, 2), ends, planning_interval=within)
        new = [NewItem(level="feature", title=f"f{n}", points=4) for n in range(5)]
        ids = work_items.create(connection, new, actor="ada")
        for item in ids[:2]:
            iterations.schedule(connection, item, "1.1", actor="ada")
        with pytest.raises(UsageError, match="there is no iteration"):
            iterations.schedule(connection, ids[0], "9.9", actor="ada")
        load = {row["name"]: row for row in iterations.loads(connection)}["1.1"]
        assert (load["planned"], load["done"], load["beyond"]) == (8, 0, 3)
        assert set(iterations.forecast(connection).dates.values()) == {None}
        work_items.move(connection, ids[:2], "in_progress", actor="ada")
        work_items.move(connection, ids[:2], "done", actor="ada")
        query = text("UPDATE workflows SET finished_at = now() - interval '1 day' WHERE id = ANY(:ids)")
        connection.execute(query, {"ids": ids[:2]})
        found = iterations.forecast(connection)
        today = connection.scalars(text("SELECT current_date")).one()
        # The days before there was a plan are not days in which nothing was done.
        assert (found.open, found.done, found.days) == (3, 2, iterations.MIN_WINDOW_DAYS)
        half, most = found.dates[0.5], found.dates[0.85]
        assert half is not None
        assert most is not None
        assert today + timedelta(days=2) <= half < most
        started = text("UPDATE workflows SET created_at = now() - interval '40 days' WHERE id = :id")
        connection.execute(started, {"id": ids[0]})
        later = iterations.forecast(connection)
        assert later.days == 40
        slower = later.dates[0.5]
        assert slower is not None
        assert slower > half
