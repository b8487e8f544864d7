"""How tasks are done: a command in the sandbox, a request, a Python function, reading files.

Belongs here: one function per adapter that ends with the task, its caps, and the two kinds of
failure. What is done elsewhere and takes its time (an agent, a Dagster job) is registered by who
knows of it (`Elsewhere`). Does not belong here: which tasks, when (`task_worker`), who may
(`task_policy`).
"""

import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Engine

from qflow_dagster import sandbox
from qflow_dagster.errors import QflowError
from qflow_dagster.execution.task_arguments import ANYTHING, FLAG, TEXT, TEXTS_BY_NAME, WORDS, Takes, one_of
from qflow_dagster.execution.task_policy import allowed_host, policy
from qflow_dagster.infrastructure import outgoing
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.ingestion import checkouts, git, repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.processes import Pool, WorkerDiedError, WorkerTimeoutError
from qflow_dagster.quantumflow import NewWorkflow
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety.folders import work_folder
from qflow_dagster.safety.storable import read_json, storable_text

ENTRY_POINTS = "qflow_dagster.tasks"
SHELL_SECONDS, SHELL_OUTPUT = 120.0, 1_000_000
HTTP_SECONDS, HTTP_BODY, HTTP_REDIRECTS = 30.0, 10_000_000, 3
PYTHON_SECONDS = 300.0
FILE_BYTES = 1_000_000
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")


class TaskFailedError(QflowError):
    """An attempt failed; `retry` says whether another could do better."""

    def __init__(self, message: str, *, kind: str, retry: bool = True) -> None:
        super().__init__(message)
        self.kind, self.retry = kind, retry


@dataclass(frozen=True, kw_only=True)
class Call:
    """A task about to be done: what it is, with every reference filled in, and what it sees."""

    id: UUID
    graph_id: UUID
    name: str
    title: str
    role: str
    adapter: str
    arguments: dict[str, Any]
    seen: dict[str, Any]
    # Seconds; None: the adapter's.
    timeout: float | None
    attempt: int
    engine: Engine
    pool: Pool

    def seconds(self, cap: float) -> float:
        """How long it may take: the task's limit, its role's, the adapter's."""
        return min(value for value in (self.timeout, policy(self.role).timeout, cap) if value is not None)


Run = Callable[[Call], Any]


@dataclass(frozen=True)
class Elsewhere:
    """An adapter that starts a workflow somebody else works on; the task waits for it."""

    start: Callable[[Connection, Call], NewWorkflow]
    takes: Takes


Adapters = Mapping[str, Run | Elsewhere]


def taking(takes: Takes) -> Callable[[Run], Run]:
    """Say what an adapter takes; whoever submits a graph or does a task holds its arguments to that."""

    def said(run: Run) -> Run:
        run.takes = takes  # type: ignore[attr-defined]
        return run

    return said


@taking(Takes({"command": WORDS}, {"repository": TEXT, "check": FLAG}))
def shell(call: Call) -> dict[str, Any]:
    """Run `command` (a list) in the sandbox, in an empty folder or a checkout of `repository`.

    What the task sees is JSON on its standard input. Its output, if it is JSON, is `value`.
    """
    seconds = call.seconds(SHELL_SECONDS if call.role != "tester" else 600.0)
    limits = sandbox.Limits(seconds, policy(call.role).memory * 1024**2, 256)
    with work_folder("qflow-task-") as made:
        work = made / "work"
        work.mkdir()
        if call.arguments.get("repository"):
            _checkout(call, work)
        command = call.arguments["command"]
        ran = sandbox.run(command, work, limits=limits, stdin=json.dumps(call.seen, ensure_ascii=False))
    output = ran.output
    if len(output) > SHELL_OUTPUT:
        output = output[-SHELL_OUTPUT:]
    if ran.timed_out:
        raise TaskFailedError(
            f"{command[0]} took longer than {seconds:g} s: {output[-2_000:]}", kind="timeout"
        )
    if ran.code != 0 and call.arguments.get("check", True):
        raise TaskFailedError(f"{command[0]} ended with {ran.code}: {output[-2_000:]}", kind="exit_code")
    result: dict[str, Any] = {"code": ran.code, "output": storable_text(output)}
    with suppress(ValueError):
        result["value"] = read_json(output)
    return result


