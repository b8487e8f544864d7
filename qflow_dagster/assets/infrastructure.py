"""Assets of the group `infrastructure`: errors, circuit breakers and health.

The tables change by themselves; a materialization summarizes them, every hour and on request.
"""

import dagster as dg

from qflow_dagster.assets.approvals import APPROVALS
from qflow_dagster.assets.metadata import HOURLY, MAX_ROWS, picture, table, table_metadata
from qflow_dagster.infrastructure import circuit_breaker, error_records, health_states, tables
from qflow_dagster.infrastructure.error_rate_tracker import rates
from qflow_dagster.pictures.charts import histogram, trend
from qflow_dagster.resources.database import Database

GROUP = "infrastructure"
ERROR_GROUPS = dg.AssetKey([GROUP, "error_groups"])
CIRCUIT_BREAKERS = dg.AssetKey([GROUP, "circuit_breakers"])
HEALTH = dg.AssetKey([GROUP, "health"])


@dg.asset(
    key=ERROR_GROUPS,
    freshness_policy=HOURLY,
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Errors grouped by fingerprint, with advice and the suspected commit.",
    metadata=table_metadata(tables.error_groups),
)
def error_groups(database: Database) -> dg.MaterializeResult:
    """Summarize the errors of the last day."""
    with database.engine().connect() as connection:
        open_groups = error_records.find(connection, limit=1_000)
        timeline = error_records.timeline(connection)
    columns = ("state", "count", "last_seen", "operation", "kind", "classification", "message")
    return dg.MaterializeResult(
        metadata={
            "last_day": picture(
                trend(
                    [row["at"].strftime("%H:%M") for row in timeline],
                    [row["errors"] for row in timeline],
                    [row["successes"] for row in timeline],
                    "Errors (bars) and successes (line) per quarter of an hour",
                )
            ),
            "dagster/row_count": len(open_groups),
            "errors": table(open_groups, MAX_ROWS, columns),
        }
    )


@dg.asset(
    key=CIRCUIT_BREAKERS,
    freshness_policy=HOURLY,
    deps=[ERROR_GROUPS],
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Circuit breakers: which operations fail fast, since when and why; error rates of all operations.",
    metadata=table_metadata(tables.circuit_breakers),
)
def circuit_breakers(database: Database) -> dg.MaterializeResult:
    """Summarize the circuit breakers and the error rates."""
    with database.engine().connect() as connection:
        breakers = circuit_breaker.breakers(connection)
        hour = sorted(rates(connection, window=3_600), key=lambda rate: -rate.rate)
    breakers.sort(key=lambda row: row["state"] == "closed")
    columns = ("operation", "state", "since", "failures", "next_probe_in", "reason")
    bars = [(rate.operation[-18:], round(rate.rate * 100)) for rate in hour[:8]]
    return dg.MaterializeResult(
        metadata={
            "error_rates": picture(histogram(bars, "Error rate of the last hour in percent, highest first")),
            "dagster/row_count": len(breakers),
            "breakers": table(breakers, MAX_ROWS, columns),
            "rates": table(
                [
                    {"operation": r.operation, "errors": r.errors, "calls": r.total, "rate": r.rate}
                    for r in hour
                ],
                MAX_ROWS,
            ),
        }
    )


@dg.asset(
    key=HEALTH,
    freshness_policy=HOURLY,
    deps=[CIRCUIT_BREAKERS, APPROVALS],
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Health: the current status of every check, incidents, uptime, and forecasts of measured values.",
    metadata=table_metadata(tables.health_states),
)
def health(database: Database) -> dg.MaterializeResult:
    """Summarize the health checks."""
    with database.engine().connect() as connection:
        states = health_states.states(connection)
        incidents = health_states.incidents(connection, limit=MAX_ROWS)
        forecasts = health_states.forecasts(connection)
        watched = [state["name"] for state in states if state["name"].startswith(("service:", "database"))]
        uptimes = health_states.uptimes(connection, watched)
    rows = [
        {
            "check": state["name"],
            "status": state["status"],
            "message": state["message"],
            "since": state["since"],
            "uptime_30_days": uptimes.get(state["name"]),
            "threshold_in_days": forecasts[state["name"]] / 86_400 if state["name"] in forecasts else None,
        }
        for state in states
    ]
    by_status = [(name, sum(s["status"] == name for s in states)) for name in health_states.STATUSES]
    return dg.MaterializeResult(
        metadata={
            "by_status": picture(histogram(by_status, "Checks by status", marked=1)),
            "dagster/row_count": len(states),
            "overall": health_states.overall(states),
            "checks": table(rows, 100),
            "incidents": table([{k: v for k, v in row.items() if k != "id"} for row in incidents], MAX_ROWS),
        }
    )


assets = [error_groups, circuit_breakers, health]
