"""Jobs, sensors and assets of task graphs, goals, agents and knowledge in process: rows in, one run, what it made."""

from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from qflow_dagster import quantumflow
from qflow_dagster.agents import assignments, coordination
from qflow_dagster.agents.coordination import Requirement
from qflow_dagster.agents.task_agents import ADAPTERS
from qflow_dagster.definitions import of_all_groups
from qflow_dagster.execution import sparc, sparc_records, task_graph, task_records, task_worker, work_items
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.knowledge import requests
from qflow_dagster.safety import documents
from qflow_dagster.sensors import execution as execution_sensors
from qflow_dagster.sensors import knowledge as knowledge_sensors
from qflow_dagster.settings import settings
from tests.dagster.test_assets import metadata, verdicts
from tests.dagster.test_operations import Dagster, dagster
from tests.improvement_loop import MUTABLE, Loop
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["dagster", "ingested", "make_repository", "repository"]
SENSORS = {sensor.name: sensor for sensor in of_all_groups("sensors")}


@pytest.fixture
def loop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Loop:
    repository.commit({"app/a.py": MUTABLE, "notes.txt": "sessions are signed\n"})
    loop = Loop(engine, repository, ingested)
    loop.find()
    loop.plan()
    return loop


def submit(engine: Engine, words: str) -> UUID:
    with engine.begin() as connection:
        return task_graph.submit(
            connection, read_graph(documents.parse(words, "graph"), ADAPTERS), requested_by="ada"
        )


def state(engine: Engine, id_: UUID) -> str:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT status FROM workflows WHERE id = :id"), {"id": id_})


def ran(dagster: Dagster, sensor: str) -> Any:
    """One tick, and the run it asks for; None where it asks for none."""
    result = dagster.tick(SENSORS[sensor])
    if not result.run_requests:
        return None
    return dagster.run(SENSORS[sensor].job.name)


def test_a_task_graph_is_drawn_and_done_by_workers(dagster: Dagster, engine: Engine) -> None:
    tasks = "\n".join(
        f"  - {{name: t{n}, role: critic, adapter: none, depends_on: [{', '.join(f't{m}' for m in range(n))}]}}"
        for n in range(4)
    )
    tasks = tasks.replace("adapter: none, ", "adapter: agent, arguments: {domain: planning, task: 1}, ")
    id_ = submit(engine, f"name: stairs\ntasks:\n{tasks}")
    result = ran(dagster, "ready_tasks")
    assert result.success
    # Handed to an agent: the task waits, and so do those after it.
    with engine.connect() as connection:
        progress = {row["state"]: row["tasks"] for row in task_records.progress(connection, id_)}
    assert progress == {"waiting": 1, "pending": 3}
    assert ran(dagster, "ready_tasks") is None
    looked = dagster.run("observe_coordination")
    assert verdicts(looked)["no_graph_is_stuck"]
    shown = metadata(looked)["task_graphs"]
    assert shown["dagster/row_count"].value == 1
    assert "data:image/svg+xml;base64," in shown["graph"].value


def test_task_workers_are_as_many_as_are_set(dagster: Dagster, engine: Engine, tmp_path: Path) -> None:
    submit(
        engine,
        "name: echo\ntasks:\n  - {name: a, role: tester, adapter: shell, arguments: {command: [pytest, --version]}}",
    )
    result = dagster.run("run_task_graphs")
    outputs = [event for event in result.all_events if event.is_successful_output]
    assert {event.step_key for event in outputs} == {f"worker_{number}" for number in range(1, 5)}
    counts = [event.event_specific_data.metadata for event in outputs]
    assert sum(each["completed"].value + each["failed"].value for each in counts) >= 1


def test_runs_are_requested_for_the_tasks_that_are_ready_each_in_a_lane_of_its_own(
    dagster: Dagster, engine: Engine
) -> None:
    def lanes() -> list[str]:
        return [run.tags["qflow/drain"] for run in dagster.tick(execution_sensors.ready_tasks).run_requests]

    def begun(lane: str, job: str = "run_task_graphs", status: str = "STARTED") -> None:
        tags = {"qflow/drain": lane, "dagster-celery/queue": "long"}
        dagster.instance.create_run_for_job(
            dagster.definitions.resolve_job_def(job), tags=tags, status=dg.DagsterRunStatus(status)
        )

    assert lanes() == []
    task = "{name: t%d, role: tester, adapter: shell, arguments: {command: [pytest, --version]}}"
    submit(engine, "name: few\ntasks: [" + ", ".join(task % number for number in range(8)) + "]")
    assert lanes() == ["tasks"], "a run does eight at a time"
    submit(engine, "name: more\ntasks: [" + ", ".join(task % number for number in range(20)) + "]")
    assert lanes() == ["tasks", "tasks-2"], "as many as are set"
    begun("tasks-2")
    assert lanes() == ["tasks"]
    begun("tasks")
    assert lanes() == []


