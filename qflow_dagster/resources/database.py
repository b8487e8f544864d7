"""The database as a Dagster resource. Nothing connects until a run or tick asks."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy import Engine, make_url

from qflow_dagster.database import engine_for, ready_engine
from qflow_dagster.database.locks import holding_name
from qflow_dagster.quantumflow import leases
from qflow_dagster.safety import logs

# The lease of a run is named after its id, with this before it.
RUN_LEASE = "run "
# Seconds between two steps of a run, if another process executes the next one; and until its end is reported.
BETWEEN_STEPS = 90.0

logger = logs.logger(__name__)


class Database(dg.ConfigurableResource):
    """Our PostgreSQL database; `url` overrides what the settings say (tests do).

    A run on a repository holds that repository until it ends, however it was launched: another run on it waits.
    (The run queue starts no second one; this holds for runs that do not pass through the queue, too.)
    """

    url: str | None = None

    def engine(self) -> Engine:
        """Return the engine of this process; migrates first, where Dagster was started by itself."""
        return ready_engine() if self.url is None else engine_for(make_url(self.url))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Database"]:
        """Keep the run's lease, and hold its repository, if it is on one. In-process, that is once per run."""
        if context.run is None:
            yield self
            return
        with leases.kept(self.engine(), RUN_LEASE + context.run.run_id, afterwards=BETWEEN_STEPS):
            yield from self._hold_repository(context.run.tags.get("dagster/partition"))

    def _hold_repository(self, repository: str | None) -> Iterator["Database"]:
        if repository is None:
            yield self
            return

        def on_wait() -> None:
            logger.warning("another run works on %s; waiting for its end", repository)

        with holding_name(self.engine(), f"run on {repository}", on_wait=on_wait):
            yield self
