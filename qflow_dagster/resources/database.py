"""The database as a Dagster resource. Nothing connects until a run or tick asks."""

import dagster as dg
from sqlalchemy import Engine, make_url

from qflow_dagster.database import engine_for, ready_engine


class Database(dg.ConfigurableResource):
    """Our PostgreSQL database; `url` overrides what the settings say (tests do)."""

    url: str | None = None

    def engine(self) -> Engine:
        """The engine of this process; migrates first, where Dagster was started by itself."""
        return ready_engine() if self.url is None else engine_for(make_url(self.url))
