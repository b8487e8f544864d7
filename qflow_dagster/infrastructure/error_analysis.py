"""Analysis of new errors: groups, regressions, alerts, and updates of circuit breakers.

`analyze` processes the occurrences that belong to no group yet, from any program, a batch per
transaction. Does not belong here: recording errors (`error_rate_tracker`), people's decisions on
groups (`error_records`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, select, text

from qflow_dagster.infrastructure import (
    ERROR_GROUP,
    breaker_observation,
    circuit_breaker,
    error_alerts,
    error_grouping,
    releases,
)
from qflow_dagster.infrastructure.call_counts import count_calls_once
from qflow_dagster.infrastructure.classification import classify
from qflow_dagster.infrastructure.error_alerts import OLDEST_ALERT
from qflow_dagster.infrastructure.error_grouping import GroupingRules
from qflow_dagster.infrastructure.error_rate_tracker import MAX_MESSAGE_LENGTH, SEVERITIES
from qflow_dagster.infrastructure.fingerprints import fingerprint, innermost
from qflow_dagster.infrastructure.frame_names import shown_frame
from qflow_dagster.infrastructure.releases import MAX_RELEASE_LENGTH
from qflow_dagster.infrastructure.stacks import MAX_STACK_LENGTH, Frame, Raised, chain_from, chain_of
from qflow_dagster.infrastructure.tables import error_groups
from qflow_dagster.quantumflow import NewWorkflow, create_workflows, transition
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

BATCH = 5_000
# Seconds by which the clock of a program may be ahead; what is later did not happen now.
FUTURE = 300
# Severities that count as failed calls; messages of others are no calls at all.
FAILURES = ("error", "critical")


@dataclass
class Analysis:
    """The result of an analysis."""

    occurrences: int = 0
    new_groups: list[UUID] = field(default_factory=list)
    regressed: list[UUID] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    # Every group with a new occurrence.
    groups: set[UUID] = field(default_factory=set)

    def add(self, other: "Analysis") -> None:
        """Add the result of another batch."""
        self.occurrences += other.occurrences
        self.groups |= other.groups
        for name in ("new_groups", "regressed", "alerts", "opened"):
            mine = getattr(self, name)
            mine += [item for item in getattr(other, name) if item not in mine]


@dataclass
class _Group:
    """The occurrences of a batch that belong to a group."""

    first: Row[Any]
    frames: tuple[Frame, ...]
    ids: list[int] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    severities: set[str] = field(default_factory=set)
    # Of each occurrence, like the times; None where its sender names none.
    releases: list[str | None] = field(default_factory=list)


# Any program may insert texts of any length, and times outside the range of Python's datetime.
_TAKE = text(f"""
SELECT id, operation, left(kind, 200) AS kind, left(message, {MAX_MESSAGE_LENGTH}) AS message,
       CASE WHEN exceptions IS NULL THEN left(stack, {MAX_STACK_LENGTH}) END AS stack, exceptions, severity, source,
       least(greatest(at, statement_timestamp() - interval '100 years'), statement_timestamp()) AS at,
       at BETWEEN statement_timestamp() - make_interval(secs => {OLDEST_ALERT})
              AND statement_timestamp() + make_interval(secs => {FUTURE}) AS current,
       CASE WHEN source IN ('sentry', 'otlp') THEN correlation_id END AS trace,
       CASE WHEN source = 'sentry' THEN jsonb_path_query_array(context, '$.fingerprint[*]') END AS given,
       CASE WHEN jsonb_typeof(context) = 'object' THEN left(context ->> 'release', {MAX_RELEASE_LENGTH}) END AS release
FROM error_occurrences WHERE group_id IS NULL ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")

_UPSERT = text("""
INSERT INTO error_groups AS g (id, fingerprint, operation, kind, message, classification, retryable, severity,
                               frames, first_seen, last_seen, count, first_release, last_release)
SELECT id, decode(fingerprint, 'hex'), operation, kind, message, classification, retryable, severity, frames,
       first_seen, last_seen, count, first_release, last_release
FROM json_to_recordset(CAST(:given AS json)) AS given(
    id uuid, fingerprint text, operation text, kind text, message text, classification text,
    retryable boolean, severity text, frames jsonb, first_seen timestamptz, last_seen timestamptz, count bigint,
    first_release text, last_release text)
ON CONFLICT (id) DO UPDATE SET
    count = g.count + excluded.count,
    first_seen = least(g.first_seen, excluded.first_seen),
    last_seen = greatest(g.last_seen, excluded.last_seen),
    message = excluded.message,
    first_release = coalesce(g.first_release, excluded.first_release),
    last_release = coalesce(excluded.last_release, g.last_release),
    severity = CASE WHEN array_position(CAST(:severities AS text[]), excluded.severity)
                       > array_position(CAST(:severities AS text[]), g.severity)
                    THEN excluded.severity ELSE g.severity END
RETURNING id, (xmax = 0) AS is_new
""")

