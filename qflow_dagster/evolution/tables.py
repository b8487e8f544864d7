"""Tables of rules and findings.

A match is content-addressed like the facts of ingestion: it belongs to (blob, rule version)
and is shared by every snapshot that holds the blob. A finding belongs to a repository and
has a life.
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
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

__all__ = ["metadata"]

_BLOBS = ingestion.blobs.c.id
_REPOSITORIES = ingestion.repositories.c.id

rule_versions = Table(
    "rule_versions",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # What it finds depends on this besides its text: for ruff the Python a repository supports.
    Column("variant", Text, nullable=False),
    # SHA-256 of what decides what it finds: an edited rule is another one, with the same version too.
    Column("digest", LargeBinary, nullable=False),
    Column("engine", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("language", ARRAY(Text), nullable=False),
    Column("category", Text, nullable=False),
    Column("severity", Text, nullable=False),
    # '' where it has no fix.
    Column("fix", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("owner", Text, nullable=False),
    timestamp_column("created_at", default_now=True),
    UniqueConstraint("rule_id", "version", "variant", "digest"),
    CheckConstraint("severity IN ('error', 'warning', 'info')", name="severity"),
    CheckConstraint("status IN ('draft', 'trial', 'active', 'retired')", name="status"),
)

blob_evaluations = Table(
    "blob_evaluations",
    metadata,
    Column("blob_id", BigInteger, ForeignKey(_BLOBS, ondelete="CASCADE"), primary_key=True),
    # Ids of the rule versions that have looked at it.
    Column("evaluated", ARRAY(Integer), nullable=False),
    # Why nothing could be looked for, if nothing could.
    Column("problem", Text),
)

rule_matches = Table(
    "rule_matches",
    metadata,
    Column("blob_id", BigInteger, ForeignKey(_BLOBS, ondelete="CASCADE"), primary_key=True),
    Column("rule_version_id", Integer, ForeignKey("rule_versions.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    # Lines and columns from 1; offsets are characters of the decoded text.
    Column("line", Integer, nullable=False),
    Column("end_line", Integer, nullable=False),
    Column("column", Integer, nullable=False),
    Column("start_offset", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("snippet", Text, nullable=False),
    Column("anchor", LargeBinary, nullable=False),
    Column("fixable", Boolean, nullable=False),
    # By a comment in the file.
    Column("suppressed", Boolean, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), nullable=False),
    # 'rules', or the tool whose report was imported.
    Column("source", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    # NULL for imported ones.
    Column("rule_version_id", Integer, ForeignKey("rule_versions.id")),
    # SHA-256 of rule, path, enclosing symbol, first line and its number among equal ones: no line number.
    Column("fingerprint", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("path", Text, nullable=False),
    # Of the enclosing function or class; '' at top level.
    Column("symbol", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("end_line", Integer, nullable=False),
    Column("column", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("fixable", Boolean, nullable=False),
    # What was seen: a snippet, or the measures.
    Column("evidence", JSONB, nullable=False),
    # Who suppressed it and why: a person, 'baseline', or 'comment'.
    Column("suppressed_by", Text),
    Column("suppression_reason", Text),
    Column("first_snapshot_id", BigInteger, nullable=False),
    Column("last_snapshot_id", BigInteger, nullable=False),
    timestamp_column("found_at", default_now=True),
    timestamp_column("changed_at", default_now=True),
    UniqueConstraint("repository_id", "source", "fingerprint"),
    CheckConstraint("state IN ('open', 'fixed', 'suppressed', 'reopened')", name="state"),
    CheckConstraint("severity IN ('error', 'warning', 'info')", name="severity"),
    Index(
        "ix_findings_repository_id_open",
        "repository_id",
        "rule_id",
        "path",
        postgresql_where=text("state IN ('open', 'reopened')"),
    ),
)

# Append-only: what became of each finding, when and by whom.
finding_events = Table(
    "finding_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("finding_id", Uuid, ForeignKey("findings.id", ondelete="CASCADE"), nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("snapshot_id", BigInteger),
    timestamp_column("at", default_now=True),
    Index("ix_finding_events_finding_id", "finding_id"),
)
