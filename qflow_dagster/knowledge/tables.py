"""Declare the tables of knowledge: requests with their resolutions, and the full-text index.

The state of a request is that of the workflow with the same id.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

__all__ = ["metadata"]

_REPOSITORIES = ingestion.repositories.c.id

knowledge_requests = Table(
    "knowledge_requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    # A second request with the same key is the same request.
    Column("external_key", Text, nullable=False, unique=True),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE")),
    # The text of a question, or the input that the kind needs.
    Column("payload", JSONB, nullable=False),
    # Who raised it, and the reference of theirs it is about.
    Column("source", Text, nullable=False),
    Column("source_reference", Text),
    timestamp_column("created_at", default_now=True),
    CheckConstraint(
        "kind IN ('question', 'pattern', 'signature', 'dataset', 'model', 'workflow', 'anti_pattern')",
        name="kind",
    ),
    Index("ix_knowledge_requests_repository_id", "repository_id"),
)

# A request raised again after the code changed gets another resolution; the earlier ones stay.
knowledge_resolutions = Table(
    "knowledge_resolutions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("request_id", Uuid, ForeignKey("knowledge_requests.id", ondelete="CASCADE"), nullable=False),
    # {answer, evidence: [{path, line, commit, words}], understood}
    Column("resolution", JSONB, nullable=False),
    Column("resolved_by", Text, nullable=False),
    # What follows from it: rescan or flag; done once.
    Column("follow_up", Text),
    timestamp_column("followed_up_at", nullable=True),
    timestamp_column("at", default_now=True),
    CheckConstraint("follow_up IN ('rescan', 'flag')", name="follow_up"),
    Index("ix_knowledge_resolutions_request_id", "request_id"),
)

# The text of a blob: its symbols with their comments, its sections. seq 0 is the complete blob.
knowledge_entries = Table(
    "knowledge_entries",
    metadata,
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The name split into words, and the text that documents it.
    Column("name_words", Text, nullable=False),
    Column("words", Text, nullable=False),
    # The words in the code of a function.
    Column("code_words", Text, nullable=False),
    Column(
        "tsv",
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english', name_words), 'A') || setweight(to_tsvector('english', words), 'B') "
            "|| to_tsvector('english', code_words)",
            persisted=True,
        ),
    ),
    Index("ix_knowledge_entries_tsv", "tsv", postgresql_using="gin"),
)

knowledge_commits = Table(
    "knowledge_commits",
    metadata,
    Column("commit_id", BigInteger, ForeignKey("commits.id", ondelete="CASCADE"), primary_key=True),
    Column("tsv", TSVECTOR, nullable=False),
    Index("ix_knowledge_commits_tsv", "tsv", postgresql_using="gin"),
)
