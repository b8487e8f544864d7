"""Checks on the knowledge index: its entries are up to date."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets import knowledge as assets
from qflow_dagster.checks.repository_check import repository_check
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import index


@repository_check(assets.KNOWLEDGE_INDEX)
def every_file_is_indexed(connection: Connection, snapshot: Snapshot) -> dg.AssetCheckResult:
    """Check that every text file of the snapshot has index entries of the current index version."""
    found = index.missing(connection, snapshot)
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(found), "text file", "missing in the index", found),
        metadata={"missing": len(found), "for_example": ", ".join(found[:10]) or "none"},
    )


checks = [every_file_is_indexed]
