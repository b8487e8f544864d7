"""The statements that move workflows: one skeleton, other candidates for each operation.

Belongs here: SQL of transitions. Does not belong here: when which is used, and what a refusal
means (`transitions`).
"""

from sqlalchemy import TextClause, text

from qflow_dagster.quantumflow.rows import Workflow, column_list

# The actor of transitions that nobody requested: expired leases and deadlines.
SYSTEM_ACTOR = "qflow"

_LOCKED = """w.id, w.type, w.status, w.attempt, w.max_attempts, w.lease_owner, w.head_seq, w.head_hash"""

# What the four kinds of operation may take. All lock in the order of ids or skip what is
# locked, so that operations on the same rows wait for each other and never deadlock. The
# lateral subquery makes it one probe of the primary key per row, whatever the planner guesses.
_REPORTED = f"""
    SELECT w.*, given.result, given.error, given.data
    FROM (SELECT * FROM json_to_recordset(CAST(:given AS json))
              AS given(id uuid, attempt integer, result jsonb, error jsonb, data jsonb)
          ORDER BY id) AS given
    CROSS JOIN LATERAL (
        SELECT {_LOCKED} FROM workflows w
        WHERE w.id = given.id AND (given.attempt IS NULL OR w.attempt = given.attempt)
        FOR UPDATE) AS w"""
_CLAIMABLE = f"""
    SELECT {_LOCKED}, NULL::jsonb AS result, NULL::jsonb AS error, NULL::jsonb AS data
    FROM workflows w
    WHERE w.type = :type AND w.claimable AND w.remaining_dependencies = 0
      AND w.available_at <= statement_timestamp()
      AND (w.expires_at IS NULL OR w.expires_at > statement_timestamp())
    ORDER BY w.priority DESC, w.available_at, w.id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""
_CLAIMABLE_AMONG = _CLAIMABLE.replace("ORDER BY", "AND w.id = ANY(:among)\n    ORDER BY")
_LEASE_EXPIRED = f"""
    SELECT {_LOCKED}, NULL::jsonb AS result, jsonb_build_object('lease_owner', w.lease_owner) AS data,
           jsonb_build_object('kind', 'lease_expired', 'message',
                              'worker ' || w.lease_owner || ' stopped reporting') AS error
    FROM workflows w
    WHERE w.lease_expires_at <= statement_timestamp() AND w.type = ANY(:types)
    ORDER BY w.lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""
