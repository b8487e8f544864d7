"""Findings of metric rules: conditions (`conditions`) evaluated in SQL, anew for each snapshot."""

from sqlalchemy import Connection, text

from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.conditions import FILE, FUNCTION, SHARED
from qflow_dagster.evolution.rule_engine import sync
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.metrics.queries import UNITS

_FUNCTIONS = f"""
    FROM files f JOIN blobs b ON b.id = f.blob_id JOIN symbols s ON s.blob_id = b.id
    JOIN function_metrics m ON m.symbol_id = s.id AND {UNITS}
    LEFT JOIN hotspots h ON h.snapshot_id = :snapshot_id AND h.path = f.path
    WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT f.test
"""
_FILES = f"""
    FROM files f JOIN blobs b ON b.id = f.blob_id
    JOIN file_metrics m ON m.snapshot_id = :snapshot_id AND m.path = f.path
    LEFT JOIN change_metrics c ON c.snapshot_id = :snapshot_id AND c.path = f.path
    LEFT JOIN duplication d ON d.snapshot_id = :snapshot_id AND d.path = f.path
    LEFT JOIN hotspots h ON h.snapshot_id = :snapshot_id AND h.path = f.path
    WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT f.test
"""


def metric_rules(connection: Connection) -> list[Rule]:
    """Return the metric rules that are evaluated."""
    return [rule for rule in evaluated(rule_set.current(connection)) if rule.matcher.metric is not None]


def insert(connection: Connection, snapshot: Snapshot) -> None:
    """Insert the findings of metric rules into the table `current_findings` (see `findings.begin`)."""
    for stored in sync(connection, metric_rules(connection), ""):
        metric = stored.rule.matcher.metric
        assert metric is not None  # noqa: S101  (they were selected by it)
        functions = metric.of == "function"
        expressions = {**(FUNCTION if functions else FILE), **SHARED}
        measures = ", ".join(f"'{name}', {expression}" for name, expression in expressions.items())
        conditions = " AND ".join(condition.sql() for condition in metric.conditions())
        symbol, line, end = (
            ("s.qualified_name", "s.start_line", "s.end_line") if functions else ("''", "1", "1")
        )
        values = " || ', ' || ".join(
            f"'{condition.measure.replace('_', ' ')} ' || round(({condition.expression})::numeric, 1)::float8"
            for condition in metric.conditions()
        )
        # Functions of one name in one file (overloads) are distinguished by their order.
        number = f"row_number() OVER (PARTITION BY f.path, {symbol} ORDER BY {line})"
        statement = text(f"""
            INSERT INTO current_findings
            SELECT :rule_id, :rule_version_id, :category, :severity, f.path, {symbol}, {line}, {end}, 1,
                   CAST(:title AS text) || ': ' || {values}, false, false, jsonb_build_object({measures}),
                   sha256(convert_to(concat_ws(chr(31), CAST(:rule_id AS text), f.path, {symbol}, {number}), 'UTF8'))
            {_FUNCTIONS if functions else _FILES} AND {conditions}
        """)
        connection.execute(
            statement,
            {
                **snapshot.interval,
                "snapshot_id": snapshot.id,
                "rule_id": stored.rule.id,
                "rule_version_id": stored.id,
                "category": stored.rule.category,
                "severity": stored.rule.severity,
                "title": stored.rule.title,
            },
        )
