"""Who may do what in the embedded server, in a new data folder and in one an earlier version made."""

import os
import random
import signal
import stat
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.database import embedded, embedded_roles, engine_for
from tests import forks
from tests.database.conftest import Home
from tests.database.old_data_folder import start_old

ESCAPES = (
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "CREATE TABLE t (x text); COPY t FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/qflow-escaped'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_export(lo_create(0), '/tmp/qflow-escaped')",
    "ALTER SYSTEM SET archive_command = 'id'",
    "CREATE ROLE other SUPERUSER",
    "ALTER ROLE qflow SUPERUSER",
    "GRANT pg_execute_server_program TO qflow",
    "SET ROLE qflow_admin",
    "CREATE EXTENSION adminpack",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
    "UPDATE pg_authid SET rolsuper = true",
    "LOAD '/tmp/x.so'",
)


def refused(url: URL, statement: str) -> str:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection, pytest.raises(DBAPIError) as error:
            connection.execute(text(statement))
    finally:
        engine.dispose()
    return str(error.value.orig)


def no_way_in(home: Path) -> None:
    """Nobody connects without the password, nor with another, nor as the superuser."""
    folder = str(embedded.data_folder(home))
    for user in ("qflow", "qflow_admin", "postgres"):
        for password in ("", "guessed"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(
                    host=folder, user=user, password=password, dbname="postgres", passfile="/nonexistent"
                )


@pytest.mark.parametrize("statement", ESCAPES)
def test_the_everyday_role_does_not_reach_past_the_database(shared_home: Home, statement: str) -> None:
    assert "qflow-escaped" not in refused(embedded.url(shared_home, "postgres"), statement)
    assert not Path("/tmp/qflow-escaped").exists()


def test_nobody_connects_without_the_password(shared_home: Home) -> None:
    no_way_in(shared_home)
    key = shared_home / embedded.PASSWORD
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    url = embedded.url(shared_home)
    assert url.password == key.read_text()
    assert len(url.password) >= 43
    assert url.password not in str(url)


def is_present(home: Path) -> None:
    """The data are there, they belong to the everyday role, and nobody else has a way in."""
    no_way_in(home)
    for name in ("qflow", "qflow_dagster", 'odd "name'):
        engine = engine_for(embedded.url(home, name))
        with engine.begin() as connection:
            assert connection.scalar(text('SELECT n FROM "Kept"')) == "kept"
            assert not connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
            left = "SELECT count(*) FROM pg_shdepend WHERE refobjid = 10 AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            assert connection.scalar(text(left)) == 0
            owned = "SELECT array_agg(relname) FROM pg_class WHERE relowner = 10 AND oid >= 16384 AND relkind NOT IN ('t')"
            assert connection.scalar(text(owned)) is None
            for statement in (
                'ALTER TABLE "Kept" ADD COLUMN new int',
                "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'b'",
                "DROP TABLE further.t",
                "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'",
                "DROP PROCEDURE p",
                "REFRESH MATERIALIZED VIEW stored",
                "DROP DOMAIN small",
                "DROP TYPE pair",
            ):
                connection.execute(text(statement))
        engine.dispose()
    assert "permission denied" in refused(embedded.url(home), "COPY (SELECT 1) TO PROGRAM 'id'")


@pytest.mark.parametrize("state", ["running", "stopped", "killed"])
def test_a_folder_of_an_earlier_version_is_made_safe_and_keeps_its_data(old_home: Home, state: str) -> None:
    if state != "stopped":
        start_old(old_home)
    if state == "killed":
        os.kill(
            int((embedded.data_folder(old_home) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL
        )
        while embedded.running(old_home):
            time.sleep(0.05)
    embedded.start(old_home)
    is_present(old_home)


def test_it_is_made_safe_however_often_whoever_does_it_is_killed(old_home: Home) -> None:
    start_old(old_home)
    chance = random.Random(7)
    for _ in range(5):
        process = forks.start(embedded.start, old_home)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.join()
    embedded.start(old_home)
    is_present(old_home)


def test_processes_that_make_it_safe_at_once_do_it_together(old_home: Home) -> None:
    start_old(old_home)
    started = [forks.start(embedded.start, old_home) for _ in range(4)]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4
    is_present(old_home)


def test_a_lost_password_is_replaced_at_the_next_start(home: Home) -> None:
    embedded.start(home)
    (home / embedded.PASSWORD).unlink()
    assert not embedded_roles.current(embedded.data_folder(home), embedded.url(home).password or "")
    embedded.start(home)
    with create_engine(embedded.url(home, "postgres")).connect() as connection:
        assert connection.scalar(text("SELECT current_user")) == "qflow"
    no_way_in(home)


def test_the_home_is_closed_to_others_also_where_it_was_open(home: Home) -> None:
    home.chmod(0o755)
    embedded.start(home)
    assert stat.S_IMODE(home.stat().st_mode) & 0o067 == 0
    assert [path.name for path in home.iterdir() if path.lstat().st_mode & 0o077] == []
