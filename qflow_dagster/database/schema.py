"""The metadata every table of the project is declared on.

Belongs here: the shared ``MetaData`` and column helpers. Tables belong in the
``tables.py`` of their domain; what creates them is a migration.
"""

from sqlalchemy import Column, DateTime, MetaData, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def timestamp_column(name: str, *, default_now: bool = False, nullable: bool = False) -> Column:
    """Return a ``timestamptz`` column; with ``default_now`` the database clock fills it, never the client's."""
    default = text("clock_timestamp()") if default_now else None
    return Column(name, DateTime(timezone=True), server_default=default, nullable=nullable)
