"""The web process watches whether the health checks run, and gives signs of life that the checks watch.

Belongs here: the loop of the web process. Does not belong here: the signs of life (`heartbeats`), the check of the web
process (`health_checks`).
"""

import threading

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.infrastructure import health_agent, heartbeats
from qflow_dagster.infrastructure.health_agent import CheckResult
from qflow_dagster.infrastructure.health_states import STALE, has_checks, is_watched
from qflow_dagster.infrastructure.heartbeats import BEAT, CHECKS, WEB
from qflow_dagster.safety import logs

logger = logs.logger(__name__)


def work(engine: Engine, stop: threading.Event) -> None:
    """Give a sign of life and watch the checks every half minute, until `stop` is set."""
    while not stop.is_set():
        try:
            with engine.begin() as connection:
                heartbeats.beat(connection, WEB)
                watch_checks(connection)
        except SQLAlchemyError as error:
            logger.warning("the health checks cannot be watched: %s", type(error).__name__)
        stop.wait(BEAT)
    try:
        with engine.begin() as connection:
            heartbeats.stop(connection, WEB)
    except SQLAlchemyError:
        # The database stopped first; the next start continues the signs of life.
        pass


def watch_checks(connection: Connection) -> None:
    """Record whether the checks of each minute run; a stop of them is an incident like any other."""
    if not has_checks(connection):
        return
    if is_watched(connection):
        result = CheckResult("healthy", "the checks of each minute run")
    else:
        result = CheckResult(
            "unhealthy", f"no check ran within {STALE / 60:.0f} minutes; is Dagster's daemon running?"
        )
    health_agent.record(connection, {CHECKS: {CHECKS: result}})
