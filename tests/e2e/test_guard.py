"""`qflow up` attacked from outside and used in a browser: one address, one guard, and Dagster's page works behind it."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import Engine, text

from qflow_dagster.approvals.approved_workflows import request_workflow
from tests.e2e.test_dagster import QFLOW, environment, eventually, free_port, home
from tests.e2e.test_operations import TYPE, answers, notice
from tests.http_server import local_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
__all__ = ["environment", "home"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LAUNCH = """mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {__typename}}"""


@contextmanager
def running(environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """`qflow up` while the body runs: its address, and its process."""
    port = free_port()
    up = subprocess.Popen(
        [*QFLOW, "up", "--port", str(port)], env=environment, start_new_session=True, stderr=subprocess.PIPE
    )
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(f"{address}/health/ready") or up.poll() is not None, "everything is up")
        assert up.poll() is None, up.communicate()[1]
        yield address, psutil.Process(up.pid)
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        _, words = up.communicate(timeout=180)
    assert up.returncode == 0, words


def launch_of(job: str, **config: Any) -> dict[str, Any]:
    selector = {
        "repositoryLocationName": "qflow_dagster.definitions",
        "repositoryName": "__repository__",
        "pipelineName": job,
    }
    return {"p": {"selector": selector, "mode": "default", "runConfigData": config}}


def runs(address: str) -> int:
    answer = requests.post(
        f"{address}/dagster/graphql", json={"query": "{runsOrError {... on Runs {count}}}"}, timeout=60
    )
    return answer.json()["data"]["runsOrError"]["count"]


def test_the_one_address_is_attacked_and_used(environment: dict[str, str], engine: Engine) -> None:
    with engine.begin() as connection:
        asked = request_workflow(connection, TYPE, notice(1), requested_by="bot", reason="weekly report")
    with running(environment) as (address, process):
        nothing_else_listens(address, process)
        before = runs(address)
        decision = {"approval": str(asked), "decision": "approve", "actor": "ada"}
        for launch in (
            launch_of("decide_approval", ops={"decide": {"config": decision}}),
            launch_of("check_health"),
        ):
            attack_by_request(address, launch)
        if CHROMIUM:
            attack_by_browser(address, launch_of("check_health"))
        assert runs(address) == before
        with engine.connect() as connection:
            status = connection.scalar(text("SELECT status FROM workflows WHERE id = :id"), {"id": asked})
        assert status == "pending"
        if CHROMIUM:
            work_in_the_page(address)
        kill_the_page(address, process)


def nothing_else_listens(address: str, process: psutil.Process) -> None:
    """One TCP port in all, of one process, and no socket in a folder."""
    family = process.children(recursive=True)
    assert {port for p in family for port in ports(p)} == {int(address.rpartition(":")[2])}
    assert not {c.laddr for p in family for c in p.net_connections("unix") if c.laddr}


def ports(process: psutil.Process) -> set[int]:
    """The ports on which a process listens; none if it has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return set()


def attack_by_request(address: str, launch: dict[str, Any]) -> None:
    """What any page can make a browser send, by GET and by POST, to this name and to a rebound one."""
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    variables = {"query": LAUNCH, "variables": json.dumps(launch)}
    rebound = {**evil, "Host": f"evil.example:{address.rpartition(':')[2]}", "Accept": "image/*"}
    for path in (
        "/graphql",
        "/dagster/graphql",
        "/dagster//graphql",
        "/dagster/graphql/",
        "//dagster/graphql",
    ):
        url = f"{address}{path}"
        assert requests.get(url, variables, headers=rebound, timeout=60).status_code == 421
        assert requests.get(url, variables, headers=evil, timeout=60).status_code == 403
        assert "launchRun" not in requests.get(url, variables, headers={"Accept": "image/*"}, timeout=60).text
        body = json.dumps({"query": LAUNCH, "variables": launch})
        assert (
            requests.post(url, body, headers={**evil, "Content-Type": "text/plain"}, timeout=60).status_code
            == 403
        )
        assert (
            requests.post(
                url, body, headers={**rebound, "Content-Type": "application/json"}, timeout=60
            ).status_code
            == 421
        )
    form = requests.post(f"{address}/dagster/graphql?{urlencode(variables)}", data="", timeout=60)
    assert form.status_code == 415
    for source, status in (("https://evil.example", b"403"), (None, b"403"), (address, b"101")):
        assert upgrade(address, source) == status


