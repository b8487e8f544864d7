"""Tables of errors, circuit breakers and health.

States of error groups, breakers and incidents are those of the workflows with the same id.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from qflow_dagster.database.schema import metadata, timestamp_column

# Any program may insert here: an operation and a message are enough, the rest has defaults.
error_occurrences = Table(
    "error_occurrences",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("operation", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="Error"),
    Column("message", Text, nullable=False, server_default=""),
    # A stack trace as its language prints it.
    Column("stack", Text),
    # The exceptions that an SDK sent, the cause first: [{"type", "value", "frames": [...]}].
    Column("exceptions", JSONB(none_as_null=True)),
    Column("context", JSONB),
    Column("severity", Text, nullable=False, server_default="error"),
    Column("correlation_id", Text),
    Column("run_id", Text),
    # Source: insert, python, cli, sentry, dagster, breaker.
    Column("source", Text, nullable=False, server_default="insert"),
    # The id that an SDK gave it.
    Column("event_id", Text),
    timestamp_column("at", default_now=True),
    # NULL until it is analyzed.
    Column("group_id", Uuid),
    CheckConstraint("severity IN ('debug', 'info', 'warning', 'error', 'critical')", name="severity"),
    CheckConstraint("operation <> ''", name="named"),
    Index("ix_error_occurrences_new", "id", postgresql_where=text("group_id IS NULL")),
    Index("ix_error_occurrences_operation_at", "operation", "at"),
    Index(
        "ix_error_occurrences_trace", "correlation_id", postgresql_where=text("source IN ('sentry', 'otlp')")
    ),
    Index("ix_error_occurrences_group_id", "group_id", "id", postgresql_where=text("group_id IS NOT NULL")),
)

# An SDK sends an event again when it got no response: it counts once.
Index(
    "uq_error_occurrences_event_id",
    error_occurrences.c.event_id,
    unique=True,
    postgresql_where=text("event_id IS NOT NULL"),
)

# Successes, counted per millisecond: a rate needs them as exactly as the errors.
operation_successes = Table(
    "operation_successes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("operation", Text, nullable=False),
    timestamp_column("at", default_now=True),
    Column("count", Integer, nullable=False, server_default="1"),
    # Of these, the ones that took longer than the limit of their circuit breaker.
    Column("slow", Integer, nullable=False, server_default="0"),
    # The id that an SDK gave it: what is sent again counts once.
    Column("event_id", Text),
    # The trace of the call, and how many were taken off the count because an error of that trace is the same call.
    Column("trace", Text),
    Column("failed", Integer, nullable=False, server_default="0"),
    Index("ix_operation_successes_trace", "trace", postgresql_where=text("trace IS NOT NULL")),
    Index(
        "uq_operation_successes_event_id",
        "event_id",
        unique=True,
        postgresql_where=text("event_id IS NOT NULL"),
    ),
    CheckConstraint("operation <> '' AND count >= 0", name="counted"),
    Index("ix_operation_successes_operation_at", "operation", "at"),
)

error_groups = Table(
    "error_groups",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, unique=True),
    Column("operation", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("classification", Text, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Column("severity", Text, nullable=False),
    # The innermost frames that identify it: [{"file", "line", "function"}], outermost first.
    Column("frames", JSONB, nullable=False),
    # The commit that last changed where it happens: {"repository", "commit", "path", ...}.
    Column("suspect", JSONB),
    timestamp_column("first_seen"),
    timestamp_column("last_seen"),
    Column("count", BigInteger, nullable=False),
    Column("first_release", Text),
    Column("last_release", Text),
    # The release that is said to contain the fix: earlier ones may still have the error.
    Column("resolved_in", Text),
    # The group that it is shown as part of, by a person's decision.
    Column("merged_into", Uuid),
    Index("ix_error_groups_operation", "operation"),
    Index("ix_error_groups_last_seen", "last_seen"),
    Index("ix_error_groups_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
)

# Releases that SDKs named, for the order of those without versions.
error_releases = Table(
    "error_releases",
    metadata,
    Column("release", Text, primary_key=True),
    timestamp_column("first_seen"),
)

# Sessions of programs by day, for crash-free rates.
release_sessions = Table(
    "release_sessions",
    metadata,
    Column("day", Date, primary_key=True, server_default=text("current_date")),
    Column("release", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("errored", BigInteger, nullable=False),
    Column("crashed", BigInteger, nullable=False),
)

# What is counted of each session lately: its state, and the one before its last update (None: there was none).
session_states = Table(
    "session_states",
    metadata,
    Column("id", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("release", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("crashed", BigInteger, nullable=False),
    Column("was_failed", BigInteger),
    Column("was_crashed", BigInteger),
)

# Events that SDKs dropped before they were sent, as they report it.
discarded_events = Table(
    "discarded_events",
    metadata,
    Column("day", Date, primary_key=True, server_default=text("current_date")),
    Column("category", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
)

# People's own grouping: what matches all patterns (by field, with * and ?) has the fingerprint.
error_grouping_rules = Table(
    "error_grouping_rules",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("patterns", JSONB, nullable=False),
    Column("fingerprint", ARRAY(Text), nullable=False),
    Column("actor", Text, nullable=False),
    timestamp_column("at", default_now=True),
    Column("removed_by", Text),
    timestamp_column("removed_at", nullable=True),
)

# Alerts sent for an operation, so that each is sent once.
operation_alerts = Table(
    "operation_alerts",
    metadata,
    Column("operation", Text, primary_key=True),
    # high_error_rate, error_spike.
    Column("kind", Text, primary_key=True),
    Column("alerting", Boolean, nullable=False),
    timestamp_column("since"),
    timestamp_column("told_at", nullable=True),
    Column("errors", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Index("ix_operation_alerts_alerting", "operation", postgresql_where=text("alerting")),
)

circuit_breakers = Table(
    "circuit_breakers",
    metadata,
    Column("operation", Text, primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    # Consecutive failures while closed, successful probes while half open.
    Column("failures", Integer, nullable=False),
    Column("successes", Integer, nullable=False),
    timestamp_column("failed_at", nullable=True),
    timestamp_column("opened_at", nullable=True),
    # When an open one lets a call through; the wait grows with each opening since it was last closed.
    timestamp_column("probe_at", nullable=True),
    Column("openings", Integer, nullable=False, server_default="0"),
    # Changes of state so far; a call's result counts only in the generation that admitted it.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    # Whether a person holds it in its state.
    Column("held", Boolean, nullable=False, server_default="false"),
    # The one running probe: who may report on it, and until when.
    Column("probe", Uuid),
    timestamp_column("probe_until", nullable=True),
    Column("reason", Text),
    # Whether calls are guarded by it, or it only counts reported errors.
    Column("guarded", Boolean, nullable=False),
)

# The last result of each check, and its current status (after damping).
health_states = Table(
    "health_states",
    metadata,
    Column("name", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("unit", Text),
    timestamp_column("since"),
    timestamp_column("at"),
    # Damping: the last result, how often in a row, the last results (newest last), whether they change too often.
    Column("result", Text, nullable=False),
    Column("streak", Integer, nullable=False),
    Column("recent", JSONB, nullable=False),
    Column("flapping", Boolean, nullable=False, server_default="false"),
    Column("incident_id", Uuid),
)

health_samples = Table(
    "health_samples",
    metadata,
    Column("name", Text, primary_key=True),
    Column("id", BigInteger, Identity(), primary_key=True),
    timestamp_column("at"),
    Column("status", Text, nullable=False),
    Column("value", Double),
    Index("ix_health_samples_name_at", "name", "at"),
)

# Signs of life of our own processes.
health_heartbeats = Table(
    "health_heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    timestamp_column("at"),
)

# Finished runs and ticks by duration; `counts` has one more entry than the bounds of its buckets.
duration_histograms = Table(
    "duration_histograms",
    metadata,
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("counts", ARRAY(BigInteger), nullable=False),
    Column("sum", Double, nullable=False),
    # When the last one of these ended: what ended before is counted already.
    timestamp_column("until"),
)

# Times in which bad results of the checks that match a pattern are no incidents.
maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("pattern", Text, nullable=False),
    timestamp_column("starts_at"),
    timestamp_column("ends_at"),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    CheckConstraint("starts_at <= ends_at", name="period"),
    Index("ix_maintenance_windows_ends_at", "ends_at"),
)

# Monitored external services: with an address that is requested, or heartbeats that they send. The optional command
# restarts the service; it is an argument list.
health_services = Table(
    "health_services",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text),
    # Seconds within which it sends a heartbeat, when the last one came, and the SHA-256 of its token.
    Column("heartbeat", Integer),
    timestamp_column("beat_at", nullable=True),
    Column("token_hash", LargeBinary, unique=True),
    # Conditions on a response: {"headers", "body", "json", "certificate_days"}.
    Column("conditions", JSONB, nullable=False, server_default="{}"),
    # Checks without which it cannot work.
    Column("depends_on", ARRAY(Text), nullable=False, server_default="{}"),
    Column("expected_status", Integer, nullable=False),
    Column("timeout_ms", Integer, nullable=False),
    Column("restart_command", JSONB),
    Column("restart_limit", Integer, nullable=False),
    CheckConstraint("(url IS NULL) <> (heartbeat IS NULL)", name="address_or_heartbeat"),
    CheckConstraint("heartbeat BETWEEN 1 AND 31536000", name="heartbeat"),
    CheckConstraint("expected_status BETWEEN 100 AND 599", name="expected_status"),
    CheckConstraint("timeout_ms BETWEEN 1 AND 60000", name="timeout_ms"),
    CheckConstraint("restart_limit BETWEEN 0 AND 100", name="restart_limit"),
)
