"""The commands of a first afternoon: run, look, decide, listen."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from psycopg import sql
from sqlalchemy import URL
from typer.testing import CliRunner

from qflow_dagster.cli import app
from qflow_dagster.registry import Channel
from tests.ingestion.conftest import GitRepository

Run = Callable[..., subprocess.CompletedProcess[str]]

BUSY = """def decide(a, b):
    if a:
        for x in b:
            if x and a:
                return len(x)
    return None
"""


@pytest.fixture
def shop(home: Path) -> GitRepository:
    repository = GitRepository(home / "shop")
    for n in range(4):
        repository.commit({"shop/busy.py": f"{BUSY}N = {n}\n", "shop/quiet.py": "x = 1\n"}, f"change {n}")
    return repository


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_from_a_checkout_to_its_hotspots_and_back(qflow: Run, shop: GitRepository) -> None:
    shown = ok(qflow("run", str(shop.path)))
    assert "shop at" in shown
    assert "shop/busy.py" in shown
    assert "Next:" in shown

    began = time.monotonic()
    second = json.loads(ok(qflow("run", "shop", "--json")))
    took = time.monotonic() - began
    assert (second["files"], second["commits"], second["functions"]) == (2, 4, 1)
    stages = sum(seconds for stage, seconds in second["seconds"].items() if stage != "total")
    assert 0 < stages <= second["seconds"]["total"] <= took
    assert [spot["path"] for spot in second["hotspots"]] == ["shop/busy.py"]

    [listed] = json.loads(ok(qflow("repos", "list", "--json")))
    assert (listed["name"], listed["files"]) == ("shop", 2)
    assert "Python" in ok(qflow("repos", "show", "shop"))
    assert json.loads(ok(qflow("hotspots", "--json")))[0]["rank"] == 1
    assert "cognitive" in ok(qflow("hotspots", "shop"))

    file = json.loads(ok(qflow("metrics", "busy.py", "--json")))
    assert file["path"] == "shop/busy.py"
    function = json.loads(ok(qflow("metrics", "decide", "--json")))
    assert function["cyclomatic"] == 5
    assert "decide" in ok(qflow("metrics", "decide"))

    workflows = json.loads(ok(qflow("workflows", "list", "--json")))
    assert {w["type"] for w in workflows} == {
        "code_ingestion",
        "history_ingestion",
        "metrics_pipeline",
        "improvement_cycle",
    }
    assert {w["status"] for w in workflows} == {"completed"}
    first = workflows[0]["id"]
    assert json.loads(ok(qflow("workflows", "show", first, "--json")))["id"] == first
    assert [e["to"] for e in json.loads(ok(qflow("workflows", "history", first, "--json")))] == [
        "pending",
        "running",
        "completed",
    ]
    refused = qflow("workflows", "cancel", first)
    assert refused.returncode == 1
    assert "cannot be cancelled" in refused.stderr
    assert "sound" in ok(qflow("history", "verify"))

    told = [
        json.loads(line)
        for line in ok(
            qflow("listen", "code_ingestion_notifications", "--consumer", "me", "--idle", "2")
        ).splitlines()
    ]
    assert [t["payload"]["to"] for t in told if t["payload"]["type"] == "code_ingestion"][:3] == [
        "pending",
        "running",
        "completed",
    ]
    assert ok(qflow("listen", "code_ingestion_notifications", "--consumer", "me", "--idle", "1")) == ""

    ok(qflow("repos", "remove", "shop", "--yes"))
    assert json.loads(ok(qflow("repos", "list", "--json"))) == []
    assert shop.git("rev-parse", "HEAD")


def test_help_teaches_and_every_command_has_some() -> None:
    """In this process: three dozen of them would take a minute to start."""
    runner = CliRunner()

    def visit(command: Any, path: list[str]) -> int:
        shown = runner.invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, path
        assert "Usage:" in shown.output
        assert command.help, path
        if not hasattr(command, "list_commands"):
            return 1
        context = typer.Context(command)
        subs = {name: command.get_command(context, name) for name in command.list_commands(context)}
        return 1 + sum(visit(sub, [*path, name]) for name, sub in subs.items() if sub)

    assert "qflow run" in runner.invoke(app, ["--help"]).output
    assert visit(typer.main.get_command(app), []) > 60


def test_configuration_names_every_setting_and_hides_secrets(qflow: Run) -> None:
    shown = ok(qflow("config", QFLOW_DATABASE_URL="postgresql://me:planted-secret@localhost/db"))
    assert "QFLOW_INGESTION_PROCESSES" in shown
    assert "planted-secret" not in shown


def test_a_repository_is_added_once_under_one_name(qflow: Run, shop: GitRepository) -> None:
    assert ok(qflow("repos", "add", str(shop.path), "--name", "store")).startswith("store ")
    assert ok(qflow("repos", "add", f"{shop.path}/shop")).startswith("store ")
    again = qflow("repos", "add", str(shop.path), "--name", "other")
    assert again.returncode == 2
    assert "registered already, as 'store'" in again.stderr


def test_an_added_repository_is_looked_at_at_once(qflow: Run, shop: GitRepository, database: URL) -> None:
    address = database.set(drivername="postgresql").render_as_string(hide_password=False)
    ok(qflow("db", "migrate"))
    with psycopg.connect(address, autocommit=True) as listening:
        listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(Channel.COMMITS)))
        ok(qflow("repos", "add", str(shop.path)))
        assert [each.channel for each in listening.notifies(timeout=30, stop_after=1)] == [Channel.COMMITS]
