"""Bulk writing by COPY, the only way rows enter in numbers.

Belongs here: moving an iterable of rows into a table. Does not belong here: how they are
encoded (``copy_format``), what they mean, or how conflicts are resolved (the caller's one
INSERT .. SELECT .. ON CONFLICT).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError


def copy_rows(
    connection: Connection, table: Table | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """COPY `rows` (values in the order of `columns`) into `table`, in the caller's transaction.

    Returns the number of rows. Python lists become arrays, None becomes NULL.
    """
    count = 0
    with _copy(connection, table, columns) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def copy_text(
    connection: Connection, table: Table | str, columns: Sequence[str], lines: Iterable[bytes]
) -> None:
    """COPY finished `lines` (made by `copy_format.copy_line`) into `table`, in the caller's transaction."""
    with _copy(connection, table, columns) as copy:
        for line in lines:
            copy.write(line)


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


@contextmanager
def _copy(connection: Connection, table: Table | str, columns: Sequence[str]) -> Iterator[psycopg.Copy]:
    """Yield a COPY in progress; errors are raised as SQLAlchemy raises them for any statement."""
    name = table if isinstance(table, str) else table.name
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    driver = _driver(connection)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        lost = driver.broken
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            f"COPY {name}",
            None,
            error,
            psycopg.Error,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error


def _driver(connection: Connection) -> psycopg.Connection:
    """Return the psycopg connection underneath, after making sure its transaction has begun."""
    if not connection.in_transaction():
        connection.begin()
    return cast(psycopg.Connection, connection.connection.driver_connection)