_SUCCESSES_SINCE = text("""
SELECT given.operation, coalesce(sum(s.count), 0)::bigint AS successes
FROM unnest(CAST(:operations AS text[]), CAST(:first AS timestamptz[])) AS given(operation, first)
LEFT JOIN circuit_breakers b ON b.operation = given.operation
LEFT JOIN operation_successes s ON s.operation = given.operation
     AND s.at > coalesce(b.failed_at, '-infinity') AND s.at < given.first
GROUP BY given.operation
""")


def analyze(engine: Engine, *, limit: int = 100_000, run_id: str | None = None) -> Analysis:
    """Group up to `limit` new occurrences in batches; then send alerts and update circuit breakers."""
    whole = Analysis()
    while whole.occurrences < limit:
        with engine.begin() as connection:
            batch = analyze_batch(connection, limit=min(BATCH, limit - whole.occurrences), run_id=run_id)
        whole.add(batch)
        if not batch.occurrences:
            break
    with engine.begin() as connection:
        recover(connection)
    return whole


def recover(connection: Connection) -> list[str]:
    """End alerts and close circuit breakers of recovered operations; return these operations."""
    return [
        *error_alerts.recover(connection),
        *breaker_observation.observe_successes(connection),
        *breaker_observation.observe_quiet(connection),
    ]


def analyze_batch(connection: Connection, *, limit: int = BATCH, run_id: str | None = None) -> Analysis:
    """Analyze one batch in the caller's transaction."""
    rows = connection.execute(_TAKE, {"limit": limit}).all()
    analysis = Analysis(occurrences=len(rows))
    if not rows:
        return analysis
    # An error and a success that were stored at the same time did not see each other.
    count_calls_once(connection, [(row.trace, row.operation) for row in rows])
    groups = _grouped(rows, error_grouping.load_rules(connection))
    ids = create_workflows(
        connection,
        [
            NewWorkflow(
                type=ERROR_GROUP,
                key=key.hex(),
                payload={"title": f"{group.first.kind} in {group.first.operation}"[:200]},
                run_id=run_id,
            )
            for key, group in groups.items()
        ],
        actor="qflow",
    )
    by_id = dict(zip(ids, groups.values(), strict=True))
    rows_to_store = [_row(id_, key, group) for id_, (key, group) in zip(ids, groups.items(), strict=True)]
    parameters = {"given": to_json(rows_to_store, "an error group"), "severities": list(SEVERITIES)}
    stored = connection.execute(_UPSERT, parameters).all()
    analysis.groups = set(ids)
    analysis.new_groups = [row.id for row in stored if row.is_new]
    assign = text("""
        UPDATE error_occurrences o SET group_id = given.group_id
        FROM unnest(CAST(:ids AS bigint[]), CAST(:groups AS uuid[])) AS given(id, group_id)
        WHERE o.id = given.id
    """)
    pairs = [(occurrence, id_) for id_, group in by_id.items() for occurrence in group.ids]
    connection.execute(assign, {"ids": [pair[0] for pair in pairs], "groups": [pair[1] for pair in pairs]})
    analysis.regressed = _regress(connection, by_id, run_id)
    analysis.alerts = error_alerts.alert(
        connection, [row for row in rows if row.current and row.severity in FAILURES]
    )
    analysis.opened = _count_in_breakers(connection, rows)
    return analysis


def _grouped(rows: Iterable[Row[Any]], rules: GroupingRules) -> dict[bytes, _Group]:
    groups: dict[bytes, _Group] = {}
    for row in rows:
        chain = _chain(row)
        given = rules.fingerprint_of(chain, row.operation, row.release or "") or map(str, row.given or ())
        key = fingerprint(chain, tuple(given), {"transaction": row.operation, "release": row.release or ""})
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(row, innermost(chain))
        group.ids.append(row.id)
        group.times.append(row.at)
        group.severities.add(row.severity)
        group.releases.append(row.release)
    return groups


