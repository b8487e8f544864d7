"""What `deploy/` holds agrees with the program: commands, options, settings, paths. (Nothing here runs a container.)"""

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyCompose

from qflow_dagster.cli import app
from qflow_dagster.registry import RunQueue
from qflow_dagster.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if service["image"] == "qflow"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def parse(words: list[str]) -> None:
    """Fail if the command line does not take these words."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="qflow")
    subcommand = command.get_command(context, words[0])
    files = [word if not word.startswith("/etc/") else str(DEPLOY / Path(word).name) for word in words[1:]]
    subcommand.make_context(words[0], files, parent=context)


def setting_exists(variable: str) -> bool:
    domain, _, name = variable.removeprefix("QFLOW_").lower().partition("_")
    if f"{domain}_{name}" in Settings.model_fields or (domain in Settings.model_fields and not name):
        return True
    return hasattr(getattr(Settings(), domain, None), name)


def test_the_compose_file_agrees_with_the_specification_and_names_what_it_holds() -> None:
    PyCompose.from_json(json.dumps(COMPOSE))
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"]), name
        volumes = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert volumes <= set(COMPOSE["volumes"]), name


@pytest.mark.parametrize("name", [name for name in OURS if name != "code"])
def test_each_service_runs_a_command_that_exists(name: str) -> None:
    parse(COMPOSE["services"][name]["command"])


def test_every_setting_exists_and_no_password_is_written_down() -> None:
    environments = [COMPOSE["services"][name]["environment"] for name in OURS]
    names = {name for each in environments for name in each if name.startswith("QFLOW_")}
    assert names
    assert [name for name in names if not setting_exists(name)] == []
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"(?<=:)\$\{[^}]*\}(?=@)", text)) == {
        "${POSTGRES_PASSWORD:?}",
        "${RABBITMQ_PASSWORD:?}",
    }


def test_only_the_page_listens_and_only_on_this_machine() -> None:
    ports = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    assert {name: each for name, each in ports.items() if each} == {"page": ["127.0.0.1:3001:3001"]}


def test_the_workspace_is_the_code_service_and_the_module_of_the_project() -> None:
    [entry] = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    command = COMPOSE["services"]["code"]["command"]
    options = dict(zip(command[::2], command[1::2], strict=True))
    assert entry["grpc_server"] == {
        "host": "code",
        "port": int(options["--port"]),
        "location_name": options["--module-name"],
    }


def test_every_queue_has_a_worker() -> None:
    served = {
        service["command"][2]
        for service in COMPOSE["services"].values()
        if "worker" in str(service.get("command"))
    }
    assert served == set(RunQueue)


def test_the_image_runs_as_an_ordinary_user_from_the_pinned_versions() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["qflow"]
    assert any("-c /source/constraints.txt" in line for line in lines)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_runs_a_command_that_exists_as_an_ordinary_user(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read_string(unit.read_text())
    assert parser["Service"]["User"] == "qflow"
    program, *words = shlex.split(parser["Service"]["ExecStart"].replace("%i", RunQueue.LONG))
    assert program == "/opt/qflow/bin/qflow"
    parse(words)
