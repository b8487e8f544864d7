"""Which repositories the commit sensor runs: a pure decision, so every case is a table row."""

from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.sensors.ingestion import (
    MAX_ATTEMPTS_PER_HEAD,
    MAX_IN_FLIGHT,
    MAX_REQUESTS,
    RETRY_SECONDS,
    Observed,
    decide,
)

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
