"""Findings of rules that are conditions on measures: computed anew for each snapshot, in SQL.

Belongs here: the joins that give a condition its measures. Does not belong here: the
conditions (`conditions`), the measures themselves (`metrics`).
"""

from sqlalchemy import Connection, text

from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.conditions import FILE, FUNCTION, SHARED
from qflow_dagster.evolution.rule_engine import sync
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

_FUNCTIONS = f"""
    FROM files f JOIN blobs b ON b.id = f.blob_id JOIN symbols s ON s.blob_id = b.id AND s.seq > 0
    JOIN function_metrics m ON m.symbol_id = s.id
    LEFT JOIN hotspots h ON h.snapshot_id = :snapshot_id AND h.path = f.path
    WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT b.generated AND NOT f.test
"""
_FILES = f"""
    FROM files f JOIN blobs b ON b.id = f.blob_id
    JOIN file_metrics m ON m.snapshot_id = :snapshot_id AND m.path = f.path
    LEFT JOIN change_metrics c ON c.snapshot_id = :snapshot_id AND c.path = f.path
    LEFT JOIN duplication d ON d.snapshot_id = :snapshot_id AND d.path = f.path
    LEFT JOIN hotspots h ON h.snapshot_id = :snapshot_id AND h.path = f.path
    WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT b.generated AND NOT f.test
"""


def metric_rules(connection: Connection) -> list[Rule]:
    """The rules of this kind that are evaluated."""
    return [rule for rule in evaluated(rule_set.current(connection)) if rule.matcher.metric is not None]


def insert(connection: Connection, snapshot: Snapshot) -> None:
    """Add what these rules find to the table `found` (see `findings.begin`)."""
    for known in sync(connection, metric_rules(connection), ""):
        metric = known.rule.matcher.metric
        assert metric is not None  # noqa: S101  (they were chosen by it)
        functions = metric.of == "function"
        shown = {**(FUNCTION if functions else FILE), **SHARED}
        measures = ", ".join(f"'{name}', {expression}" for name, expression in shown.items())
        conditions = " AND ".join(condition.sql() for condition in metric.conditions())
        symbol, line, end = (
            ("s.qualified_name", "s.start_line", "s.end_line") if functions else ("''", "1", "1")
        )
        said = " || ', ' || ".join(
            f"'{condition.measure.replace('_', ' ')} ' || round(({condition.expression})::numeric, 1)::float8"
            for condition in metric.conditions()
        )
        # Functions of one name in one file (overloads) are told apart by their order.
        number = f"row_number() OVER (PARTITION BY f.path, {symbol} ORDER BY {line})"
        statement = text(f"""
            INSERT INTO found
            SELECT :rule_id, :rule_version_id, :category, :severity, f.path, {symbol}, {line}, {end}, 1,
                   CAST(:title AS text) || ': ' || {said}, false, false, jsonb_build_object({measures}),
                   sha256(convert_to(concat_ws(chr(31), CAST(:rule_id AS text), f.path, {symbol}, {number}), 'UTF8'))
            {_FUNCTIONS if functions else _FILES} AND {conditions}
        """)
        connection.execute(
            statement,
            {
                **snapshot.interval,
                "snapshot_id": snapshot.id,
                "rule_id": known.rule.id,
                "rule_version_id": known.id,
                "category": known.rule.category,
                "severity": known.rule.severity,
                "title": known.rule.title,
            },
        )
