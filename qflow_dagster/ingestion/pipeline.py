"""Ingestion of a revision up to the published snapshot, in resumable steps.

Facts of blobs are committed in batches; they are content-addressed, so the next run continues the
work of a killed one. The snapshot itself (files, dependencies, current snapshot) is published in a
single transaction at the end, so that it is never partially visible.

Does not belong here: git's output (``git``), worker processes (``workers``), SQL (``store``).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import (
    attributes,
    classify,
    dependencies,
    git,
    languages,
    module_manifests,
    repositories,
    store,
    trees,
)
from qflow_dagster.ingestion.blob_reader import BlobReader, with_reconnect
from qflow_dagster.ingestion.facts import EXTRACTOR_VERSION
from qflow_dagster.ingestion.repositories import Repository
from qflow_dagster.ingestion.store import FileRow
from qflow_dagster.progress import ReportProgress


class SnapshotResult(NamedTuple):
    """The result of an ingestion; `blobs_read` counts blobs that were not stored before."""

    snapshot_id: int
    commit_oid: str
    new: bool
    paths_changed: int
    blobs_read: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The rows to store so that `commit` follows the newest snapshot, `base`."""

    repository: Repository
    commit: git.Commit
    revision: str
    base: store.BaseSnapshot | None
    # Added and changed paths, with their sizes in bytes, and removed paths (None: all others).
    rows: list[FileRow]
    sizes: list[int]
    removed: list[str] | None


def ingest(
    engine: Engine,
    name: str,
    revision: str = "HEAD",
    *,
    progress: ReportProgress | None = None,
    processes: int | None = None,
) -> SnapshotResult:
    """Ingest `revision` of the repository called `name` and make it the current snapshot.

    A commit that was ingested before only becomes current. Otherwise only the changes since the newest
    snapshot are processed: changed paths, and blobs that are not stored from any repository.

    Raises:
        QflowError: The repository or revision cannot be read, or it is being ingested.
    """
    started = time.monotonic()
    report = progress or (lambda stage, done, total: None)
    git.require_git()
    with engine.connect() as connection:
        repository = repositories.find(connection, name)
    with repositories.locked(engine, repository):
        with engine.begin() as connection:
            repositories.refresh(connection, repository, report)
            commit = git.resolve(repository.objects, revision)
            existing = store.find_snapshot(connection, repository.id, commit.oid)
            base = store.newest_snapshot(connection, repository.id)
            if existing is not None:
                store.set_current_snapshot(connection, repository.id, existing)
            attribute_files = store.paths_ending_with(connection, repository.id, attributes.FILE_NAME)
        reader = BlobReader(engine, repository.objects, report, processes)
        blobs_read = 0
        if base is not None:
            blobs_read += fill_gaps(reader, repository, base, existing or base.id, attribute_files)
        if existing is not None:
            return SnapshotResult(existing, commit.oid, False, 0, blobs_read, time.monotonic() - started)
        plan = plan_snapshot(repository, commit, revision, base, attribute_files)
        snapshot_id = None
        # Stored facts may be deleted with another repository before the snapshot refers to
        # them; then it is not published, and what is missing is read.
        while snapshot_id is None:
            blobs_read += reader.read(
                (row.oid, row.language, row.path, size)
                for row, size in zip(plan.rows, plan.sizes, strict=True)
                if row.language is not None
            )
            report("publishing", 0, 1)
            snapshot_id = with_reconnect(engine, lambda connection: publish(connection, plan))
        report("publishing", 1, 1)
    seconds = time.monotonic() - started
    return SnapshotResult(snapshot_id, commit.oid, True, len(plan.rows), blobs_read, seconds)


def plan_snapshot(
    repository: Repository,
    commit: git.Commit,
    revision: str,
    base: store.BaseSnapshot | None,
    attribute_files: Sequence[tuple[str, str]],
) -> Plan:
    """Determine the changes from `base` to `commit`; without a usable base everything is new.

    `attribute_files` are (path, object id) of the base's `.gitattributes`; if one changes, any file may.
    """
    entries, removed = None, None
    if base is not None and base.extractor_version == EXTRACTOR_VERSION:
        # The base may have been rewritten away and collected; then everything is listed.
        with suppress(git.GitError):
            entries, removed = trees.changed_entries(repository.objects, base.commit_oid, commit.oid)
    changed = [*(entry.path for entry in entries or ()), *(removed or ())]
    if entries is None or any(map(attributes.is_file, changed)):
        entries, removed = git.list_tree(repository.objects, commit.oid), None
        attribute_files = [
            (entry.path, entry.oid)
            for entry in entries
            if attributes.is_file(entry.path) and trees.KINDS[entry.mode] == "file"
        ]
    rows = file_rows(repository.objects, entries, attribute_files)
    return Plan(repository, commit, revision, base, rows, [entry.size or 0 for entry in entries], removed)


