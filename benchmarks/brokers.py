"""Servers of message brokers on this machine, each for a while: Redis or Valkey, and RabbitMQ."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# Debian's program of the same name in the search path runs as root alone.
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Seconds until a server must answer.
PATIENCE = 60.0


class Server:
    """A broker in a session of its own, which keeps its messages in a folder; `address` is for workers."""

    def __init__(
        self, address: str, command: Sequence[str], port: int, folder: str, environment: Mapping[str, str]
    ) -> None:
        self.address = address
        self._command, self._port, self._folder, self._environment = command, port, folder, environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait for its first answer."""
        self._process = subprocess.Popen(
            self._command,
            env=dict(self._environment),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self._folder,
        )
        deadline = time.monotonic() + PATIENCE
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} does not answer")
            time.sleep(0.05)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            os.killpg(self._process.pid, by)
            self._process.wait(PATIENCE)
            self._process = None


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def redis() -> Iterator[Server | None]:
    """Yield a Redis or Valkey server; None: neither is installed."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--appendonly", "yes", "--bind", "127.0.0.1"]
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        yield from _serving(Server(f"redis://127.0.0.1:{port}/0", command, port, folder, {}))


@contextmanager
def rabbitmq() -> Iterator[Server | None]:
    """Yield a RabbitMQ server; None: it is not installed."""
    if not RABBITMQ.exists():
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as folder:
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": folder,
            "RABBITMQ_NODENAME": f"qflow-{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "ERL_EPMD_PORT": str(free_port()),
            # It ends when it is told to, even if it has not noticed yet that the server is gone.
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",
        }
        address = f"amqp://guest:guest@127.0.0.1:{port}//"
        try:
            yield from _serving(Server(address, [str(RABBITMQ)], port, folder, environment))
        finally:
            # It started this one, which outlives it.
            subprocess.run(["epmd", "-kill"], env=environment, stdout=subprocess.DEVNULL, check=False)


def _serving(server: Server) -> Iterator[Server]:
    """Yield a server that runs until the end of the block."""
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