@taking(
    Takes(
        {"url": TEXT}, {"method": one_of(METHODS), "headers": TEXTS_BY_NAME, "body": ANYTHING, "check": FLAG}
    )
)
def http(call: Call) -> dict[str, Any]:
    """Ask `url`; at most three redirects, each to a host the role may ask; 10 MB of answer.

    Sent is what the task gives and nothing else, and to another origin less (`outgoing.redirected`).
    """
    given = call.arguments
    seconds = call.seconds(HTTP_SECONDS)
    deadline = time.monotonic() + seconds
    request = _request(given)
    for _ in range(HTTP_REDIRECTS + 1):
        allowed_host(call.role, request.url)
        host = urlsplit(request.url).netloc
        try:
            with through_breaker(call.engine, f"http {host}", ignore=(outgoing.ResponseTooLargeError,)):
                answer = outgoing.fetch(
                    request, seconds=max(0.1, deadline - time.monotonic()), max_bytes=HTTP_BODY
                )
            if answer.status in outgoing.REDIRECTS and answer.headers.get("location"):
                request = outgoing.redirected(request, answer)
                continue
        except outgoing.ResponseTimeoutError:
            raise TaskFailedError(f"{host} did not answer in {seconds:g} s", kind="timeout") from None
        except outgoing.ResponseTooLargeError as error:
            raise TaskFailedError(str(error), kind="size", retry=False) from None
        except outgoing.NoResponseError as error:
            raise TaskFailedError(f"{host} could not be asked: {error}", kind="external") from None
        except outgoing.RedirectRefusedError as error:
            raise TaskFailedError(f"{host}: {error}", kind="external", retry=False) from None
        if answer.status >= 400 and given.get("check", True):
            retry = answer.status >= 500 or answer.status in (408, 425, 429)
            raise TaskFailedError(f"{host} answered {answer.status}", kind="status", retry=retry)
        return _result(answer)
    raise TaskFailedError(f"more than {HTTP_REDIRECTS} redirects", kind="external", retry=False)


def _request(given: Mapping[str, Any]) -> outgoing.Request:
    headers = dict(given.get("headers") or {})
    body = b""
    if given.get("body") is not None:
        body = json.dumps(given["body"]).encode()
        if "content-type" not in (name.lower() for name in headers):
            headers["Content-Type"] = "application/json"
    return outgoing.Request(given.get("method", "GET"), given["url"], headers, body)


def _result(answer: outgoing.Answer) -> dict[str, Any]:
    text = storable_text(answer.text)
    result: dict[str, Any] = {"status": answer.status, "body": text}
    if "json" in answer.headers.get("content-type", ""):
        with suppress(ValueError):
            result["value"] = read_json(text)
    return result


@taking(Takes({"function": TEXT}, others=True))
def python(call: Call) -> Any:
    """Call a function that an installed package offers under the entry points `qflow_dagster.tasks`.

    It gets `arguments` and `inputs`, in a process of its own, and returns what JSON can hold.
    """
    function = call.arguments["function"]
    rest = {name: value for name, value in call.arguments.items() if name != "function"}
    seconds = call.seconds(PYTHON_SECONDS)
    try:
        done, value = call.pool.call((function, rest, call.seen), seconds)
    except WorkerTimeoutError:
        raise TaskFailedError(f"{function} took longer than {seconds:g} s", kind="timeout") from None
    except WorkerDiedError as error:
        raise TaskFailedError(f"{function}: {error}", kind="crash") from None
    if not done:
        raise TaskFailedError(f"{function}: {value}", kind="exception")
    return value


def serve(context: None, batch: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> tuple[bool, Any]:
    """The worker's side of `python`."""
    [(name, arguments, inputs)] = batch
    found = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in found:
        there = ", ".join(sorted(found)) or "none"
        return False, f"no function {name!r} under the entry points {ENTRY_POINTS}; there are: {there}"
    try:
        value = found[name].load()(arguments, inputs)
        to_json(value, f"the result of {name}")
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"[:2_000]
    return True, value


@taking(Takes({"repository": TEXT, "paths": WORDS}))
def files(call: Call) -> dict[str, str]:
    """Read `paths` of the ingested commit of `repository`: path -> text. Nothing of a work tree is read."""
    with call.engine.connect() as connection:
        name = call.arguments["repository"]
        objects = repositories.find(connection, name).objects
        commit = current_snapshot(connection, name).commit_oid
    texts = {}
    for path in call.arguments["paths"]:
        entry = git.run(objects, "ls-tree", "-l", "-z", commit, "--", path).decode()
        if not entry.startswith("100"):
            raise TaskFailedError(f"{path} is no ordinary file of {name}", kind="not_found", retry=False)
        meta = entry.partition("\t")[0].split()
        if int(meta[3]) > FILE_BYTES:
            raise TaskFailedError(f"{path} has {int(meta[3]):,} bytes", kind="size", retry=False)
        texts[path] = storable_text(git.run(objects, "cat-file", "blob", meta[2]).decode("utf-8", "replace"))
    return texts


def _checkout(call: Call, folder: Path) -> None:
    with call.engine.connect() as connection:
        name = call.arguments["repository"]
        objects = repositories.find(connection, name).objects
        commit = current_snapshot(connection, name).commit_oid
    with checkouts.scratch(objects) as store:
        checkouts.export(store, commit, folder)


ADAPTERS: Adapters = {"shell": shell, "http": http, "python": python, "files": files}
