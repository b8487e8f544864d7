"""Which repositories the commit sensor runs: a pure decision, so nearly every case is a table row."""

from pathlib import Path
from typing import cast

import dagster as dg
import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Engine

from qflow_dagster.definitions import build_definitions
from qflow_dagster.ingestion.repositories import register
from qflow_dagster.registry import Channel
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.ingestion import (
    MAX_ATTEMPTS_PER_HEAD,
    MAX_IN_FLIGHT,
    MAX_REQUESTS,
    RETRY_SECONDS,
    Observed,
    decide,
    repository_commits,
)
from tests.ingestion.conftest import GitRepository

NEW = Observed("flask", head="b", ingested="a")


def test_a_moved_head_is_requested_once() -> None:
    requests, cursor = decide([NEW], {}, set(), now=0)
    assert requests == [("flask", "flask:b:0")]
    assert decide([NEW], cursor, set(), now=1)[0] == []


def test_a_repository_never_ingested_is_requested() -> None:
    requests, _ = decide([Observed("flask", "b", None)], {}, set(), now=0)
    assert requests == [("flask", "flask:b:0")]


def test_nothing_is_requested_while_a_run_is_under_way() -> None:
    assert decide([NEW], {}, {"flask"}, now=0) == ([], {})


def test_an_ingested_head_is_forgotten() -> None:
    _, cursor = decide([NEW], {}, set(), now=0)
    assert decide([NEW._replace(ingested="b")], cursor, set(), now=1) == ([], {})


def test_a_failed_run_is_asked_for_again_after_a_growing_pause_and_not_for_ever() -> None:
    now, cursor, keys = 0.0, {}, []
    for attempt in range(1, MAX_ATTEMPTS_PER_HEAD + 1):
        requests, cursor = decide([NEW], cursor, set(), now)
        keys += [key for _, key in requests]
        pause = RETRY_SECONDS * 2 ** (attempt - 1)
        assert decide([NEW], cursor, set(), now + pause - 1)[0] == []
        now += pause
    assert len(keys) == len(set(keys)) == MAX_ATTEMPTS_PER_HEAD
    assert decide([NEW], cursor, set(), now + 1e9)[0] == []


def test_the_next_commit_after_a_hopeless_one_starts_afresh() -> None:
    _, cursor = decide([NEW], {}, set(), now=0)
    requests, _ = decide([NEW._replace(head="c")], cursor, set(), now=1)
    assert requests == [("flask", "flask:c:1")]


def test_a_tick_requests_a_bounded_number() -> None:
    many = [NEW._replace(name=f"r{n}") for n in range(MAX_REQUESTS * 3)]
    requests, cursor = decide(many, {}, set(), now=0)
    assert len(requests) == MAX_REQUESTS
    assert len(decide(many, cursor, set(), now=1)[0]) == MAX_REQUESTS


def test_no_more_runs_are_requested_than_may_be_in_flight() -> None:
    many = [NEW._replace(name=f"r{n}") for n in range(MAX_REQUESTS)]
    in_flight = {f"other{n}" for n in range(MAX_IN_FLIGHT - 3)}
    assert [name for name, _ in decide(many, {}, in_flight, now=0)[0]] == ["r0", "r1", "r2"]
    assert decide(many, {}, in_flight | {f"more{n}" for n in range(9)}, now=0) == ([], {})


@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.sampled_from("abc"), st.booleans(), st.integers(30, 5_000)),
        max_size=40,
    )
)
def test_a_run_key_never_repeats_whatever_heads_and_failures_come(
    ticks: list[tuple[str, str, bool, int]],
) -> None:
    """Each request fails or is ingested; heads may move back and forth; ticks are 30 s apart or more."""
    now, cursor, seen = 0, {}, set()
    ingested: dict[str, str | None] = {"p": None, "q": None}
    for name, head, succeeds, pause in ticks:
        now += pause
        observed = Observed(name, head, ingested[name])
        requests, cursor = decide([observed], cursor, set(), now)
        for requested, key in requests:
            assert key not in seen
            seen.add(key)
            if succeeds:
                ingested[requested] = head


def test_a_tick_that_leaves_repositories_out_has_the_next_one_follow(engine: Engine, tmp_path: Path) -> None:
    for number in range(MAX_REQUESTS + 1):
        repository = GitRepository(tmp_path / f"r{number}")
        repository.git("commit", "--quiet", "--allow-empty", "--message", "first")
        with engine.begin() as connection:
            register(connection, str(repository.path))
    url = engine.url.render_as_string(hide_password=False)
    definitions = build_definitions(resources={"database": Database(url=url)})
    address = url.replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as listening, dg.DagsterInstance.ephemeral() as instance:
        listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(Channel.COMMITS)))
        cursor, requested, ticks, woken = None, [], 0, True
        while woken:
            ticks += 1
            with dg.build_sensor_context(
                instance=instance,
                definitions=definitions,
                cursor=cursor,
                resources={"database": Database(url=url)},
            ) as context:
                result = cast("dg.SensorResult", repository_commits(context))
            requested += [request.partition_key for request in result.run_requests or ()]
            cursor = result.cursor
            woken = bool(list(listening.notifies(timeout=0.2)))
    assert ticks > 1
    assert len(set(requested)) == len(requested) == MAX_REQUESTS + 1
