"""Dagster's storage in PostgreSQL, with connections that a process keeps.

Dagster's own opens a connection for each statement, and three with each instance, of which every tick of a sensor and
every run has one of its own. That was half of what an idle machine did. Here all instances of a process share an
engine, and ask only once which tables there are. Dagster loads it by its name in `dagster.yaml`.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import Engine, create_engine, event

from qflow_dagster.database.engines import refuse_ended

# Connections that are kept, and that there may be beside them; seconds after which one is made anew.
POOL_SIZE, POOL_OVERFLOW, POOL_RECYCLE = 5, 30, 3_600
# What Dagster asks of the catalogue before a third of its statements, in case that the tables are of an old version.
CHECKS = (
    "has_table",
    "has_built_index",
    "has_run_stats_index_cols",
    "has_backfill_id_column",
    "has_backfill_tags_table",
    "_has_instigators_table",
    "_has_asset_daemon_asset_evaluations_table",
    "_has_asset_key_col_on_connection",
)


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in PostgreSQL, on the engine of this process."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "PooledPostgresStorage":
        """Return the storage; the first one of a process creates missing tables."""
        url = pg_url_from_config(config_value)
        engine, answers = _of_process(url, os.getpid())
        storage = cls(url, should_autocreate_tables=False, inst_data=inst_data)
        for part in (storage._run_storage, storage._event_log_storage, storage._schedule_storage):
            part._engine = engine
            for check in CHECKS:
                if ask := getattr(part, check, None):
                    setattr(part, check, partial(_answer, answers, ask))
        return storage


def _answer(answers: dict[Any, bool], ask: Callable[..., bool], *arguments: Any) -> bool:
    """Return what a check answered the first time; it is given a name, a connection, both, or nothing."""
    key = (ask.__qualname__, *(argument for argument in arguments if isinstance(argument, str)))
    if key not in answers:
        answers[key] = ask(*arguments)
    return answers[key]


@cache
def _of_process(url: str, _process: int) -> tuple[Engine, dict[Any, bool]]:
    """Return the engine of a process, and what checks answered; a fork may not use the connections of its parent."""
    DagsterPostgresStorage(url, should_autocreate_tables=True)
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_recycle=POOL_RECYCLE,
        # Those that are seldom needed are not used in turn with the others.
        pool_use_lifo=True,
    )
    event.listen(engine, "checkout", refuse_ended)
    return engine, {}
