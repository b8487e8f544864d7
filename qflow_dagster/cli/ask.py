"""`qflow ask`: a question about an ingested repository, answered with evidence."""

import time
from typing import Annotated

import typer

from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import As, JsonFlag, actor_name, console, print_json, worker_name
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError
from qflow_dagster.knowledge import requests
from qflow_dagster.knowledge.evidence import NOT_KNOWN

# Kinds of resolutions that are no answers.
NOT_ANSWERED = ("search", NOT_KNOWN)


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

    Questions it understands: where X is defined, used or raised, who calls it, what it calls, inherits from, does;
    what depends on a file, what it imports, is for; what a change may break, who knows or wrote it, when it was
    introduced, changed and removed, what changes with it, why it is complex, which findings, tests, copies it has; how
    two places relate, where to add something, what changed between revisions, who works on what now; dead code,
    hotspots, authors, languages, licence, dependencies, environment variables, entry points, how to run the tests.

    Exit code 3: the answer is not known; of any other question, search results are shown under that name.
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
    else:
        show_answer(resolution)
    if resolution.get("kind") in NOT_ANSWERED:
        raise typer.Exit(3)


def show_answer(resolution: dict) -> None:
    """Print an answer for people: its text, then the evidence."""
    if resolution.get("kind") in NOT_ANSWERED:
        console.print("Not known: ", style="yellow", end="")
    console.print(resolution["answer"])
    if forms := resolution.get("forms"):
        console.print(f"Questions that it understands: {'; '.join(forms)}.", style="dim")
    if resolution["evidence"]:
        console.print()
    for evidence in resolution["evidence"]:
        location = (
            f"{evidence['path']}:{evidence['line']}" if evidence.get("line") else evidence.get("path") or ""
        )
        commit = "" if evidence.get("line") else evidence["commit"][:10]
        console.print("  ".join(part for part in (location, commit, evidence["words"][:160]) if part))
