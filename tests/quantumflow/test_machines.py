"""Work on two machines whose network is cut: name spaces of the kernel with host names, addresses and cables."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, text

from qflow_dagster.database import embedded, engine_for, ensure_database
from qflow_dagster.database.revisions import migrate
from qflow_dagster.quantumflow import NewWorkflow, create_workflows, verify_history
from tests.folders import new_home
from tests.quantumflow.machine import JOB

PATIENCE = 120.0
NETWORK = "10.77.{number}.{end}"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None,
    reason="network name spaces need root, and the programs ip and unshare",
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Machine:
    """A host with a name, an address and a cable to the server."""

    number: int
    server: URL
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"qflow-{os.getpid()}-{self.number}"

    @property
    def cable(self) -> str:
        return f"qf{os.getpid()}{self.number}"

    def address(self, end: int) -> str:
        return NETWORK.format(number=self.number, end=end)

    def build(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("addr", "add", f"{self.address(1)}/24", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        ip("-n", self.name, "addr", "add", f"{self.address(2)}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def work(self) -> None:
        """Start a worker in it."""
        program = f"hostname {self.name} && exec {sys.executable} -m tests.quantumflow.machine"
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", program],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        url = self.server.set(host=self.address(1), port=5432, query={})
        assert self.process.stdin is not None
        self.process.stdin.write(url.render_as_string(hide_password=False).encode())
        self.process.stdin.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def cut(self) -> None:
        """Lose every packet, without a word to either end."""
        ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        ip("link", "set", self.cable, "up")

    def remove(self) -> None:
        self.kill()
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.cable], check=False, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[Engine, Machine, Machine]]:
    """A server that listens on the cables of two machines."""
    home = new_home("qflow-machines-")
    embedded.start(home)
    url = embedded.url(home)
    both = (Machine(1, url), Machine(2, url))
    try:
        for machine in both:
            machine.build()
        embedded.stop(home)
        data = embedded.data_folder(home)
        addresses = ",".join(machine.address(1) for machine in both)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"listen_addresses = '{addresses}'\n")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/16 scram-sha-256\n")
        embedded.start(home)
        ensure_database(url)
        engine = engine_for(url)
        migrate(engine)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE effects (job uuid, machine text)"))
        yield engine, *both
        engine.dispose()
    finally:
        for machine in both:
            machine.remove()
        embedded.stop(home)
        shutil.rmtree(embedded.data_folder(home), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def done(engine: Engine, machine: Machine | None = None) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM effects WHERE machine = coalesce(:machine, machine)")
        return connection.scalar(query, {"machine": machine and machine.name}) or 0


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@needs_root
def test_nothing_is_lost_or_done_twice_when_the_network_of_a_machine_is_cut(
    machines: tuple[Engine, Machine, Machine],
) -> None:
    engine, first, second = machines
    jobs = 400
    with engine.begin() as connection:
        create_workflows(
            connection, [NewWorkflow(type=JOB, max_attempts=100) for _ in range(jobs)], actor="test"
        )
    first.work()
    second.work()
    eventually(lambda: done(engine, first) > 5 and done(engine, second) > 5, "both machines work")

    first.cut()
    before = done(engine, second)
    eventually(lambda: done(engine, second) > before + 40, "the other machine goes on")
    at_cut = done(engine, first)
    first.mend()
    eventually(lambda: done(engine, first) > at_cut, "it works again when its network is back")

    second.kill()
    eventually(lambda: done(engine) == jobs, "what a killed machine held is done by the other")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(DISTINCT job) FROM effects")) == jobs
        assert verify_history(connection) is None
