import sqlite3


class Log:
    def execute(self, text):
        print(text)


def table(connection: sqlite3.Connection, name: str, id_: int) -> None:
    connection.execute(f"SELECT * FROM {name}")
    connection.execute(f"SELECT * FROM t WHERE name LIKE '%{name}%'")
    connection.execute(f"SELECT * FROM t WHERE name = '{name!r}'")
    connection.execute(f"SELECT * FROM t WHERE id = '{id_}'")
    connection.execute(f"SELECT * FROM t WHERE id = {id_:04}")
    connection.execute(f"SELECT * FROM t WHERE {name} = 1")
    connection.execute(f"SELECT * FROM t WHERE note = 'it''s {name}'")
    connection.execute(f"SELECT * FROM t WHERE a = ? AND b = {id_}")
    connection.execute(f"SELECT * FROM t ORDER BY {id_}")


def show(log: Log, name: str) -> None:
    log.execute(f"SELECT * FROM t WHERE name = '{name}'")


def untyped(connection, name):
    connection.execute(f"SELECT * FROM t WHERE name = '{name}'")


def script(cursor: sqlite3.Cursor, value: float) -> None:
    cursor.execute(f"UPDATE t SET x = {value}")
