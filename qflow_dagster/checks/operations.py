"""Checks on approvals, errors, breakers and health: nothing overdue, nothing altered, nothing left lying."""

import dagster as dg

from qflow_dagster.approvals import records
from qflow_dagster.assets import operations as assets
from qflow_dagster.assets.metadata import table
from qflow_dagster.infrastructure import circuit_breaker, error_records, health_agent
from qflow_dagster.resources.database import Database


@dg.asset_check(
    asset=assets.APPROVALS,
    description="What is asked for is what was asked for, and the history of open approvals holds.",
)
def approvals_are_unaltered(database: Database) -> dg.AssetCheckResult:
    """Digest and chain of every open approval."""
    with database.engine().connect() as connection:
        found = records.disagreements(connection)
    return dg.AssetCheckResult(passed=not found, metadata={"altered": table(found, 20)})


@dg.asset_check(asset=assets.APPROVALS, description="No approval is open past its end: the sweep runs.")
def no_approval_is_overdue(database: Database) -> dg.AssetCheckResult:
    """Open approvals two minutes past their expiry."""
    with database.engine().connect() as connection:
        late = records.pending_past_expiry(connection)
    return dg.AssetCheckResult(passed=not late, metadata={"overdue": late})


@dg.asset_check(asset=assets.ERROR_GROUPS, description="No error has regressed and waits to be looked at.")
def no_error_has_regressed(database: Database) -> dg.AssetCheckResult:
    """Groups that were resolved and came back."""
    with database.engine().connect() as connection:
        found = error_records.find(connection, state="regressed", limit=20)
    shown = [{"operation": row["operation"], "kind": row["kind"], "count": row["count"]} for row in found]
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN, metadata={"regressed": table(shown, 20)}
    )


@dg.asset_check(asset=assets.CIRCUIT_BREAKERS, description="No circuit breaker is open.")
def no_breaker_is_open(database: Database) -> dg.AssetCheckResult:
    """Breakers that are open or half open."""
    with database.engine().connect() as connection:
        found = [row for row in circuit_breaker.breakers(connection) if row["state"] != "closed"]
    shown = [{"operation": row["operation"], "state": row["state"], "reason": row["reason"]} for row in found]
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN, metadata={"open": table(shown, 20)}
    )


@dg.asset_check(asset=assets.HEALTH, description="Nothing is unhealthy.")
def nothing_is_unhealthy(database: Database) -> dg.AssetCheckResult:
    """Checks believed unhealthy."""
    with database.engine().connect() as connection:
        states = health_agent.states(connection)
    found = [{"check": s["name"], "message": s["message"]} for s in states if s["status"] == "unhealthy"]
    return dg.AssetCheckResult(passed=not found, metadata={"unhealthy": table(found, 20)})


checks = [
    approvals_are_unaltered,
    no_approval_is_overdue,
    no_error_has_regressed,
    no_breaker_is_open,
    nothing_is_unhealthy,
]
