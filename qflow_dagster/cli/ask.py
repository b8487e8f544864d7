"""`qflow ask`: a question about an ingested repository, answered with evidence."""

import time
from typing import Annotated

import typer

from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import As, JsonFlag, actor_name, console, print_json, worker_name
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError
from qflow_dagster.knowledge import requests


def ask(
    question: Annotated[list[str], typer.Argument(help="As: where is connect used, who knows src/net.c.")],
    repo: Annotated[
        str | None, typer.Option("--repo", "-r", help="Of this repository; default: the only one.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Ask a question about a repository; the answer comes with evidence.

    Questions it understands: where X is defined or used, who calls it, what it calls, what it does; what depends on
    a file, what it imports, who knows it, what changes with it, when it changed, why it is a hotspot, which findings,
    tests, copies it has; hotspots, authors, languages. Any other question becomes a full-text search.
    """
    engine = ready_engine()
    actor = actor_name(as_)
    with engine.begin() as connection:
        name = repository_name(connection, repo)
        id_ = requests.ask(connection, name, " ".join(question), source=actor)
    # This process answers the request, unless another one has claimed it already.
    requests.work(engine, worker=worker_name(as_), limit=1, among=[id_])
    deadline = time.monotonic() + timeout
    while True:
        with engine.connect() as connection:
            request = requests.show(connection, id_)
        if request["state"] in ("resolved", "failed", "dead", "cancelled"):
            break
        if time.monotonic() > deadline:
            raise QflowError(
                f"no answer within {timeout:g} s; the request stays open: qflow knowledge show {id_}"
            )
        time.sleep(0.1)
    if request["state"] != "resolved":
        raise QflowError(request["problem"] or f"the question was {request['state']}")
    resolution = request["resolutions"][0]["resolution"]
    if json:
        print_json({"id": str(id_), "repository": name, **resolution})
        return
    show_answer(resolution)


def show_answer(resolution: dict) -> None:
    """Print an answer for people: its text, then the evidence."""
    console.print(resolution["answer"])
    if resolution["evidence"]:
        console.print()
    for evidence in resolution["evidence"]:
        location = (
            f"{evidence['path']}:{evidence['line']}" if evidence.get("line") else evidence.get("path") or ""
        )
        commit = "" if evidence.get("line") else evidence["commit"][:10]
        console.print("  ".join(part for part in (location, commit, evidence["words"][:160]) if part))
