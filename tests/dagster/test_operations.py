"""Jobs, sensors and assets of operations in process: rows in, one run, what it made."""

import re
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.approvals import records
from qflow_dagster.approvals.approved_workflows import request_workflow
from qflow_dagster.definitions import build_definitions
from qflow_dagster.infrastructure import error_records, health_states
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.ingestion import repositories
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import find, leases, register
from qflow_dagster.resources import health as system_health
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors import approvals as approval_sensors
from qflow_dagster.sensors import dead_runs
from qflow_dagster.sensors import infrastructure as sensors
from qflow_dagster.sensors.dead_runs import START_TIMEOUT, InProgress, find_dead
from qflow_dagster.sensors.drains import FAILED, IN_FLIGHT, Recent, decide
from tests import decisions
from tests.dagster.shown import refuse_unclear
from tests.dagster.test_assets import metadata, reasons, verdicts
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]
register("test.report")
FAILURE, SUCCESS, STARTED = (
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.STARTED,
)


class Dagster:
    """Our definitions on an ephemeral instance."""

    def __init__(self, engine: Engine, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.database = Database(url=engine.url.render_as_string(hide_password=False))
        self.definitions = build_definitions(resources={"database": self.database})

    def run(self, job: str, *, check: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, raise_on_error=check, run_config=config or None
        )
        refuse_unclear(result)
        return result

    def tick(self, sensor: Any) -> Any:
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, resources={"database": self.database}
        ) as context:
            return sensor(context)


@pytest.fixture
def dagster(engine: Engine) -> Iterator[Dagster]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(engine, instance)


def requested(engine: Engine, *, decided: bool = True) -> UUID:
    with engine.begin() as connection:
        id_ = request_workflow(connection, "test.report", {"week": 47}, requested_by="bot", reason="weekly")
        if decided:
            decisions.approve(connection, id_, actor="ada")
    return id_


# The decision all draining sensors share


def test_a_run_is_requested_where_rows_wait_and_none_is_under_way() -> None:
    assert decide(False, [], 0.0) == (False, "nothing is pending")
    assert decide(True, [], 0.0)[0]
    assert decide(True, [Recent(SUCCESS, 0.0)], 0.0)[0]
    assert not decide(True, [Recent(STARTED, 0.0), Recent(FAILURE, 0.0)], 1e9)[0]


def test_after_failures_the_pause_doubles() -> None:
    for failures, pause in ((1, 30), (2, 60), (5, 480), (8, 3_600)):
        recent = [Recent(FAILURE, 1_000.0)] * failures
        assert not decide(True, recent, 1_000.0 + pause - 1)[0]
        assert decide(True, recent, 1_000.0 + pause)[0]


def test_a_row_newer_than_the_last_failed_run_does_not_wait_for_its_pause() -> None:
    recent = [Recent(FAILURE, 1_000.0, created_at=940.0)] * 6
    wanted, reason = decide(True, recent, 1_010.0, newest=lambda: 941.0)
    assert (wanted, reason) == (True, "new rows are pending since the last run failed")
    # The rows that the run had before it failed wait.
    wanted, reason = decide(True, recent, 1_010.0, newest=lambda: 939.0)
    assert (wanted, reason) == (False, "6 runs failed in a row, the next in 950 s")
    # A run in progress takes new rows as well.
    assert not decide(True, [Recent(STARTED, 1_000.0, 1_000.0), *recent], 1_010.0, newest=lambda: 1_005.0)[0]


def test_as_many_runs_are_requested_as_are_useful_beside_those_in_progress() -> None:
    running = Recent(STARTED, 1_000.0)
    assert decide(3, [], 0.0) == (3, "rows are pending")
    assert decide(3, [running, Recent(SUCCESS, 0.0)], 0.0) == (2, "rows are pending")
    assert decide(2, [running, running], 0.0) == (0, "2 runs are in progress")
    # After a failure a single run is tried.
    failed = Recent(FAILURE, 900.0)
    assert decide(3, [running, failed], 1_000.0) == (0, "a run is in progress")
    assert decide(3, [failed], 1_000.0) == (1, "rows are pending")
    assert decide(3, [running, Recent(SUCCESS, 950.0), failed], 1_000.0)[0] == 2


@given(
    st.lists(st.tuples(st.sampled_from(list(dg.DagsterRunStatus)), st.floats(0, 1e6)), max_size=8),
    st.floats(0, 2e6),
)
def test_it_never_requests_beside_a_run_and_never_waits_for_ever(recent: list[Any], now: float) -> None:
    runs = [Recent(*run) for run in recent]
    wanted, _ = decide(True, runs, now)
    if any(run.status in IN_FLIGHT for run in runs):
        assert not wanted
    else:
        assert decide(True, runs, now + 2e6)[0]
    if wanted and runs and runs[0].status in FAILED:
        assert now >= runs[0].updated_at + 30


