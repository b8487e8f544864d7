"""What wakes Dagster's daemon: notifications of PostgreSQL, and commits in repositories on this machine.

A wake-up is a name: that of a message queue, a member of `Channel`, or `RUNS`. It says only that it is worth looking: a
lost one costs the time until the next regular look. Does not belong here: which sensor looks (`daemon`).
"""

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from watchfiles import watch

from qflow_dagster.registry import Channel
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

# Dagster notifies it of each event of a run.
RUNS = "run_events"

# Seconds. Connections are checked, and watched folders listed again, after the first.
LOOK_AGAIN = 30.0
RECONNECT = 2.0
# A burst of notifications is reported once.
BURST = 0.02
# After an event of a run, its status has been written.
STATUS_WRITTEN = 0.3

# Those in progress have not ended; one that waits in the queue is among them.
_RUNS = """
SELECT pipeline_name, row_number() OVER (PARTITION BY pipeline_name), status = 'QUEUED'
FROM runs WHERE status IN ('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')
"""


class Wakeups:
    """Names that were notified since they were last taken, and waiting for the next."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._changed = threading.Condition()

    def add(self, names: Collection[str]) -> None:
        """Add names, and wake whoever waits for them."""
        with self._changed:
            self._names.update(names)
            self._changed.notify_all()

    def take(self, timeout: float) -> set[str]:
        """Return the names added since the last call; wait for one for `timeout` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._names), timeout)
            names, self._names = self._names, set()
            return names


# The name of a job, and the number of its run.
Busy = tuple[str, int]


@dataclass
class Runs:
    """What the last look at Dagster's runs saw: whether any is queued, and which jobs have runs in progress.

    A job with two of them is there as its first and as its second.
    """

    queued: bool = False
    busy: frozenset[Busy] = frozenset()

    def look(self, connection: psycopg.Connection) -> bool:
        """Read it; return whether that changes what may start."""
        before = self.busy
        rows = connection.execute(_RUNS).fetchall()
        self.queued = any(queued for _, _, queued in rows)
        self.busy = frozenset((job, number) for job, number, _ in rows)
        return self.queued or self.busy != before


def listen_to_messages(
    conninfo: str, queues: Collection[str], wakeups: Iterable[Wakeups], stop: threading.Event
) -> None:
    """Add the names of the queues that get messages."""

    def notified(_connection: psycopg.Connection, names: set[str]) -> None:
        for each in wakeups:
            each.add(names)

    _listen(conninfo, queues, notified, stop)


def listen_to_runs(conninfo: str, runs: Runs, wakeups: Iterable[Wakeups], stop: threading.Event) -> None:
    """Keep `runs` up to date; add `RUNS` whenever a run may start that could not before."""

    def notified(connection: psycopg.Connection, _names: set[str]) -> None:
        # Dagster notifies of an event before it writes the status that follows from it.
        for pause in (0.0, STATUS_WRITTEN):
            stop.wait(pause)
            if runs.look(connection):
                for each in wakeups:
                    each.add({RUNS})

    _listen(conninfo, {RUNS}, notified, stop)


def _listen(
    conninfo: str,
    channels: Collection[str],
    notified: Callable[[psycopg.Connection, set[str]], None],
    stop: threading.Event,
) -> None:
    """Report notifications of a database's channels until `stop`; those of a burst are reported together.

    A lost connection is made again, and then all channels are reported, because notifications may have been lost.
    """
    while not stop.is_set():
        try:
            with psycopg.connect(conninfo, autocommit=True, application_name="qflow wake-ups") as connection:
                for channel in channels:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                names = set(channels)
                while not stop.is_set():
                    if names:
                        notified(connection, names)
                    names = {each.channel for each in connection.notifies(timeout=LOOK_AGAIN, stop_after=1)}
                    if names:
                        stop.wait(BURST)
                        names.update(each.channel for each in connection.notifies(timeout=0))
                    # The other end of a quiet connection may be gone.
                    connection.execute("SELECT 1")
        except psycopg.Error as error:
            logger.warning("the database does not notify: %s; connecting again", error)
            stop.wait(RECONNECT)


def watch_commits(
    locations: Callable[[], Collection[str]],
    wakeups: Wakeups,
    stop: threading.Event,
) -> None:
    """Report commits in repositories until `stop`; `locations` returns where they are, which may change."""
    while not stop.is_set():
        watched = _watched(locations())
        if not watched:
            stop.wait(LOOK_AGAIN)
            continue
        for changes in watch(
            *watched,
            stop_event=stop,
            # The default one ignores `.git`.
            watch_filter=None,
            # Milliseconds: each step costs the idle machine a little.
            step=200,
            debounce=400,
            rust_timeout=int(LOOK_AGAIN * 1_000),
            yield_on_timeout=True,
            recursive=False,
        ):
            others = _watched(locations()) != watched
            if changes or others:
                # Somebody may have committed to one that was not watched yet.
                wakeups.add({Channel.COMMITS})
            if others:
                break


def _watched(repositories: Collection[str]) -> set[Path]:
    """Return the folders that a commit changes: `HEAD` and packed references, logs, and heads. URLs have none."""
    roots = [path / ".git" if (path / ".git").is_dir() else path for path in map(Path, repositories)]
    return {
        part
        for root in roots
        if (root / "HEAD").is_file()
        for part in (root, root / "logs", root / "refs" / "heads")
        if part.is_dir()
    }
