"""Sensors on repositories: the main job for each that has new commits, and lines that are still to be counted."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import dagster as dg
from pydantic import TypeAdapter

from qflow_dagster.assets.partitions import REPOSITORIES, repositories
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import queries, remotes
from qflow_dagster.ingestion.repositories import have_commits_looked_for
from qflow_dagster.jobs.ingestion import complete_histories, run_repository
from qflow_dagster.metrics import past
from qflow_dagster.registry import Channel, Queue
from qflow_dagster.resources.database import Database
from qflow_dagster.safety.display import visible_line
from qflow_dagster.sensors.drains import IN_FLIGHT, drain_sensor
from qflow_dagster.sensors.wakes import woken_by

# Maximum runs requested per tick, which must stay short; the next one follows at once.
MAX_REQUESTS = 10
# Runs that wait or are in progress at a time: all workers of many machines have work, and a tick can read them.
MAX_IN_FLIGHT = 100
# Seconds of a tick for querying the heads of repositories. Each tick starts with a different repository, so
# that every repository is queried in turn even with many of them or slow remotes.
TICK_SECONDS = 0.6
MAX_ATTEMPTS_PER_HEAD = 4
# Seconds to wait after the first failed run of a commit; doubled for each further one.
RETRY_SECONDS = 300.0


class Observed(NamedTuple):
    """The state of a repository: its current head, and the ingested commit."""

    name: str
    head: str
    ingested: str | None


@dataclass
class Requested:
    """The last request for a repository; times in seconds since the epoch."""

    head: str
    attempt: int
    not_before: float


Cursor = dict[str, Requested]
CURSOR = TypeAdapter(Cursor)


def decide(
    observed: Iterable[Observed], cursor: Mapping[str, Requested], in_flight: set[str], now: float
) -> tuple[list[tuple[str, str]], Cursor]:
    """Select the repositories to run: [(name, run key)], and return the next cursor.

    A repository is selected if its head is not ingested and it has no run in progress. The same head
    is requested again only after a growing pause and at most `MAX_ATTEMPTS_PER_HEAD` times, because
    the earlier run must have failed. The run key contains the time (`now`, seconds since the epoch):
    Dagster never repeats a run key, but a branch may return to an earlier head.
    """
    requests: list[tuple[str, str]] = []
    most = max(0, min(MAX_REQUESTS, MAX_IN_FLIGHT - len(in_flight)))
    after = dict(cursor)
    for repository in observed:
        if repository.head == repository.ingested:
            after.pop(repository.name, None)
            continue
        if repository.name in in_flight or len(requests) == most:
            continue
        last = after.get(repository.name)
        attempt = last.attempt + 1 if last is not None and last.head == repository.head else 1
        if attempt > MAX_ATTEMPTS_PER_HEAD or (attempt > 1 and last is not None and now < last.not_before):
            continue
        after[repository.name] = Requested(repository.head, attempt, now + RETRY_SECONDS * 2 ** (attempt - 1))
        requests.append((repository.name, f"{repository.name}:{repository.head}:{int(now)}"))
    return requests, after


@dg.sensor(
    job=run_repository,
    minimum_interval_seconds=60,
    # A commit in one repository does not wait for the run of another.
    metadata=woken_by(Channel.COMMITS, at_a_time=MAX_IN_FLIGHT),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the main job for every registered repository whose head is not ingested.",
)
def repository_commits(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Query the head of each registered repository; request a run if it changed."""
    state = CURSOR.validate_json(context.cursor) if context.cursor else {}
    with database.engine().connect() as connection:
        registered = queries.repositories(connection)
    names = {row["name"] for row in registered}
    active = context.instance.get_runs(dg.RunsFilter(job_name=run_repository.name, statuses=list(IN_FLIGHT)))
    in_flight = {run.tags.get("dagster/partition", "") for run in active}
    observed, unreadable = observe(registered, time.monotonic() + TICK_SECONDS)
    for name, error in unreadable.items():
        context.log.warning("%s: %s", name, visible_line(error))
    requests, state = decide(observed, state, in_flight, time.time())
    read = len(observed) + len(unreadable)
    if requests and (len(requests) == MAX_REQUESTS or read < len(registered)):
        # There may be more to request.
        with database.engine().begin() as connection:
            have_commits_looked_for(connection)

    known = set(context.instance.get_dynamic_partitions(REPOSITORIES))
    # A partition with a run in progress stays, because that run could not store its result otherwise.
    new, gone = sorted(names - known), sorted(known - names - in_flight)
    changes = []
    if new:
        changes.append(repositories.build_add_request(new))
    if gone:
        changes.append(repositories.build_delete_request(gone))
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=name) for name, key in requests],
        dynamic_partitions_requests=changes,
        cursor=CURSOR.dump_json({name: last for name, last in state.items() if name in names}).decode(),
        skip_reason=None
        if requests
        else f"{len(observed)} of {len(names)} repositories read, {len(unreadable)} unreadable, none moved",
    )


def observe(registered: list[dict], deadline: float) -> tuple[list[Observed], dict[str, str]]:
    """Return the heads queried before `deadline` (monotonic), and the reasons why others have none."""
    observed: list[Observed] = []
    unreadable: dict[str, str] = {}
    first = int(time.time()) % len(registered) if registered else 0
    in_turn = (*registered[first:], *registered[:first])
    for row in sorted(in_turn, key=lambda row: not row["pushed"]):
        if time.monotonic() > deadline:
            break
        try:
            head = remotes.head(row["location"])
        except QflowError as error:
            unreadable[row["name"]] = str(error)
            continue
        observed.append(Observed(row["name"], head, row["commit"]))
    return observed, unreadable


incomplete_histories = drain_sensor(
    "incomplete_histories",
    complete_histories,
    lambda connection: bool(queries.repositories_to_count(connection) or past.pending(connection)),
    "Requests a run while changed lines of old commits are to be counted, or old commits to be measured.",
    woken_by=[Queue.CODE_INGESTION_NOTIFICATIONS],
    interval=300,
)

sensors = [repository_commits, incomplete_histories]
