"""COPY lines carry any value there and back."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_rows, copy_text

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROW = st.tuples(
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
    st.none() | TEXT,
    st.lists(TEXT, max_size=4),
    st.lists(st.integers(0, 99), max_size=4),
    st.binary(max_size=20),
)
COLUMNS = ("n", "b", "t", "ts", "ns", "raw")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=5))
def test_what_is_copied_in_is_what_is_read(engine: Engine, rows: list[tuple]) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE round_trip (n int, b bool, t text, ts text[], ns int[], raw bytea) "
                "ON COMMIT DROP"
            )
        )
        copy_text(connection, "round_trip", COLUMNS, [copy_line(row).encode() for row in rows])
        read = [tuple(row) for row in connection.execute(text("SELECT * FROM round_trip"))]
        assert read == [(*row[:5], row[5]) for row in rows]
        connection.execute(text("TRUNCATE round_trip"))
        copy_rows(connection, "round_trip", COLUMNS, rows)
        assert [tuple(row) for row in connection.execute(text("SELECT * FROM round_trip"))] == read


def test_what_no_text_of_postgresql_can_hold_becomes_the_replacement_character() -> None:
    assert copy_line(["a\0b", ["\ud800", "\0"]]) == 'a\ufffdb\t{"\ufffd","\ufffd"}\n'
