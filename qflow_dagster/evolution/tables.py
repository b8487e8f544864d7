"""Tables of rules, findings, and what rules proved to be worth.

A match is content-addressed like the facts of ingestion: it belongs to (blob, rule version)
and is shared by every snapshot that holds the blob. A finding belongs to a repository and
has a life. What is known of a rule's worth belongs to its digest: a rule that was edited begins anew.
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

# Append-only: what became of what a rule version found and proposed.
rule_outcomes = Table(
    "rule_outcomes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # Of the rule (see `rule_versions`).
    Column("digest", LargeBinary, nullable=False),
    # What it says of the rule, and how much; NULL and 0 where it says nothing.
    Column("good", Boolean),
    Column("weight", Float, nullable=False),
    # How many of a kind one row stands for.
    Column("number", Integer, nullable=False, server_default="1"),
    # Which gate a candidate failed.
    Column("gate", Text),
    # The suggestion, candidate or finding it is about.
    Column("subject", Text, nullable=False),
    # What it was read from: the same thing is counted once.
    Column("reference", Text, nullable=False),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="SET NULL")),
    Column("actor", Text),
    Column("reason", Text),
    # What was believed of the change when it was suggested: mean and lower bound.
    Column("believed", Float),
    Column("believed_lower", Float),
    timestamp_column("at"),
    UniqueConstraint("kind", "reference"),
    CheckConstraint(
        "kind IN ('shown', 'suppressed', 'passed', 'failed', 'approved', 'denied', 'applied', 'verified', 'reverted', "
        "'mended', 'reappeared')",
        name="kind",
    ),
    CheckConstraint("(good IS NULL) = (weight = 0)", name="weight"),
    Index("ix_rule_outcomes_digest", "digest", "at"),
    Index("ix_rule_outcomes_subject", "subject"),
)

# The code an outcome is about: what accepted and denied variants of a rule are tried on.
rule_places = Table(
    "rule_places",
    metadata,
    Column("outcome_id", BigInteger, ForeignKey("rule_outcomes.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("text", Text, nullable=False),
    # Of the match, in characters of the text.
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
)

# Append-only: what was believed of each rule version, written when it changed.
rule_confidence = Table(
    "rule_confidence",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    # show, ask or act.
    Column("level", Text, nullable=False),
    Column("mean", Float, nullable=False),
    Column("lower", Float, nullable=False),
    Column("wilson", Float, nullable=False),
    # Weights, halved with age; and people's decisions as they are.
    Column("good", Float, nullable=False),
    Column("bad", Float, nullable=False),
    Column("decisions", Integer, nullable=False),
    Column("drifted", Boolean, nullable=False),
    timestamp_column("at", default_now=True),
    CheckConstraint("level IN ('show', 'ask', 'act')", name="level"),
    Index("ix_rule_confidence_digest", "digest", "id"),
)

# Append-only: the newest value of a name holds.
rule_thresholds = Table(
    "rule_thresholds",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("previous", Float, nullable=False),
    Column("value", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    # The change it takes back.
    Column("reverts", BigInteger, ForeignKey("rule_thresholds.id")),
    timestamp_column("at", default_now=True),
    CheckConstraint("name IN ('ask', 'act', 'publish')", name="name"),
    CheckConstraint("value BETWEEN 0 AND 1", name="value"),
)

# Rules that came into being here, and shipped ones whose life was changed. The state is that of the
# workflow with the same id.
rule_lives = Table(
    "rule_lives",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # The whole rule, as a pack says it.
    Column("definition", JSONB, nullable=False),
    Column("origin", Text, nullable=False),
    # The version it is a variant of, and what was added or dropped.
    Column("parent", LargeBinary),
    Column("words", Text, nullable=False),
    # What spoke for it when it was made: support, precision, places kept and excluded.
    Column("evidence", JSONB, nullable=False),
    # The change of its state that a person was asked about.
    Column("approval_id", Uuid),
    Column("wanted", Text),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("origin IN ('shipped', 'mined', 'variant', 'imported')", name="origin"),
    CheckConstraint("wanted IN ('trial', 'active', 'retired')", name="wanted"),
    CheckConstraint("(approval_id IS NULL) = (wanted IS NULL)", name="asked"),
    Index("ix_rule_lives_rule_id", "rule_id", "version"),
    Index("ix_rule_lives_approval_id", "approval_id", postgresql_where=text("approval_id IS NOT NULL")),
)
