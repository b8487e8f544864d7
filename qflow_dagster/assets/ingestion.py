"""Assets of the group `ingestion`: a commit of a repository, read into tables.

`snapshot`, `files`, `symbols` and `dependencies` are results of a single pass over the commit's
blobs and are published in one transaction, so a multi-asset computes them; `commits` is the
history of the snapshot's commit.
"""

from collections.abc import Iterator

import dagster as dg

from qflow_dagster.assets.metadata import FIRST, ON_COMMIT, page, table, table_metadata
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.ingestion import queries, tables
from qflow_dagster.ingestion.facts import EXTRACTOR_VERSION
from qflow_dagster.ingestion.history import ingest_history
from qflow_dagster.ingestion.pipeline import ingest
from qflow_dagster.ingestion.workflows import CODE_INGESTION, HISTORY_INGESTION
from qflow_dagster.quantumflow.recording import recorded
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.resources.workers import worker

GROUP = "ingestion"
CODE_VERSION = str(EXTRACTOR_VERSION)


class IngestConfig(dg.Config):
    """Which commit of the repository to read."""

    revision: str = "HEAD"


def _spec(name: str, description: str, deps: list[dg.AssetKey], table_name: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=[GROUP, name],
        description=description,
        deps=deps,
        group_name=GROUP,
        freshness_policy=ON_COMMIT,
        kinds={"python", "postgres", "git"},
        code_version=CODE_VERSION,
        metadata=table_metadata(tables.metadata.tables[table_name]),
    )


SNAPSHOT = dg.AssetKey([GROUP, "snapshot"])
FILES = dg.AssetKey([GROUP, "files"])
SYMBOLS = dg.AssetKey([GROUP, "symbols"])
DEPENDENCIES = dg.AssetKey([GROUP, "dependencies"])
COMMITS = dg.AssetKey([GROUP, "commits"])


@dg.multi_asset(
    name="ingest_snapshot",
    specs=[
        _spec(
            "snapshot",
            "An ingested commit of the repository, which all other assets refer to.",
            [],
            "snapshots",
        ),
        _spec("files", "Every path of the snapshot, with language, lines and flags.", [SNAPSHOT], "files"),
        _spec("symbols", "Functions, methods, classes and modules, with span and calls.", [FILES], "symbols"),
        _spec(
            "dependencies",
            "Imports, resolved to files of the repository where possible.",
            [FILES],
            "dependencies",
        ),
    ],
    partitions_def=repositories,
)
def ingest_snapshot(
    context: dg.AssetExecutionContext,
    config: IngestConfig,
    database: Database,
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.MaterializeResult]:
    """Read the blobs of a commit that are not stored yet, and publish the snapshot."""
    engine = database.engine()
    name = context.partition_key
    payload = {"repository": name, "revision": config.revision}
    with recorded(
        engine, CODE_INGESTION, payload, worker=worker(context), run_id=context.run.run_id
    ) as record:
        result = ingest(engine, name, config.revision, progress=progress)
        with engine.connect() as connection:
            snapshot = queries.current_snapshot(connection, name)
            kinds = queries.file_kinds(connection, snapshot)
            languages = queries.languages(connection, snapshot)
            symbols = queries.symbol_kinds(connection, snapshot)
            imported = queries.most_imported(connection, snapshot)
            edges = queries.dependency_counts(connection, snapshot)
        record(
            {
                "commit": snapshot.commit_oid,
                "snapshot_id": snapshot.id,
                "files": snapshot.file_count,
                "lines": snapshot.lines,
                "blobs_read": result.blobs_read,
                "seconds": round(result.seconds, 3),
            }
        )
    version = dg.DataVersion(f"{snapshot.commit_oid}.{EXTRACTOR_VERSION}")
    yield dg.MaterializeResult(
        asset_key=SNAPSHOT,
        data_version=version,
        metadata={
            "page": page(f"/repositories/{snapshot.repository}"),
            "commit": snapshot.commit_oid,
            "committed_at": dg.MetadataValue.timestamp(snapshot.committed_at),
            "revision": snapshot.revision,
            "snapshot_id": snapshot.id,
            "bytes": snapshot.bytes,
            "lines": snapshot.lines,
            "blobs_read": result.blobs_read,
            "missing_blobs": snapshot.missing_blobs,
            "seconds": result.seconds,
            "dagster/row_count": snapshot.file_count,
            "paths": table(kinds),
        },
    )
    yield dg.MaterializeResult(
        asset_key=FILES,
        data_version=version,
        metadata={"dagster/row_count": snapshot.file_count, "languages": table(languages, 20)},
    )
    yield dg.MaterializeResult(
        asset_key=SYMBOLS,
        data_version=version,
        metadata={"dagster/row_count": sum(row["symbols"] for row in symbols), "kinds": table(symbols, 20)},
    )
    yield dg.MaterializeResult(
        asset_key=DEPENDENCIES,
        data_version=version,
        metadata={
            "dagster/row_count": edges["imports"],
            "within_repository": edges["internal"],
            "most_imported": table(imported),
        },
    )


@dg.asset(
    key=COMMITS,
    freshness_policy=ON_COMMIT,
    deps=[SNAPSHOT],
    partitions_def=repositories,
    group_name=GROUP,
    kinds={"python", "postgres", "git"},
    code_version="1",
    metadata=table_metadata(tables.commits),
    op_tags=FIRST,
)
def commits(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Read the history of the snapshot's commit: commits, authors, and changed files."""
    engine = database.engine()
    with engine.connect() as connection:
        snapshot = queries.current_snapshot(connection, context.partition_key)
    payload = {"repository": snapshot.repository, "commit": snapshot.commit_oid}
    with recorded(
        engine, HISTORY_INGESTION, payload, worker=worker(context), run_id=context.run.run_id
    ) as record:
        result = ingest_history(engine, snapshot.repository_id, snapshot.commit_oid, progress=progress)
        record({"new_commits": result.new_commits, "seconds": round(result.seconds, 3)})
    with engine.connect() as connection:
        summary = queries.commit_summary(connection, snapshot.repository_id)
        authors = queries.top_authors(connection, snapshot.repository_id)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": summary["commits"],
            "new_commits": result.new_commits,
            "file_changes": summary["changes"],
            "authors": summary["authors"],
            "seconds": result.seconds,
            "most_active": table(authors),
        },
    )


assets = [ingest_snapshot, commits]