def upgrade(address: str, source: str | None) -> bytes:
    """The status of a WebSocket's handshake."""
    host, port = address.removeprefix("http://").split(":")
    lines = [
        "GET /dagster/graphql HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: graphql-ws",
        *([f"Origin: {source}"] if source else []),
        "",
        "",
    ]
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall("\r\n".join(lines).encode())
        return client.recv(1_000).split()[1]


ATTACK = """async ([address, query, launch]) => {
  const url = `${address}/dagster/graphql?` + new URLSearchParams({query, variables: JSON.stringify(launch)});
  const image = new Promise(done => { const i = new Image(); i.onload = i.onerror = e => done(e.type); i.src = url });
  const live = new Promise(done => {
    const socket = new WebSocket(address.replace('http', 'ws') + '/dagster/graphql', 'graphql-ws');
    socket.onopen = () => done('open'); socket.onerror = () => done('refused');
  });
  const body = JSON.stringify({query, variables: launch});
  const send = (options) => fetch(`${address}/dagster/graphql`, {method: 'POST', body, ...options})
    .then(answer => answer.type === 'opaque' ? 'sent' : 'read', () => 'refused');
  return [await image, await live, await send({}), await send({headers: {'Content-Type': 'application/json'}}),
          await send({mode: 'no-cors'})];
}"""


def attack_by_browser(address: str, launch: dict[str, Any]) -> None:
    """A page of another port of this machine, which is another site's to us."""
    with local_server() as evil, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(evil.url)
        image, live, *sent = page.evaluate(ATTACK, [address, LAUNCH, launch])
        assert (image, live, sent[:2]) == ("error", "refused", ["refused", "refused"])
        browser.close()


def work_in_the_page(address: str) -> None:
    """Look at assets, launch a job from the launchpad, and see its run end without a reload."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        live: list[str] = []
        page.on(
            "console", lambda message: problems.append(message.text) if is_refusal(message.text) else None
        )
        page.on(
            "response",
            lambda answer: problems.append(answer.url) if answer.status in (401, 403, 421) else None,
        )
        page.on("websocket", lambda opened: live.append(opened.url))
        page.goto(f"{address}/dagster/")
        launch_in_the_page(page, address)
        assert problems == []
        assert any(url.endswith("/dagster/graphql") for url in live)
        browser.close()


def launch_in_the_page(page: Page, address: str) -> None:
    page.goto(f"{address}/dagster/assets")
    expect(page.get_by_text("Approvals: those pending a person's decision").first).to_be_visible(
        timeout=60_000
    )
    page.goto(f"{address}/dagster/locations/qflow_dagster.definitions/jobs/check_health/playground")
    page.get_by_role("button", name="Launch run").first.click(timeout=60_000)
    page.wait_for_url("**/dagster/runs/*", timeout=60_000)
    expect(page.get_by_text("Success").first).to_be_visible(timeout=120_000)


def is_refusal(message: str) -> bool:
    # Leaving a page closes its connection, also before it is established; that is no refusal.
    refused = "WebSocket connection" in message and "closed before the connection" not in message
    return "Content Security Policy" in message or refused


def kill_the_page(address: str, process: psutil.Process) -> None:
    """It is started again, with the definitions."""

    def pages() -> list[psutil.Process]:
        return [child for child in process.children() if ports(child)]

    def loaded() -> Any:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{address}/health/ready", timeout=60).json().get("code_locations")

    assert loaded() == {"qflow_dagster.definitions": True}
    [page] = pages()
    page.kill()
    eventually(lambda: pages() not in ([], [page]), "another is started")
    eventually(lambda: loaded() == {"qflow_dagster.definitions": True}, "it has the definitions")