def file_rows(
    objects: Path, entries: Sequence[git.TreeEntry], attribute_files: Sequence[tuple[str, str]]
) -> list[FileRow]:
    """Return the rows of `entries`: kind, language, flags, targets of links."""
    files = [entry for entry in entries if trees.KINDS[entry.mode] in ("file", "executable")]
    own = attributes.read(objects, attribute_files, [entry.path for entry in files])
    detected = languages_of(objects, files, own)
    targets = trees.read_links(objects, [entry for entry in entries if entry.mode == "120000"])
    rows = []
    for entry in entries:
        flags, said = classify.classify(entry.path), own.get(entry.path, attributes.NONE)
        rows.append(
            FileRow(
                entry.path,
                trees.KINDS[entry.mode],
                entry.oid,
                detected.get(entry.path),
                targets.get(entry.oid),
                test=flags.test,
                vendored=flags.vendored if said.vendored is None else said.vendored,
                generated=flags.generated or None if said.generated is None else said.generated,
                documentation=flags.documentation if said.documentation is None else said.documentation,
                example=flags.example,
                detectable=said.detectable is not False,
            )
        )
    return rows


def languages_of(
    objects: Path, files: Sequence[git.TreeEntry], own: Mapping[str, attributes.Attributes]
) -> dict[str, str]:
    """Return the language of each file by path: by attribute, by its name, by its content."""
    detected = {}
    ambiguous: dict[str, list[str]] = defaultdict(list)
    for entry in files:
        if said := own.get(entry.path, attributes.NONE).language:
            detected[entry.path] = said
        elif languages.needs_head(entry.path):
            # No language, if the blob cannot be read.
            detected[entry.path] = ""
            ambiguous[entry.oid].append(entry.path)
        else:
            detected[entry.path] = languages.detect(entry.path, b"")
    for oid, head in trees.read_heads(objects, ambiguous):
        for path in ambiguous[oid]:
            detected[path] = languages.detect(path, head)
    return detected


def fill_gaps(
    reader: BlobReader,
    repository: Repository,
    newest: store.BaseSnapshot,
    snapshot_id: int,
    attribute_files: Sequence[tuple[str, str]],
) -> int:
    """Read what was missing when the snapshot was published, if it is there now; return the number of blobs."""
    with reader.engine.begin() as connection:
        gaps = store.gaps(connection, snapshot_id)
    sizes = trees.blob_sizes(repository.objects, list(dict.fromkeys(gap.oid for gap in gaps)))
    gaps = [gap for gap in gaps if gap.oid in sizes]
    if not gaps:
        return 0
    entries = [git.TreeEntry("100644", "blob", gap.oid, sizes[gap.oid], gap.path) for gap in gaps]
    # The language may depend on the content.
    own = attributes.read(repository.objects, attribute_files, [gap.path for gap in gaps])
    detected = languages_of(repository.objects, entries, own)
    blobs_read = reader.read((gap.oid, detected[gap.path], gap.path, sizes[gap.oid]) for gap in gaps)

    def publish_filled(connection: Connection) -> None:
        store.fill_gaps(connection, gaps, [detected[gap.path] for gap in gaps])
        store.fill_totals(connection, snapshot_id)
        if snapshot_id == newest.id:
            paths = [gap.path for gap in gaps]
            edges = dependencies.resolve(connection, repository, paths)
            dependencies.replace(connection, repository.id, newest.seq, edges, paths)

    with_reconnect(reader.engine, publish_filled)
    return blobs_read


def publish(connection: Connection, plan: Plan) -> int | None:
    """Make the commit visible as the repository's current snapshot; returns its id.

    Returns None, and writes nothing, if facts of its files are missing.

    Raises:
        QflowError: The newest snapshot is no longer the base of the plan.
    """
    repository, rows, removed = plan.repository, plan.rows, plan.removed
    store.lock_facts(connection)
    # Already published, if the connection was lost after the commit.
    existing = store.find_snapshot(connection, repository.id, plan.commit.oid)
    if existing is not None:
        return existing
    required = {(row.oid, row.language) for row in rows if row.language is not None}
    if len(store.known_blobs(connection, required, missing=True)) < len(required):
        return None
    before = None if removed is None else {path for path, _ in store.current_paths(connection, repository.id)}
    snapshot_id, seq = store.insert_snapshot(connection, repository.id, plan.commit, plan.revision)
    # This can happen, because the lock on the repository is lost if the server restarts.
    if seq != (plan.base.seq if plan.base else 0) + 1:
        raise QflowError(f"{repository.name} was ingested by another process meanwhile; run again")
    store.replace_files(connection, repository.id, seq, rows, removed)
    store.fill_totals(connection, snapshot_id)
    changed = [row.path for row in rows]
    # An import of an unchanged file may resolve differently once paths come or go, once a manifest
    # says where modules lie, or once a file declares other names: then all are resolved again.
    everything = (
        before is None
        or bool(removed)
        or any(path not in before or module_manifests.is_manifest(path) for path in changed)
        or dependencies.declarations(connection, repository.id, changed)
        != dependencies.declarations(connection, repository.id, changed, seq=seq - 1)
    )
    sources = None if everything else changed
    edges = dependencies.resolve(connection, repository, sources)
    dependencies.replace(connection, repository.id, seq, edges, sources)
    store.set_current_snapshot(connection, repository.id, snapshot_id)
    return snapshot_id
