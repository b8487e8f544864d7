"""Files that were read with errors of syntax: what they declare may be missing, so that answers must not deny it.

Belongs here: which files have errors, and their lines that declare a name. Does not belong here: how a declaring line
looks (`declaring_lines`).
"""

from collections.abc import Collection

from sqlalchemy import text

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import IN_SNAPSHOT
from qflow_dagster.knowledge import git_facts
from qflow_dagster.knowledge.declaring_lines import declares_type, is_declaration
from qflow_dagster.knowledge.evidence import QuestionContext, listed
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.lookups import SymbolLocation


def of_paths(context: QuestionContext, paths: Collection[str]) -> list[str]:
    """Return those of some files that have errors, but vendored ones."""
    query = text(f"""
        SELECT f.path FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND b.parse_error_count > 0 AND NOT f.vendored ORDER BY f.path
    """)
    parameters = {**context.snapshot.interval, "paths": sorted(set(paths))}
    return list(context.connection.scalars(query, parameters)) if paths else []


def outside_of_types(context: QuestionContext, name: str) -> list[SymbolLocation]:
    """Return the symbols of a name that are in no scope, in files with errors: each may be in a type."""
    query = text(f"""
        SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid
        FROM symbols s JOIN files f ON f.blob_id = s.blob_id JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.name = :name AND s.qualified_name = s.name AND b.parse_error_count > 0
          AND NOT f.vendored ORDER BY f.path, s.start_line LIMIT 20
    """)
    rows = context.connection.execute(query, {**context.snapshot.interval, "name": name})
    return [SymbolLocation(*row) for row in rows]


def declaring(context: QuestionContext, name: str, *, types: bool = False) -> list[Line]:
    """Return the lines of files with errors that look like declarations of a name; `types`: of a type of that name."""
    try:
        rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name) if name else []
    except GitError:
        return []
    declared = [row for row in rows if is_declaration(row.text, name)]
    if types:
        # What ends there is declared elsewhere: `class Oven;`.
        declared = [row for row in declared if declares_type(row.text, name) and not row.text.endswith(";")]
    having = set(of_paths(context, {row.path for row in declared}))
    return [row for row in declared if row.path in having]


def say(context: QuestionContext, paths: Collection[str], missing: str) -> None:
    """Say that some of the files have errors, if they have, so that something may be missing."""
    if found := of_paths(context, paths):
        context.limit(f"{listed(found)} was read with errors of syntax: {missing} may be missing")
