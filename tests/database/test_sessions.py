"""Connections past silent and pooling middlemen: what is half open is noticed, PgBouncer is served or refused."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.database import direct_engine, embedded, engine_for, migrate, sessions
from qflow_dagster.database.revisions import newest_revision
from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import claim, complete, create_workflows, listen, register, send_with_notify
from qflow_dagster.quantumflow.rows import NewWorkflow
from tests.folders import fastest_folder

register("test.pooled")


class Middleman:
    """A proxy by TCP to a server's Unix socket, which can fall silent and keep its connections open."""

    def __init__(self, target: str) -> None:
        self.silent_before = 0.0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def fall_silent(self) -> None:
        """Swallow what is sent through the connections that are open now, and their ends; new ones work."""
        self.silent_before = time.monotonic()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(*pair, time.monotonic()), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, since: float) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if since > self.silent_before:
                    sink.sendall(data)
            if since > self.silent_before:
                sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def middleman(database: URL) -> Iterator[Middleman]:
    folder = database.query.get("host")
    if not folder:
        pytest.skip("the server of QFLOW_TEST_DATABASE_URL has no Unix socket")
    middleman = Middleman(f"{folder}/{embedded.SOCKET}")
    yield middleman
    middleman.close()


@pytest.fixture
def through(database: URL, middleman: Middleman) -> Iterator[Engine]:
    """An engine that connects through the middleman."""
    engine = engine_for(database.set(host="127.0.0.1", port=middleman.port, query={}))
    yield engine
    engine.dispose()


def test_a_listener_on_a_connection_that_fell_silent_connects_again(
    engine: Engine, through: Engine, middleman: Middleman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "HEARTBEAT", 0.3)
    received = listen(through, "test_queue", "reader", poll=60.0, idle=60.0)
    with engine.begin() as connection:
        send_with_notify(connection, "test_queue", ["one"])
    assert next(received).payload == "one"
    middleman.fall_silent()
    with engine.begin() as connection:
        send_with_notify(connection, "test_queue", ["two"])
    before = time.monotonic()
    # The first is not acknowledged and was yielded already: this listener does not yield it again.
    assert next(received).payload == "two"
    assert time.monotonic() - before < 20


def test_a_statement_does_not_wait_for_ever_for_a_silent_server(
    through: Engine, middleman: Middleman
) -> None:
    with through.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver.answer_limit > 600  # type: ignore[union-attr]
        driver.answer_limit = 0.3  # type: ignore[union-attr]
        middleman.fall_silent()
        with pytest.raises(OperationalError, match=r"has not answered for 0\.3 s"):
            connection.execute(text("SELECT 1"))
    # The pool has dropped it.
    with through.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


@pytest.fixture(scope="module")
def pgbouncer(server: URL) -> Iterator[dict[str, URL]]:
    """Two real PgBouncers in transaction mode: of one that passes `options` over, and of one that refuses it."""
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    folder = fastest_folder() / f"qflow-bouncer-{os.getpid()}"
    folder.mkdir(mode=0o755)
    host = server.query.get("host") or server.host
    target = f"host={host} port={server.port or 5432} user={server.username} password={server.password}"
    with ExitStack() as running:
        running.callback(shutil.rmtree, folder, ignore_errors=True)
        addresses = {}
        for name, ignored in (("ignoring", "extra_float_digits,options"), ("refusing", "extra_float_digits")):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            configuration = folder / f"{name}.ini"
            configuration.write_text(
                f"[databases]\n* = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
                f"auth_type = any\nunix_socket_dir =\npool_mode = transaction\ndefault_pool_size = 3\n"
                f"ignore_startup_parameters = {ignored}\n"
            )
            identity = {"user": embedded.USER, "group": embedded.USER} if os.geteuid() == 0 else {}
            process = subprocess.Popen(
                [program, str(configuration)], cwd="/", stderr=subprocess.DEVNULL, **identity
            )
            running.callback(process.wait)
            running.callback(process.kill)
            _wait_for(port)
            addresses[name] = server.set(host="127.0.0.1", port=port, query={})
        yield addresses


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    pytest.fail("PgBouncer does not listen")


@pytest.mark.parametrize("kind", ["ignoring", "refusing"])
def test_a_pooler_without_a_direct_address_is_refused_by_the_setting_that_is_missing(
    pgbouncer: dict[str, URL], database: URL, kind: str
) -> None:
    pooled = engine_for(pgbouncer[kind].set(database=database.database))
    with pytest.raises(QflowError, match="QFLOW_DATABASE_DIRECT_URL"), pooled.connect():
        pass
    pooled.dispose()


@pytest.mark.parametrize("kind", ["ignoring", "refusing"])
def test_all_works_through_a_pooler_with_a_direct_address(
    pgbouncer: dict[str, URL], database: URL, kind: str
) -> None:
    pooled = engine_for(pgbouncer[kind].set(database=database.database), direct=database)
    assert migrate(direct_engine(pooled)) == newest_revision()
    with pooled.connect() as connection:
        values = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone')"
        for _ in range(3):
            assert tuple(connection.execute(text(values)).one()) == ("10min", "30s", "UTC")
            connection.commit()

    def work(number: int) -> int:
        done = 0
        for _ in range(15):
            with pooled.begin() as connection:
                create_workflows(connection, [NewWorkflow(type="test.pooled")], actor=f"t{number}")
            with pooled.begin() as connection:
                held = claim(connection, "test.pooled", worker=f"w{number}")
                complete(connection, held)
                done += len(held)
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 90

    received = listen(pooled, "test_queue", "reader", poll=60.0, idle=20.0)
    timer = threading.Timer(0.5, _send, (pooled,))
    timer.start()
    before = time.monotonic()
    assert next(received).payload == "heard"
    assert time.monotonic() - before < 10
    received.close()  # type: ignore[attr-defined]
    timer.join()
    direct_engine(pooled).dispose()
    pooled.dispose()


def _send(engine: Engine) -> None:
    with engine.begin() as connection:
        send_with_notify(connection, "test_queue", ["heard"])
