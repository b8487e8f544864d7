"""Dependencies of a snapshot: the imports of its files, resolved, as intervals.

Belongs here: reading imports and declarations, and writing edges. Does not belong here: the meaning of an import
(``resolution``), files and facts (``store``).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.database import stage_rows
from qflow_dagster.ingestion import module_manifests, store, tables, trees
from qflow_dagster.ingestion.declarations import FAMILIES, FileDeclarations
from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.repositories import Repository
from qflow_dagster.ingestion.resolution import Resolver


class ImportRow(NamedTuple):
    """An import of a file of the snapshot being published."""

    path: str
    language: str
    fact: ImportFact


def resolve(
    connection: Connection, repository: Repository, sources: Sequence[str] | None
) -> list[tuple[str, int, str, str | None]]:
    """Return (source, line, module, target) of the imports of `sources` (None: all files), a row per target."""
    imports = imports_of(connection, repository.id, sources)
    if not imports:
        return []
    by_declaration = any(row.language in FAMILIES for row in imports)
    declared = declarations(connection, repository.id, None) if by_declaration else []
    resolver = _resolver(connection, repository, declared)
    edges = []
    for row in imports:
        targets = resolver.resolve(row.path, row.language, row.fact)
        edges += [(row.path, row.fact.line, row.fact.module, target) for target in targets or (None,)]
    return edges


def _resolver(
    connection: Connection, repository: Repository, declared: Sequence[FileDeclarations]
) -> Resolver:
    paths = store.current_paths(connection, repository.id)
    manifests = trees.read_texts(
        repository.objects, [(p, oid) for p, oid in paths if module_manifests.is_manifest(p)]
    )
    return Resolver([path for path, _ in paths], manifests, declared)


def targets_of(
    connection: Connection, repository: Repository, path: str
) -> dict[tuple[int, str, str], tuple[str, ...]]:
    """Return the files that each name (level, module, name) refers to which a file of the open snapshot imports."""
    resolver = _resolver(connection, repository, [])
    found: dict[tuple[int, str, str], tuple[str, ...]] = {}
    for row in imports_of(connection, repository.id, [path]):
        for name in row.fact.names or ("",):
            fact = row.fact._replace(names=[name] if name else [])
            found[fact.level, fact.module, name] = resolver.resolve(path, row.language, fact)
    return found


def imports_of(connection: Connection, repository_id: int, paths: Sequence[str] | None) -> list[ImportRow]:
    """Return the imports of the open files at `paths` (None: of all)."""
    restriction = "" if paths is None else "AND f.path = ANY(:paths)"
    rows = connection.execute(
        text(f"""
            SELECT f.path, b.language, i.seq, i.line, i.module, i.names, i.level, i.kind, i.aliases
            FROM files f JOIN blobs b ON b.id = f.blob_id JOIN imports i ON i.blob_id = b.id
            WHERE f.repository_id = :id AND f.to_seq IS NULL {restriction}
        """),
        {"id": repository_id, "paths": list(paths or ())},
        execution_options={"yield_per": 10_000},
    )
    # Paths, languages and modules repeat, so rows share a string object for each.
    same: dict[str, str] = {}
    row = same.setdefault
    return [
        ImportRow(row(path, path), row(language, language), ImportFact(seq, line, row(module, module), *rest))
        for path, language, seq, line, module, *rest in rows
    ]


def declarations(
    connection: Connection, repository_id: int, paths: Sequence[str] | None, *, seq: int | None = None
) -> list[FileDeclarations]:
    """Return what files declare, those at `paths` (None: all) of a snapshot (None: the open one), by path."""
    restriction = "" if paths is None else "AND f.path = ANY(:paths)"
    rows = connection.execute(
        text(f"""
            SELECT f.path, b.language, b.namespaces, coalesce(d.names, '{{}}') || b.constants,
                   coalesce(d.modules, '{{}}')
            FROM files f JOIN blobs b ON b.id = f.blob_id AND b.language = ANY(:languages)
            LEFT JOIN LATERAL (
                SELECT array_agg(CASE WHEN p.seq > 0 THEN substr(s.qualified_name, length(p.qualified_name) + 2)
                                      ELSE s.qualified_name END ORDER BY s.seq)
                           FILTER (WHERE s.kind <> 'module') AS names,
                       array_agg(s.qualified_name ORDER BY s.seq) FILTER (WHERE s.kind = 'module') AS modules
                FROM symbols s LEFT JOIN symbols p ON p.blob_id = s.blob_id AND p.seq = s.parent_seq
                WHERE s.blob_id = b.id AND s.seq > 0
                  AND (s.kind = 'module' OR coalesce(p.kind, 'module') = 'module')
            ) d ON true
            WHERE f.repository_id = :id {restriction}
              AND (f.to_seq IS NULL AND CAST(:seq AS int) IS NULL
                   OR f.from_seq <= :seq AND (f.to_seq IS NULL OR f.to_seq > :seq))
            ORDER BY f.path
        """),
        {"id": repository_id, "paths": list(paths or ()), "seq": seq, "languages": list(FAMILIES)},
    )
    return [FileDeclarations(*row) for row in rows]


def replace(
    connection: Connection,
    repository_id: int,
    seq: int,
    edges: Iterable[tuple[str, int, str, str | None]],
    sources: Sequence[str] | None,
) -> None:
    """Make `edges` (source, line, module, target) the dependencies of `sources` (None: of all) from `seq` on.

    Only changes are written: an unchanged edge keeps its row. Edges of removed files are closed
    whatever `sources` is.
    """
    columns = ("source_path", "line", "module", "target_path")
    stage_rows(connection, tables.dependencies, columns, edges)
    connection.execute(text("ANALYZE staged_dependencies"))
    same = (
        "d.source_path = s.source_path AND d.line = s.line AND d.module = s.module "
        "AND coalesce(d.target_path, '') = coalesce(s.target_path, '')"
    )
    of_sources = "true" if sources is None else "d.source_path = ANY(:sources)"
    parameters = {"id": repository_id, "seq": seq, "sources": list(sources or ())}
    connection.execute(
        text(f"""
            UPDATE dependencies d SET to_seq = :seq
            WHERE d.repository_id = :id AND d.to_seq IS NULL AND (
                {of_sources} AND NOT EXISTS (SELECT FROM staged_dependencies s WHERE {same})
                OR NOT EXISTS (SELECT FROM files f WHERE f.repository_id = :id AND f.to_seq IS NULL
                               AND f.path = d.source_path))
        """),
        parameters,
    )
    connection.execute(
        text(f"""
            INSERT INTO dependencies (repository_id, source_path, line, module, target_path, from_seq)
            SELECT DISTINCT :id, s.source_path, s.line, s.module, s.target_path, :seq
            FROM staged_dependencies s
            WHERE NOT EXISTS (SELECT FROM dependencies d
                              WHERE d.repository_id = :id AND d.to_seq IS NULL AND {same})
        """),
        parameters,
    )