def test_while_another_run_waits_for_a_worker_one_run_does_the_tasks(
    dagster: Dagster, engine: Engine
) -> None:
    tasks = ", ".join(
        f"{{name: t{number}, role: tester, adapter: shell, arguments: {{command: [pytest, --version]}}}}"
        for number in range(20)
    )
    submit(engine, f"name: many\ntasks: [{tasks}]")
    tags = {"dagster-celery/queue": "long"}
    job = dagster.definitions.resolve_job_def("observe_coordination")
    waits = dagster.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTING)
    assert len(dagster.tick(execution_sensors.ready_tasks).run_requests) == 1
    # A run beside the first one leaves its worker; what is ready waits for the first.
    job = dagster.definitions.resolve_job_def("run_task_graphs")
    assert job.execute_in_process(instance=dagster.instance, tags={"qflow/drain": "tasks-2"}).success
    with engine.connect() as connection:
        assert task_worker.useful_runs(connection) == 2
    dagster.instance.report_run_canceled(waits)
    assert len(dagster.tick(execution_sensors.ready_tasks).run_requests) == 2


def test_a_role_with_a_limit_needs_no_more_runs_than_that(
    dagster: Dagster, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_EXECUTION_ROLES", '{"tester": {"concurrency": 3}}')
    monkeypatch.setenv("QFLOW_EXECUTION_TASK_THREADS", "2")
    settings.cache_clear()
    tasks = ", ".join(
        f"{{name: t{number}, role: tester, adapter: shell, arguments: {{command: [pytest, --version]}}}}"
        for number in range(20)
    )
    submit(engine, f"name: many\ntasks: [{tasks}]")
    type_ = task_graph.TASK_TYPES["tester"]
    with engine.begin() as connection:
        assert task_worker.useful_runs(connection) == 2, "three tasks, each run does two at a time"
        quantumflow.claim(connection, type_, worker="elsewhere", limit=2)
        assert task_worker.useful_runs(connection) == 1, "one more may be done, and two are no run's"
        quantumflow.claim(connection, type_, worker="elsewhere", limit=1)
        assert task_worker.useful_runs(connection) == 1
    settings.cache_clear()


def test_an_assignment_for_ours_is_done_in_a_run_and_counted(
    dagster: Dagster, engine: Engine, loop: Loop
) -> None:
    with engine.begin() as connection:
        id_ = assignments.create(
            connection,
            {"repository": "project", "question": "where is collect defined?"},
            Requirement("knowledge", "question", "answer", "simple"),
            requested_by="test",
        )
    assert ran(dagster, "open_assignments").success
    with engine.connect() as connection:
        found = assignments.show(connection, id_)
    assert (found["state"], found["agent"]) == ("succeeded", "knowledge-answerer")
    assert "app/a.py" in found["result"]["answer"]
    assert ran(dagster, "open_assignments") is None
    looked = dagster.run("observe_coordination")
    assert verdicts(looked)["every_assignment_is_counted"]
    assert "knowledge" in str(metadata(looked)["performance"]["by_domain"].value)


def test_a_goal_is_worked_on_until_it_waits_for_a_person(
    dagster: Dagster, engine: Engine, loop: Loop
) -> None:
    with engine.begin() as connection:
        [item] = [row["id"] for row in work_items.find(connection, level="story")]
        goal = sparc.start(connection, requested_by="ada", work_item=item)
    assert ran(dagster, "open_goals").success
    assert ran(dagster, "open_goals") is None
    with engine.connect() as connection:
        assert sparc_records.show(connection, goal)["phase"] == "completion"
    looked = dagster.run("observe_coordination")
    assert verdicts(looked)["no_goal_is_left_alone"]
    assert "completion" in str(metadata(looked)["sparc_goals"]["goals"].value)


def test_questions_are_answered_in_a_run_and_the_index_is_complete(
    dagster: Dagster, engine: Engine, loop: Loop
) -> None:
    dagster.instance.add_dynamic_partitions("repository", ["project"])
    job = dagster.definitions.resolve_job_def("index_knowledge")
    indexed = job.execute_in_process(instance=dagster.instance, partition_key="project")
    assert verdicts(indexed)["every_file_is_indexed"]
    assert metadata(indexed)["index"]["dagster/row_count"].value > 1
    with engine.begin() as connection:
        id_ = requests.ask(connection, "project", "where is collect defined?", source="test")
    assert ran(dagster, "knowledge_requests").success
    assert state(engine, id_) == "resolved"
    assert ran(dagster, "knowledge_requests") is None


# Runs that tasks ask for


def asked_for(engine: Engine, arguments: str) -> tuple[UUID, UUID]:
    """A graph with one task that asks for a run: (graph, the row that asks)."""
    graph = submit(
        engine,
        f"name: g\ntasks:\n  - {{name: asking, role: admin, adapter: dagster, arguments: {arguments}}}",
    )
    task_worker.work(engine, worker="test", adapters=ADAPTERS)
    with engine.connect() as connection:
        row = connection.scalar(
            text("SELECT id FROM workflows WHERE type = 'dagster_run' ORDER BY id DESC LIMIT 1")
        )
    return graph, row


def test_a_task_asks_for_a_job_once_and_ends_as_its_run_does(dagster: Dagster, engine: Engine) -> None:
    graph, row = asked_for(engine, "{job: observe_operations}")
    first, second = (dagster.tick(execution_sensors.requested_jobs).run_requests for _ in range(2))
    # Not there yet, it is asked for again: with the same key, so that there is one.
    assert [one.run_key for one in first] == [one.run_key for one in second] == [f"{row}:1"]
    assert first[0].job_name == "observe_operations"
    job = dagster.definitions.resolve_job_def("observe_operations")
    job.execute_in_process(instance=dagster.instance, tags=first[0].tags)
    assert dagster.tick(execution_sensors.requested_jobs).run_requests == []
    assert (state(engine, row), state(engine, graph)) == ("completed", "completed")


def test_a_run_that_failed_fails_its_task(dagster: Dagster, engine: Engine) -> None:
    graph, row = asked_for(engine, "{job: observe_operations}")
    [request] = dagster.tick(execution_sensors.requested_jobs).run_requests
    run = dagster.instance.create_run_for_job(
        dagster.definitions.resolve_job_def("observe_operations"), tags=dict(request.tags)
    )
    dagster.instance.report_run_failed(run)
    dagster.tick(execution_sensors.requested_jobs)
    assert (state(engine, row), state(engine, graph)) == ("dead", "failed")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{job: apply_approved_edits}", "no job 'apply_approved_edits' can be requested"),
        ("{job: ingest_repository}", "partitioned by repository"),
        ("{job: ingest_repository, partition: nowhere}", "there is no repository 'nowhere'"),
        ("{job: check_health, partition: x}", "has no partitions"),
        ("{job: check_health, config: {nothing: 1}}", "nothing"),
        ("{asset: no/thing}", "there is no asset 'no/thing'"),
        ("{asset: execution/plan}", "partitioned by repository"),
        ("{asset: agents/performance, config: {a: 1}}", "takes no `config`"),
    ],
)
def test_a_run_that_cannot_be_fails_its_task_with_the_reason(
    dagster: Dagster, engine: Engine, arguments: str, words: str
) -> None:
    graph, row = asked_for(engine, arguments)
    for sensor in (execution_sensors.requested_jobs, execution_sensors.requested_assets):
        assert dagster.tick(sensor).run_requests == []
    with engine.connect() as connection:
        error = connection.scalar(text("SELECT error FROM workflows WHERE id = :id"), {"id": row})
    assert words in error["message"]
    assert state(engine, graph) == "failed"


