"""Suspected commits of errors: the latest change of what the stack went through.

Each frame of the program in an ingested repository has two sides: the commit that wrote its line last, and the one that
changed lines around it last, which may have deleted what the line needs. Of all these the latest commit before the
error is suspected. Does not belong here: errors themselves.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_analysis import Analysis
from qflow_dagster.infrastructure.error_records import Unsuspected
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.ingestion.stand_ins import stand_in
from qflow_dagster.quantumflow.rows import to_json

# Deeper paths exist; their first folders depend on the installation.
MAX_PATH_PARTS = 16
# The innermost frames that are looked at, lines above and below each, and suspects that are kept beside the first.
MAX_FRAMES, AROUND, MAX_OTHERS = 10, 3, 3
# Seconds for a call of git, and for all calls of an analysis: after that the last commit to the file has to do.
GIT_SECONDS, ALL_SECONDS = 5.0, 30.0
MAX_FILE_BYTES = 5_000_000

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

Suspect = dict[str, Any]


class _Place(NamedTuple):
    """A frame in an ingested repository."""

    repository: str
    path: str
    line: int
    source: str


def analyze_errors(engine: Engine, *, run_id: str | None = None) -> tuple[Analysis, int]:
    """Group new errors, and store suspected commits of the groups; return the analysis and their number."""
    analysis = error_analysis.analyze(engine, run_id=run_id)
    until = time.monotonic() + ALL_SECONDS
    with engine.connect() as connection:
        groups = error_records.without_suspect(connection, sorted(analysis.groups))
        suspects = {
            group.id: suspect for group in groups if (suspect := suspected_commit(connection, group, until))
        }
    if suspects:
        with engine.begin() as connection:
            error_records.set_suspects(connection, suspects)
    return analysis, len(suspects)


def suspected_commit(connection: Connection, group: Unsuspected, until: float) -> Suspect | None:
    """Return the commit that is suspected of an error, with others; None if no file of its stack is ingested.

    `until`: the time (`time.monotonic`) from which git is not called any more.
    """
    files = ingested_files(connection, [str(frame["file"]) for frame in group.frames])
    places = dict.fromkeys(
        _Place(*files[str(frame["file"])], int(frame.get("line") or 0), str(frame.get("source") or ""))
        for frame in reversed(group.frames)
        if str(frame["file"]) in files
    )
    by_commit: dict[str, Suspect] = {}
    for suspect in _from_git(connection, list(places)[:MAX_FRAMES], group, until):
        by_commit.setdefault(suspect["commit"], suspect)
    found = sorted(by_commit.values(), key=lambda suspect: suspect["committed_at"], reverse=True)
    if found:
        return {**found[0], "others": found[1 : 1 + MAX_OTHERS]}
    for place in places:
        change = connection.execute(
            _LAST_CHANGE, {"repository": place.repository, "path": place.path}
        ).one_or_none()
        if change is not None:
            return {
                **_described(place, "it changed this file last"),
                "commit": change.oid,
                "author": change.author_name,
                "committed_at": change.committed_at.isoformat(),
                "subject": change.subject,
            }
    return None


def _from_git(
    connection: Connection, places: Sequence[_Place], group: Unsuspected, until: float
) -> Iterator[Suspect]:
    """Yield the commits of both sides of each place, the innermost place and its line first."""
    by_name: dict[str, tuple[Path, Path, str] | None] = {}
    with ExitStack() as opened:
        for place in places:
            if place.repository not in by_name:
                by_name[place.repository] = _opened(connection, place.repository, group.release, opened)
            repository = by_name[place.repository]
            if repository is None or time.monotonic() > until:
                continue
            objects, readable, revision = repository
            try:
                content = git.run(
                    objects, "cat-file", "blob", f"{revision}:{place.path}", max_output=MAX_FILE_BYTES
                )
                line = _line_of(place, content.decode("utf-8", "replace").split("\n"))
                sides = (("it changed this line last", 0), ("it changed the lines around last", AROUND))
                for reason, around in sides if line else ():
                    lines = f"{max(line - around, 1)},{line + around}"
                    yield from _last_change(
                        readable,
                        revision,
                        f"{lines}:{place.path}",
                        _described(place._replace(line=line), reason),
                        group,
                    )
            except git.GitError:
                # A shallow or partial clone, or a file that this revision does not have.
                continue


def _opened(
    connection: Connection, name: str, release: str | None, opened: ExitStack
) -> tuple[Path, Path, str] | None:
    """Return a repository, a readable stand-in for it, and the revision that runs; None if it is not here."""
    repository = repositories.find(connection, name)
    try:
        objects = repository.objects
        revision = _revision_of(objects, release) or repository.history_tip
        return (objects, opened.enter_context(stand_in(objects)), revision) if revision else None
    except QflowError:
        return None


def _revision_of(objects: Path, release: str | None) -> str | None:
    """Return the commit of a release that is named by a commit or a tag, as `package@release` too; else None."""
    name = (release or "").rpartition("@")[2]
    revisions = [name] if git.OBJECT_ID.fullmatch(name) else [f"refs/tags/{name}", f"refs/tags/v{name}"]
    for revision in revisions if name and not name.startswith("-") else ():
        try:
            return (
                git.run(objects, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
                .decode()
                .strip()
            )
        except git.GitError:
            continue
    return None


def _line_of(place: _Place, lines: Sequence[str]) -> int:
    """Return the line of a frame in a file: the nearest with its source, if the event has it; 0 if there is none."""
    if not place.source:
        return place.line if place.line <= len(lines) else 0
    source = place.source.strip()
    same = [number for number, line in enumerate(lines, 1) if line.strip() == source]
    return min(same, key=lambda number: abs(number - place.line), default=0)


def _last_change(
    repository: Path, revision: str, lines: str, described: Suspect, group: Unsuspected
) -> Iterator[Suspect]:
    """Yield the last commit before an error that changed `lines` (`FIRST,LAST:PATH`), renames followed."""
    printed = git.run(
        repository,
        "log",
        "-s",
        "-M",
        "--max-count=1",
        f"--until={int(group.first_seen.timestamp())}",
        "--format=%H%x00%an%x00%ct%x00%s",
        "-L",
        lines,
        revision,
        timeout=GIT_SECONDS,
    )
    for row in printed.decode("utf-8", "replace").splitlines()[:1]:
        oid, author, at, subject = row.split("\0", 3)
        committed_at = datetime.fromtimestamp(int(at), UTC).isoformat()
        yield {
            **described,
            "commit": oid,
            "author": author,
            "committed_at": committed_at,
            "subject": subject,
        }


def _described(place: _Place, reason: str) -> Suspect:
    return {"repository": place.repository, "path": place.path, "line": place.line, "reason": reason}


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
