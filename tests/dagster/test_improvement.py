"""The loop as Dagster runs it: as many steps for many findings as for few, and sensors that take it on."""

import json
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.agents import self_improvement
from qflow_dagster.approvals.approved_workflows import request_workflow
from qflow_dagster.assets.metadata import markdown
from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.execution import work_chunks
from qflow_dagster.ingestion import repositories
from qflow_dagster.safety.display import visible
from qflow_dagster.sensors.agents import unverified_edits
from qflow_dagster.sensors.approvals import approval_decisions
from qflow_dagster.sensors.execution import approved_work
from tests import decisions
from tests.dagster.test_assets import metadata
from tests.dagster.test_operations import Dagster, dagster
from tests.improvement_loop import MUTABLE, NONE
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["dagster", "ingested", "make_repository", "repository"]


@pytest.fixture
def improve(dagster: Dagster, engine: Engine, repository: GitRepository, ingested: Ingested) -> Any:
    """Run the whole loop on the repository `project`."""
    repository.commit({"a.py": MUTABLE, "b.py": NONE})
    with engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    dagster.instance.add_dynamic_partitions(REPOSITORIES, ["project"])

    def run(**config: Any) -> dg.ExecuteInProcessResult:
        job = dagster.definitions.resolve_job_def("improve_repository")
        return job.execute_in_process(
            instance=dagster.instance,
            partition_key="project",
            run_config={"ops": {"generation__candidates": {"config": config}}} if config else None,
        )

    return run


def waiting(engine: Engine) -> list[dict]:
    with engine.connect() as connection:
        return self_improvement.find(connection, states=["awaiting_approval"])


def steps(result: dg.ExecuteInProcessResult) -> int:
    return len([e for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_START])


def test_one_run_goes_from_the_code_to_what_awaits_approval(improve: Any, engine: Engine) -> None:
    result = improve()
    found = metadata(result)
    assert found["findings"]["dagster/row_count"].value == 2
    assert found["findings"]["new"].value == 2
    assert "data:image/svg+xml" in str(found["findings"]["by_severity"].value)
    assert found["work_items"]["created"].value == 2
    assert "WSJF = (" in str(found["work_items"]["why_the_first"].value)
    assert "**Healthy code: project**" in str(found["plan"]["tree"].value)
    assert found["candidates"]["passed_all_gates"].value == 2
    assert found["suggestions"]["dagster/row_count"].value == 2
    assert len(waiting(engine)) == 2


def test_nothing_a_repository_says_hides_anywhere_in_dagsters_page(
    improve: Any, dagster: Dagster, repository: GitRepository
) -> None:
    """File names, symbols, authors and messages with what turns, erases or hides text: in events, metadata, logs."""
    hidden = "\u202e\u200b\u3164\U000e0041\x9b31m\x1b[2K"
    names = ["a\u202eb.py", "c\u3164d.py", "e\u200bf/g\u00adh.py", "i&#8238;|j.py"]
    repository.commit({name: NONE.replace("def ", "def \u3164x_") + MUTABLE for name in names})
    repository.git("-c", f"user.name=Eve{hidden}", "commit", "-q", "--allow-empty", "-m", f"x{hidden}")
    result = improve()
    found: list[str] = []

    def read(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        for inner in (
            [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
        ):
            read(inner)

    for record in dagster.instance.all_logs(result.run_id):
        read(json.loads(dg.serialize_value(record)))
    assert any("<U+202E>" in text for text in found)
    assert [text for text in found if visible(text) != text] == []


def test_the_number_of_steps_does_not_depend_on_the_number_of_findings(
    improve: Any, engine: Engine, repository: GitRepository
) -> None:
    few = improve(items=0)
    repository.commit(
        {f"more{n}/{name}": text for n in range(12) for name, text in (("setup.py", ""), ("f.py", NONE))}
    )
    many = improve(items=12)
    assert steps(few) == steps(many)
    assert len(many.all_events) == len(few.all_events)
    assert metadata(many)["candidates"]["work_items"].value == 12
    assert waiting(engine) != []


def test_an_approved_edit_is_applied_and_verified_by_one_run_that_the_sensor_requests(
    improve: Any, dagster: Dagster, engine: Engine, repository: GitRepository
) -> None:
    suggested = metadata(improve())["suggestions"]
    with engine.begin() as connection:
        suggestions = self_improvement.find(connection)
        for suggestion in suggestions:
            assert f"/approvals/{suggestion['approval']})" in str(suggested["approvals"].value)
            decisions.approve(connection, suggestion["approval"], actor="ada")
    [request] = dagster.tick(approval_decisions).run_requests
    assert request.job_name == "apply_approved_edits"
    result = dagster.run("apply_approved_edits")
    found = metadata(result)
    assert found["edits"]["dagster/row_count"].value == 2
    for suggestion in suggestions:
        assert f"/approvals/{suggestion['approval']})" in str(found["edits"]["approvals"].value)
        command = markdown(f"git -C {repository.path} log -p -1 {suggestion['branch']}")
        assert f"- {command}" in str(found["edits"]["branches"].value)
    assert found["edit_outcomes"]["verified"].value == 2
    assert dagster.tick(approval_decisions).run_requests == []
    assert len(repository.git("for-each-ref", "refs/heads/qflow").splitlines()) == 2


def test_the_branches_of_edits_are_linked_where_the_repository_has_a_page(
    improve: Any, dagster: Dagster, engine: Engine, repository: GitRepository
) -> None:
    improve()
    repository.git("remote", "add", "origin", "https://git.example/team/project.git")
    with engine.begin() as connection:
        first, *_ = self_improvement.find(connection)
        decisions.approve(connection, first["approval"], actor="ada")
    branches = str(metadata(dagster.run("apply_approved_edits"))["edits"]["branches"].value)
    assert (
        branches
        == f"- [{markdown(first['branch'])}](https://git.example/team/project/tree/{first['branch']})"
    )


def test_an_edit_left_unverified_gets_a_run(improve: Any, dagster: Dagster, engine: Engine) -> None:
    from qflow_dagster.agents import edits

    improve()
    assert dagster.tick(unverified_edits).run_requests == []
    with engine.begin() as connection:
        decisions.approve(connection, self_improvement.find(connection)[0]["approval"], actor="ada")
    edits.apply_approved(engine, worker="killed")
    with engine.begin() as connection:
        connection.execute(text("UPDATE edits SET applied_at = applied_at - interval '1 min'"))
    assert len(dagster.tick(unverified_edits).run_requests) == 1


def test_an_approved_text_is_planned_by_one_run(dagster: Dagster, engine: Engine) -> None:
    with engine.begin() as connection:
        added = work_chunks.add_chunk(connection, "Fix the crash when the cart is empty", requested_by="ada")
        approval = request_workflow(
            connection,
            work_chunks.DECISION,
            work_chunks.decision_payload(added.chunk_id),
            requested_by="ada",
            reason="cart",
        )
    assert dagster.tick(approved_work).run_requests == []
    with engine.begin() as connection:
        decisions.approve(connection, approval, actor="bob")
    dagster.run("start_approved_workflows")
    assert len(dagster.tick(approved_work).run_requests) == 1
    dagster.run("plan_approved_work")
    with engine.connect() as connection:
        query = text("SELECT title FROM work_items WHERE source = 'text'")
        assert connection.scalar(query) == "Fix the crash when the cart is empty"
    assert dagster.tick(approved_work).run_requests == []
