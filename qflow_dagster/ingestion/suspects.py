"""Suspected commits of errors: the last commit that changed the file where an error happens.

Uses ingested files of current snapshots and their history. Does not belong here: errors themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_analysis import Analysis
from qflow_dagster.quantumflow.rows import to_json

# Deeper paths exist; their first folders depend on the installation.
MAX_PATH_PARTS = 16

_FILES = text("""
SELECT DISTINCT ON (named.file) named.file, r.name AS repository, f.path
FROM json_to_recordset(CAST(:named AS json)) AS named(file text, candidate text)
JOIN files f ON f.path = named.candidate AND f.to_seq IS NULL JOIN repositories r ON r.id = f.repository_id
ORDER BY named.file, length(f.path) DESC, r.id
""")
_LAST_CHANGE = text("""
SELECT c.oid, c.author_name, c.committed_at, c.subject
FROM file_changes fc JOIN repositories r ON r.id = fc.repository_id JOIN commits c ON c.id = fc.commit_id
WHERE r.name = :repository AND fc.path = :path ORDER BY c.id DESC LIMIT 1
""")


def analyze_errors(engine: Engine, *, run_id: str | None = None) -> tuple[Analysis, int]:
    """Group new errors, and store suspected commits of the groups; return the analysis and their number."""
    analysis = error_analysis.analyze(engine, run_id=run_id)
    with engine.begin() as connection:
        groups = error_records.without_suspect(connection, sorted(analysis.groups))
        suspects = {
            group: suspect for group, frames in groups if (suspect := suspected_commit(connection, frames))
        }
        error_records.set_suspects(connection, suspects)
    return analysis, len(suspects)


def suspected_commit(connection: Connection, frames: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the last commit to the innermost file of the stack that belongs to an ingested repository.

    `frames`: file, line and function of each call, outermost first. None if no file is ingested.
    """
    files = ingested_files(connection, [str(frame["file"]) for frame in frames])
    for frame in reversed(frames):
        if str(frame["file"]) not in files:
            continue
        repository, path = files[str(frame["file"])]
        change = connection.execute(_LAST_CHANGE, {"repository": repository, "path": path}).one_or_none()
        if change is not None:
            return {
                "repository": repository,
                "path": path,
                "line": frame["line"],
                "commit": change.oid,
                "author": change.author_name,
                "committed_at": change.committed_at.isoformat(),
                "subject": change.subject,
            }
    return None


def ingested_files(connection: Connection, files: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the repository and path of those files of stack traces that belong to a current snapshot, by file."""
    named = [{"file": file, "candidate": path} for file in dict.fromkeys(files) for path in candidates(file)]
    rows = connection.execute(_FILES, {"named": to_json(named, "the files of a stack trace")})
    return {row.file: (row.repository, row.path) for row in rows}


def candidates(file: str) -> list[str]:
    """Return possible paths within a repository of a file in a stack trace, longest first.

    A bare name counts only if the trace has no folder: `__init__.py` is in every repository.
    """
    parts = [part for part in file.replace("\\", "/").split("/") if part not in ("", ".")][-MAX_PATH_PARTS:]
    paths = ["/".join(parts[start:]) for start in range(len(parts))]
    return paths if len(paths) == 1 else paths[:-1]