# Approvals


def test_an_approved_workflow_is_started_by_one_run(dagster: Dagster, engine: Engine) -> None:
    requested(engine, decided=False)
    assert "nothing is pending" in dagster.tick(approval_sensors.approval_decisions).skip_reason.skip_message
    ids = [requested(engine) for _ in range(3)]
    [request] = dagster.tick(approval_sensors.approval_decisions).run_requests
    assert request.job_name == "start_approved_workflows"
    result = dagster.run(request.job_name)
    with engine.connect() as connection:
        assert {w.key for w in find(connection, type_name="test.report")} == {
            f"approval:{id_}" for id_ in ids
        }
        used = records.approval_history(connection, ids[0])[-1]
    assert (used["event"], used["run_id"]) == ("consumed", result.run_id)
    assert "nothing is pending" in dagster.tick(approval_sensors.approval_decisions).skip_reason.skip_message


def config_fields(field: Any) -> set[str]:
    """The names of every field of a configuration, at any depth."""
    inner = getattr(field.config_type, "fields", None) or {}
    return set(inner).union(*(config_fields(value) for value in inner.values()))


def test_no_run_decides_or_acts_under_a_name_of_choice(dagster: Dagster) -> None:
    names: set[str] = set()
    for job in dagster.definitions.resolve_all_job_defs():
        names |= config_fields(job.run_config_schema.config_type.fields["ops"])
    assert {"repositories", "config"} <= names, "the configuration is looked through"
    assert not {name for name in names if name in ("decide", "decision", "approval", "token")}
    assert not {
        name for name in names if name in ("as", "as_", "actor", "by", "user", "author", "requested_by")
    }


def test_a_warning_needs_no_run(dagster: Dagster, engine: Engine) -> None:
    requested(engine, decided=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE approvals SET warn_at = now()"))
    assert dagster.tick(approval_sensors.approval_expiry).skip_message == "1 approvals are about to expire"


# Errors


def test_new_errors_become_one_run_that_names_the_suspected_commit(
    dagster: Dagster, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"shop/cart.py": "def pay():\n    return 1 / 0\n", "other.py": "x = 1\n"}, "one")
    guilty = repository.commit({"shop/cart.py": "def pay():\n    return 2 / 0\n"}, "divide differently")
    tip = repository.commit({"other.py": "x = 2\n"}, "unrelated")
    with engine.begin() as connection:
        registered = repositories.register(connection, str(repository.path))
    from qflow_dagster.ingestion.history import ingest_history
    from qflow_dagster.ingestion.pipeline import ingest

    ingest(engine, registered.name)
    ingest_history(engine, registered.id, tip)
    stack = 'Traceback\n  File "/srv/app/shop/cart.py", line 2, in pay\nZeroDivisionError: division by zero\n'
    with engine.begin() as connection:
        track_errors(
            connection, [Occurrence(operation="shop.pay", kind="ZeroDivisionError", stack=stack)] * 3
        )
        # What wraps the cause lies in no repository.
        wrapped = (
            f"{stack}\nThe above exception was the direct cause of the following exception:\n\n"
            'Traceback\n  File "/srv/launcher/start.py", line 9, in main\nRuntimeError: not paid\n'
        )
        track_errors(connection, [Occurrence(operation="shop.main", kind="RuntimeError", stack=wrapped)])
    [request] = dagster.tick(sensors.new_errors).run_requests
    assert request.tags["qflow/occurrence"]
    dagster.run("analyze_errors")
    with engine.connect() as connection:
        groups = {group["kind"]: group for group in error_records.find(connection)}
    group = groups["ZeroDivisionError"]
    assert (group["count"], group["suspect"]["commit"], group["suspect"]["subject"]) == (
        3,
        guilty,
        "divide differently",
    )
    assert groups["RuntimeError"]["frames"][-1]["function"] == "main"
    assert groups["RuntimeError"]["suspect"]["commit"] == guilty
    assert dagster.tick(sensors.new_errors).run_requests == []


def sense_failure(dagster: Dagster, run: dg.DagsterRun, event: dg.DagsterEvent) -> None:
    """Evaluate the sensor of failed runs for one of them."""
    from qflow_dagster.sensors.infrastructure import run_failures

    with dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=event,
        dagster_instance=dagster.instance,
        dagster_run=run,
        partition_key=None,
        resources={"database": dagster.database},
    ).for_run_failure() as context:
        run_failures(context)


