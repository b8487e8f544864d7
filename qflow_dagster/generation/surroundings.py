"""What the rest of the repository says of a file to be changed: types, names used elsewhere, what == means.

It is looked up once for a batch of requests, and only where a precondition of the rule needs it. Does not belong
here: the preconditions themselves (`preconditions`).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection, text

from qflow_dagster.generation import preconditions, type_checker
from qflow_dagster.generation.generators.protocol import Request, Surroundings
from qflow_dagster.generation.preconditions.python_classes import OWN_EQUALITY
from qflow_dagster.generation.repository_gates import Batch
from qflow_dagster.generation.workers import lost_types, wanted_types_batch
from qflow_dagster.ingestion import checkouts
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.processes import in_processes
from qflow_dagster.settings import settings

Span = tuple[int, int]
# Preconditions that ask which names other files use, and what == means.
_NAMES = {"import-without-effect", "name-not-read"}
_EQUALITY = {"plain-equality"}


def look_up(batch: Batch, requests: Sequence[Request]) -> list[Request]:
    """Return the requests with what their preconditions need to know of the repository."""
    with batch.engine.connect() as connection:
        equality = _foreign_equality(connection, batch.snapshot) if _asks(requests, _EQUALITY) else None
        paths = {request.path for request in requests if _asks([request], _NAMES)}
        names = _imported_names(connection, batch.objects, batch.snapshot, paths) if paths else {}
    types = _types(batch, requests)
    return [
        replace(
            request,
            surroundings=Surroundings(
                types=types.get(number, {}),
                imported_names=names.get(request.path),
                foreign_equality=equality,
            ),
        )
        for number, request in enumerate(requests)
    ]


def _asks(requests: Iterable[Request], required: set[str]) -> bool:
    return any(name in required for request in requests for name, _ in request.rule.requirements)


def _foreign_equality(connection: Connection, snapshot: Snapshot) -> str:
    library = connection.scalar(
        text(f"""
            SELECT split_part(i.module, '.', 1)
            FROM files f JOIN blobs b ON b.id = f.blob_id JOIN imports i ON i.blob_id = b.id
            WHERE {IN_SNAPSHOT} AND b.language = 'Python' AND i.level = 0
              AND split_part(i.module, '.', 1) = ANY(:libraries)
            LIMIT 1
        """),
        {**snapshot.interval, "libraries": sorted(OWN_EQUALITY)},
    )
    if library is not None:
        return f"the repository uses {library}, which gives == a meaning of its own"
    owner = connection.scalar(
        text(f"""
            SELECT s.qualified_name
            FROM files f JOIN blobs b ON b.id = f.blob_id JOIN symbols s ON s.blob_id = b.id
            WHERE {IN_SNAPSHOT} AND b.language = 'Python' AND s.name = '__eq__'
            LIMIT 1
        """),
        snapshot.interval,
    )
    return f"{owner.rpartition('.')[0] or 'a class'} has an __eq__ of its own" if owner is not None else ""


def _imported_names(
    connection: Connection, objects: Path, snapshot: Snapshot, paths: Collection[str]
) -> dict[str, frozenset[str] | None]:
    """Return the names of each file that other files import, read as attributes or write in a text."""
    modules = {path: _module(path) for path in paths}
    rows = connection.execute(
        text(f"""
            SELECT f.path, i.module, i.names
            FROM files f JOIN blobs b ON b.id = f.blob_id JOIN imports i ON i.blob_id = b.id
            WHERE {IN_SNAPSHOT} AND b.language = 'Python' AND i.kind = 'from'
              AND regexp_replace(i.module, '^.*\\.', '') = ANY(:modules)
        """),
        {**snapshot.interval, "modules": [*set(modules.values()), ""]},
    ).all()
    attributes = _attributes(objects, snapshot, set(modules.values()))
    names: dict[str, frozenset[str] | None] = {}
    for path, module in modules.items():
        imported = [row for row in rows if row.path != path and row.module.split(".")[-1] == module]
        used = {name.split(" as ")[0].strip() for row in imported for name in row.names}
        names[path] = None if "*" in used else frozenset(used | attributes.get(module, set()))
    return names


def _module(path: str) -> str:
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem == "__init__" else pure.stem


def _attributes(objects: Path, snapshot: Snapshot, modules: set[str]) -> dict[str, set[str]]:
    """Return what is written behind the name of each module and a dot, in any file (code or text)."""
    pattern = rf"\b({'|'.join(map(re.escape, sorted(modules - {''})))})\.[A-Za-z_]\w*"
    if not modules - {""}:
        return {}
    with checkouts.scratch(objects) as store:
        try:
            output = store.git("grep", "-hoIE", "-e", pattern, snapshot.commit_oid)
        except GitError as error:
            # Git ends with 1 where nothing matches, perhaps with a hint.
            if re.search(r"^(?:fatal|error):", error.stderr, re.MULTILINE):
                raise
            output = b""
    attributes: dict[str, set[str]] = {}
    for line in output.decode(errors="replace").splitlines():
        module, _, name = line.partition(".")
        attributes.setdefault(module, set()).add(name)
    return attributes


def _types(batch: Batch, requests: Sequence[Request]) -> dict[int, Mapping[Span, str]]:
    """Return the types that the preconditions of each request ask for, by its position."""
    typed = [
        (number, request) for number, request in enumerate(requests) if preconditions.needs_types(request)
    ]
    results = in_processes(
        wanted_types_batch, None, [[task] for task in typed], settings().ingestion.processes, lost=lost_types
    )
    wanted = {number: spans for number, spans in results if spans}
    if not wanted:
        return {}
    spans: dict[str, set[Span]] = {}
    for number, asked in wanted.items():
        spans.setdefault(requests[number].code_path, set()).update(asked)
    texts = {requests[number].code_path: requests[number].text for number in wanted}
    target = requests[next(iter(wanted))].target
    # The checker looks at copies of the texts with calls added.
    with batch.replaced(texts) as folder:
        types = type_checker.types_in(folder, texts, spans, target)
    return {number: types[requests[number].code_path] for number in wanted}
