"""Adapters, which run tasks: a sandboxed command, an HTTP request, a Python function, reading files.

Belongs here: one function per adapter that returns when the task is done, its limits, and how an
attempt fails. Work that runs elsewhere and takes long (an agent, a Dagster job) is registered as an
`ExternalAdapter` by the package that runs it. Does not belong here: which tasks run when
(`task_worker`), what a role may do (`task_policy`).
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
from qflow_dagster.execution.task_arguments import (
    ANYTHING,
    FLAG,
    TEXT,
    TEXT_LIST,
    TEXTS_BY_NAME,
    ArgumentSpec,
    one_of,
)
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
    """An attempt to run a task failed; `retry` says whether another attempt may succeed."""

    def __init__(self, message: str, *, kind: str, retry: bool = True) -> None:
        super().__init__(message)
        self.kind, self.retry = kind, retry


@dataclass(frozen=True, kw_only=True)
class Call:
    """A task about to run, with every reference in its arguments filled in.

    `inputs` holds what the task sees: the graph's input under `run`, and the results of its dependencies by name.
    """

    id: UUID
    graph_id: UUID
    name: str
    title: str
    role: str
    adapter: str
    arguments: dict[str, Any]
    inputs: dict[str, Any]
    # Seconds; None means the adapter's limit.
    timeout: float | None
    attempt: int
    engine: Engine
    pool: Pool

    def seconds(self, cap: float) -> float:
        """Return the time limit in seconds: the least of the task's, its role's and the adapter's (`cap`)."""
        return min(value for value in (self.timeout, policy(self.role).timeout, cap) if value is not None)


Run = Callable[[Call], Any]


@dataclass(frozen=True)
class ExternalAdapter:
    """An adapter that starts a workflow which another worker runs; the task waits for it."""

    start: Callable[[Connection, Call], NewWorkflow]
    argument_spec: ArgumentSpec


Adapters = Mapping[str, Run | ExternalAdapter]


def accepts(argument_spec: ArgumentSpec) -> Callable[[Run], Run]:
    """Declare the arguments of an adapter; they are checked at submission and before the task runs."""

    def declare(run: Run) -> Run:
        run.argument_spec = argument_spec  # type: ignore[attr-defined]
        return run

    return declare


@accepts(ArgumentSpec({"command": TEXT_LIST}, {"repository": TEXT, "check": FLAG}))
def shell(call: Call) -> dict[str, Any]:
    """Run `command` (a list) in the sandbox, in an empty folder or a checkout of `repository`.

    The task's inputs are JSON on its standard input. If its output is JSON, the result has it as `value`.
    """
    seconds = call.seconds(SHELL_SECONDS if call.role != "tester" else 600.0)
    limits = sandbox.Limits(seconds, policy(call.role).memory * 1024**2, 256)
    with work_folder("qflow-task-") as folder:
        work_tree = folder / "work"
        work_tree.mkdir()
        if call.arguments.get("repository"):
            _checkout(call, work_tree)
        command = call.arguments["command"]
        process = sandbox.run(
            command, work_tree, limits=limits, stdin=json.dumps(call.inputs, ensure_ascii=False)
        )
    output = process.output
    if len(output) > SHELL_OUTPUT:
        output = output[-SHELL_OUTPUT:]
    if process.timed_out:
        raise TaskFailedError(
            f"{command[0]} took longer than {seconds:g} s: {output[-2_000:]}", kind="timeout"
        )
    if process.code != 0 and call.arguments.get("check", True):
        raise TaskFailedError(f"{command[0]} ended with {process.code}: {output[-2_000:]}", kind="exit_code")
    result: dict[str, Any] = {"code": process.code, "output": storable_text(output)}
    with suppress(ValueError):
        result["value"] = read_json(output)
    return result


