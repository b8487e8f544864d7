"""Migrations and declared tables say the same, and every migration survives data."""

import importlib
import pkgutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

import qflow_dagster
from qflow_dagster.database.revisions import current_revision, migrate, newest_revision
from qflow_dagster.database.schema import metadata
from qflow_dagster.errors import QflowError


def declare_all_tables() -> None:
    """Import every module of the package whose name ends in `tables`."""
    for module in pkgutil.walk_packages(qflow_dagster.__path__, "qflow_dagster."):
        if module.name.endswith("tables"):
            importlib.import_module(module.name)


def test_a_migrated_database_holds_exactly_the_declared_tables(engine: Engine) -> None:
    declare_all_tables()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    assert migrate(engine) == newest_revision() == current_revision(engine)


def test_a_database_of_a_newer_version_is_refused_by_name(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    with pytest.raises(QflowError, match=r"9999_future.*install the version"):
        migrate(engine)