def test_a_failed_run_is_an_error_and_told_twice_is_still_one(dagster: Dagster, engine: Engine) -> None:
    config = {"ops": {"mine_histories": {"config": {"repositories": ["nonsense"]}}}}
    failed = dagster.run("mine_rules", check=False, **config)
    record = dagster.instance.get_run_by_id(failed.run_id)
    assert record is not None
    [failure] = [
        e
        for e in dagster.instance.all_logs(failed.run_id)
        if e.dagster_event and e.dagster_event.is_run_failure
    ]
    for _ in range(2):
        sense_failure(dagster, record, failure.get_dagster_event())
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT * FROM error_occurrences")).mappings().all()
    assert (row["operation"], row["source"], row["run_id"]) == (
        "dagster.mine_rules",
        "dagster",
        failed.run_id,
    )
    assert "nonsense" in row["message"]


def test_a_run_that_could_not_be_started_is_an_error_with_the_reason(
    dagster: Dagster, engine: Engine
) -> None:
    instance, job = dagster.instance, dagster.definitions.resolve_job_def("mine_rules")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
    try:
        raise TimeoutError("the code server took longer than 60 seconds")
    except TimeoutError:
        error = serializable_error_info_from_exc_info(sys.exc_info())
    instance.report_engine_event("it could not be launched", run, EngineEventData.engine_error(error))
    failure = instance.report_run_failed(run)
    sense_failure(dagster, run, failure)
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT kind, message FROM error_occurrences")).all()
    assert row == ("TimeoutError", "TimeoutError: the code server took longer than 60 seconds")


def test_a_run_whose_worker_is_stopped_is_no_error(dagster: Dagster, engine: Engine) -> None:
    instance, job = dagster.instance, dagster.definitions.resolve_job_def("mine_rules")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    try:
        raise dg.DagsterExecutionInterruptedError
    except dg.DagsterExecutionInterruptedError:
        error = serializable_error_info_from_exc_info(sys.exc_info())
    instance.report_engine_event("its process was told to stop", run, EngineEventData.engine_error(error))
    sense_failure(dagster, run, instance.report_run_failed(run))
    with engine.connect() as connection:
        assert not connection.execute(text("SELECT FROM error_occurrences")).all()


# Runs


def test_a_run_is_dead_when_its_lease_has_run_out_and_not_before() -> None:
    def lease(remaining: float) -> dict[str, leases.ProcessLease]:
        return {"run 1": leases.ProcessLease("run 1", "there 7", "there", remaining)}

    run = InProgress("1", needs_lease=True, updated_at=1_000.0)
    assert find_dead([run], lease(0.1), 9_999.0) == {}
    [reason] = find_dead([run], lease(-12.0), 1_001.0).values()
    assert reason.startswith("its process on there has given no sign of life for 12 s")
    # Without one it may still come, unless it is no run of ours, or waits for a worker.
    assert find_dead([run], {}, 1_000.0 + START_TIMEOUT - 1) == {}
    assert find_dead([run], {}, 1_000.0 + START_TIMEOUT) == {"1": "no process has begun it within 90 s"}
    assert find_dead([run._replace(needs_lease=False)], {}, 9_999.0) == {}


def test_every_run_gets_the_database_and_so_keeps_a_lease(dagster: Dagster) -> None:
    for job in dagster.definitions.get_repository_def().get_all_jobs():
        needs = [
            "database" in node.required_resource_keys
            for node in job.all_node_defs
            if isinstance(node, dg.OpDefinition)
        ]
        # A run may be of one asset alone, but is of all ops of another job.
        assert all(needs) if job.asset_layer.executable_asset_keys else any(needs), job.name


def test_a_run_whose_process_is_gone_is_marked_failed(dagster: Dagster, engine: Engine) -> None:
    done = dagster.run("start_approved_workflows")
    instance = dagster.instance
    with engine.connect() as connection:
        [lease] = leases.by_name(connection, "run ")
    assert (lease.name, lease.host) == (f"run {done.run_id}", host_name())
    # As if it had been killed before its last event.
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(
            text("UPDATE runs SET status = 'STARTED', run_body = replace(run_body, 'SUCCESS', 'STARTED')")
        )

    def status_after_tick() -> dg.DagsterRunStatus:
        dagster.tick(sensors.dead_runs)
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        return run.status

    assert status_after_tick() == STARTED
    with engine.begin() as connection:
        connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 s'"))
    # A server that was started just now, as that of the tests may be, gives holders time to renew.
    deadline = time.monotonic() + 2 * leases.LEASE
    while (status := status_after_tick()) == STARTED and time.monotonic() < deadline:
        time.sleep(0.5)
    assert status == FAILURE
    with engine.connect() as connection:
        assert leases.by_name(connection, "run ") == []


