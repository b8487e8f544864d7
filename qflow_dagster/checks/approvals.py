"""Checks on approvals: none is altered or overdue."""

import dagster as dg

from qflow_dagster.approvals import records
from qflow_dagster.assets import approvals as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.resources.database import Database


@dg.asset_check(
    asset=assets.APPROVALS,
    description="Open approvals are unaltered: content digests and history hashes match.",
)
def approvals_are_unaltered(database: Database) -> dg.AssetCheckResult:
    """Verify the digest and the hash chain of every open approval."""
    with database.engine().connect() as connection:
        found = records.disagreements(connection)
    problems = {row["id"]: row["problem"] for row in found}
    named = [f"{id_} ({problem})" for id_, problem in problems.items()]
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(problems), "open approval", "altered", named),
        metadata={"altered": table(found, MAX_ROWS)},
    )


@dg.asset_check(
    asset=assets.APPROVALS,
    description="No approval is open past its expiry.",
)
def no_approval_is_overdue(database: Database) -> dg.AssetCheckResult:
    """Fail for open approvals more than two minutes past their expiry."""
    with database.engine().connect() as connection:
        late = records.pending_past_expiry(connection)
    return dg.AssetCheckResult(
        passed=not late,
        description=verdict(late, "open approval", "more than 2 minutes past the expiry"),
        metadata={"overdue": late},
    )


checks = [approvals_are_unaltered, no_approval_is_overdue]
