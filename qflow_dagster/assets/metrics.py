"""Assets of the group `metrics`: measurements of the current snapshot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
from sqlalchemy import ColumnElement, Connection, Table

from qflow_dagster.assets import ingestion
from qflow_dagster.assets.metadata import FIRST, NIGHTLY, page, picture, table, table_metadata
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics import METRICS_PIPELINE, VERSION, pipeline, queries, tables
from qflow_dagster.pictures import charts
from qflow_dagster.quantumflow.recording import recorded
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.resources.workers import worker

GROUP = "metrics"
_FILE, _CHANGES, _COUPLING = tables.file_metrics.c, tables.change_metrics.c, tables.change_coupling.c

Describe = Callable[[Connection, Snapshot], Mapping[str, Any]]


def metric_asset(
    name: str,
    description: str,
    describe: Describe,
    *,
    table_name: str,
    deps: Sequence[dg.AssetKey],
    later: bool = False,
) -> dg.AssetsDefinition:
    """Build the asset that computes a table of metrics for the current snapshot and describes it.

    One that is computed `later` lets the hotspots, which people wait for, go first.
    """

    @dg.asset(
        key=[GROUP, name],
        description=description,
        deps=list(deps),
        partitions_def=repositories,
        group_name=GROUP,
        kinds={"python", "pandas", "postgres"},
        code_version=str(VERSION),
        freshness_policy=NIGHTLY,
        metadata=table_metadata(tables.metadata.tables[table_name]),
        op_tags={} if later else FIRST,
    )
    def compute_asset(
        context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        engine = database.engine()
        with engine.connect() as connection:
            snapshot = current_snapshot(connection, context.partition_key)
        progress(f"metrics: {name}", 0, 1)
        payload = {"repository": snapshot.repository, "commit": snapshot.commit_oid, "asset": name}
        with recorded(
            engine, METRICS_PIPELINE, payload, worker=worker(context), run_id=context.run.run_id
        ) as record:
            computed = pipeline.compute(engine, snapshot.id, name)
            record({"rows": computed.row_count, "seconds": round(computed.seconds, 3)})
        progress(f"metrics: {name}", 1, 1)
        with engine.connect() as connection:
            described = describe(connection, snapshot)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(snapshot.commit_oid),
            metadata={
                **described,
                "page": page(f"/repositories/{snapshot.repository}"),
                "dagster/row_count": computed.row_count,
                "seconds": computed.seconds,
            },
        )

    return compute_asset


def _functions(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
    histogram = queries.cognitive_histogram(connection, snapshot.id)
    return {
        "distribution": picture(
            charts.histogram(histogram, f"{snapshot.repository}: functions by cognitive complexity", marked=5)
        ),
        "most_complex": table(queries.worst_functions(connection, snapshot.id)),
    }


def _top(metrics: Table, columns: Sequence[str], *order: ColumnElement[Any]) -> Describe:
    def describe(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
        return {"top": table(queries.top(connection, snapshot.id, metrics, columns, order))}

    return describe


def _hotspots(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
    tiles = [
        charts.Tile(row["path"], row["code_lines"], row["score"])
        for row in queries.tiles(connection, snapshot.id)
    ]
    return {
        "map": picture(
            charts.hotspot_map(tiles, f"{snapshot.repository}: hotspots at {snapshot.commit_oid[:10]}")
        ),
        "top": table(queries.hotspots(connection, snapshot.repository_id, 10)),
    }


def _repository(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
    months = queries.trend(connection, snapshot.id)
    drawn = charts.trend(
        [month["month"][:7] for month in months],
        [month["commits"] for month in months],
        [month["net_lines"] for month in months],
        f"{snapshot.repository}: commits (bars) and lines (line) by month",
    )
    figures = queries.repository_metrics(connection, snapshot.id)
    return {
        "trend": picture(drawn),
        "figures": table([{"metric": k, "value": v} for k, v in figures.items()], 30),
        # Once more as numbers, because Dagster's page plots numbers only.
        **{k: v for k, v in figures.items() if isinstance(v, int | float)},
    }


def key(name: str) -> dg.AssetKey:
    """Return the key of a metric's asset."""
    return dg.AssetKey([GROUP, name])


FUNCTIONS, FILES, CHANGES = key("functions"), key("files"), key("changes")
DUPLICATION, HOTSPOTS, REPOSITORY = key("duplication"), key("hotspots"), key("repository")

assets = [
    metric_asset(
        "functions",
        "Complexity, nesting, Halstead and maintainability of every function.",
        _functions,
        table_name="function_metrics",
        deps=[ingestion.SYMBOLS],
    ),
    metric_asset(
        "files",
        "Functions summed up per file, documentation, imports in and out, import cycles.",
        _top(
            tables.file_metrics,
            (
                "path",
                "language",
                "code_lines",
                "functions",
                "cognitive",
                "maintainability",
                "fan_in",
                "fan_out",
                "cycle_size",
            ),
            _FILE.cognitive.desc(),
            _FILE.path,
        ),
        table_name="file_metrics",
        deps=[FUNCTIONS, ingestion.FILES, ingestion.DEPENDENCIES],
    ),
    metric_asset(
        "changes",
        "Churn, age, authors, ownership, bug fixes and knowledge loss of every file.",
        _top(
            tables.change_metrics,
            (
                "path",
                "commits",
                "commits_365",
                "churn_365",
                "authors",
                "main_author",
                "bus_factor",
                "bug_fixes",
                "knowledge_loss",
            ),
            _CHANGES.commits_365.desc(),
            _CHANGES.commits.desc(),
            _CHANGES.path,
        ),
        table_name="change_metrics",
        deps=[ingestion.COMMITS, ingestion.FILES],
    ),
    metric_asset(
        "coupling",
        "Pairs of files that keep changing in the same commits.",
        _top(
            tables.change_coupling,
            ("path_a", "path_b", "common_commits", "degree"),
            _COUPLING.degree.desc(),
            _COUPLING.common_commits.desc(),
            _COUPLING.path_a,
            _COUPLING.path_b,
        ),
        table_name="change_coupling",
        deps=[ingestion.COMMITS, ingestion.FILES],
        later=True,
    ),
    metric_asset(
        "duplication",
        "Clones across files, and the share of each file that is duplicated.",
        _top(
            tables.clones,
            ("path_a", "start_a", "end_a", "path_b", "start_b", "end_b", "tokens"),
            tables.clones.c.clone,
        ),
        table_name="duplication",
        deps=[ingestion.SYMBOLS, ingestion.FILES],
    ),
    metric_asset(
        "hotspots",
        "Files ranked by change frequency and complexity: where work pays off most.",
        _hotspots,
        table_name="hotspots",
        deps=[FILES, CHANGES, DUPLICATION],
    ),
    metric_asset(
        "repository",
        "Totals of the repository, delivery metrics from git history, and the trend by month.",
        _repository,
        table_name="repository_metrics",
        deps=[FILES, CHANGES, DUPLICATION],
        later=True,
    ),
]
