"""The statements that move workflows: one skeleton, other candidates for each operation.

Belongs here: SQL of transitions. Does not belong here: when which is used, and what a refusal
means (`transitions`).
"""

from sqlalchemy import TextClause, text

from qflow_dagster.quantumflow.rows import Workflow, column_list

# The actor of transitions that nobody requested: expired leases and deadlines.
SYSTEM_ACTOR = "qflow"

_LOCKED = """w.id, w.type, w.status, w.attempt, w.max_attempts, w.lease_owner, w.head_seq, w.head_hash"""

# How many claims the rate of a key allows now; null: any number.
TOKENS = """least(CAST(:rate AS float8), coalesce(t.tokens, :rate)
    + greatest(extract(epoch FROM statement_timestamp() - t.served_at), 0) * :rate / :seconds)"""

# What the kinds of operation may take; `begun` is 1 where it is claimed, which begins an attempt. All lock in
# the order of ids or skip what is locked, so that operations on the same rows wait for each other and never
# deadlock. The lateral subquery makes it one probe of the primary key per row, whatever the planner guesses.
_REPORTED = f"""
    SELECT w.*, 0 AS begun, given.result, given.error, given.data
    FROM (SELECT * FROM json_to_recordset(CAST(:given AS json))
              AS given(id uuid, attempt integer, result jsonb, error jsonb, data jsonb)
          ORDER BY id) AS given
    CROSS JOIN LATERAL (
        SELECT {_LOCKED} FROM workflows w
        WHERE w.id = given.id AND (given.attempt IS NULL OR w.attempt = given.attempt)
        FOR UPDATE) AS w"""
_CLAIMABLE = f"""
    SELECT {_LOCKED}, 1 AS begun, NULL::jsonb AS result, NULL::jsonb AS error, NULL::jsonb AS data
    FROM workflows w
    WHERE w.type = :type AND w.claimable AND w.remaining_dependencies = 0
      AND w.available_at <= statement_timestamp()
      AND (w.expires_at IS NULL OR w.expires_at > statement_timestamp())
    ORDER BY w.priority DESC, w.available_at, w.id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""
_CLAIMABLE_AMONG = _CLAIMABLE.replace("ORDER BY", "AND w.id = ANY(:among)\n    ORDER BY")
# The keys are found by a probe of the index each; of each, no more is read than may be claimed. The first of each key
# come before the second of any.
_IN_TURNS = f"""
    WITH RECURSIVE key(name) AS (
        (SELECT w.fairness_key FROM workflows w WHERE {{waiting}} ORDER BY w.fairness_key LIMIT 1)
        UNION ALL
        SELECT (SELECT w.fairness_key FROM workflows w WHERE {{waiting}} AND w.fairness_key > key.name
                ORDER BY w.fairness_key LIMIT 1)
        FROM key WHERE key.name IS NOT NULL
    ), chosen AS MATERIALIZED (
        SELECT job.id
        FROM key LEFT JOIN fairness_turns t ON t.type = :type AND t.fairness_key = key.name
        CROSS JOIN LATERAL (
            SELECT w.id, row_number() OVER (ORDER BY w.priority DESC, w.available_at, w.id) AS round
            FROM workflows w
            WHERE {{waiting}} AND w.fairness_key = key.name
              AND w.available_at <= statement_timestamp()
              AND (w.expires_at IS NULL OR w.expires_at > statement_timestamp())
              AND (CAST(:among AS uuid[]) IS NULL OR w.id = ANY(:among))
            ORDER BY w.priority DESC, w.available_at, w.id
            LIMIT least(:limit, CASE WHEN CAST(:rate AS float8) IS NOT NULL THEN greatest(floor({TOKENS}), 0) END)
        ) AS job
        ORDER BY job.round, t.served_at NULLS FIRST, key.name
        LIMIT :limit
    )
    SELECT {_LOCKED}, 1 AS begun, NULL::jsonb AS result, NULL::jsonb AS error, NULL::jsonb AS data
    FROM chosen JOIN workflows w ON w.id = chosen.id
    WHERE w.claimable AND w.remaining_dependencies = 0
    FOR UPDATE OF w SKIP LOCKED""".format(
    waiting="w.type = :type AND w.claimable AND w.remaining_dependencies = 0 AND w.fairness_key IS NOT NULL"
)
_REPORTED_AND_CLAIMABLE = f"""
    SELECT * FROM ({_REPORTED}) AS reported
    UNION ALL
    SELECT * FROM ({_CLAIMABLE}) AS claimable"""
_LEASE_EXPIRED = f"""
    SELECT {_LOCKED}, 0 AS begun, NULL::jsonb AS result, jsonb_build_object('lease_owner', w.lease_owner) AS data,
           jsonb_build_object('kind', 'lease_expired', 'message',
                              'worker ' || w.lease_owner || ' stopped reporting') AS error
    FROM workflows w
    WHERE w.lease_expires_at <= statement_timestamp() AND w.type = ANY(:types)
    ORDER BY w.lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""
