"""What PostgreSQL can hold of any value, and JSON that cannot break its reader."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety.storable import MAX_DEPTH, TOO_DEEP, read_json, storable

TEXT = st.text(st.characters(codec=None) | st.sampled_from('\0\ud800\udfff\\"u0'), max_size=8)
SCALAR = st.none() | st.booleans() | st.floats() | st.integers() | TEXT | st.just(10**400)
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(VALUE)
def test_any_value_is_stored_and_read_back_as_what_is_storable_of_it(engine: Engine, value: Any) -> None:
    with engine.connect() as connection:
        query = text("SELECT CAST(:given AS jsonb)")
        read = connection.scalar(query, {"given": to_json(value, "it")})
        again = connection.scalar(query, {"given": to_json(storable(value), "it")})
    assert storable(read) == again


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("NaN", None),
        ("[1e999, -Infinity, 1]", [None, None, 1]),
        (r'{"a\u0000": "\ud800 and \ud83d\ude00"}', {"a\ufffd": "\ufffd and 😀"}),
        ("9" * 400, "[integer of 400 digits]"),
        ("-" + "9" * 200_000, "[integer of 200000 digits]"),
        (b'"\xff\xfe"', "\ufffd\ufffd"),
    ],
    ids=["nan", "infinite", "characters", "integer", "very long integer", "no UTF-8"],
)
def test_json_from_outside_is_read_as_what_can_be_stored(printed: str | bytes, value: Any) -> None:
    assert read_json(printed) == value


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['], ids=["array", "object", "both"])
def test_json_of_any_depth_is_read_in_time_in_proportion(opening: str) -> None:
    closing = "".join({"[": "]", "{": "}"}.get(mark, "") for mark in reversed(opening))
    started = time.process_time()
    value = read_json(f'{{"deep": {opening * 100_000}1{closing * 100_000}, "beside": "[[[["}}')
    # In proportion it takes a fraction of a second, else minutes.
    assert time.process_time() - started < 10
    assert value["beside"] == "[[[["
    depth, inner = 0, value["deep"]
    while not isinstance(inner, str):
        depth, inner = depth + 1, inner[0] if isinstance(inner, list) else inner["a"]
    assert inner == TOO_DEEP
    assert depth == MAX_DEPTH - 1


@pytest.mark.parametrize("printed", ["", "{", "[" * 200_000, '{"a' * 100_000, "nul", "[1,]", "\ufeff\ufeff1"])
def test_what_is_no_json_is_a_value_error(printed: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(printed)


@given(VALUE)
def test_storable_changes_nothing_twice_and_makes_what_any_reader_of_json_reads(value: Any) -> None:
    once = storable(value)
    assert storable(once) == once
    encoded = json.dumps(once, allow_nan=False)
    assert "\\u0000" not in encoded.replace("\\\\", "")
    assert not any(math.isinf(number) for number in [read_json(encoded)] if isinstance(number, float))
