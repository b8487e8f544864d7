"""Draining a table: batches until one is empty, rows that fail, and errors of single rows."""

from typing import NamedTuple
from uuid import uuid4

import pytest

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import Lease, LeaseLostError
from qflow_dagster.quantumflow.draining import attempt, batches, drain


class Row(NamedTuple):
    id: int
    problem: str | None = None


def test_batches_end_with_the_first_empty_one() -> None:
    taken = iter([[1, 2], [3], [], [4]])
    assert list(batches(lambda: next(taken))) == [[1, 2], [3]]
    assert next(taken) == [4]


def test_counts_are_batches_too() -> None:
    counts = iter([500, 20, 0])
    assert sum(batches(lambda: next(counts))) == 520


def test_no_more_batches_are_taken_than_allowed() -> None:
    assert list(batches(lambda: [1], max_batches=3)) == [[1]] * 3


def test_a_row_that_fails_again_and_again_is_returned_once() -> None:
    stuck = Row(1, "the branch exists")
    taken = iter([[stuck, Row(2)], [stuck, Row(3)], [stuck], [Row(4)]])
    assert drain(lambda: next(taken)) == ([Row(2), Row(3)], [stuck])
    assert next(taken) == [Row(4)]


def test_a_row_that_failed_and_left_the_table_is_returned_too() -> None:
    refused = Row(1, "the patch does not apply")
    taken = iter([[refused, Row(2)], []])
    assert drain(lambda: next(taken)) == ([Row(2)], [refused])


HELD = Lease(uuid4(), 1)


def raising(error: Exception):
    def do() -> None:
        raise error

    return do


def test_an_attempt_returns_what_the_work_returns() -> None:
    assert attempt(HELD, "task", lambda: 7, lambda error: pytest.fail("nothing failed")) == 7


@pytest.mark.parametrize("error", [QflowError("no such file"), ValueError("no such file")])
def test_an_error_is_reported_and_does_not_stop_other_rows(error: Exception) -> None:
    reported: list[dict] = []
    assert attempt(HELD, "task", raising(error), reported.append) is None
    assert reported == [{"kind": type(error).__name__, "message": "no such file"}]


def test_an_error_is_reported_without_its_secrets() -> None:
    reported: list[dict] = []
    attempt(HELD, "task", raising(QflowError("https://ada:hunter22@example.org failed")), reported.append)
    assert "hunter22" not in reported[0]["message"]


def test_a_row_of_another_worker_is_left_to_it() -> None:
    def lost() -> None:
        raise LeaseLostError([HELD.id])

    assert attempt(HELD, "task", lost, lambda error: pytest.fail("not ours to report")) is None
    assert attempt(HELD, "task", raising(QflowError("late")), lambda error: lost()) is None
