"""Kills of parts of `qflow up` while work comes in; nothing may be lost or done twice: `python -m benchmarks.chaos`.

Everything is real: the embedded server, the services of `qflow up`, processes of Dagster's runs, workers of the core,
an agent. Each kill is SIGKILL. What comes in is in `chaos_work`. Exits with 1 if anything was lost, done twice, or left
undone; if a run of Dagster's did not end, or a part did not come back.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from benchmarks.brokers import free_port
from benchmarks.chaos_work import JOB, Work, persist
from benchmarks.reaction import make_repository, pending
from qflow_dagster.database import embedded, engine_for
from qflow_dagster.quantumflow import LeaseLostError, claim, complete, reclaim_expired, verify_history

# Seconds between two decisions, of which there are so many at most.
DECISION_PAUSE, MAX_CHANGES = 10.0, 40
# Seconds until all work must be done after the last kill, and of the leases of what a killed process held.
PATIENCE, LEASE = 240.0, 20
AGENT = "chaos-agent"
STARTED_AGAIN = re.compile(r"^(.+?) (?:ended and was )?started again", re.MULTILINE)
UNFINISHED = text("""
SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
AND create_timestamp < timezone('utc', now()) - make_interval(secs => :age)
""")
RUNS = text("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status")


def work(home: str) -> None:
    """Claim and complete jobs, each with an effect in the same transaction, until this process is killed."""
    engine = engine_for(embedded.url(Path(home)))
    while True:
        # A lease that ran out while the server was away takes the effect back with it.
        with suppress(OperationalError, LeaseLostError):
            with engine.begin() as connection:
                # The daemon, which does it for others, does not know this type.
                reclaim_expired(connection)
                held = claim(connection, JOB, worker=f"chaos {os.getpid()}", limit=3, lease=5.0)
            time.sleep(0.1)
            with engine.begin() as connection:
                for job in held:
                    connection.execute(text("INSERT INTO chaos_effects VALUES (:id)"), {"id": job.id})
                complete(connection, held)


class Chaos:
    """A `qflow up` with work coming in, and what was killed."""

    def __init__(self, home: Path, seconds: float) -> None:
        self.home, self.console, self.shop = home, home / "console", home / "shop"
        self.changes = max(1, min(MAX_CHANGES, int(seconds / DECISION_PAUSE)))
        self.killed: Counter[str] = Counter()
        self.ended_alone: Counter[str] = Counter()
        self._seconds = seconds
        self._environment = {
            **os.environ,
            "QFLOW_HOME": str(home),
            "QFLOW_QUANTUMFLOW_LEASE": str(LEASE),
            "QFLOW_AGENTS_LEASE": str(LEASE),
            "QFLOW_IMPROVEMENT_WAITING": str(self.changes),
        }

    def run(self, pause: float) -> dict[str, Any]:
        """Kill a part every `pause` seconds; return the figures."""
        make_repository(self.shop, self.changes)
        if self._qflow("run", str(self.shop), "--items", str(self.changes)).wait() != 0:
            raise RuntimeError("the first run failed")
        up = self._start()
        parts = len(psutil.Process(up.pid).children())
        workers = [self._worker() for _ in range(2)]
        agent = [self._agent()]
        address = embedded.url(self.home)
        engine = engine_for(address)
        dagster = create_engine(address.set(database=f"{address.database}_dagster"))
        try:
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE chaos_effects (job uuid)"))
                approvals = pending(connection)
            if len(approvals) < self.changes:
                raise RuntimeError(f"{len(approvals)} of {self.changes} changes await approval")
            sent = Work(engine, self.shop, approvals, self._seconds)
            self._kill_for_a_while(pause, up, workers, agent)
            sent.stop()
            last_kill = time.monotonic()

            def left() -> dict[str, int]:
                return {
                    **sent.left(),
                    "runs": _scalar(dagster, UNFINISHED, age=time.monotonic() - last_kill),
                    "services": parts - len(psutil.Process(up.pid).children()),
                }

            remaining = left()
            while any(remaining.values()) and time.monotonic() < last_kill + PATIENCE:
                time.sleep(1)
                remaining = left()
            recovered = time.monotonic() - last_kill
            twice = sent.twice()
            with engine.connect() as connection:
                broken = verify_history(connection)
            with dagster.connect() as connection:
                runs = {row.status: row.count for row in connection.execute(RUNS)}
        finally:
            engine.dispose()
            dagster.dispose()
            for process in (*workers, *agent):
                process.kill()
            before = time.monotonic()
            up.terminate()
            up.wait(60)
        again = Counter(STARTED_AGAIN.findall(self.console.read_text()))
        return {
            "kills": dict(self.killed),
            "started_again": dict(again),
            "ended_alone": dict(self.ended_alone),
            "pieces_of_work": sent.pieces(),
            "left": remaining,
            "done_twice": twice,
            "history": "sound" if broken is None else broken.reason,
            "runs": runs,
            "seconds_to_done": round(recovered, 1),
            "seconds_to_stop": round(time.monotonic() - before, 1),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        up = self._qflow("up", "--port", str(free_port()), stderr=self.console.open("w"))
        deadline = time.monotonic() + 300
        while not self.console.read_text().count("\nup"):
            if up.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"qflow up did not start: {self.console.read_text()}")
            time.sleep(0.2)
        return up

    def _qflow(self, *arguments: str, stderr: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("qflow")), *arguments]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=stderr)

    def _agent(self) -> subprocess.Popen[bytes]:
        program = ["--", "sh", "-c", "cat >/dev/null; sleep 0.3; echo {}"]
        return self._qflow("agent", "work", AGENT, "-d", "learning", "--output", "patch", *program)

    def _worker(self) -> Any:
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(str(self.home),), daemon=True
        )
        worker.start()
        return worker

    def _kill_for_a_while(
        self, pause: float, up: subprocess.Popen[bytes], workers: list[Any], agent: list[Any]
    ) -> None:
        """Kill each kind of part in turn."""
        kinds: dict[str, Callable[[], bool]] = {
            "worker of the core": lambda: self._replace(workers, self._worker, lambda one: one.is_alive()),
            "a service": lambda: _kill_one(psutil.Process(up.pid).children()),
            "process of runs": lambda: _kill_one(
                [child for service in psutil.Process(up.pid).children() for child in service.children()]
            ),
            "PostgreSQL": lambda: _kill_one(self._server()),
            "agent": lambda: self._replace(agent, self._agent, lambda one: one.poll() is None),
            "another service": lambda: _kill_one(psutil.Process(up.pid).children()),
            "a process of PostgreSQL": lambda: _kill_one(
                [child for server in self._server() for child in server.children()]
            ),
        }
        deadline = time.monotonic() + self._seconds
        for kind in itertools.cycle(kinds):
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                return
            name = "a service" if kind == "another service" else kind
            with suppress(psutil.NoSuchProcess):
                self.killed[name] += kinds[kind]()

    def _replace(self, running: list[Any], begin: Callable[[], Any], is_alive: Callable[[Any], bool]) -> bool:
        """Kill the oldest of some processes, and begin another."""
        oldest = running.pop(0)
        if not is_alive(oldest):
            self.ended_alone[begin.__name__.strip("_")] += 1
        oldest.kill()
        running.append(begin())
        return True

    def _server(self) -> list[psutil.Process]:
        """Return the server's first process; none: it is being started again."""
        with suppress(OSError, ValueError, IndexError):
            state = (embedded.data_folder(self.home) / "postmaster.pid").read_text()
            return [psutil.Process(int(state.split()[0]))]
        return []


def _kill_one(processes: list[psutil.Process]) -> bool:
    """Kill one of some processes; return whether there was one."""
    if processes:
        random.choice(processes).kill()
    return bool(processes)


def _scalar(engine: Engine, query: Any, **parameters: Any) -> int:
    values = [0]

    def read() -> None:
        with engine.connect() as connection:
            values.append(connection.scalar(query, parameters) or 0)

    persist(read)
    return values[-1]


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=3_600.0, help="how long parts are killed (default: an hour)"
    )
    parser.add_argument("--pause", type=float, default=35.0, help="seconds between two kills (default 35)")
    parser.add_argument("--keep", action="store_true", help="leave its folder, with the logs, below /tmp")
    options = parser.parse_args()
    # A short path, which everybody may pass: the server does not run as root.
    home = Path("/tmp") / f"qflow-chaos-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        figures = Chaos(home, options.seconds).run(options.pause)
    finally:
        embedded.stop(home)
        if not options.keep:
            shutil.rmtree(embedded.data_folder(home), ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(figures, indent=2, default=float))
    return int(
        any(figures["left"].values()) or any(figures["done_twice"].values()) or figures["history"] != "sound"
    )


if __name__ == "__main__":
    sys.exit(main())
