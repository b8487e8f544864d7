"""Tables of ingestion: data read from git objects, without metrics derived from it.

Facts of a blob (``blobs`` and the tables that hang from it) are content-addressed: one row
per (object id, language, extractor version), shared by every commit and repository that
holds the blob. The rows of a snapshot (``files``, ``dependencies``) are stored with
half-open intervals of the repository's snapshot sequence, so that a new commit only writes its
changes: a row belongs to snapshot ``s`` when ``from_seq <= s AND (to_seq IS NULL OR
s < to_seq)``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from qflow_dagster.database.schema import metadata, timestamp_column

repositories = Table(
    "repositories",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # The Dagster partition key and the name people use.
    Column("name", Text, nullable=False, unique=True),
    # An absolute path or a URL without credentials.
    Column("location", Text, nullable=False, unique=True),
    # True if a bare mirror is stored under $QFLOW_HOME (URLs); False for local paths.
    Column("mirrored", Boolean, nullable=False),
    # The machine that a path is on; a URL is mirrored by every machine that needs it.
    Column("host", Text),
    Column("object_format", Text, nullable=False),
    # The snapshot that readers use: the last that was requested and completed.
    Column("current_snapshot_id", BigInteger),
    # The commit up to which history is ingested.
    Column("history_tip", Text),
    timestamp_column("added_at", default_now=True),
    # When a forge last reported a push to it.
    timestamp_column("pushed_at", nullable=True),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("repository_id", BigInteger, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("commit_oid", Text, nullable=False),
    Column("tree_oid", Text, nullable=False),
    # The requested revision: a branch, a tag, a commit.
    Column("revision", Text, nullable=False),
    timestamp_column("committed_at"),
    Column("extractor_version", Integer, nullable=False),
    Column("file_count", Integer, nullable=False),
    # Sum of blob sizes in bytes, and of physical lines of text files.
    Column("bytes", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    # Files whose content could not be read (a partial clone, a damaged object); it is read once it is there.
    Column("missing_blobs", Integer, nullable=False),
    timestamp_column("created_at", default_now=True),
    UniqueConstraint("repository_id", "seq"),
    UniqueConstraint("repository_id", "commit_oid", "extractor_version"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("oid", Text, nullable=False),
    # '' if the language is unknown.
    Column("language", Text, nullable=False),
    Column("extractor_version", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # True if it could not be read: nothing else is known of it then, not even its size.
    Column("missing", Boolean, nullable=False),
    Column("binary", Boolean, nullable=False),
    # Python codec name; '' for binary.
    Column("encoding", Text, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("code_lines", Integer, nullable=False),
    Column("comment_lines", Integer, nullable=False),
    Column("blank_lines", Integer, nullable=False),
    # Detected by content; files.generated also knows the path and the attributes.
    Column("generated", Boolean, nullable=False),
    # Size in bytes of the real content where the blob is a Git LFS pointer.
    Column("lfs_bytes", BigInteger),
    # True if the blob has a syntax tree.
    Column("parsed", Boolean, nullable=False),
    Column("parse_error_count", Integer, nullable=False),
    # Packages or namespaces that the file declares its names in, as written.
    Column("namespaces", ARRAY(Text), nullable=False),
    # Constants, properties and type aliases at the top level, which imports can name; they are no symbols.
    Column("constants", ARRAY(Text), nullable=False),
    # Lexical tokens, comments and white space not counted.
    Column("tokens", Integer, nullable=False),
    UniqueConstraint("oid", "language", "extractor_version", "missing"),
    Index("ix_blobs_missing", "id", postgresql_where=text("missing")),
    CheckConstraint("lines = code_lines + comment_lines + blank_lines", name="lines_add_up"),
)

files = Table(
    "files",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("repository_id", BigInteger, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    # As git prints it with core.quotePath=off: raw UTF-8, C-quoted if necessary.
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("oid", Text, nullable=False),
    # NULL for symlinks and submodules.
    Column("blob_id", BigInteger, ForeignKey("blobs.id")),
    Column("symlink_target", Text),
    Column("test", Boolean, nullable=False),
    Column("vendored", Boolean, nullable=False),
    Column("generated", Boolean, nullable=False),
    Column("documentation", Boolean, nullable=False),
    Column("example", Boolean, nullable=False),
    # False if `.gitattributes` leaves it out of statistics of languages.
    Column("detectable", Boolean, nullable=False),
    Column("from_seq", Integer, nullable=False),
    Column("to_seq", Integer),
    CheckConstraint("kind IN ('file', 'executable', 'symlink', 'submodule')", name="kind"),
    CheckConstraint("to_seq > from_seq", name="interval"),
    Index(
        "uq_files_repository_id_path_current",
        "repository_id",
        "path",
        unique=True,
        postgresql_where=text("to_seq IS NULL"),
    ),
    Index("ix_files_repository_id_from_seq", "repository_id", "from_seq"),
    Index("ix_files_blob_id", "blob_id"),
)

symbols = Table(
    "symbols",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="CASCADE"), nullable=False),
    # Order of appearance; 0 is the file itself (kind 'module'), which owns top-level code.
    Column("seq", Integer, nullable=False),
    Column("parent_seq", Integer),
    Column("kind", Text, nullable=False),
    # Without receivers and scopes.
    Column("name", Text, nullable=False),
    # Dotted path within the file, for example Outer.method.
    Column("qualified_name", Text, nullable=False),
    # The declaration's text up to its body, white space folded, at most 200 characters.
    Column("signature", Text, nullable=False),
    # 1-based, inclusive.
    Column("start_line", Integer, nullable=False),
    Column("end_line", Integer, nullable=False),
    Column("start_byte", Integer, nullable=False),
    Column("end_byte", Integer, nullable=False),
    Column("docstring", Boolean, nullable=False),
    # Names called directly within this symbol (not within nested ones), for each receiver, each with
    # its number of calls and the line of the first.
    Column("calls", ARRAY(Text), nullable=False),
    # What each is called on: a path with dots, with its type if the file declares it (`name: Type`); `()` is another
    # expression, '' none.
    Column("call_receivers", ARRAY(Text), nullable=False),
    Column("call_counts", ARRAY(Integer), nullable=False),
    Column("call_lines", ARRAY(Integer), nullable=False),
    # Structure counts that the metrics are computed from. For functions and methods they
    # include nested functions that are not symbols of their own (lambdas); for the module
    # they cover top-level code only. NULL for other kinds.
    Column("parameters", Integer),
    Column("decisions", Integer),
    Column("cognitive", Integer),
    Column("nesting", Integer),
    Column("code_lines", Integer),
    Column("operators", Integer),
    Column("operands", Integer),
    Column("distinct_operators", Integer),
    Column("distinct_operands", Integer),
    UniqueConstraint("blob_id", "seq"),
    Index("ix_symbols_name", "name"),
)

imports = Table(
    "imports",
    metadata,
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    # As written, without quotes: a.b, ./util, "net/http", crate::x, stdio.h.
    Column("module", Text, nullable=False),
    # Imported names, in languages that list them (from a import b, c).
    Column("names", ARRAY(Text), nullable=False),
    # The name that the file gives to each of them, or to the module where it names none; '' for the same.
    Column("aliases", ARRAY(Text), nullable=False),
    # Leading dots of a Python relative import; modules inside the file around a Rust import.
    Column("level", SmallInteger, nullable=False),
    # import | from | include | include_system | require | use | crate | mod | mod_path | source ...
    Column("kind", Text, nullable=False),
    # It does not run when its file does: within a Python function, or for type checkers alone.
    Column("deferred", Boolean, nullable=False),
)

parse_errors = Table(
    "parse_errors",
    metadata,
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    # 1-based line, 1-based column in bytes.
    Column("line", Integer, nullable=False),
    Column("column", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    CheckConstraint("kind IN ('error', 'missing')", name="kind"),
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True),
    # Winnowed k-gram hashes over normalised tokens, in file order: three arrays of one length,
    # little endian: uint64 hashes, uint32 first token, and uint32 first and last line pairs.
    Column("hashes", LargeBinary, nullable=False),
    Column("positions", LargeBinary, nullable=False),
    Column("spans", LargeBinary, nullable=False),
)

dependencies = Table(
    "dependencies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("repository_id", BigInteger, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("source_path", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("module", Text, nullable=False),
    # The file of the repository that it resolves to; NULL if external.
    Column("target_path", Text),
    Column("from_seq", Integer, nullable=False),
    Column("to_seq", Integer),
    CheckConstraint("to_seq > from_seq", name="interval"),
    Index("ix_dependencies_repository_id_source_path", "repository_id", "source_path"),
    Index("ix_dependencies_repository_id_target_path", "repository_id", "target_path"),
)

commits = Table(
    "commits",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("repository_id", BigInteger, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("oid", Text, nullable=False),
    Column("parents", ARRAY(Text), nullable=False),
    # Names and addresses after .mailmap.
    Column("author_name", Text, nullable=False),
    Column("author_email", Text, nullable=False),
    timestamp_column("authored_at"),
    Column("committer_name", Text, nullable=False),
    Column("committer_email", Text, nullable=False),
    timestamp_column("committed_at"),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    # "Name <address>" from Co-authored-by trailers, after .mailmap.
    Column("co_authors", ARRAY(Text), nullable=False),
    # False once the commit is no longer an ancestor of the repository's history tip.
    Column("reachable", Boolean, nullable=False),
    # pending until the changed lines are counted; missing if they cannot be, because an object is missing.
    Column("line_counts", Text, nullable=False),
    CheckConstraint("line_counts IN ('complete', 'pending', 'missing')", name="line_counts"),
    Index(
        "ix_commits_line_counts_pending",
        "repository_id",
        "id",
        postgresql_where=text("line_counts = 'pending'"),
    ),
    UniqueConstraint("repository_id", "oid"),
    Index("ix_commits_repository_id_committed_at", "repository_id", "committed_at"),
)

file_changes = Table(
    "file_changes",
    metadata,
    Column("commit_id", BigInteger, ForeignKey("commits.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    # The old path of a rename or copy.
    Column("previous_path", Text),
    # NULL for binary files, and while they are not counted.
    Column("added_lines", Integer),
    Column("deleted_lines", Integer),
    CheckConstraint(
        "kind IN ('added', 'modified', 'deleted', 'renamed', 'copied', 'type_changed')", name="kind"
    ),
    Index("ix_file_changes_repository_id_path", "repository_id", "path"),
)
