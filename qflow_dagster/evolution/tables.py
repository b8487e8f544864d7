"""Tables of rules, matches, findings, outcomes and confidence.

A match is content-addressed like the facts of ingestion: it belongs to (blob, rule version)
and is shared by every snapshot that contains the blob. A finding belongs to a repository and
has a lifecycle. Evidence belongs to the digest of a rule: an edited rule starts without any.
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
    # What its matches depend on besides its definition: for ruff the Python version of the repository.
    Column("variant", Text, nullable=False),
    # SHA-256 of everything its matches depend on: an edited rule is another one, even with the same version.
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
    # Ids of the rule versions that were evaluated on it.
    Column("evaluated", ARRAY(Integer), nullable=False),
    # Why it could not be evaluated.
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
    # A snippet, or the measures.
    Column("evidence", JSONB, nullable=False),
    # Who suppressed it and why: a person, 'baseline', 'comment', or 'configuration' (of the repository's linter).
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

# Rules that are switched off in the current snapshot of a repository, so that their matches are no findings.
rules_off = Table(
    "rules_off",
    metadata,
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("matches", Integer, nullable=False),
    Column("files", Integer, nullable=False),
)

# Append-only: the changes of state of each finding, when and by whom.
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

# Append-only: what happened to the findings and proposed changes of a rule version.
rule_outcomes = Table(
    "rule_outcomes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # Of the rule (see `rule_versions`).
    Column("digest", LargeBinary, nullable=False),
    # Whether it counts for or against the rule, and its weight; NULL and 0 where it does not count.
    Column("good", Boolean),
    Column("weight", Float, nullable=False),
    # The number of equal outcomes that the row stands for.
    Column("number", Integer, nullable=False, server_default="1"),
    # Which gate a candidate failed.
    Column("gate", Text),
    # The suggestion, candidate or finding it is about.
    Column("subject", Text, nullable=False),
    # What it was read from: each source is recorded once.
    Column("reference", Text, nullable=False),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="SET NULL")),
    Column("actor", Text),
    Column("reason", Text),
    # The estimated confidence when the change was suggested: mean and lower bound.
    Column("confidence_mean", Float),
    Column("confidence_lower", Float),
    timestamp_column("at"),
    UniqueConstraint("kind", "reference"),
    CheckConstraint(
        "kind IN ('shown', 'suppressed', 'passed', 'failed', 'approved', 'denied', 'applied', 'verified', 'merged', "
        "'closed', 'reverted', 'fixed', 'reappeared')",
        name="kind",
    ),
    CheckConstraint("(good IS NULL) = (weight = 0)", name="weight"),
    Index("ix_rule_outcomes_digest", "digest", "at"),
    Index("ix_rule_outcomes_subject", "subject"),
)

# The code an outcome is about: variants of the rule are evaluated on it.
rule_locations = Table(
    "rule_locations",
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

# Append-only: the estimated confidence of each rule version, written when it changed.
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
    # Weights, decayed with age; and the number of people's decisions.
    Column("good", Float, nullable=False),
    Column("bad", Float, nullable=False),
    Column("decisions", Integer, nullable=False),
    Column("drifted", Boolean, nullable=False),
    timestamp_column("at", default_now=True),
    CheckConstraint("level IN ('show', 'ask', 'act')", name="level"),
    Index("ix_rule_confidence_digest", "digest", "id"),
)

# Append-only: the newest value of a name is in force.
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
    # The change that this one reverts.
    Column("reverts", BigInteger, ForeignKey("rule_thresholds.id")),
    timestamp_column("at", default_now=True),
    CheckConstraint("name IN ('ask', 'act', 'publish')", name="name"),
    CheckConstraint("value BETWEEN 0 AND 1", name="value"),
)

# Rule versions created in this instance, and shipped ones whose status was changed. The status is that
# of the workflow with the same id.
rule_lifecycles = Table(
    "rule_lifecycles",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # The complete rule, as in a pack.
    Column("definition", JSONB, nullable=False),
    Column("origin", Text, nullable=False),
    # The digest of the version it is a variant of, and what was added or removed.
    Column("parent", LargeBinary),
    Column("description", Text, nullable=False),
    # The evidence when it was created: support, precision, locations kept and excluded.
    Column("evidence", JSONB, nullable=False),
    # The pending approval of a change of its status, and that status.
    Column("approval_id", Uuid),
    Column("requested_status", Text),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("origin IN ('shipped', 'mined', 'variant', 'imported')", name="origin"),
    CheckConstraint("requested_status IN ('trial', 'active', 'retired')", name="requested_status"),
    CheckConstraint("(approval_id IS NULL) = (requested_status IS NULL)", name="requested"),
    Index("ix_rule_lifecycles_rule_id", "rule_id", "version"),
    Index("ix_rule_lifecycles_approval_id", "approval_id", postgresql_where=text("approval_id IS NOT NULL")),
)
