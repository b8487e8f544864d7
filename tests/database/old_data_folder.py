"""The embedded server as an earlier version made it."""

from pathlib import Path

from sqlalchemy import URL, text

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate


def make_old_data_folder(home: Path) -> None:
    """A data folder as the version before made it: one superuser, whom everybody is."""
    data = embedded.data_folder(home)
    binaries = embedded._binaries()
    data.mkdir(parents=True)
    embedded._own(data)
    arguments = [
        "--username=qflow",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
    ]
    embedded._run([binaries / "initdb", f"--pgdata={data}", *arguments], "old initdb")
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(embedded.CONFIGURATION)
    start_old(home)
    for name in ("qflow", "qflow_dagster", 'odd "name'):
        url = URL.create("postgresql+psycopg", username="qflow", database=name, query={"host": str(data)})
        ensure_database(url)
        engine = engine_for(url)
        if name == "qflow":
            migrate(engine)
        with engine.begin() as connection:
            for statement in (
                'CREATE TABLE "Kept" (id serial PRIMARY KEY, g int GENERATED ALWAYS AS IDENTITY, n text)',
                "INSERT INTO \"Kept\" (n) VALUES ('kept')",
                "CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN small AS int; CREATE TYPE pair AS (a int, b int)",
                'CREATE VIEW seen AS SELECT * FROM "Kept"; CREATE MATERIALIZED VIEW stored AS SELECT 1',
                "CREATE SEQUENCE counted; CREATE SCHEMA further; CREATE TABLE further.t (m mood) PARTITION BY LIST (m)",
                "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE PROCEDURE p() LANGUAGE sql AS ''",
            ):
                connection.execute(text(statement))
        engine.dispose()


def start_old(home: Path) -> None:
    """Start it as it was started then."""
    data = embedded.data_folder(home)
    embedded._pg_ctl(
        embedded._binaries(),
        data,
        "start",
        f"--log={data / embedded.LOG}",
        f"--options=-c unix_socket_directories='{data}'",
    )
