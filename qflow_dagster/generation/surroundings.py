"""What the rest of the repository says of a file to be changed: types, names used elsewhere, what == means, style.

It is looked up once for a batch of requests, and only where a precondition of the rule needs it. Does not belong
here: the preconditions themselves (`preconditions`).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from sqlalchemy import Connection, text

from qflow_dagster.evolution import project_linters
from qflow_dagster.evolution.python_targets import oldest
from qflow_dagster.generation import coverage_tests, preconditions, type_checker
from qflow_dagster.generation.generators.protocol import ImportCycle, Request, Surroundings
from qflow_dagster.generation.preconditions import conventions, oldest_versions
from qflow_dagster.generation.preconditions.python_classes import OWN_EQUALITY
from qflow_dagster.generation.remaining import cycle_bound
from qflow_dagster.generation.repository_gates import Batch
from qflow_dagster.generation.workers import lost_types, wanted_types_batch
from qflow_dagster.ingestion import checkouts, dependencies, repositories, trees
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import IN_SNAPSHOT
from qflow_dagster.processes import in_processes
from qflow_dagster.settings import settings

Span = tuple[int, int]
# Preconditions that ask which names other files use, and what == means.
_NAMES = {"import-without-effect", "name-not-read"}
_EQUALITY = {"plain-equality"}
# What evaluates the annotations of other modules; what tests do shows when they run.
_EVALUATORS = (
    r"^[^#]*\b(get_type_hints|get_annotations|eval_str|resolve_types|ForwardRef|__globals__)\b"
    r"|^ *(import|from) +(beartype|typeguard)\b"
)
_TEST = re.compile(r"(^|/)(tests?/|test_|conftest)")


def look_up(batch: Batch, requests: Sequence[Request]) -> list[Request]:
    """Return the requests with what their preconditions need to know of the repository."""
    with batch.engine.connect() as connection:
        equality = _foreign_equality(connection, batch) if _asks(requests, _EQUALITY) else None
        paths = {r.path for r in requests if _asks([r], _NAMES) or cycle_bound(r.rule) is not None}
        missing = next((file.path for file in batch.missing if file.may_be_text), "")
        names = _imported_names(connection, batch, paths) if paths and not missing else {}
        agreed = _conventions(connection, batch, requests)
        versions = _versions(connection, batch) if _asks(requests, oldest_versions.NAMES) else {}
        cycles = _cycles(connection, batch, {r.path for r in requests if cycle_bound(r.rule) is not None})
    types = _types(batch, requests)
    recorded = {n: coverage_tests.recorded(batch, r) for n, r in enumerate(requests) if r.covers}
    return [
        replace(
            request,
            surroundings=Surroundings(
                types=types.get(number, {}),
                imported_names=names.get(request.path),
                missing_file=missing,
                convention=agreed.get((request.rule.digest, request.path)),
                foreign_equality=equality,
                versions=oldest_versions.of_path(request.path, versions),
                cycle=cycles.get(request.path),
                recorded=recorded.get(number),
            ),
        )
        for number, request in enumerate(requests)
    ]


def _cycles(connection: Connection, batch: Batch, paths: Collection[str]) -> dict[str, ImportCycle]:
    """Return what is known of the cycles of imports around these files, if they are Python."""
    if not paths:
        return {}
    # Imported late: it brings what measures need.
    from qflow_dagster.metrics.files import EDGES

    rows = connection.execute(text(EDGES), batch.snapshot.interval).all()
    edges = frozenset((row.source_path, row.target_path) for row in rows if row.at_import)
    repository = repositories.find(connection, batch.snapshot.repository)
    lines = _lines_by_file(batch, _EVALUATORS)
    evaluator = next(
        (path for path, number in lines if number and path.endswith(".py") and not _TEST.search(path)), ""
    )
    return {
        path: ImportCycle(
            frozenset(edge for edge in edges if edge[0] != path),
            dependencies.targets_of(connection, repository, path),
            evaluator,
        )
        for path in paths
    }


def _asks(requests: Iterable[Request], required: Collection[str]) -> bool:
    return any(name in required for request in requests for name, _ in request.rule.requirements)


def _foreign_equality(connection: Connection, batch: Batch) -> str:
    missing = next((file.path for file in batch.missing if file.may_be_python), None)
    if missing is not None:
        return f"{missing} is missing, which may give == a meaning of its own"
    snapshot = batch.snapshot
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
    connection: Connection, batch: Batch, paths: Collection[str]
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
        {**batch.snapshot.interval, "modules": [*set(modules.values()), ""]},
    ).all()
    attributes = _attributes(batch, set(modules.values()))
    names: dict[str, frozenset[str] | None] = {}
    for path, module in modules.items():
        imported = [row for row in rows if row.path != path and row.module.split(".")[-1] == module]
        used = {name.split(" as ")[0].strip() for row in imported for name in row.names}
        names[path] = None if "*" in used else frozenset(used | attributes.get(module, set()))
    return names


def _module(path: str) -> str:
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem == "__init__" else pure.stem


def _attributes(batch: Batch, modules: set[str]) -> dict[str, set[str]]:
    """Return what is written behind the name of each module and a dot, in any file (code or text)."""
    pattern = rf"\b({'|'.join(map(re.escape, sorted(modules - {''})))})\.[A-Za-z_]\w*"
    attributes: dict[str, set[str]] = {}
    for line in _grep(batch, "-ho", pattern) if modules - {""} else ():
        module, _, name = line.partition(".")
        attributes.setdefault(module, set()).add(name)
    return attributes


def _conventions(
    connection: Connection, batch: Batch, requests: Sequence[Request]
) -> dict[tuple[bytes, str], str]:
    """Return, by digest of the rule and path, why a fix is against the convention of the repository."""
    grouped: dict[tuple[bytes, str], list[Request]] = {}
    for request in requests:
        if conventions.pattern_of(request) is not None:
            suffix = PurePosixPath(request.code_path).suffix
            grouped.setdefault((request.rule.digest, suffix), []).append(request)
    reasons: dict[tuple[bytes, str], str] = {}
    for (digest, suffix), group in grouped.items():
        locations = connection.scalar(
            text(f"""
                SELECT count(*) FROM files f JOIN rule_matches m ON m.blob_id = f.blob_id
                JOIN rule_versions v ON v.id = m.rule_version_id
                WHERE {IN_SNAPSHOT} AND v.digest = :digest AND NOT f.vendored AND NOT f.generated
            """),
            {**batch.snapshot.interval, "digest": digest},
        )
        lines = _lines_by_file(batch, str(conventions.pattern_of(group[0])))
        written = sum(number for path, number in lines if path.endswith(suffix))
        reason = conventions.against(locations or 0, written)
        paths = {request.path for request in group}
        reasons |= dict.fromkeys(((digest, path) for path in paths), reason)
        if reason:
            # A linter that has the rule on says which style is the convention to be.
            on = project_linters.turned_on(
                connection, batch.objects, batch.snapshot, group[0].rule, sorted(paths)
            )
            reasons |= dict.fromkeys(((digest, path) for path in on), "")
    return reasons


def _versions(connection: Connection, batch: Batch) -> oldest_versions.Versions:
    """Return the oldest versions that the manifests of each folder name."""
    query = text(f"""
        SELECT f.path, f.oid FROM files f
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND regexp_replace(f.path, '^.*/', '') = ANY(:manifests)
        ORDER BY f.path
    """)
    parameters = {**batch.snapshot.interval, "manifests": list(oldest_versions.MANIFESTS)}
    files = [(row.path, row.oid) for row in connection.execute(query, parameters)]
    return oldest_versions.versions_in(trees.read_texts(batch.objects, files))


def _lines_by_file(batch: Batch, pattern: str) -> list[tuple[str, int]]:
    prefix = f"{batch.snapshot.commit_oid}:"
    files = (line.removeprefix(prefix).partition("\0") for line in _grep(batch, "-zc", pattern))
    # Of a path with a line break, the part before it has no number.
    return [(path, int(number)) for path, _, number in files if number.isdigit()]


def _grep(batch: Batch, options: str, pattern: str) -> list[str]:
    """Return the lines that `git grep` prints of the texts of the snapshot that can be read."""
    commit = batch.snapshot.commit_oid
    with checkouts.scratch(batch.objects) as store:
        searched = commit
        if batch.missing:
            # Git ends at a damaged file, so the files are searched by an index without those.
            searched = "--cached"
            removals = [f"0 {'0' * len(commit)}\t{file.path}\0" for file in batch.missing]
            store.git("read-tree", commit)
            store.git("update-index", "-z", "--index-info", stdin="".join(removals).encode())
        try:
            output = store.git("grep", f"{options}IE", "-e", pattern, searched)
        except GitError as error:
            # Git ends with 1 where nothing matches, perhaps with a hint.
            if re.search(r"^(?:fatal|error):", error.stderr, re.MULTILINE):
                raise
            return []
    return output.decode(errors="replace").splitlines()


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
    # One run of the checker for all, so for the oldest Python among them.
    target = oldest(requests[number].target for number in wanted)
    # The checker looks at copies of the texts with calls added.
    with batch.replaced(texts) as folder:
        types = type_checker.types_in(folder, texts, spans, target)
    return {number: types[requests[number].code_path] for number in wanted}