@accepts(
    ArgumentSpec(
        {"url": TEXT}, {"method": one_of(METHODS), "headers": TEXTS_BY_NAME, "body": ANYTHING, "check": FLAG}
    )
)
def http(call: Call) -> dict[str, Any]:
    """Request `url`; follow at most three redirects, each to a host the role may request; read at most 10 MB.

    Only what the task's arguments say is sent, and to another origin less (see `outgoing.redirected`).
    """
    arguments = call.arguments
    seconds = call.seconds(HTTP_SECONDS)
    deadline = time.monotonic() + seconds
    request = _request(arguments)
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
            raise TaskFailedError(f"{host} could not be reached: {error}", kind="external") from None
        except outgoing.RedirectRefusedError as error:
            raise TaskFailedError(f"{host}: {error}", kind="external", retry=False) from None
        if answer.status >= 400 and arguments.get("check", True):
            retry = answer.status >= 500 or answer.status in (408, 425, 429)
            raise TaskFailedError(f"{host} answered {answer.status}", kind="status", retry=retry)
        return _result(answer)
    raise TaskFailedError(f"more than {HTTP_REDIRECTS} redirects", kind="external", retry=False)


def _request(arguments: Mapping[str, Any]) -> outgoing.Request:
    headers = dict(arguments.get("headers") or {})
    body = b""
    if arguments.get("body") is not None:
        body = json.dumps(arguments["body"]).encode()
        if "content-type" not in (name.lower() for name in headers):
            headers["Content-Type"] = "application/json"
    return outgoing.Request(arguments.get("method", "GET"), arguments["url"], headers, body)


def _result(response: outgoing.Answer) -> dict[str, Any]:
    text = storable_text(response.text)
    result: dict[str, Any] = {"status": response.status, "body": text}
    if "json" in response.headers.get("content-type", ""):
        with suppress(ValueError):
            result["value"] = read_json(text)
    return result


@accepts(ArgumentSpec({"function": TEXT}, allow_others=True))
def python(call: Call) -> Any:
    """Call a function that an installed package declares under the entry point group `qflow_dagster.tasks`.

    The function runs in a process of its own as `function(arguments, inputs)` and returns a JSON value.
    """
    function = call.arguments["function"]
    rest = {name: value for name, value in call.arguments.items() if name != "function"}
    seconds = call.seconds(PYTHON_SECONDS)
    try:
        done, value = call.pool.call((function, rest, call.inputs), seconds)
    except WorkerTimeoutError:
        raise TaskFailedError(f"{function} took longer than {seconds:g} s", kind="timeout") from None
    except WorkerDiedError as error:
        raise TaskFailedError(f"{function}: {error}", kind="crash") from None
    if not done:
        raise TaskFailedError(f"{function}: {value}", kind="exception")
    return value


def serve(context: None, batch: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> tuple[bool, Any]:
    """Run one call of the `python` adapter in a worker process; return whether it succeeded, and its value or error."""
    [(name, arguments, inputs)] = batch
    functions = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in functions:
        available = ", ".join(sorted(functions)) or "none"
        return False, f"no function {name!r} under the entry points {ENTRY_POINTS}; available: {available}"
    try:
        value = functions[name].load()(arguments, inputs)
        to_json(value, f"the result of {name}")
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"[:2_000]
    return True, value


@accepts(ArgumentSpec({"repository": TEXT, "paths": TEXT_LIST}))
def files(call: Call) -> dict[str, str]:
    """Read `paths` of the ingested commit of `repository` (path -> text); the work tree is never read."""
    with call.engine.connect() as connection:
        name = call.arguments["repository"]
        objects = repositories.find(connection, name).objects
        commit = current_snapshot(connection, name).commit_oid
    texts = {}
    for path in call.arguments["paths"]:
        entry = git.run(objects, "ls-tree", "-l", "-z", commit, "--", path).decode()
        if not entry.startswith("100"):
            raise TaskFailedError(f"{path} is not an ordinary file of {name}", kind="not_found", retry=False)
        metadata = entry.partition("\t")[0].split()
        if int(metadata[3]) > FILE_BYTES:
            raise TaskFailedError(f"{path} has {int(metadata[3]):,} bytes", kind="size", retry=False)
        texts[path] = storable_text(
            git.run(objects, "cat-file", "blob", metadata[2]).decode("utf-8", "replace")
        )
    return texts


def _checkout(call: Call, folder: Path) -> None:
    with call.engine.connect() as connection:
        name = call.arguments["repository"]
        objects = repositories.find(connection, name).objects
        commit = current_snapshot(connection, name).commit_oid
    with checkouts.scratch(objects) as store:
        checkouts.export(store, commit, folder)


ADAPTERS: Adapters = {"shell": shell, "http": http, "python": python, "files": files}