_DUE = f"""
    SELECT {_LOCKED}, 0 AS begun, NULL::jsonb AS result, NULL::jsonb AS error, NULL::jsonb AS data
    FROM workflows w
    WHERE w.expires_at <= statement_timestamp() AND w.finished_at IS NULL
      AND EXISTS (SELECT FROM edge WHERE edge.type = w.type AND edge.from_status = w.status)
    ORDER BY w.expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""

# Which edge of its state machine a locked row takes.
_MATCHING_EDGE = """e.type = c.type AND e.from_status = c.status AND e.begun = c.begun
        AND (e.exhausted IS NULL OR e.exhausted = (c.attempt >= c.max_attempts))"""

_MOVE = """
WITH edge AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:edges AS json)) AS edge(
        type text, begun integer, from_status text, to_status text, exhausted boolean, wait text,
        claimable boolean, leased boolean, terminal boolean, succeeded boolean, queues text[])
), candidate AS MATERIALIZED ({candidates}
), updated AS (
    UPDATE workflows w SET
        status = e.to_status,
        claimable = e.claimable,
        attempt = c.attempt + c.begun,
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
            c.head_hash, c.id, c.head_seq + 1, c.status, e.to_status, c.attempt + c.begun,
            coalesce(CAST(:actor AS text), c.lease_owner, CAST(:worker AS text), '{system}'), c.data,
            coalesce(CAST(:run_id AS text), w.run_id), statement_timestamp())
    FROM candidate c JOIN edge e ON {matching}
    WHERE w.id = c.id
      AND (CAST(:expected AS integer) IS NULL
           OR (SELECT count(*) FROM candidate c JOIN edge e ON {matching} WHERE c.begun = 0) = :expected)
    RETURNING w.*, c.begun, c.status AS from_status, c.head_hash AS prev_hash, c.data, e.queues,
              coalesce(CAST(:actor AS text), c.lease_owner, CAST(:worker AS text), '{system}') AS actor,
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
SELECT {returning}, (SELECT count(*) FROM notified) FROM {updated} {order}
"""


def _statement(candidates: str, returning: str, order: str = "", updated: str = "updated u") -> TextClause:
    return text(
        _MOVE.format(
            candidates=candidates,
            matching=_MATCHING_EDGE,
            returning=returning,
            order=order,
            updated=updated,
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

# What was reported is one row, joined with each claimed one; without any, it is joined with nulls.
COMPLETE_AND_CLAIM = _statement(
    _REPORTED_AND_CLAIMABLE,
    f"done.*, {column_list(Workflow, 'u')}",
    "ORDER BY u.priority DESC, u.available_at, u.id",
    """(SELECT count(*) AS moved, array_agg(id) FILTER (WHERE releases) AS releasing
     FROM updated WHERE begun = 0) AS done LEFT JOIN updated u ON u.begun = 1""",
)

CLAIM_AMONG = _statement(
    _CLAIMABLE_AMONG, column_list(Workflow, "u"), "ORDER BY u.priority DESC, u.available_at, u.id"
)

CLAIM_IN_TURNS = _statement(
    _IN_TURNS, column_list(Workflow, "u"), "ORDER BY u.priority DESC, u.available_at, u.id"
)

# Keys served together keep their order among each other, except that those of the last round are behind the others.
TAKE_TURNS = text(f"""
INSERT INTO fairness_turns (type, fairness_key, served_at, tokens)
SELECT :type, served.fairness_key, statement_timestamp() + served.position * interval '1 microsecond', served.tokens
FROM (
    SELECT w.fairness_key, {TOKENS} - count(*) AS tokens,
           row_number() OVER (ORDER BY count(*), t.served_at NULLS FIRST, w.fairness_key) AS position
    FROM workflows w LEFT JOIN fairness_turns t ON t.type = w.type AND t.fairness_key = w.fairness_key
    WHERE w.id = ANY(:ids) GROUP BY w.fairness_key, t.served_at, t.tokens) AS served
ON CONFLICT (type, fairness_key) DO UPDATE SET served_at = excluded.served_at, tokens = excluded.tokens
""")

# Workflows of before their type had a `Fairness` get the key that no other can have. Once: then it has a turn, until
# turns that were not served are pruned.
GIVE_KEY = text("""
WITH first AS (
    INSERT INTO fairness_turns (type, fairness_key, served_at, tokens)
    VALUES (:type, '', statement_timestamp(), :rate)
    ON CONFLICT DO NOTHING RETURNING type
)
UPDATE workflows w SET fairness_key = '' FROM first
WHERE w.type = first.type AND w.fairness_key IS NULL AND w.finished_at IS NULL
""")

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
