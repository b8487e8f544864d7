"""Kills of parts of `qflow up` while work comes in; nothing may be lost or done twice: `python -m benchmarks.chaos`.

Everything is real: the embedded server, the services of `qflow up`, workers of the core in processes of their own. Each
kill is SIGKILL. Work that comes in: jobs of the core, errors for the daemon's runs to group, messages for a listener.
Exits with 1 if anything was lost, done twice, or left undone.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.database import embedded, engine_for
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.quantumflow import (
    acknowledge,
    claim,
    complete,
    create_workflow,
    listen,
    reclaim_expired,
    register,
    send_with_notify,
    verify_history,
)

register("chaos.job")
QUEUE, OPERATION = "chaos", "chaos"
# Seconds between two pieces of work of each kind, and until all of it must be done after the last kill.
PAUSE, PATIENCE = 0.2, 240.0
STARTED_AGAIN = re.compile(r"^(.+?) (?:ended and was )?started again", re.MULTILINE)


def persist(action: Callable[[], object], seconds: float = 60.0) -> None:
    """Do something that may be repeated, again while the server is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def work(home: str) -> None:
    """Claim and complete jobs, each with an effect in the same transaction, until this process is killed."""
    engine = engine_for(embedded.url(Path(home)))
    while True:
        with suppress(OperationalError):
            with engine.begin() as connection:
                # The daemon, which does it for others, does not know this type.
                reclaim_expired(connection)
                held = claim(connection, "chaos.job", worker=f"chaos {os.getpid()}", limit=3, lease=5.0)
            time.sleep(0.1)
            with engine.begin() as connection:
                for job in held:
                    connection.execute(text("INSERT INTO chaos_effects VALUES (:id)"), {"id": job.id})
                complete(connection, held)


class Chaos:
    """A `qflow up` with work coming in, and what was sent, received and killed."""

    def __init__(self, home: Path) -> None:
        self.home, self.console = home, home / "console"
        self.sent = 0
        self.received: list[int] = []
        self.killed: Counter[str] = Counter()
        self._stop = threading.Event()

    def run(self, seconds: float, pause: float) -> dict[str, Any]:
        """Kill a part every `pause` seconds for `seconds`; return the figures."""
        up = self._start()
        workers = [self._worker() for _ in range(2)]
        try:
            engine = engine_for(embedded.url(self.home))
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE chaos_effects (job uuid)"))
            threads = [
                threading.Thread(target=target, args=(engine,), daemon=True)
                for target in (self._send, self._receive)
            ]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + seconds
            for part in self._parts():
                time.sleep(pause)
                if time.monotonic() > deadline:
                    break
                self._kill(part, up, workers)
            self._stop.set()
            threads[0].join()
            last_kill = time.monotonic()
            left = self._left(engine)
            while any(left.values()) and time.monotonic() < last_kill + PATIENCE:
                time.sleep(0.5)
                left = self._left(engine)
            recovered = time.monotonic() - last_kill
            with engine.connect() as connection:
                twice = connection.scalar(text("SELECT count(*) - count(DISTINCT job) FROM chaos_effects"))
                broken = verify_history(connection)
            engine.dispose()
        finally:
            for worker in workers:
                worker.kill()
            before = time.monotonic()
            up.terminate()
            up.wait(60)
        again = Counter(STARTED_AGAIN.findall(self.console.read_text()))
        return {
            "kills": dict(self.killed),
            "started_again": dict(again),
            "pieces_of_work": 3 * self.sent,
            "left": left,
            "done_twice": twice,
            "history": "sound" if broken is None else broken.reason,
            "seconds_to_done": round(recovered, 1),
            "seconds_to_stop": round(time.monotonic() - before, 1),
        }

    def _start(self) -> subprocess.Popen:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        up = subprocess.Popen(
            [str(Path(sys.executable).with_name("qflow")), "up", "--port", str(port)],
            env={**os.environ, "QFLOW_HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
            stderr=self.console.open("w"),
        )
        deadline = time.monotonic() + 300
        while not self.console.read_text().count("\nup"):
            if up.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"qflow up did not start: {self.console.read_text()}")
            time.sleep(0.2)
        return up

    def _worker(self) -> Any:
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(str(self.home),), daemon=True
        )
        worker.start()
        return worker

    def _parts(self) -> Iterator[str]:
        """Yield the parts to kill, each kind in turn."""
        return itertools.cycle(["worker of the core", "a service", "a service", "PostgreSQL", "a service"])

    def _kill(self, part: str, up: subprocess.Popen, workers: list[Any]) -> None:
        if part == "worker of the core":
            workers.pop(0).kill()
            workers.append(self._worker())
        elif part == "PostgreSQL":
            with suppress(OSError, ValueError, IndexError, ProcessLookupError):
                state = (embedded.data_folder(self.home) / "postmaster.pid").read_text()
                os.kill(int(state.split()[0]), 9)
        else:
            services = psutil.Process(up.pid).children()
            if not services:
                return
            random.choice(services).kill()
        self.killed[part] += 1

    def _send(self, engine: Engine) -> None:
        while not self._stop.wait(PAUSE):
            number = self.sent

            def send(number: int = number) -> None:
                with engine.begin() as connection:
                    # The key makes it harmless to send again what was committed without an answer.
                    if connection.execute(
                        text("SELECT FROM workflows WHERE type = 'chaos.job' AND key = :key"),
                        {"key": str(number)},
                    ).first():
                        return
                    create_workflow(connection, "chaos.job", actor="chaos", key=str(number), max_attempts=100)
                    track_errors(connection, [Occurrence(operation=OPERATION, message="something broke")])
                    send_with_notify(connection, QUEUE, [number])

            persist(send)
            self.sent += 1

    def _receive(self, engine: Engine) -> None:
        for message in listen(engine, QUEUE, "chaos"):
            with suppress(OperationalError), engine.begin() as connection:
                acknowledge(connection, "chaos", message)
            self.received.append(message.payload)

    def _left(self, engine: Engine) -> dict[str, int]:
        """Return what is not done yet, of each kind."""
        counts: dict[str, int] = {}

        def count() -> None:
            with engine.connect() as connection:
                done = connection.scalar(
                    text("SELECT count(*) FROM workflows WHERE type = 'chaos.job' AND status = 'completed'")
                )
                grouped = connection.scalar(
                    text("SELECT coalesce(sum(count), 0)::int FROM error_groups WHERE operation = :name"),
                    {"name": OPERATION},
                )
            counts.update(
                jobs=self.sent - (done or 0),
                errors=self.sent - (grouped or 0),
                messages=self.sent - len(self.received)
                if self.received == sorted(set(self.received))
                else -1,
            )

        persist(count)
        return counts


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=3_600.0, help="how long parts are killed (default: an hour)"
    )
    parser.add_argument("--pause", type=float, default=30.0, help="seconds between two kills (default 30)")
    options = parser.parse_args()
    # A short path, which everybody may pass: the server does not run as root.
    home = Path("/tmp") / f"qflow-chaos-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        figures = Chaos(home).run(options.seconds, options.pause)
    finally:
        embedded.stop(home)
        shutil.rmtree(embedded.data_folder(home), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(figures, indent=2))
    return int(any(figures["left"].values()) or figures["done_twice"] != 0 or figures["history"] != "sound")


if __name__ == "__main__":
    sys.exit(main())