def _chain(row: Row[Any]) -> tuple[Raised, ...]:
    """Return the exceptions of an occurrence; without frames if they cannot be read, so that others are analyzed."""
    try:
        if row.exceptions:
            return chain_from(row.exceptions)
        # Without any message, only the operation tells errors apart.
        return chain_of(row.kind, row.message or row.operation, row.stack)
    except Exception:
        logger.exception("the stack of error occurrence %d cannot be read; it counts as one without", row.id)
        return (Raised(row.kind, row.message),)


def _row(id_: UUID, key: bytes, group: _Group) -> dict[str, Any]:
    row = group.first
    kind = classify(row.kind, row.message)
    return {
        "id": str(id_),
        "fingerprint": key.hex(),
        "operation": row.operation,
        "kind": row.kind,
        "message": row.message[:2_000],
        "classification": kind.name,
        "retryable": kind.retryable,
        "severity": max(group.severities, key=SEVERITIES.index),
        "frames": [shown_frame(frame) for frame in group.frames],
        "first_seen": min(group.times).isoformat(),
        "last_seen": max(group.times).isoformat(),
        "count": len(group.ids),
        "first_release": next(filter(None, group.releases), None),
        "last_release": next(filter(None, reversed(group.releases)), None),
    }


def _regress(connection: Connection, groups: dict[UUID, _Group], run_id: str | None) -> list[UUID]:
    """Mark resolved groups as regressed that have an occurrence after they were resolved.

    A group that was resolved in a release regresses in that one or a later one only.
    """
    seen: dict[str, datetime] = {}
    shown_as: dict[UUID, list[_Group]] = defaultdict(list)
    parts = select(error_groups.c.id, error_groups.c.merged_into).where(error_groups.c.id.in_(list(groups)))
    for row in connection.execute(parts):
        shown_as[row.merged_into or row.id].append(groups[row.id])
    for group in groups.values():
        for release, at in zip(group.releases, group.times, strict=True):
            if release is not None:
                seen[release] = min(at, seen.get(release, at))
    releases.record(connection, seen)
    columns = workflows.c
    query = (
        select(columns.id, columns.updated_at, error_groups.c.resolved_in)
        .join(error_groups, error_groups.c.id == columns.id)
        .where(columns.id.in_(list(shown_as)), columns.status == "resolved")
        .order_by(columns.id)
        .with_for_update()
    )
    resolved = connection.execute(query).all()
    order = releases.first_seen(connection, [*seen, *filter(None, (row.resolved_in for row in resolved))])
    back = [
        row.id
        for row in resolved
        if any(
            at > row.updated_at
            and not (release and row.resolved_in and releases.is_before(release, row.resolved_in, order))
            for group in shown_as[row.id]
            for at, release in zip(group.times, group.releases, strict=True)
        )
    ]
    if back:
        transition(
            connection, back, "regressed", actor="qflow", data={"reason": "it happened again"}, run_id=run_id
        )
    return back


def _count_in_breakers(connection: Connection, rows: Sequence[Row[Any]]) -> list[str]:
    """Report failures of calls that bypassed the circuit breaker to it."""
    failures: dict[str, list[datetime]] = defaultdict(list)
    for row in rows:
        if row.source != "breaker" and row.severity in FAILURES and row.current:
            failures[row.operation].append(row.at)
    if not failures:
        return []
    # Always in the same order, so that concurrent analyses cannot deadlock.
    operations = sorted(failures)
    parameters = {"operations": operations, "first": [min(failures[name]) for name in operations]}
    successes = {row.operation: row.successes for row in connection.execute(_SUCCESSES_SINCE, parameters)}
    by_operation = {row["operation"]: row for row in circuit_breaker.breakers(connection)}
    opened = []
    for name in operations:
        breaker = by_operation.get(name)
        if breaker and breaker["state"] == "open" and breaker["next_probe_in"]:
            # Further failures of the same batch do not change its state.
            continue
        state = breaker_observation.observe(
            connection, name, failures=len(failures[name]), successes_before=successes[name]
        )
        if state == "open" and (breaker is None or breaker["state"] != "open"):
            opened.append(name)
    return opened
