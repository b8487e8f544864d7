"""Tables of rules published to and imported from other instances, and of votes.

An instance is its public key: names are chosen freely. Times that another instance claims are
called `published_at` and `cast_at`; those of our database are `imported_at` and `received_at`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column

rule_publications = Table(
    "rule_publications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule_digest", LargeBinary, nullable=False),
    # SHA-256 of the file.
    Column("package_digest", LargeBinary, nullable=False),
    Column("store", Text, nullable=False),
    # Of the file, in the store.
    Column("name", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("confidence_mean", Float, nullable=False),
    Column("confidence_lower", Float, nullable=False),
    Column("evidence", JSONB, nullable=False),
    timestamp_column("published_at"),
    UniqueConstraint("store", "package_digest"),
    CheckConstraint("origin IN ('shipped', 'mined', 'variant', 'imported')", name="origin"),
    Index("ix_rule_publications_rule_digest", "rule_digest"),
)

rule_imports = Table(
    "rule_imports",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # SHA-256 of the file, so that it is not imported again.
    Column("package_digest", LargeBinary, nullable=False, unique=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule_digest", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("instance", Text, nullable=False),
    # Who named the key on the command line; NULL: it was one of QFLOW_EVOLUTION_TRUSTED.
    Column("named_by", Text),
    # Whether this installation had the same rule before; then its own evidence decides.
    Column("was_here", Boolean, nullable=False),
    Column("accepted", Float, nullable=False),
    Column("denied", Float, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("successes", Integer, nullable=False),
    Column("confidence_mean", Float, nullable=False),
    Column("confidence_lower", Float, nullable=False),
    # The file as it was signed.
    Column("package", LargeBinary, nullable=False),
    Column("store", Text, nullable=False),
    timestamp_column("published_at"),
    timestamp_column("imported_at", default_now=True),
    CheckConstraint("successes <= uses", name="successes"),
    Index("ix_rule_imports_rule_digest", "rule_digest", "public_key", "published_at"),
)

# One row per instance and rule. The ballot is frozen when voting closes; outcomes go on.
rule_votes = Table(
    "rule_votes",
    metadata,
    Column("rule_digest", LargeBinary, primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("instance", Text, nullable=False),
    Column("own", Boolean, nullable=False),
    Column("named_by", Text),
    Column("vote", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("successes", Integer, nullable=False),
    # The newest file as it was signed.
    Column("signed", LargeBinary, nullable=False),
    timestamp_column("cast_at"),
    timestamp_column("received_at", default_now=True),
    CheckConstraint("vote IN ('approve', 'reject', 'abstain')", name="vote"),
    CheckConstraint("successes <= uses", name="successes"),
)