def test_a_run_that_was_stored_and_never_queued_is_marked_failed(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = dagster.instance
    job = dagster.definitions.get_repository_def().get_job("start_approved_workflows")
    run_id = instance.create_run_for_job(job).run_id

    def status_after_tick() -> dg.DagsterRunStatus:
        dagster.tick(sensors.dead_runs)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    assert status_after_tick() == dg.DagsterRunStatus.NOT_STARTED
    monkeypatch.setattr(dead_runs, "START_TIMEOUT", 0.0)
    assert status_after_tick() == FAILURE


# Health


def test_the_scheduled_tick_checks_everything_and_starts_no_run(dagster: Dagster, engine: Engine) -> None:
    from qflow_dagster.schedules.infrastructure import health_each_minute

    with dg.instance_for_test() as instance:
        # Given with the context: one merged in at the call makes a second context, which nobody leaves.
        resources = {"database": dagster.database}
        with dg.build_schedule_context(instance=instance, resources=resources) as context:
            answer = health_each_minute(context)
    assert isinstance(answer, dg.SkipReason)
    with engine.connect() as connection:
        found = {state["name"]: state["status"] for state in health_states.states(connection)}
    assert found["database"] == found["migrations"] == "healthy"
    # No daemon runs here, and that is not "healthy".
    assert found["daemon"] == "unknown"
    assert {"approvals", "runs", "ticks", "error_rate", "process:memory"} <= found.keys()
    assert "history" not in found


def test_a_repository_nobody_measured_lately_is_seen(engine: Engine, repository: GitRepository) -> None:
    repository.commit({"a.py": "x = 1\n"}, "one")
    with engine.begin() as connection:
        name = repositories.register(connection, str(repository.path)).name
        assert system_health.repositories_fresh(connection)[f"freshness:{name}"].status == "degraded"


def test_overdue_approvals_are_unhealthy(engine: Engine) -> None:
    requested(engine, decided=False)
    with engine.begin() as connection:
        assert system_health.approvals_in_time(connection)["approvals"].status == "healthy"
        connection.execute(text("UPDATE approvals SET warn_at = NULL"))
        assert system_health.approvals_in_time(connection)["approvals"].status == "degraded"
        connection.execute(text("UPDATE workflows SET expires_at = now() - interval '10 min'"))
        assert system_health.approvals_in_time(connection)["approvals"].status == "unhealthy"


# Assets


def test_the_assets_show_tables_and_pictures_and_their_checks_judge(dagster: Dagster, engine: Engine) -> None:
    requested(engine, decided=False)
    with engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="pay|ment", message="<b>")] * 12)
    dagster.run("analyze_errors")
    dagster.run("check_health")
    result = dagster.run("observe_operations")
    shown = metadata(result)
    assert shown["approvals"]["dagster/row_count"].value == 1
    assert "weekly" in str(shown["approvals"]["pending"].value)
    assert "data:image/svg+xml;base64," in str(shown["error_groups"]["last_day"].value)
    assert "pay|ment" in str(shown["circuit_breakers"]["breakers"].value)
    assert shown["health"]["overall"].value != "healthy"
    judged = verdicts(result)
    assert judged["approvals_are_unaltered"] is judged["no_approval_is_overdue"] is True
    assert judged["no_breaker_is_open"] is False
    with engine.begin() as connection:
        connection.execute(text("UPDATE approvals SET content = '{}'"))
    altered = dagster.run("observe_operations", check=False)
    assert verdicts(altered)["approvals_are_unaltered"] is False
    reason = reasons(altered)["approvals_are_unaltered"]
    assert re.fullmatch(
        r"1 open approval is altered, for example: \S{36} \(its content is not .*\)\.", reason
    )
    assert (
        reasons(altered)["no_approval_is_overdue"]
        == "No open approval is more than 2 minutes past the expiry."
    )


# Notifications


def test_what_no_notifier_takes_a_run_delivers(
    dagster: Dagster, engine: Engine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qflow_dagster.notifications import endpoints
    from qflow_dagster.quantumflow import send_with_notify
    from qflow_dagster.settings import settings
    from tests.http_server import local_server

    monkeypatch.setattr(settings(), "home", tmp_path)
    with local_server() as webhook:
        with engine.begin() as connection:
            endpoints.add(connection, "ops", "test_queue", webhook.url)
            send_with_notify(connection, "test_queue", [{"n": 1}])
        assert dagster.tick(sensors.undelivered_notifications).run_requests == []
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE messages DISABLE TRIGGER ALL"))
            connection.execute(text("UPDATE messages SET created_at = created_at - interval '2 min'"))
            connection.execute(text("ALTER TABLE messages ENABLE TRIGGER ALL"))
        assert len(dagster.tick(sensors.undelivered_notifications).run_requests) == 1
        end = time.monotonic() + 120
        # Others' transactions on the server hold messages back.
        while not webhook.received and time.monotonic() < end:
            dagster.run("deliver_notifications")
        assert len(webhook.received) == 1
