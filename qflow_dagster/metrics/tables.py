"""Tables of metrics. Functions are measured once per symbol; all rows but those of the past belong to a snapshot."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

__all__ = ["metadata"]

# Foreign keys below refer to tables that are declared there.
_SNAPSHOTS = ingestion.snapshots.c.id
_SYMBOLS = ingestion.symbols.c.id
_REPOSITORIES = ingestion.repositories.c.id


def _snapshot_column() -> Column:
    return Column("snapshot_id", BigInteger, ForeignKey(_SNAPSHOTS, ondelete="CASCADE"), primary_key=True)


def _count(name: str) -> Column:
    return Column(name, Integer, nullable=False)


def _number(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Float, nullable=nullable)


function_metrics = Table(
    "function_metrics",
    metadata,
    Column("symbol_id", BigInteger, ForeignKey(_SYMBOLS, ondelete="CASCADE"), primary_key=True),
    # Lines of code in the span, comments and blanks not counted.
    _count("code_lines"),
    _count("parameters"),
    _count("nesting"),
    _count("cyclomatic"),
    _count("cognitive"),
    _number("halstead_volume"),
    _number("halstead_difficulty"),
    _number("halstead_effort"),
    # 0 to 100, higher is better.
    _number("maintainability"),
)

file_metrics = Table(
    "file_metrics",
    metadata,
    _snapshot_column(),
    Column("path", Text, primary_key=True),
    Column("language", Text, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("vendored", Boolean, nullable=False),
    Column("generated", Boolean, nullable=False),
    _count("lines"),
    _count("code_lines"),
    _count("comment_lines"),
    _count("functions"),
    _count("cyclomatic"),
    _count("cyclomatic_max"),
    _count("cognitive"),
    _count("cognitive_max"),
    _number("halstead_volume"),
    # NULL if there is no syntax tree.
    _number("maintainability", nullable=True),
    # 0 to 1; NULL if the denominator is 0.
    _number("comment_ratio", nullable=True),
    _number("docstring_ratio", nullable=True),
    # Files of the repository that import this one, and that this one imports.
    _count("fan_in"),
    _count("fan_out"),
    _number("instability", nullable=True),
    # Number of files in this file's import cycle (0: no cycle), and the cycle's number in the snapshot.
    _count("cycle_size"),
    Column("cycle", Integer),
)

change_metrics = Table(
    "change_metrics",
    metadata,
    _snapshot_column(),
    Column("path", Text, primary_key=True),
    # Commits that changed the file and lines they added and deleted: in total, and in the days
    # before the snapshot's commit.
    _count("commits"),
    _count("commits_30"),
    _count("commits_90"),
    _count("commits_365"),
    _count("churn"),
    _count("churn_30"),
    _count("churn_90"),
    _count("churn_365"),
    # Days from the first commit to the snapshot's, and from the last.
    _number("age_days"),
    _number("idle_days"),
    timestamp_column("last_changed_at"),
    _count("authors"),
    Column("main_author", Text, nullable=False),
    # Share (0 to 1) of added lines that are the main author's.
    _number("ownership"),
    _count("bus_factor"),
    _count("bug_fixes"),
    # Share (0 to 1) of added lines by authors who left.
    _number("knowledge_loss"),
    # The team of `QFLOW_METRICS_TEAMS` with the largest share (0 to 1) of added lines.
    Column("main_team", Text),
    _number("team_ownership", nullable=True),
)

change_coupling = Table(
    "change_coupling",
    metadata,
    _snapshot_column(),
    Column("path_a", Text, primary_key=True),
    Column("path_b", Text, primary_key=True),
    _count("common_commits"),
    _count("commits_a"),
    _count("commits_b"),
    # 0 to 1.
    _number("degree"),
)

clones = Table(
    "clones",
    metadata,
    _snapshot_column(),
    Column("clone", Integer, primary_key=True),
    Column("path_a", Text, nullable=False),
    _count("start_a"),
    _count("end_a"),
    Column("path_b", Text, nullable=False),
    _count("start_b"),
    _count("end_b"),
    _count("tokens"),
    # Clones with a fragment in common are a class; its number, and that of its distinct fragments.
    _count("clone_class"),
    _count("copies"),
)

duplication = Table(
    "duplication",
    metadata,
    _snapshot_column(),
    Column("path", Text, primary_key=True),
    _count("clones"),
    _count("duplicated_lines"),
    # Share (0 to 1) of the file's lines.
    _number("ratio"),
)

hotspots = Table(
    "hotspots",
    metadata,
    _snapshot_column(),
    Column("path", Text, primary_key=True),
    _count("rank"),
    # Product of the two percentile ranks, 0 to 1.
    _number("score"),
    _number("change_rank"),
    _number("complexity_rank"),
    _count("commits"),
    _count("commits_365"),
    _count("cognitive"),
    _count("code_lines"),
    _count("authors"),
    Column("reason", Text, nullable=False),
    Index("ix_hotspots_snapshot_id_rank", "snapshot_id", "rank"),
)

repository_metrics = Table(
    "repository_metrics",
    metadata,
    _snapshot_column(),
    _count("files"),
    _count("code_lines"),
    _count("comment_lines"),
    _count("functions"),
    Column("languages", JSONB, nullable=False),
    _number("cyclomatic_median", nullable=True),
    _number("cyclomatic_p90", nullable=True),
    _number("cognitive_median", nullable=True),
    _number("cognitive_p90", nullable=True),
    _number("maintainability_median", nullable=True),
    _number("duplication_ratio"),
    # Commits dated after their ingestion, before 1970-01-02, or more than a day before a parent.
    _count("misdated_commits"),
    # Commits whose changed lines are not counted (yet), and when the newest of them was committed.
    _count("uncounted_commits"),
    timestamp_column("lines_counted_after", nullable=True),
    _count("import_cycles"),
    _count("contributors"),
    _count("contributors_90"),
    _count("bus_factor"),
    # Delivery metrics from git; see docs/metrics.md for their meaning.
    _number("commits_per_week"),
    _number("merges_per_week"),
    _number("lead_time_hours", nullable=True),
    _number("change_failure_ratio", nullable=True),
)

repository_trend = Table(
    "repository_trend",
    metadata,
    _snapshot_column(),
    Column("month", Date, primary_key=True),
    _count("commits"),
    _count("authors"),
    _count("added_lines"),
    _count("deleted_lines"),
    # Running sum of added less deleted lines, up to the month's end.
    _count("net_lines"),
    _count("files_changed"),
    _count("bug_fixes"),
)

# Of commits that were never ingested: see `past`.
past_metrics = Table(
    "past_metrics",
    metadata,
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), primary_key=True),
    Column("commit_oid", Text, primary_key=True),
    _count("extractor_version"),
    # Not after that of its first child.
    timestamp_column("committed_at"),
    # As in `repository_metrics`: without vendored and generated files.
    _count("files"),
    _count("code_lines"),
    _count("functions"),
    _number("cognitive_p90", nullable=True),
    # Files that git or the parser could not read, which the numbers lack; 1 for a commit that cannot be listed.
    _count("unread_files"),
)

# Metrics already computed for a snapshot, so that they are not computed again.
measurements = Table(
    "measurements",
    metadata,
    _snapshot_column(),
    Column("metric", Text, primary_key=True),
    # What the metrics depend on besides the snapshot: version, settings, length of the history.
    Column("basis", Text, nullable=False),
    _count("row_count"),
)
