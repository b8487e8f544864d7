"""Suspected commits of errors: the last commit that changed the file where an error happens.

Uses ingested files of current snapshots and their history. Does not belong here: errors themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_analysis import Analysis

# Deeper paths exist; their first folders depend on the installation.
MAX_PATH_PARTS = 16

_FILE = text("""
SELECT r.id AS repository_id, r.name AS repository, f.path
FROM repositories r JOIN files f ON f.repository_id = r.id AND f.to_seq IS NULL AND f.path = ANY(:candidates)
ORDER BY length(f.path) DESC, r.id LIMIT 1
""")
_LAST_CHANGE = text("""
SELECT c.oid, c.author_name, c.committed_at, c.subject
FROM file_changes fc JOIN commits c ON c.id = fc.commit_id
WHERE fc.repository_id = :repository_id AND fc.path = :path ORDER BY c.id DESC LIMIT 1
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
    for frame in reversed(frames):
        row = connection.execute(_FILE, {"candidates": candidates(str(frame["file"]))}).one_or_none()
        if row is None:
            continue
        change = connection.execute(
            _LAST_CHANGE, {"repository_id": row.repository_id, "path": row.path}
        ).one_or_none()
        if change is not None:
            return {
                "repository": row.repository,
                "path": row.path,
                "line": frame["line"],
                "commit": change.oid,
                "author": change.author_name,
                "committed_at": change.committed_at.isoformat(),
                "subject": change.subject,
            }
    return None


def candidates(file: str) -> list[str]:
    """Return possible paths within a repository of a file in a stack trace, longest first.

    A bare name counts only if the trace has no folder: `__init__.py` is in every repository.
    """
    parts = [part for part in file.replace("\\", "/").split("/") if part not in ("", ".")][-MAX_PATH_PARTS:]
    paths = ["/".join(parts[start:]) for start in range(len(parts))]
    return paths if len(paths) == 1 else paths[:-1]