_DUE = f"""
    SELECT {_LOCKED}, NULL::jsonb AS result, NULL::jsonb AS error, NULL::jsonb AS data
    FROM workflows w
    WHERE w.expires_at <= statement_timestamp() AND w.finished_at IS NULL
      AND EXISTS (SELECT FROM edge WHERE edge.type = w.type AND edge.from_status = w.status)
    ORDER BY w.expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""

# Which edge of its state machine a locked row takes.
_MATCHING_EDGE = """e.type = c.type AND e.from_status = c.status
        AND (e.exhausted IS NULL OR e.exhausted = (c.attempt >= c.max_attempts))"""

_MOVE = """
WITH edge AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:edges AS json)) AS edge(
        type text, from_status text, to_status text, exhausted boolean, wait text,
        claimable boolean, leased boolean, terminal boolean, succeeded boolean, queues text[])
), candidate AS MATERIALIZED ({candidates}
), updated AS (
    UPDATE workflows w SET
        status = e.to_status,
        claimable = e.claimable,
        attempt = c.attempt + :begun,
        result = coalesce(c.result, w.result),
        error = CASE WHEN e.succeeded THEN NULL ELSE coalesce(c.error, w.error) END,
        run_id = coalesce(CAST(:run_id AS text), w.run_id),
        available_at = CASE e.wait
            WHEN 'none' THEN statement_timestamp()
            -- Exponential backoff with equal jitter: half of the delay is certain, half is random.
            WHEN 'backoff' THEN statement_timestamp() + make_interval(secs => (0.5 + random() / 2) * least(
                CAST(:delay_limit AS float8), CAST(:delay AS float8) * 2 ^ least(c.attempt - 1, 60)))
            ELSE w.available_at END,
        lease_owner = CASE WHEN e.leased THEN coalesce(CAST(:worker AS text), w.lease_owner) END,
        lease_expires_at = CASE WHEN e.leased THEN coalesce(
            statement_timestamp() + make_interval(secs => CAST(:lease AS float8)), w.lease_expires_at) END,
        finished_at = CASE WHEN e.terminal THEN statement_timestamp() END,
        updated_at = statement_timestamp(),
        head_seq = c.head_seq + 1,
        head_hash = workflow_event_hash(
            c.head_hash, c.id, c.head_seq + 1, c.status, e.to_status, c.attempt + :begun,
            coalesce(CAST(:actor AS text), c.lease_owner, '{system}'), c.data,
            coalesce(CAST(:run_id AS text), w.run_id), statement_timestamp())
    FROM candidate c JOIN edge e ON {matching}
    WHERE w.id = c.id
      AND (CAST(:expected AS integer) IS NULL
           OR (SELECT count(*) FROM candidate c JOIN edge e ON {matching}) = :expected)
    RETURNING w.*, c.status AS from_status, c.head_hash AS prev_hash, c.data, e.queues,
              coalesce(CAST(:actor AS text), c.lease_owner, '{system}') AS actor,
              e.succeeded AND w.has_dependents AS releases
), event AS (
    INSERT INTO workflow_events (workflow_id, seq, from_status, to_status, attempt, actor, data, run_id,
                                 at, prev_hash, hash)
    SELECT id, head_seq, from_status, status, attempt, actor, data, run_id, updated_at, prev_hash, head_hash
    FROM updated
), message AS (
    INSERT INTO messages (queue, payload)
    SELECT queue, jsonb_build_object('workflow_id', id, 'type', type, 'key', key, 'from', from_status,
                                     'to', status, 'attempt', attempt, 'actor', actor, 'seq', head_seq)
    FROM updated CROSS JOIN unnest(queues) AS queue
), notified AS MATERIALIZED (
    SELECT pg_notify(queue, pg_current_xact_id()::text)
    FROM (SELECT DISTINCT unnest(queues) AS queue FROM updated) AS queues
)
SELECT {returning}, (SELECT count(*) FROM notified) FROM updated u {order}
"""


def _statement(candidates: str, returning: str, order: str = "") -> TextClause:
    return text(
        _MOVE.format(
            candidates=candidates,
            matching=_MATCHING_EDGE,
            returning=returning,
            order=order,
            system=SYSTEM_ACTOR,
        )
    )


# One row for all: a report on hundreds of workflows must not become as many rows to read back.
MOVE_REPORTED = _statement(
    _REPORTED,
    "count(*) AS moved, json_object_agg(u.id, u.status) AS statuses, "
    "array_agg(u.id) FILTER (WHERE u.releases) AS releasing",
)
MOVE_LEASE_EXPIRED = _statement(_LEASE_EXPIRED, "u.id")
MOVE_DUE = _statement(_DUE, "u.id")
CLAIM = _statement(_CLAIMABLE, column_list(Workflow, "u"), "ORDER BY u.priority DESC, u.available_at, u.id")

CLAIM_AMONG = _statement(
    _CLAIMABLE_AMONG, column_list(Workflow, "u"), "ORDER BY u.priority DESC, u.available_at, u.id"
)

HEARTBEAT = text("""
WITH held AS MATERIALIZED (
    SELECT w.id
    FROM (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS integer[])) AS given(id, attempt)
          ORDER BY id) AS given
    CROSS JOIN LATERAL (
        SELECT w.id FROM workflows w
        WHERE w.id = given.id AND w.attempt = given.attempt AND w.lease_expires_at IS NOT NULL
        FOR UPDATE) AS w
)
UPDATE workflows w SET lease_expires_at = statement_timestamp() + make_interval(secs => :lease)
FROM held
WHERE w.id = held.id AND (SELECT count(*) FROM held) = :expected
RETURNING w.id
""")

# The rows go, so that what completes after all is not counted again.
SKIP_DEPENDENCY = text("""
WITH locked AS MATERIALIZED (
    SELECT w.id FROM workflow_dependencies d JOIN workflows w ON w.id = d.workflow_id
    WHERE d.depends_on_id = ANY(CAST(:ids AS uuid[])) ORDER BY w.id FOR UPDATE OF w
), skipped AS (
    DELETE FROM workflow_dependencies d USING locked
    WHERE d.workflow_id = locked.id AND d.depends_on_id = ANY(CAST(:ids AS uuid[]))
    RETURNING d.workflow_id
), counted AS (
    SELECT workflow_id, count(*)::integer AS number FROM skipped GROUP BY workflow_id
)
UPDATE workflows w SET
    remaining_dependencies = w.remaining_dependencies - counted.number, updated_at = statement_timestamp()
FROM counted WHERE w.id = counted.workflow_id
""")

# A statement of its own, so that its snapshot sees dependents whose creation the completion waited for.
RELEASE_DEPENDENTS = text("""
WITH released AS MATERIALIZED (
    SELECT workflow_id, count(*)::integer AS completed
    FROM workflow_dependencies WHERE depends_on_id = ANY(CAST(:ids AS uuid[])) GROUP BY workflow_id
), locked AS MATERIALIZED (
    SELECT w.id, released.completed FROM released JOIN workflows w ON w.id = released.workflow_id
    ORDER BY w.id FOR UPDATE OF w
)
UPDATE workflows w SET
    remaining_dependencies = w.remaining_dependencies - locked.completed,
    updated_at = statement_timestamp()
FROM locked WHERE w.id = locked.id
""")
