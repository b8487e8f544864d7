"""Servers of message brokers on this machine, each for a while: Redis or Valkey, and RabbitMQ."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian's program of the same name in the search path runs as root alone.
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Seconds until a server must answer.
PATIENCE = 60.0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def redis() -> Iterator[str | None]:
    """Yield the address of a Redis or Valkey server; None: neither is installed."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with _serving(command, port, {}, None):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def rabbitmq() -> Iterator[str | None]:
    """Yield the address of a RabbitMQ server; None: it is not installed."""
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
        }
        with _serving([str(RABBITMQ)], port, environment, folder):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"


@contextmanager
def _serving(
    command: list[str], port: int, environment: dict[str, str], folder: str | None
) -> Iterator[None]:
    """Run a server, in a session of its own, from its first answer until the end of the block."""
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True, cwd=folder
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.05)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
