"""A run launched from Dagster's page has a tag that names its actor, whatever the request says."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from sqlalchemy import Engine
from starlette.routing import Mount
from starlette.testclient import TestClient

from qflow_dagster.launching.launched_by import LAUNCHES
from qflow_dagster.launching.page import Page
from qflow_dagster.web.app import build_app
from tests.launching import launchable
from tests.web.conftest import ME, home, own_process

__all__ = ["home", "own_process"]
FORGED = [{"key": "user", "value": "ada"}, {"key": "why", "value": "a test"}]
REPOSITORY = {"repositoryLocationName": "launchable", "repositoryName": "__repository__"}
SMALL = {"selector": {**REPOSITORY, "pipelineName": "small"}, "mode": "default"}
RESULT = "{__typename ... on PythonError {message} ... on LaunchRunSuccess {run {runId}}}"
BACKFILL = "{__typename ... on PythonError {message} ... on LaunchBackfillSuccess {backfillId}}"

# Mutations of the installed version that create neither a run nor a backfill.
OTHERS = {
    "startSchedule",
    "stopRunningSchedule",
    "resetSchedule",
    "startSensor",
    "setSensorCursor",
    "stopSensor",
    "resetSensor",
    "sensorDryRun",
    "scheduleDryRun",
    "terminatePipelineExecution",
    "terminateRun",
    "terminateRuns",
    "deletePipelineRun",
    "deleteRun",
    "reloadRepositoryLocation",
    "reloadWorkspace",
    "shutdownRepositoryLocation",
    "wipeAssets",
    "reportRunlessAssetEvents",
    "reportAssetCheckEvaluations",
    "resumePartitionBackfill",
    "cancelPartitionBackfill",
    "logTelemetry",
    "setNuxSeen",
    "addDynamicPartition",
    "deleteDynamicPartitions",
    "setAppManagedComponent",
    "deleteAppManagedComponent",
    "refreshComponentState",
    "setAutoMaterializePaused",
    "setConcurrencyLimit",
    "deleteConcurrencyLimit",
    "freeConcurrencySlotsForRun",
    "freeConcurrencySlots",
}


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    queued = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}
    with dg.instance_for_test(overrides={"run_coordinator": queued}) as instance:
        yield instance


@pytest.fixture(scope="module")
def dagster_page(instance: dg.DagsterInstance) -> Iterator[Page]:
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(python_file=launchable.__file__, attribute="definitions"),
        location_name="launchable",
    )
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin), version="test") as context:
        yield Page(context, "/dagster")


@pytest.fixture
def client(engine: Engine, dagster_page: Page) -> TestClient:
    app = build_app(engine, host="127.0.0.1", pages=[Mount("/dagster", app=dagster_page.served())])
    return TestClient(app, base_url="http://127.0.0.1:3001")


def mutate(client: TestClient, mutation: str, **variables: Any) -> Any:
    """The result of the only field of a mutation."""
    answer = client.post("/dagster/graphql", json={"query": mutation, "variables": variables}).json()
    [result] = answer["data"].values()
    return result


def launch(client: TestClient, **metadata: Any) -> str:
    parameters = {**SMALL, **({"executionMetadata": metadata} if metadata else {})}
    query = f"mutation($p: ExecutionParams!) {{launchRun(executionParams: $p) {RESULT}}}"
    return mutate(client, query, p=parameters)["run"]["runId"]


def tags(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return {name: value for name, value in run.tags.items() if not name.startswith((".", "dagster/"))}


def test_every_mutation_of_the_installed_version_was_decided_on(dagster_page: Page) -> None:
    mutations = dagster_page.build_graphql_schema().graphql_schema.mutation_type
    assert mutations is not None
    assert set(mutations.fields) - LAUNCHES == OTHERS


def test_a_launched_run_names_its_actor(client: TestClient, instance: dg.DagsterInstance) -> None:
    assert tags(instance, launch(client)) == {"user": ME}
    forged = launch(client, tags=FORGED)
    assert tags(instance, forged) == {"user": ME, "why": "a test"}
    several = mutate(
        client,
        "mutation($p: [ExecutionParams!]!) {launchMultipleRuns(executionParamsList: $p) "
        f"{{... on LaunchMultipleRunsResult {{launchMultipleRunsResult {RESULT}}}}}}}",
        p=[SMALL, {**SMALL, "executionMetadata": {"tags": FORGED}}],
    )["launchMultipleRunsResult"]
    assert [tags(instance, result["run"]["runId"])["user"] for result in several] == [ME, ME]


def test_what_is_written_in_the_query_itself_is_overridden_too(
    client: TestClient, instance: dg.DagsterInstance
) -> None:
    query = (
        'mutation {x: launchPipelineExecution(executionParams: {mode: "default", selector: '
        '{repositoryLocationName: "launchable", repositoryName: "__repository__", pipelineName: "small"}, '
        f'executionMetadata: {{tags: [{{key: "user", value: "ada"}}]}}}}) {RESULT}}}'
    )
    assert tags(instance, mutate(client, query)["run"]["runId"]) == {"user": ME}


def test_a_run_executed_again_names_who_executed_it_again(
    client: TestClient, instance: dg.DagsterInstance
) -> None:
    first = launch(client)
    instance.add_run_tags(first, {"user": "ada"})
    again = mutate(
        client,
        f"mutation($p: ReexecutionParams!) {{launchRunReexecution(reexecutionParams: $p) {RESULT}}}",
        p={"parentRunId": first, "strategy": "ALL_STEPS", "extraTags": FORGED},
    )
    assert tags(instance, again["run"]["runId"]) == {"user": ME, "why": "a test"}


def test_a_backfill_names_its_actor(client: TestClient, instance: dg.DagsterInstance) -> None:
    backfill_id = mutate(
        client,
        f"mutation($p: LaunchBackfillParams!) {{launchPartitionBackfill(backfillParams: $p) {BACKFILL}}}",
        p={"assetSelection": [{"path": ["parts"]}], "partitionNames": ["a", "b"], "tags": FORGED},
    )["backfillId"]
    backfill = instance.get_backfill(backfill_id)
    assert backfill is not None
    assert backfill.tags == {"user": ME, "why": "a test"}

    ended = backfill._replace(status=BulkActionStatus.CANCELED, tags={**backfill.tags, "user": "ada"})
    instance.update_backfill(ended)
    again = mutate(
        client,
        f"mutation($p: ReexecutionParams!) {{reexecutePartitionBackfill(reexecutionParams: $p) {BACKFILL}}}",
        p={"parentRunId": backfill_id, "strategy": "ALL_STEPS"},
    )["backfillId"]
    repeated = instance.get_backfill(again)
    assert repeated is not None
    assert repeated.tags["user"] == ME
