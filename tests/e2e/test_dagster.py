"""The whole on a real daemon and webserver: add a repository, watch the sensor run it, commit again.

Everything a person would do, through the commands and pages a person uses.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from tests import databases
from tests.folders import new_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

QFLOW = [str(Path(sys.executable).with_name("qflow"))]
PATIENCE = 400.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path for $QFLOW_HOME: pytest's own would be too long for a socket on macOS."""
    folder = new_home("qflow-e2e-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(home: Path, database: URL) -> Iterator[dict[str, str]]:
    """The environment of every process of the test: its own home, its own two databases."""
    yield {
        **os.environ,
        "QFLOW_HOME": str(home),
        "QFLOW_DATABASE_URL": database.render_as_string(hide_password=False),
        "NO_COLOR": "1",
    }
    databases.drop(database.set(database=f"{database.database}_dagster"))


@pytest.fixture
def checkout(home: Path) -> Path:
    """A real git repository with two modules, one importing the other."""
    folder = home / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "prices.py").write_text(
        'def total(items):\n    """Sum."""\n    result = 0\n    for item in items:\n'
        "        if item.price > 0 and item.count:\n            result += item.price * item.count\n"
        "    return result\n"
    )
    (folder / "cart.py").write_text("from prices import total\n\n\ndef pay(cart):\n    return total(cart)\n")
    commit(folder, "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def qflow(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [*QFLOW, *arguments, "--json"], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(ask: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(1)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


class Page:
    """Dagster's GraphQL endpoint, which its web page uses too."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/dagster/graphql"

    def query(self, query: str) -> Any:
        request = urllib.request.Request(
            self.url, json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["data"]

    def runs(self) -> list[dict[str, Any]]:
        answer = self.query(
            '{runsOrError(filter: {pipelineName: "run_repository"}) {... on Runs {results '
            "{runId status tags {key value}}}}}"
        )
        return answer["runsOrError"]["results"]

    def successes(self) -> list[dict[str, Any]]:
        runs = self.runs()
        assert not [run for run in runs if run["status"] == "FAILURE"], runs
        return [run for run in runs if run["status"] == "SUCCESS"]

    def materialized(self) -> dict[str, list[str]]:
        """Partitions with a materialization, by asset of code."""
        answer = self.query("{assetNodes {assetKey {path} assetMaterializations(limit: 50) {partition}}}")
        return {
            "/".join(node["assetKey"]["path"]): [m["partition"] for m in node["assetMaterializations"]]
            for node in answer["assetNodes"]
            if node["assetKey"]["path"][0] in ("ingestion", "metrics")
        }


def test_a_repository_is_added_seen_by_the_sensor_and_followed(
    environment: dict[str, str], checkout: Path
) -> None:
    port = free_port()
    subprocess.run([*QFLOW, "repos", "add", str(checkout)], env=environment, check=True)
    up = subprocess.Popen(
        [*QFLOW, "up", "--port", str(port)],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    page = Page(port)
    try:
        eventually(lambda: answers(port) or up.poll() is not None, "the web page answers")
        assert up.poll() is None, up.communicate()[1]

        first = eventually(page.successes, "the sensor's run succeeds")[0]
        tags = {tag["key"]: tag["value"] for tag in first["tags"]}
        assert tags["dagster/sensor_name"] == "repository_commits"
        assert tags["dagster/partition"] == "shop"
        materialized = page.materialized()
        assert len(materialized) >= 12
        assert all("shop" in partitions for partitions in materialized.values()), materialized
        shown = qflow(environment, "repos", "show", "shop")
        assert (shown["files"], shown["commit"]) == (2, git(checkout, "rev-parse", "HEAD"))

        (checkout / "cart.py").write_text((checkout / "cart.py").read_text() + "\n\nLIMIT = 3\n")
        second_commit = commit(checkout, "second")
        eventually(lambda: len(page.successes()) == 2, "the second commit is run")
        assert qflow(environment, "repos", "show", "shop")["commit"] == second_commit
        recorded = qflow(environment, "workflows", "list", "--type", "code_ingestion")
        assert sorted(row["result"]["blobs_read"] for row in recorded) == [1, 2]
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        _, words = up.communicate(timeout=180)
    assert up.returncode == 0, words
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
            return True
    except OSError:
        return False
