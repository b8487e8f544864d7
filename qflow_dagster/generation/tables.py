"""Declare the tables of generation: attempts of generators, candidates, gate results.

A candidate is a patch against a commit, identified by its content: equal proposals of several generators are
one candidate. Gate results belong to (commit, patch), so that no gate runs twice on the same patch.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

__all__ = ["metadata"]

_REPOSITORIES = ingestion.repositories.c.id

generation_attempts = Table(
    "generation_attempts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("work_item_id", Uuid, nullable=False),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), nullable=False),
    Column("generator", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    # SHA-256 of the generator's input.
    Column("input_digest", LargeBinary, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("proposals", Integer, nullable=False),
    Column("problem", Text),
    Column("seconds", Float, nullable=False),
    # Tokens and cost of a language model.
    Column("usage", JSONB, nullable=False),
    Column("cost", Float, nullable=False),
    timestamp_column("at", default_now=True),
    CheckConstraint("outcome IN ('proposed', 'nothing', 'failed', 'refused')", name="outcome"),
    Index("ix_generation_attempts_work_item_id", "work_item_id"),
    Index("ix_generation_attempts_generator_at", "generator", "at"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The work item with the highest score of those it serves.
    Column("work_item_id", Uuid, nullable=False),
    Column("work_items", ARRAY(Uuid), nullable=False),
    # The workflow that requested it.
    Column("generation_id", Uuid),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), nullable=False),
    Column("base_commit", Text, nullable=False),
    # SHA-256 of the patch.
    Column("digest", LargeBinary, nullable=False),
    Column("patch", Text, nullable=False),
    Column("paths", ARRAY(Text), nullable=False),
    # Path, first and last line, and edits of each changed location; empty: the change is a whole.
    Column("locations", JSONB, nullable=False),
    # Added and deleted.
    Column("lines", Integer, nullable=False),
    Column("rule_id", Text, nullable=False),
    # The version of the rule it is for (see `rule_versions`).
    Column("rule_version", Integer, nullable=False),
    Column("rule_digest", LargeBinary, nullable=False),
    Column("language", Text, nullable=False),
    # The generators that proposed it.
    Column("sources", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    # Expected acceptance, 0 to 1.
    Column("score", Float, nullable=False),
    # The decision on it: accepted, denied, reverted.
    Column("outcome", Text),
    timestamp_column("created_at", default_now=True),
    UniqueConstraint("work_item_id", "base_commit", "digest"),
    CheckConstraint("status IN ('passed', 'failed', 'not_needed')", name="status"),
    CheckConstraint("outcome IN ('accepted', 'denied', 'reverted')", name="outcome"),
    Index("ix_candidates_rule_id", "rule_id"),
    Index("ix_candidates_repository_id", "repository_id", "created_at"),
)

# Locations for which no change is proposed, with the reason: a precondition of the rule's fix does not hold, is not
# known, or a gate failed.
withheld_locations = Table(
    "withheld_locations",
    metadata,
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), primary_key=True),
    Column("base_commit", Text, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    timestamp_column("at", default_now=True),
)

gate_results = Table(
    "gate_results",
    metadata,
    Column("base_commit", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("gate", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    timestamp_column("at", default_now=True),
    CheckConstraint("verdict IN ('passed', 'failed', 'skipped', 'not applicable')", name="verdict"),
)

# The repository's own tests on an unchanged commit, to which the result of a change is compared.
suite_runs = Table(
    "suite_runs",
    metadata,
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), primary_key=True),
    Column("commit_oid", Text, primary_key=True),
    Column("command", Text, primary_key=True),
    Column("ran", Boolean, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    # Test -> passed, failed, skipped.
    Column("tests", JSONB, nullable=False),
    Column("summary", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("isolation", Text, nullable=False),
    timestamp_column("at", default_now=True),
)
