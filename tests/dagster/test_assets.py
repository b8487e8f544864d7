"""The assets, checks and jobs in process: what they make, show, record, and what stops them."""

import base64
import threading
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.database.locks import holding_name
from qflow_dagster.definitions import build_definitions
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import repositories
from qflow_dagster.resources.database import Database
from tests.dagster.shown import refuse_unclear
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

CODE = "def f(a, b):\n    if a and b:\n        return a\n    return b\n"


class Runner:
    """Runs jobs on a repository called `project`, on an ephemeral Dagster instance."""

    def __init__(self, engine: Engine, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.definitions = build_definitions(
            resources={"database": Database(url=engine.url.render_as_string(hide_password=False))}
        )

    def __call__(self, job: str, *, check: bool = True, **config: str) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(REPOSITORIES, ["project"])
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key="project",
            raise_on_error=check,
            run_config={"ops": {"ingest_snapshot": {"config": config}}} if config else None,
        )
        refuse_unclear(result)
        return result


@pytest.fixture
def run(engine: Engine, repository: GitRepository, ingested: Ingested) -> Iterator[Runner]:
    repository.commit({"app/a.py": CODE, "app/b.py": "from app import a\n", "app/__init__.py": ""})
    with engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Runner(engine, instance)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, dg.MetadataValue]]:
    """Metadata of each materialized asset, by its name."""
    return {
        event.asset_key.path[-1] if event.asset_key else "": dict(event.materialization.metadata)
        for event in result.get_asset_materialization_events()
    }


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def reasons(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {e.check_name: e.description or "" for e in result.get_asset_check_evaluations()}


def test_the_whole_job_materializes_every_asset_with_counts_and_all_checks_pass(run: Runner) -> None:
    result = run("run_repository")
    found = metadata(result)
    assert set(found) == {
        "snapshot",
        "files",
        "symbols",
        "dependencies",
        "commits",
        "functions",
        "changes",
        "coupling",
        "duplication",
        "hotspots",
        "repository",
        "findings",
        "work_items",
        "plan",
        "index",
    }
    assert len(result.get_asset_materialization_events()) == 16
    for name, values in found.items():
        assert isinstance(values["dagster/row_count"].value, int), name
    assert found["snapshot"]["dagster/row_count"].value == 3
    assert found["dependencies"]["within_repository"].value == 1
    assert set(verdicts(result).values()) == {True}
    assert len(verdicts(result)) == 8


def test_pictures_are_whole_svg_documents(run: Runner) -> None:
    found = metadata(run("run_repository"))
    for asset, name in (("hotspots", "map"), ("functions", "distribution"), ("repository", "trend")):
        encoded = str(found[asset][name].value).partition("base64,")[2].rstrip(")")
        root = xml.etree.ElementTree.fromstring(base64.b64decode(encoded))
        assert root.tag.endswith("svg")


def test_each_step_is_recorded_as_a_workflow_of_the_run(run: Runner, engine: Engine) -> None:
    result = run("run_repository")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT type, status, run_id FROM workflows WHERE run_id IS NOT NULL")
        ).all()
    assert {(row.status, row.run_id) for row in rows} == {("completed", result.run_id)}
    types = [row.type for row in rows]
    assert (
        types.count("code_ingestion"),
        types.count("history_ingestion"),
        types.count("metrics_pipeline"),
    ) == (1, 1, 7)


def test_a_step_that_fails_is_recorded_with_what_went_wrong_and_the_next_run_works(
    run: Runner, engine: Engine
) -> None:
    with pytest.raises(QflowError, match="has no revision 'missing'"):
        run("run_repository", revision="missing")
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT status, error FROM workflows")).all()
    assert row.status == "dead"
    assert "has no revision 'missing'" in row.error["message"]
    assert run("run_repository").success


def test_an_unchanged_repository_has_the_same_data_versions(run: Runner) -> None:
    versions = []
    for _ in range(2):
        result = run("run_repository")
        versions.append(
            {
                e.asset_key.to_user_string(): e.materialization.tags["dagster/data_version"]
                for e in result.get_asset_materialization_events()
                if e.asset_key
            }
        )
    assert versions[0] == versions[1]


def test_a_snapshot_that_does_not_hold_what_git_holds_blocks_what_follows(
    run: Runner, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is taken out of the tables while the run is between ingestion and its checks."""
    from qflow_dagster.assets import ingestion as assets

    real = assets.ingest

    def forgetful(*arguments, **options):
        result = real(*arguments, **options)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM files WHERE path = 'app/a.py'"))
        return result

    monkeypatch.setattr(assets, "ingest", forgetful)
    result = run("run_repository", check=False)
    assert not result.success
    found = verdicts(result)
    assert found["every_path_is_accounted_for"] is False
    assert found["totals_add_up"] is False
    why = reasons(result)
    assert "1 path is different in the snapshot, for example: app/a.py." in why["every_path_is_accounted_for"]
    assert why["totals_add_up"].startswith(
        "3 totals are different from the sum of the rows, for example: file_count ("
    )
    assert "hotspots" not in metadata(result)


def test_metrics_alone_need_an_ingested_repository(run: Runner) -> None:
    with pytest.raises(QflowError, match="nothing of 'project' is ingested yet; run: qflow run"):
        run("compute_metrics")
    run("ingest_repository")
    assert "hotspots" in metadata(run("compute_metrics"))


def test_an_older_commit_is_measured_and_found_not_to_be_the_head(
    run: Runner, repository: GitRepository
) -> None:
    old = repository.git("rev-parse", "HEAD")
    repository.commit({"app/c.py": CODE})
    result = run("run_repository", revision=old)
    assert metadata(result)["snapshot"]["dagster/row_count"].value == 3
    assert verdicts(result)["is_at_head"] is False
    assert result.success


def test_maintenance_seals_history_and_archives_what_is_old(run: Runner, engine: Engine) -> None:
    run("run_repository")
    job = run.definitions.resolve_job_def("maintain_workflows")
    assert job.execute_in_process(instance=run.instance).success
    with engine.connect() as connection:
        sealed = connection.execute(text("SELECT head_count FROM seals ORDER BY id LIMIT 1")).scalar_one()
        assert sealed == connection.execute(text("SELECT count(*) FROM workflows")).scalar_one() >= 9


def test_a_run_on_a_repository_waits_for_another_however_it_was_launched(run: Runner, engine: Engine) -> None:
    """The database holds the repository, not a tag that only some launch paths set; a killed holder lets go."""
    waits = threading.Event()
    with holding_name(engine, "run on project", on_wait=lambda: None), ThreadPoolExecutor(1) as pool:
        result = pool.submit(run, "ingest_repository")
        with engine.connect() as connection:
            for _ in range(200):
                if connection.scalar(
                    text("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
                ):
                    waits.set()
                    break
                time.sleep(0.1)
            connection.rollback()
            # The holder dies: nothing has to be cleaned up.
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            )
        assert result.result(60).success
    assert waits.is_set()
