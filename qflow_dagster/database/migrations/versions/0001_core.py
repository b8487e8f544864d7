"""The durable core: workflows, history, seals, messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_core"
down_revision = None

# Canonical form: the time as the 8 bytes of its binary form, the rest as a record's text
# (fields quoted where needed; NULL is nothing, an empty text is ""), so that two rows never
# look alike and no session setting matters. Half the cost of the same as JSON. STABLE, though
# nothing in it can change, because only then may the planner inline it.
EVENT_HASH = """
CREATE FUNCTION workflow_event_hash(
    prev_hash bytea, workflow_id uuid, seq integer, from_status text, to_status text,
    attempt integer, actor text, data jsonb, run_id text, at timestamptz
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(prev_hash || timestamptz_send(at) || convert_to(
        ROW(workflow_id, seq, from_status, to_status, attempt, actor, data, run_id)::text, 'UTF8'))
$$
"""

SEAL_HASH = """
CREATE FUNCTION seal_hash(
    prev_hash bytea, id bigint, kind text, head_count integer, archive text, archive_hash bytea,
    at timestamptz, heads text
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(prev_hash || convert_to(jsonb_build_array(
        id, kind, head_count, archive, encode(archive_hash, 'hex'),
        (extract(epoch FROM at) * 1000000)::bigint, heads
    )::text, 'UTF8'))
$$
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING HINT = 'history leaves the database through prune only';
END $$
"""

REFUSE_UNSEALED_DELETE = """
CREATE FUNCTION refuse_unsealed_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid := CASE TG_TABLE_NAME WHEN 'workflows' THEN (to_jsonb(OLD) ->> 'id')::uuid
                                    ELSE (to_jsonb(OLD) ->> 'workflow_id')::uuid END;
BEGIN
    IF EXISTS (SELECT FROM sealed_heads JOIN seals ON seals.id = seal_id
               WHERE workflow_id = gone AND kind = 'prune') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'workflow % is not archived: deleting from % refused', gone, TG_TABLE_NAME
        USING HINT = 'history leaves the database through prune only';
END $$
"""


def upgrade() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("claimable", sa.Boolean(), nullable=False),
        sa.Column("remaining_dependencies", sa.Integer(), nullable=False),
        sa.Column("has_dependents", sa.Boolean(), nullable=False),
        sa.Column("head_seq", sa.Integer(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'failed', 'paused', 'completed', 'dead', 'cancelled', "
            "'expired')",
            name=op.f("ck_workflows_status"),
        ),
        sa.CheckConstraint("attempt >= 0 AND max_attempts >= 1", name=op.f("ck_workflows_attempts")),
        sa.CheckConstraint("remaining_dependencies >= 0", name=op.f("ck_workflows_remaining_dependencies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
    )
    op.create_index(
        "ix_workflows_claimable",
        "workflows",
        ["type", sa.text("priority DESC"), "available_at", "id"],
        postgresql_where=sa.text("claimable AND remaining_dependencies = 0"),
    )
    op.create_index(
        "ix_workflows_lease_expires_at",
        "workflows",
        ["lease_expires_at"],
        postgresql_where=sa.text("lease_expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_workflows_expires_at",
        "workflows",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index(
        "uq_workflows_type_key",
        "workflows",
        ["type", "key"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "ix_workflows_parent_id",
        "workflows",
        ["parent_id"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_table(
        "workflow_dependencies",
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("depends_on_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("workflow_id <> depends_on_id", name=op.f("ck_workflow_dependencies_not_itself")),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.id"],
            name=op.f("fk_workflow_dependencies_workflow_id_workflows"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["depends_on_id"],
            ["workflows.id"],
            name=op.f("fk_workflow_dependencies_depends_on_id_workflows"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workflow_id", "depends_on_id", name=op.f("pk_workflow_dependencies")),
    )
    op.create_index("ix_workflow_dependencies_depends_on_id", "workflow_dependencies", ["depends_on_id"])
    op.create_table(
        "workflow_events",
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", JSONB(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "seq", name=op.f("pk_workflow_events")),
    )
    op.create_table(
        "seals",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("head_count", sa.Integer(), nullable=False),
        sa.Column("archive", sa.Text(), nullable=True),
        sa.Column("archive_hash", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('checkpoint', 'prune')", name=op.f("ck_seals_kind")),
        sa.CheckConstraint(
            "(kind = 'prune') = (archive IS NOT NULL AND archive_hash IS NOT NULL)",
            name=op.f("ck_seals_archive"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seals")),
    )
    op.create_table(
        "sealed_heads",
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "seal_id", name=op.f("pk_sealed_heads")),
    )
    op.create_index("ix_sealed_heads_seal_id", "sealed_heads", ["seal_id"])
    op.create_table(
        "messages",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column(
            "xact",
            sa.BigInteger(),
            server_default=sa.text("((pg_current_xact_id())::text)::bigint"),
            nullable=False,
        ),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("queue", "xact", "id", name=op.f("pk_messages")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("xact", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("queue", "consumer", name=op.f("pk_subscriptions")),
    )
    for function in (EVENT_HASH, SEAL_HASH, REFUSE_CHANGE, REFUSE_UNSEALED_DELETE):
        op.execute(function)
    for table in ("workflow_events", "seals", "sealed_heads"):
        events = "UPDATE" if table == "workflow_events" else "UPDATE OR DELETE"
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE {events} OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
        )
    op.execute(
        "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON workflows "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
    )
    for table in ("workflows", "workflow_events"):
        op.execute(
            f"CREATE TRIGGER refuse_unsealed_delete BEFORE DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_unsealed_delete()"
        )
