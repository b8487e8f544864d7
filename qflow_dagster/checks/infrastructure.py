"""Checks on errors, circuit breakers and health: no regression, no open breaker, nothing unhealthy."""

import dagster as dg

from qflow_dagster.assets import infrastructure as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.infrastructure import circuit_breaker, error_records, health_states
from qflow_dagster.resources.database import Database


@dg.asset_check(asset=assets.ERROR_GROUPS, description="No error group has regressed and is pending review.")
def no_error_has_regressed(database: Database) -> dg.AssetCheckResult:
    """Fail for error groups that occurred again after they were resolved."""
    with database.engine().connect() as connection:
        found = error_records.find(connection, state="regressed", limit=20)
    shown = [{"operation": row["operation"], "kind": row["kind"], "count": row["count"]} for row in found]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict(
            len(found),
            "resolved error group",
            "back",
            [f"{row['kind']} in {row['operation']}" for row in found],
            limit=20,
        ),
        metadata={"regressed": table(shown, MAX_ROWS)},
    )


@dg.asset_check(asset=assets.CIRCUIT_BREAKERS, description="No circuit breaker is open.")
def no_breaker_is_open(database: Database) -> dg.AssetCheckResult:
    """Fail for circuit breakers that are open or half open."""
    with database.engine().connect() as connection:
        found = [row for row in circuit_breaker.breakers(connection) if row["state"] != "closed"]
    shown = [{"operation": row["operation"], "state": row["state"], "reason": row["reason"]} for row in found]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict(
            len(found), "circuit breaker", "open or half open", [row["operation"] for row in found]
        ),
        metadata={"open": table(shown, MAX_ROWS)},
    )


@dg.asset_check(asset=assets.HEALTH, description="No health check is unhealthy.")
def nothing_is_unhealthy(database: Database) -> dg.AssetCheckResult:
    """Fail for health checks with the status unhealthy."""
    with database.engine().connect() as connection:
        states = health_states.states(connection)
    found = [{"check": s["name"], "message": s["message"]} for s in states if s["status"] == "unhealthy"]
    named = [f"{row['check']} ({row['message']})" for row in found]
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(found), "health check", "unhealthy", named),
        metadata={"unhealthy": table(found, MAX_ROWS)},
    )


checks = [no_error_has_regressed, no_breaker_is_open, nothing_is_unhealthy]
