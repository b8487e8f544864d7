"""The definitions load as Dagster and `dg` load them, hold what they should, and say so in one place."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
import yaml

from qflow_dagster.assets import column_descriptions
from qflow_dagster.database.schema import metadata
from qflow_dagster.definitions import GROUPS, build_definitions, chosen_executor
from qflow_dagster.errors import UsageError
from qflow_dagster.jobs.run_tags import QUEUE
from qflow_dagster.registry import RunQueue
from qflow_dagster.sensors.wakes import AT_A_TIME, WOKEN_BY
from qflow_dagster.settings import settings
from qflow_dagster.web.pages import NAVIGATION

ROOT = Path(__file__).parents[2]


def test_every_asset_is_described_and_what_comes_of_code_is_partitioned_by_repository() -> None:
    definitions = build_definitions()
    specs = definitions.resolve_all_asset_specs()
    assert {spec.key.path[0] for spec in specs} == {
        "ingestion",
        "metrics",
        "rules",
        "evolution",
        "execution",
        "generation",
        "agents",
        "infrastructure",
        "knowledge",
    }
    for spec in specs:
        if spec.key != dg.AssetKey(["agents", "approvals"]):
            # Its key is older than its group, and stays: what is stored refers to it.
            assert spec.group_name == spec.key.path[0]
        looks = {("execution", "task_graphs"), ("execution", "sparc_goals")}
        if (
            spec.group_name not in ("approvals", "agents", "infrastructure", "evolution")
            and tuple(spec.key.path) not in looks
        ):
            assert spec.partitions_def is not None
            assert spec.partitions_def.name == "repository"
        assert spec.description
        assert spec.kinds
        assert spec.code_version
        assert spec.metadata["dagster/column_schema"].columns
        assert urlsplit(spec.metadata["page"].url).path in NAVIGATION


def test_every_asset_that_is_materialized_regularly_has_a_maximum_age() -> None:
    specs = build_definitions().resolve_all_asset_specs()
    without = {spec.key.to_user_string() for spec in specs if spec.freshness_policy is None}
    assert without == {
        "generation/candidates",
        "generation/suggestions",
        "agents/edits",
        "agents/edit_outcomes",
    }


def test_what_must_not_run_twice_at_a_time_has_a_pool() -> None:
    repository = build_definitions().get_repository_def()
    pools: dict[str, set[str]] = {}
    for job in repository.get_all_jobs():
        for node in job.graph.iterate_op_defs():
            if node.pool:
                pools.setdefault(node.pool, set()).add(node.name)
    assert pools == {
        "mining": {"mine_histories"},
        "edit_verification": {"agents__edit_outcomes"},
        "evolution": {
            "evolution__rule_outcomes",
            "evolution__rule_confidence",
            "evolution__rule_candidates",
            "evolution__rule_set",
        },
    }


def test_every_job_says_which_workers_execute_it_and_is_executed_again_as_a_whole() -> None:
    """Of a run that was killed when all its steps had succeeded, there is no part to execute again."""
    jobs = [
        job
        for job in build_definitions().get_repository_def().get_all_jobs()
        if not job.name.startswith("__")
    ]
    assert jobs
    for job in jobs:
        assert job.tags["dagster/retry_strategy"] == "ALL_STEPS", job.name
        assert job.tags[QUEUE] in set(RunQueue), job.name


def test_a_repository_does_not_wait_for_the_run_of_another() -> None:
    """A sensor that requests a run for each of many repositories is woken while one of them is executed."""
    repository = build_definitions().get_repository_def()
    at_a_time = {
        sensor.name: sensor.metadata[AT_A_TIME].value if AT_A_TIME in sensor.metadata else 1
        for sensor in repository.sensor_defs
        if WOKEN_BY in sensor.metadata
        and [target.job_name for target in sensor.targets] == ["run_repository"]
    }
    assert at_a_time == {"repository_commits": 100, "knowledge_follow_ups": 20}


def test_no_step_reads_what_another_left_on_its_machine() -> None:
    """Steps may run on different machines, and pass each other rows of the database alone."""
    inputs = {
        (job.name, node.name, name)
        for job in build_definitions().get_repository_def().get_all_jobs()
        for node in job.nodes
        for name, read in node.definition.input_dict.items()
        if not read.dagster_type.is_nothing
    }
    assert inputs == set()


def test_whoever_sees_a_group_finds_its_file() -> None:
    """What a file defines belongs to the group it is named after, and no file with definitions is left out."""
    for kind in ("assets", "checks", "jobs", "sensors", "schedules"):
        for path in (ROOT / "qflow_dagster" / kind).glob("*.py"):
            module = import_module(f"qflow_dagster.{kind}.{path.stem}")
            assert hasattr(module, kind) == (path.stem in GROUPS), path
    for group in GROUPS:
        for asset in import_module(f"qflow_dagster.assets.{group}").assets:
            assert {spec.group_name for spec in asset.specs} == {group}


def test_jobs_sensors_and_schedules_are_the_documented_ones() -> None:
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {
        "ingest_repository",
        "complete_histories",
        "compute_metrics",
        "run_repository",
        "improve_repository",
        "apply_approved_edits",
        "evolve_rules",
        "mine_rules",
        "apply_approved_rule_changes",
        "plan_approved_work",
        "maintain_workflows",
        "start_approved_workflows",
        "analyze_errors",
        "check_health",
        "deliver_notifications",
        "observe_operations",
        "run_task_graphs",
        "work_assignments",
        "work_on_goals",
        "answer_knowledge_requests",
        "observe_coordination",
        "index_knowledge",
    }
    assert {s.name for s in repository.sensor_defs} == {
        "repository_commits",
        "incomplete_histories",
        "expired_leases",
        "dead_runs",
        "approval_decisions",
        "approval_expiry",
        "new_errors",
        "unverified_edits",
        "new_outcomes",
        "approved_work",
        "undelivered_notifications",
        "run_failures",
        "run_successes",
        "ready_tasks",
        "open_assignments",
        "open_goals",
        "knowledge_requests",
        "requested_jobs",
        "requested_assets",
        "knowledge_follow_ups",
        "automated_assets",
    }
    assert {s.name for s in repository.schedule_defs} == {
        "nightly_metrics",
        "nightly_improvement",
        "nightly_evolution",
        "weekly_mining",
        "maintain_workflows_schedule",
        "health_each_minute",
        "health_each_hour",
        "operations_each_hour",
        "coordination_each_hour",
    }
    for sensor in repository.sensor_defs:
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("in_process", dg.in_process_executor),
        ("multiprocess", dg.multiprocess_executor),
        ("dagster:multi_or_in_process_executor", dg.multi_or_in_process_executor),
    ],
)
def test_the_executor_is_a_setting(
    name: str, executor: dg.ExecutorDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().dagster, "executor", name)
    assert build_definitions().executor is executor


@pytest.mark.parametrize("name", ["no_such_module:executor", "dagster:no_such_executor", "dagster:AssetKey"])
def test_what_is_no_executor_is_refused_by_the_name_of_the_setting(name: str) -> None:
    with pytest.raises(UsageError, match=f"QFLOW_DAGSTER_EXECUTOR={name}"):
        chosen_executor(name)


def test_workspace_file_and_dg_name_the_same_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    [entry] = workspace["load_from"]
    assert entry["python_module"]["module_name"] == project["code_location_target_module"]


def test_the_workspace_validates_in_a_fresh_interpreter_without_a_database() -> None:
    environment = {**os.environ, "QFLOW_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_tables_and_columns_that_exist_are_described() -> None:
    tables = {table.name: set(table.columns.keys()) for table in metadata.tables.values()}
    assert set(column_descriptions.OF_TABLE) <= set(tables)
    for name, described in column_descriptions.OF_TABLE.items():
        assert set(described) <= tables[name], name
    assert set(column_descriptions.COMMON) <= set().union(*tables.values())
