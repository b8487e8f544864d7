"""The embedded server: created once however many ask, private, and it survives what processes do to it."""

import multiprocessing
import os
import select
import shutil
import signal
import stat
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.database import embedded, ensure_database, other_clients
from qflow_dagster.database.embedded import EmbeddedServerError
from tests.ordinary_user import pytest_as_ordinary_user


def answer(home: Path) -> int:
    engine = create_engine(embedded.url(home, "postgres"))
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_postmaster_start_time()::text || pg_backend_pid()::text"))
    engine.dispose()
    return len(pid)


def start_and_ask(home: str) -> str:
    embedded.start(Path(home))
    engine = create_engine(embedded.url(Path(home), "postgres"))
    with engine.connect() as connection:
        return str(connection.scalar(text("SELECT pg_postmaster_start_time()")))


def test_processes_that_start_it_at_once_share_one_server(empty_home: Path) -> None:
    # Not `multiprocessing.Pool`: its end kills processes, one of which may hold the lock the others wait for.
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        started = list(pool.map(start_and_ask, [str(empty_home)] * 6))
    assert len(set(started)) == 1


def test_only_its_owner_may_reach_the_socket(home: Path) -> None:
    embedded.start(home)
    data = embedded.data_folder(home)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data / embedded.SOCKET).is_socket()
    with create_engine(embedded.url(home, "postgres")).connect() as connection:
        assert connection.scalar(text("SHOW listen_addresses")) == ""
        assert connection.scalar(text("SHOW fsync")) == "on"


def test_it_can_be_stopped_and_goes_on_where_it_was(home: Path) -> None:
    embedded.start(home)
    ensure_database(embedded.url(home))
    engine = create_engine(embedded.url(home))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (n int)"))
    engine.dispose()
    assert embedded.stop(home)
    assert not embedded.running(home)
    assert not embedded.stop(home)
    embedded.start(home)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM kept")) == 0


def test_a_killed_server_recovers_at_the_next_start(home: Path) -> None:
    embedded.start(home)
    pid_file = embedded.data_folder(home) / "postmaster.pid"
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while embedded.running(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    embedded.start(home)
    assert answer(home)


def test_a_server_that_recovers_from_a_killed_session_is_waited_for(home: Path) -> None:
    embedded.start(home)
    url = embedded.url(home)
    ensure_database(url)
    engine = create_engine(url)
    for _ in range(5):
        with engine.connect() as connection, engine.connect() as other:
            os.kill(connection.scalar(text("SELECT pg_backend_pid()")) or 0, signal.SIGKILL)
            # Until the server has noticed, it still takes connections. Then it ends all other sessions, and recovers.
            session = other.connection.driver_connection
            assert session
            assert select.select([session.fileno()], [], [], 60)[0]
            ensure_database(url)
            connection.invalidate()
            other.invalidate()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_server_that_is_not_ready_yet_is_waited_for_and_no_second_one_is_tried(home: Path) -> None:
    embedded.start(home)
    data = embedded.data_folder(home)
    state = (data / "postmaster.pid").read_text()
    (data / "postmaster.pid").write_text(state.replace("ready   ", "starting"))
    assert not embedded.running(home)
    ready = threading.Timer(0.5, (data / "postmaster.pid").write_text, [state])
    ready.start()
    embedded.start(home)
    ready.join()
    assert embedded.running(home)
    assert "Is another postmaster" not in (data / embedded.LOG).read_text()


def test_other_users_of_the_server_are_named(home: Path) -> None:
    embedded.start(home)
    url = embedded.url(home, "postgres")
    watcher = create_engine(url, connect_args={"application_name": "watcher"})
    with watcher.connect(), create_engine(url).connect() as other, create_engine(url).connect() as own:
        assert other_clients(own) == ["a program without a name", "watcher"]
        other.rollback()
    watcher.dispose()


def test_sessions_that_outlive_a_killed_server_do_not_keep_the_next_one_from_starting(home: Path) -> None:
    """A session that computes does not notice that its server is gone."""
    embedded.start(home)
    engine = create_engine(embedded.url(home, "postgres"))
    server = int((embedded.data_folder(home) / "postmaster.pid").read_text().split()[0])

    def compute() -> str:
        try:
            with engine.connect() as connection:
                # Takes no memory, and ends by itself if the test does not end it.
                connection.execute(text("SET statement_timeout = '60s'"))
                connection.execute(text("DO $$ BEGIN LOOP END LOOP; END $$"))
        except OperationalError as error:
            return str(error)
        return "finished"

    with ThreadPoolExecutor() as pool:
        computing = pool.submit(compute)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            while not connection.scalar(text(busy)):
                time.sleep(0.05)
        os.kill(server, signal.SIGKILL)
        before = time.monotonic()
        while embedded.running(home) and time.monotonic() < before + 30:
            time.sleep(0.05)
        embedded.start(home)
        assert answer(home)
        assert time.monotonic() - before < embedded.RELEASE_TIMEOUT
        assert "server closed the connection" in computing.result(30)
    engine.dispose()


def test_a_home_too_deep_for_a_socket_is_served_from_a_shorter_path() -> None:
    deep = Path("/tmp") / ("d" * 90) / "home"
    data = embedded.data_folder(deep)
    assert len(os.fsencode(data / embedded.SOCKET)) <= embedded.SOCKET_PATH_LIMIT
    assert data == embedded.data_folder(deep), "the same home always means the same data"
    assert data != embedded.data_folder(deep.parent / "other")


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    embedded.start(home)
    embedded.stop(home)
    configuration = embedded.data_folder(home) / "postgresql.conf"
    configuration.write_text(configuration.read_text() + "\nmax_connections = 'many'\n")
    with pytest.raises(EmbeddedServerError, match="max_connections"):
        embedded.start(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be kept from opening private folders")
def test_as_root_a_private_home_is_not_opened_to_others(empty_home: Path) -> None:
    private = empty_home / "private"
    private.mkdir(mode=0o700)
    inside = private / "home"
    embedded.start(inside)
    try:
        assert answer(inside)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert private not in embedded.data_folder(inside).parents
    finally:
        embedded.stop(inside)
        shutil.rmtree(embedded.data_folder(inside))


@pytest.mark.skipif(os.geteuid() != 0, reason="it is an ordinary user who runs the tests already")
@pytest.mark.parametrize("name", ["embedded", "embedded_roles"])
def test_all_of_this_holds_for_an_ordinary_user(name: str) -> None:
    assert " passed" in pytest_as_ordinary_user(f"tests/database/test_{name}.py", "-rs")


@pytest.mark.parametrize(
    "name",
    ["$(touch pwned)", "`touch pwned`", "a'b", 'a"b', "a,b", "a;touch pwned", "a\\b", "a\nb", "a|b", "~&"],
)
def test_a_path_that_means_something_to_a_shell_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        EmbeddedServerError, match=r"QFLOW_HOME=.*set QFLOW_HOME to a path of letters"
    ) as refused:
        embedded.start(tmp_path / name / "home")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.rglob("*")) == []


def test_a_path_with_blanks_and_letters_of_any_script_is_served(empty_home: Path) -> None:
    inside = empty_home / "a b ä+%41=@"
    embedded.start(inside)
    try:
        assert answer(inside)
    finally:
        embedded.stop(inside)
