"""Dagster's storage in PostgreSQL, with connections that a process keeps.

Dagster's own opens a connection for each statement, and three with each instance, of which every tick of a sensor and
every run has one of its own. That was half of what an idle machine did. Here all instances of a process share an
engine. Dagster loads it by its name in `dagster.yaml`.
"""

import os
from functools import cache
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import Engine, create_engine

# Connections that are kept, and that there may be beside them; seconds after which one is made anew.
POOL_SIZE, POOL_OVERFLOW, POOL_RECYCLE = 1, 30, 3_600


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in PostgreSQL, on the engine of this process."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "PooledPostgresStorage":
        """Return the storage; the first one of a process creates missing tables."""
        url = pg_url_from_config(config_value)
        engine = _engine(url, os.getpid())
        storage = cls(url, should_autocreate_tables=False, inst_data=inst_data)
        for part in (storage._run_storage, storage._event_log_storage, storage._schedule_storage):
            part._engine = engine
        return storage


@cache
def _engine(url: str, _process: int) -> Engine:
    """Return the engine of a process; a fork may not use the connections of its parent."""
    DagsterPostgresStorage(url, should_autocreate_tables=True)
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_recycle=POOL_RECYCLE,
        # A server that was restarted costs no statement.
        pool_pre_ping=True,
    )
