"""Tables of the plan, of task graphs and of SPARC. What has a state has that of the workflow with the same id."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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
    # List of sentences that are true when it is done.
    Column("acceptance", JSONB, nullable=False),
    # findings, metric, error, text or plan: where it came from.
    Column("source", Text, nullable=False),
    # What it is about, where it came from measures.
    Column("rule_id", Text),
    Column("path", Text),
    # Input of the score -> {value, source, formula}; what is not there is missing.
    Column("inputs", JSONB, nullable=False),
    # Whether the inputs are its own, or those of the nearest item above that has some.
    Column("inherits_from", Uuid),
    Column("wsjf", Float),
    timestamp_column("ranked_at", default_now=True),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("level IN ('theme', 'epic', 'capability', 'feature')", name="level"),
    CheckConstraint("source IN ('findings', 'metric', 'error', 'text', 'plan')", name="source"),
    CheckConstraint("kind IN ('business', 'enabler')", name="kind"),
    Index("ix_work_items_parent_id", "parent_id"),
    Index("ix_work_items_next", "wsjf", "created_at", postgresql_where=text("level = 'feature'")),
    Index("ix_work_items_repository_id", "repository_id", "level"),
)

work_chunks = Table(
    "work_chunks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("text", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    # What the classifier made of it, with its confidence and reasons.
    Column("analysis", JSONB, nullable=False),
    Column("confidence", Float, nullable=False),
    # Once it is applied.
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

# What a task is a part of (its graph, or the task that was split) is its workflow's parent.
tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("graph_id", Uuid, ForeignKey("task_graphs.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Its place among its siblings: outputs of a map come back in this order.
    Column("position", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    # As `task_definitions.Task`.
    Column("spec", JSONB, nullable=False),
    # Of a mapped task: the element of the array.
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
    # As `sparc_targets.Target`; what it was measured to be, by commit.
    Column("target", JSONB, nullable=False),
    Column("measured", JSONB, nullable=False, server_default="{}"),
    # The strategy, and what each was worth when it was chosen.
    Column("strategy", Text, nullable=False),
    Column("considered", JSONB, nullable=False),
    Column("round", Integer, nullable=False, server_default="1"),
    Column("requested_by", Text, nullable=False),
    # How the strategy did, once that is known: seconds of work, cost, and 1 / rounds as its quality.
    Column("success", Boolean),
    Column("quality", Float),
    Column("seconds", Float),
    Column("cost", Float),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("goal_type IN ('finding', 'metric', 'text')", name="goal_type"),
    Index("ix_sparc_goals_work_item_id", "work_item_id"),
    Index("ix_sparc_goals_strategy", "strategy", "goal_type", "language"),
)

# A phase of a goal in one round: its artifact, who made it, and what the gate said. State: the workflow's.
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
