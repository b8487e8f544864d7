"""Bulk writing by COPY, the only way rows enter in numbers.

Belongs here: moving an iterable of rows into a table. Does not belong here: what the rows
mean, or how conflicts are resolved (the caller's one INSERT .. SELECT .. ON CONFLICT).
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table


def copy_rows(
    connection: Connection, table: Table | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """COPY `rows` (values in the order of `columns`) into `table`, in the caller's transaction.

    Returns the number of rows. Python lists become arrays, None becomes NULL.
    """
    name = table if isinstance(table, str) else table.name
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def copy_text(
    connection: Connection, table: Table | str, columns: Sequence[str], lines: Iterable[bytes]
) -> None:
    """COPY finished `lines` (made by `copy_line`) into `table`, in the caller's transaction."""
    name = table if isinstance(table, str) else table.name
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for line in lines:
            copy.write(line)


def copy_line(values: Iterable[Any]) -> str:
    """One row in COPY's text format: None, bool, int, float, str, bytes, and lists of int or str."""
    return "\t".join([_copy_field(value) for value in values]) + "\n"


def stage_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    name: str | None = None,
) -> str:
    """COPY `rows` into a temporary table shaped like `columns` of `table`; return its name.

    The temporary table (`staged_<table>` unless `name` is given) replaces an earlier one of
    that name and is dropped when the caller's transaction ends.
    """
    staged = name or f"staged_{table.name}"
    column_list = sql.SQL(", ").join(map(sql.Identifier, columns))
    driver = _driver(connection)
    driver.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(sql.Identifier(staged)))
    driver.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            sql.Identifier(staged), column_list, sql.Identifier(table.name)
        )
    )
    copy_rows(connection, staged, columns, rows)
    return staged


def _driver(connection: Connection) -> psycopg.Connection:
    """The psycopg connection underneath, after making sure its transaction has begun."""
    if not connection.in_transaction():
        connection.begin()
    return cast(psycopg.Connection, connection.connection.driver_connection)


# NUL cannot be stored as text at all; it becomes the replacement character.
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})


def _copy_field(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is str:
        return value if value.isalnum() else value.translate(_SPECIAL)
    if value is None:
        return "\\N"
    if kind is bool:
        return "t" if value else "f"
    if kind is bytes:
        return "\\\\x" + value.hex()
    if kind is list:
        if not value:
            return "{}"
        if type(value[0]) is int:
            return "{" + ",".join(map(str, value)) + "}"
        return "{" + ",".join([_array_element(item) for item in value]) + "}"
    return str(value)


def _array_element(item: str) -> str:
    if item.isidentifier() and item.upper() != "NULL":
        return item
    quoted = '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return quoted.translate(_SPECIAL)
