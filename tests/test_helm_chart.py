"""The Helm chart in `deploy/helm`, rendered by Helm's own library and checked by the schemas of Kubernetes."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from helm_python import Chart, HelmError, lint

from qflow_dagster.cli import app
from qflow_dagster.registry import RunQueue

CHART = Path(__file__).parents[1] / "deploy" / "helm"
KUBERNETES = "1.31"


def rendered(values: dict[str, Any] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the manifests of the chart by kind and name."""
    with Chart.load(CHART) as chart:
        texts = chart.render(values, name="demo").values()
    manifests = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in manifests}


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    [only] = manifest["spec"]["template"]["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    return rendered()


def deployments(manifests: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    return [manifest for (kind, _), manifest in manifests.items() if kind == "Deployment"]


def test_helm_finds_no_fault_in_it() -> None:
    assert lint(CHART)["errors"] == []


def test_every_manifest_is_valid(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert {name for kind, name in manifests if kind == "Deployment"} == {
        "demo-code",
        "demo-daemon",
        "demo-page",
        *(f"demo-worker-{queue}" for queue in RunQueue),
    }


def test_each_part_runs_a_command_that_exists(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="qflow")
    for manifest in deployments(manifests):
        part = container(manifest)
        if "command" in part:
            assert part["command"] == ["dagster", "api", "grpc"]
            continue
        name, *words = part["args"]
        local = [word.replace("/etc/qflow", str(CHART.parent)) for word in words]
        command.get_command(context, name).make_context(name, local, parent=context)


def test_the_workspace_leads_to_the_code_server(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    workspace = manifests["ConfigMap", "demo-workspace"]["data"]["workspace.yaml"]
    [entry] = yaml.safe_load(workspace)["load_from"]
    [port] = manifests["Service", "demo-code"]["spec"]["ports"]
    assert entry["grpc_server"] == {
        "host": "demo-code",
        "port": port["port"],
        "location_name": "qflow_dagster.definitions",
    }


def test_a_service_finds_the_pods_of_its_part(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    for part in ("code", "page"):
        labels = manifests["Deployment", f"demo-{part}"]["spec"]["template"]["metadata"]["labels"]
        assert manifests["Service", f"demo-{part}"]["spec"]["selector"] == labels


def test_only_page_and_daemon_reach_the_code_server(
    manifests: dict[tuple[str, str], dict[str, Any]],
) -> None:
    policy = manifests["NetworkPolicy", "demo-code"]["spec"]
    allowed = [each["podSelector"]["matchLabels"] for each in policy["ingress"][0]["from"]]
    assert [each["app.kubernetes.io/component"] for each in allowed] == ["page", "daemon"]


def test_no_part_has_more_rights_than_it_needs(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    for manifest in deployments(manifests):
        pod = manifest["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container(manifest)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_values_reach_the_parts() -> None:
    changed = rendered(
        {
            "settings": {"QFLOW_WORKERS_MAX_RUNS": 50},
            "workers": {"long": {"replicas": 40, "concurrency": 8}},
        }
    )
    worker = changed["Deployment", "demo-worker-long"]
    assert worker["spec"]["replicas"] == 40
    assert container(worker)["args"] == ["worker", "--queues", "long", "--concurrency", "8"]
    for manifest in deployments(changed):
        assert {"name": "QFLOW_WORKERS_MAX_RUNS", "value": "50"} in container(manifest)["env"]


@pytest.mark.parametrize(
    "values",
    [
        {"worker": {}},
        {"workers": {"long": {"replicas": -1}}},
        {"settings": {"PATH": "/x"}},
        {"secret": "A b"},
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(HelmError, match="schema"):
        rendered(values)
