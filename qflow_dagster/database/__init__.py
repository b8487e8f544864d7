"""The PostgreSQL server underneath: engine, embedded server, migrations, bulk copy.

Public names: `engine`, `database_url`, `dagster_url`, `embedded`, `migrate`,
`ready_engine`, `copy_rows`, `stage_rows`. Does not belong here: any table (they are declared by their domains on
`schema.metadata`) and any query.
"""

from qflow_dagster.database.copy import copy_rows, stage_rows
from qflow_dagster.database.engines import (
    dagster_url,
    database_url,
    direct_url,
    engine,
    engine_for,
    other_clients,
    public_address,
    ready_engine,
)
from qflow_dagster.database.revisions import ensure_database, migrate
from qflow_dagster.database.sessions import direct_engine

__all__ = [
    "copy_rows",
    "dagster_url",
    "database_url",
    "direct_engine",
    "direct_url",
    "engine",
    "engine_for",
    "ensure_database",
    "migrate",
    "other_clients",
    "public_address",
    "ready_engine",
    "stage_rows",
]
