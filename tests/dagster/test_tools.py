"""What Dagster's users do with a project by its own tools works here: `dagster`, `dg`, and a notebook."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.assets.ingestion import ingest_snapshot
from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.ingestion import repositories
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]
ROOT = Path(__file__).parents[2]
MODULE = "qflow_dagster.definitions"


@pytest.fixture
def environment(tmp_path: Path, engine: Engine) -> dict[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "QFLOW_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "DG_CLI_CONFIG": str(tmp_path / "dg.toml"),
    }


def tool(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dg_tool(environment: dict[str, str], *command: str) -> str:
    program = Path(sys.executable).parent / "dg"
    path = f"{program.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [program, *command],
        cwd=ROOT,
        env={**environment, "PATH": path, "VIRTUAL_ENV": str(program.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dg_checks_and_lists_the_definitions(environment: dict[str, str]) -> None:
    dg_tool(environment, "check", "defs")
    listed = json.loads(dg_tool(environment, "list", "defs", "--json"))
    index = next(asset for asset in listed["assets"] if asset["asset_key"] == "knowledge/index")
    assert index["group_name"] == "knowledge"
    assert {job["name"] for job in listed["jobs"]} > {"run_repository", "improve_repository"}


def test_an_asset_and_a_job_run_from_the_command_line(
    environment: dict[str, str], engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "x = 1\n"})
    with engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        instance.add_dynamic_partitions(REPOSITORIES, ["project"])
    tool(
        environment,
        *("dagster", "asset", "materialize", "-m", MODULE, "--partition", "project"),
        *("--select", "group:ingestion"),
    )
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM snapshots")) == 1
    tool(environment, "dagster", "job", "execute", "-m", MODULE, "-j", "maintain_workflows")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM seals")) == 1


def test_a_notebook_materializes_with_resources_of_its_own(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "x = 1\n"})
    with engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(REPOSITORIES, ["project"])
        result = dg.materialize(
            [ingest_snapshot],
            partition_key="project",
            instance=instance,
            resources={
                "database": Database(url=engine.url.render_as_string(hide_password=False)),
                "progress": Progress(),
            },
        )
    assert result.success
    [snapshot] = result.asset_materializations_for_node("ingest_snapshot")[:1]
    assert snapshot.metadata["dagster/row_count"].value == 1


def test_the_catalogue_says_who_is_responsible_where_it_lies_and_what_its_columns_hold() -> None:
    """In a fresh interpreter: settings are read once per process."""
    script = (
        "import json\n"
        f"from {MODULE} import definitions\n"
        "print(json.dumps([[s.key.to_user_string(), list(s.owners), s.tags.get('qflow/scope'),\n"
        "    s.metadata['dagster/code_references'].code_references[0].url, s.metadata.get('dagster/uri'),\n"
        "    [c.name for c in getattr(s.metadata.get('dagster/column_schema'), 'columns', []) if not c.description]]\n"
        "    for s in definitions.resolve_all_asset_specs()]))\n"
    )
    environment = {
        **os.environ,
        "QFLOW_DATABASE_URL": "postgresql://me:planted-secret@127.0.0.1:1/none",
        "QFLOW_DAGSTER_OWNERS": '["team:platform", "ada@example.com"]',
        "QFLOW_DAGSTER_GIT_URL": "https://github.com/example/qflow",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "planted-secret" not in done.stdout
    assets = json.loads(done.stdout)
    assert len(assets) == 31
    for key, owners, scope, source, uri, undescribed in assets:
        assert owners == ["team:platform", "ada@example.com"], key
        assert scope in ("repository", "factory"), key
        assert source.startswith("https://github.com/example/qflow/tree/main/qflow_dagster/assets/"), key
        assert uri is None or uri.startswith("postgresql://127.0.0.1:1/none#public."), key
        assert undescribed == [], key
