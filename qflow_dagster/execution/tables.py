"""Declare the tables of work items, task graphs and SPARC. The state of a row is that of its workflow (same id)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

__all__ = ["metadata"]

# Iterations, and the planning intervals that they are part of.
iterations = Table(
    "iterations",
    metadata,
    Column("name", Text, primary_key=True),
    # The planning interval of an iteration; NULL: it is a planning interval itself, or stands alone.
    Column("planning_interval", Text, ForeignKey("iterations.name", ondelete="CASCADE", onupdate="CASCADE")),
    Column("starts_on", Date, nullable=False),
    # The last day.
    Column("ends_on", Date, nullable=False),
    # Job size that the team can do in it; NULL: not stated.
    Column("capacity", Float),
    CheckConstraint("starts_on <= ends_on", name="period"),
)

work_items = Table(
    "work_items",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("level", Text, nullable=False),
    # NULL for what concerns no single repository.
    Column("repository_id", BigInteger, ForeignKey(ingestion.repositories.c.id, ondelete="CASCADE")),
    Column("parent_id", Uuid),
    # Of an epic: business or enabler.
    Column("kind", Text),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    # Acceptance criteria: sentences that are true when the item is done.
    Column("acceptance", JSONB, nullable=False),
    # Origin: findings, metric, error, text or plan.
    Column("source", Text, nullable=False),
    # Rule and file, where the item came from measures.
    Column("rule_id", Text),
    Column("path", Text),
    # Name of a score input -> {value, source, formula}; an input without an entry is missing.
    Column("inputs", JSONB, nullable=False),
    # The ancestor whose inputs give the score; NULL where the item has inputs of its own.
    Column("inherits_from", Uuid),
    Column("wsjf", Float),
    Column("owner", Text),
    Column("due", Date),
    Column("points", Integer),
    Column("priority", Text),
    Column("labels", JSONB, nullable=False, server_default="[]"),
    # The iteration it is planned for.
    Column("iteration", Text, ForeignKey("iterations.name", ondelete="SET NULL", onupdate="CASCADE")),
    timestamp_column("ranked_at", default_now=True),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("level IN ('theme', 'epic', 'capability', 'feature', 'story')", name="level"),
    CheckConstraint("source IN ('findings', 'metric', 'error', 'text', 'plan')", name="source"),
    CheckConstraint("kind IN ('business', 'enabler')", name="kind"),
    Index("ix_work_items_parent_id", "parent_id"),
    Index("ix_work_items_next", "wsjf", "created_at", postgresql_where=text("level IN ('feature', 'story')")),
    Index("ix_work_items_repository_id", "repository_id", "level"),
)

work_chunks = Table(
    "work_chunks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("text", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    # The classifier's result, with its confidence and reasons.
    Column("analysis", JSONB, nullable=False),
    Column("confidence", Float, nullable=False),
    # The work item it became, once applied.
    Column("work_item_id", Uuid),
    timestamp_column("created_at", default_now=True),
)

task_graphs = Table(
    "task_graphs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    timestamp_column("created_at", default_now=True),
)

# The parent of a task's workflow is its graph, or the task that was split.
tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("graph_id", Uuid, ForeignKey("task_graphs.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Order among the siblings: the results of a map come back in this order.
    Column("position", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    # JSON of `task_definitions.Task`.
    Column("spec", JSONB, nullable=False),
    # The array element of a mapped task.
    Column("element", JSONB),
    Index("ix_tasks_graph_id", "graph_id", "depth", "position"),
)

sparc_goals = Table(
    "sparc_goals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "repository_id",
        BigInteger,
        ForeignKey(ingestion.repositories.c.id, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("work_item_id", Uuid),
    Column("title", Text, nullable=False),
    # finding, metric or text.
    Column("goal_type", Text, nullable=False),
    Column("language", Text, nullable=False),
    # JSON of `sparc_targets.Target`; and the measured value by commit.
    Column("target", JSONB, nullable=False),
    Column("measured", JSONB, nullable=False, server_default="{}"),
    # The strategy, and the sampled value of each when it was chosen.
    Column("strategy", Text, nullable=False),
    Column("considered", JSONB, nullable=False),
    Column("round", Integer, nullable=False, server_default="1"),
    Column("requested_by", Text, nullable=False),
    # The strategy's result, once there is one: success, quality (1 / rounds), seconds of work, cost.
    Column("success", Boolean),
    Column("quality", Float),
    Column("seconds", Float),
    Column("cost", Float),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("goal_type IN ('finding', 'metric', 'text')", name="goal_type"),
    Index("ix_sparc_goals_work_item_id", "work_item_id"),
    Index("ix_sparc_goals_strategy", "strategy", "goal_type", "language"),
)

# A phase of a goal in one round: its artifact, author and gate verdict. The state is that of the workflow.
sparc_phases = Table(
    "sparc_phases",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("goal_id", Uuid, ForeignKey("sparc_goals.id", ondelete="CASCADE"), nullable=False),
    Column("phase", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("artifact", Text),
    Column("data", JSONB),
    Column("author", Text),
    Column("gate", Text),
    Column("verdict", Text),
    Column("reason", Text),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("cost", Float, nullable=False, server_default="0"),
    CheckConstraint(
        "phase IN ('specification', 'pseudocode', 'architecture', 'refinement', 'completion')", name="phase"
    ),
    Index("ix_sparc_phases_goal_id", "goal_id", "id"),
)