def test_a_task_asks_for_an_asset(dagster: Dagster, engine: Engine) -> None:
    graph, _ = asked_for(engine, "{asset: agents/performance}")
    [request] = dagster.tick(execution_sensors.requested_assets).run_requests
    assert request.asset_selection == [dg.AssetKey(["agents", "performance"])]
    job = dagster.definitions.resolve_job_def("observe_coordination")
    job.execute_in_process(
        instance=dagster.instance, tags=request.tags, asset_selection=request.asset_selection
    )
    dagster.tick(execution_sensors.requested_assets)
    assert state(engine, graph) == "completed"


def test_an_answer_leads_to_a_new_look_once(dagster: Dagster, engine: Engine, loop: Loop) -> None:
    dagster.instance.add_dynamic_partitions("repository", ["project"])
    with engine.begin() as connection:
        id_ = requests.enqueue(
            connection,
            "pattern",
            {"pattern_type": "file type", "extension": "txt", "files": 9, "example": "notes.txt"},
            source="test",
            repository="project",
        )
        requests.resolve_by_hand(connection, id_, {"answer": "plain text"}, actor="ada")
    first, second = (dagster.tick(knowledge_sensors.knowledge_follow_ups).run_requests for _ in range(2))
    assert [one.run_key for one in first] == [one.run_key for one in second]
    assert first[0].partition_key == "project"
    run = dagster.instance.create_run_for_job(
        dagster.definitions.resolve_job_def("run_repository"), tags=dict(first[0].tags)
    )
    assert run.tags
    assert dagster.tick(knowledge_sensors.knowledge_follow_ups).run_requests == []
    with engine.connect() as connection:
        assert requests.due_follow_ups(connection, "rescan") == []


def test_agents_that_ship_are_known_after_a_tick(dagster: Dagster, engine: Engine) -> None:
    dagster.tick(SENSORS["open_assignments"])
    with engine.connect() as connection:
        names = {agent.name for agent in coordination.agents(connection)}
    assert {"planner", "validator", "knowledge-answerer", "codemod", "rule-fix", "ruff-fix"} <= names
