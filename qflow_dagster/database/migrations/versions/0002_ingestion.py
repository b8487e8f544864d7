"""Ingestion: repositories, snapshots, facts of blobs, dependencies, commits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002_ingestion"
down_revision = "0001_core"


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("oid", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("extractor_version", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("binary", sa.Boolean(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("code_lines", sa.Integer(), nullable=False),
        sa.Column("comment_lines", sa.Integer(), nullable=False),
        sa.Column("blank_lines", sa.Integer(), nullable=False),
        sa.Column("generated", sa.Boolean(), nullable=False),
        sa.Column("lfs_bytes", sa.BigInteger(), nullable=True),
        sa.Column("parsed", sa.Boolean(), nullable=False),
        sa.Column("parse_error_count", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "lines = code_lines + comment_lines + blank_lines", name=op.f("ck_blobs_lines_add_up")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blobs")),
        sa.UniqueConstraint(
            "oid", "language", "extractor_version", name=op.f("uq_blobs_oid_language_extractor_version")
        ),
    )
    op.create_table(
        "repositories",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("mirrored", sa.Boolean(), nullable=False),
        sa.Column("object_format", sa.Text(), nullable=False),
        sa.Column("current_snapshot_id", sa.BigInteger(), nullable=True),
        sa.Column("history_tip", sa.Text(), nullable=True),
        sa.Column(
            "added_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("location", name=op.f("uq_repositories_location")),
        sa.UniqueConstraint("name", name=op.f("uq_repositories_name")),
    )
    op.create_table(
        "commits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("oid", sa.Text(), nullable=False),
        sa.Column("parents", ARRAY(sa.Text()), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("author_email", sa.Text(), nullable=False),
        sa.Column("authored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committer_name", sa.Text(), nullable=False),
        sa.Column("committer_email", sa.Text(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("co_authors", ARRAY(sa.Text()), nullable=False),
        sa.Column("reachable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_commits_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commits")),
        sa.UniqueConstraint("repository_id", "oid", name=op.f("uq_commits_repository_id_oid")),
    )
    op.create_index(
        "ix_commits_repository_id_committed_at", "commits", ["repository_id", "committed_at"], unique=False
    )
    op.create_table(
        "dependencies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("source_path", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("target_path", sa.Text(), nullable=True),
        sa.Column("from_seq", sa.Integer(), nullable=False),
        sa.Column("to_seq", sa.Integer(), nullable=True),
        sa.CheckConstraint("to_seq > from_seq", name=op.f("ck_dependencies_interval")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_dependencies_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dependencies")),
    )
    op.create_index(
        "ix_dependencies_repository_id_source_path",
        "dependencies",
        ["repository_id", "source_path"],
        unique=False,
    )
    op.create_index(
        "ix_dependencies_repository_id_target_path",
        "dependencies",
        ["repository_id", "target_path"],
        unique=False,
    )
    op.create_table(
        "files",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("oid", sa.Text(), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=True),
        sa.Column("symlink_target", sa.Text(), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("vendored", sa.Boolean(), nullable=False),
        sa.Column("generated", sa.Boolean(), nullable=False),
        sa.Column("documentation", sa.Boolean(), nullable=False),
        sa.Column("from_seq", sa.Integer(), nullable=False),
        sa.Column("to_seq", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('file', 'executable', 'symlink', 'submodule')", name=op.f("ck_files_kind")
        ),
        sa.CheckConstraint("to_seq > from_seq", name=op.f("ck_files_interval")),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("fk_files_blob_id_blobs")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_files_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index("ix_files_blob_id", "files", ["blob_id"], unique=False)
    op.create_index("ix_files_repository_id_from_seq", "files", ["repository_id", "from_seq"], unique=False)
    op.create_index(
        "uq_files_repository_id_path_current",
        "files",
        ["repository_id", "path"],
        unique=True,
        postgresql_where=sa.text("to_seq IS NULL"),
    )
    op.create_table(
        "fingerprints",
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("positions", sa.LargeBinary(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_fingerprints_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("pk_fingerprints")),
    )
    op.create_table(
        "imports",
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("names", ARRAY(sa.Text()), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_imports_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_id", "seq", name=op.f("pk_imports")),
    )
    op.create_table(
        "parse_errors",
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("column", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('error', 'missing')", name=op.f("ck_parse_errors_kind")),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_parse_errors_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_id", "seq", name=op.f("pk_parse_errors")),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("commit_oid", sa.Text(), nullable=False),
        sa.Column("tree_oid", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extractor_version", sa.Integer(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_snapshots_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint(
            "repository_id",
            "commit_oid",
            "extractor_version",
            name=op.f("uq_snapshots_repository_id_commit_oid_extractor_version"),
        ),
        sa.UniqueConstraint("repository_id", "seq", name=op.f("uq_snapshots_repository_id_seq")),
    )
    op.create_table(
        "symbols",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("parent_seq", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("qualified_name", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("start_line", sa.Integer(), nullable=False),
        sa.Column("end_line", sa.Integer(), nullable=False),
        sa.Column("start_byte", sa.Integer(), nullable=False),
        sa.Column("end_byte", sa.Integer(), nullable=False),
        sa.Column("docstring", sa.Boolean(), nullable=False),
        sa.Column("calls", ARRAY(sa.Text()), nullable=False),
        sa.Column("call_counts", ARRAY(sa.Integer()), nullable=False),
        sa.Column("call_lines", ARRAY(sa.Integer()), nullable=False),
        sa.Column("parameters", sa.Integer(), nullable=True),
        sa.Column("decisions", sa.Integer(), nullable=True),
        sa.Column("cognitive", sa.Integer(), nullable=True),
        sa.Column("nesting", sa.Integer(), nullable=True),
        sa.Column("code_lines", sa.Integer(), nullable=True),
        sa.Column("operators", sa.Integer(), nullable=True),
        sa.Column("operands", sa.Integer(), nullable=True),
        sa.Column("distinct_operators", sa.Integer(), nullable=True),
        sa.Column("distinct_operands", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_symbols_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_symbols")),
        sa.UniqueConstraint("blob_id", "seq", name=op.f("uq_symbols_blob_id_seq")),
    )
    op.create_index("ix_symbols_name", "symbols", ["name"], unique=False)
    op.create_table(
        "file_changes",
        sa.Column("commit_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("previous_path", sa.Text(), nullable=True),
        sa.Column("added_lines", sa.Integer(), nullable=True),
        sa.Column("deleted_lines", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('added', 'modified', 'deleted', 'renamed', 'copied', 'type_changed')",
            name=op.f("ck_file_changes_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["commit_id"], ["commits.id"], name=op.f("fk_file_changes_commit_id_commits"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("commit_id", "path", name=op.f("pk_file_changes")),
    )
    op.create_index(
        "ix_file_changes_repository_id_path", "file_changes", ["repository_id", "path"], unique=False
    )
