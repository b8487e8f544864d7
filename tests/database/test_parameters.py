"""No text that a statement is given makes PostgreSQL refuse the statement."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.database.copy import copy_rows

# Any text: NUL and halves of surrogate pairs too.
TEXT = st.text(st.characters(codec=None) | st.sampled_from("\0\ud800\udfff"), max_size=20)
POISON, KEPT = "a\0b\ud800c\udfff", "a\ufffdb\ufffdc\ufffd"


def test_a_parameter_a_list_a_row_of_copy_and_a_typed_text_are_cleaned(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t (a text, l text[], v varchar) ON COMMIT DROP"))
        insert = text("INSERT INTO t VALUES (:a, :l, CAST(:v AS varchar))")
        connection.execute(insert, {"a": POISON, "l": [POISON, "good"], "v": POISON})
        connection.execute(insert, [{"a": POISON, "l": [POISON, "good"], "v": POISON}] * 2)
        copy_rows(connection, "t", ("a", "l", "v"), [(POISON, [POISON, "good"], POISON)])
        rows = [tuple(row) for row in connection.execute(text("SELECT * FROM t"))]
        found = connection.scalar(
            text("SELECT count(*) FROM t WHERE a = :a AND CAST(:a AS text) = ANY(l)"), {"a": POISON}
        )
    assert rows == [(KEPT, [KEPT, "good"], KEPT)] * 4
    assert found == 4


def test_numbers_as_texts_and_nothing_keep_their_types(engine: Engine) -> None:
    with engine.begin() as connection:
        query = text("SELECT 1 + CAST(:n AS int), CAST(:l AS text[]), CAST(:none AS text), CAST(:u AS uuid)")
        row = connection.execute(
            query, {"n": "41", "l": [], "none": None, "u": "00000000-0000-0000-0000-000000000001"}
        ).one()
    assert (row[0], row[1], row[2], row[3].int) == (42, [], None, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(TEXT, st.lists(TEXT, max_size=4))
def test_any_text_is_taken(engine: Engine, value: str, values: list[str]) -> None:
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT CAST(:a AS text), CAST(:l AS text[])"), {"a": value, "l": values}
        ).one()
    assert [len(item) for item in (row[0], *row[1])] == [len(item) for item in (value, *values)]
