"""`qflow ask`: a question about an ingested repository, answered with evidence."""

import time
from typing import Annotated

import typer

from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import As, JsonFlag, actor_name, console, print_json
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
    """Ask a question about a repository; the answer comes with places that show it.

    What is understood: where X is defined or used, who calls it, what it calls, what it does; what depends on a
    file, what it imports, who knows it, what changes with it, when it changed, why it is a hotspot, which findings,
    tests, copies it has; hotspots, authors, languages. All else is searched for.
    """
    engine = ready_engine()
    worker = actor_name(as_)
    with engine.begin() as connection:
        name = repository_name(connection, repo)
        id_ = requests.ask(connection, name, " ".join(question), source=worker)
    # Nobody has to be there to answer: this process does, unless one has it already.
    requests.work(engine, worker=f"{worker} by hand", limit=1, among=[id_])
    deadline = time.monotonic() + timeout
    while True:
        with engine.connect() as connection:
            found = requests.show(connection, id_)
        if found["state"] in ("resolved", "failed", "dead", "cancelled"):
            break
        if time.monotonic() > deadline:
            raise QflowError(f"no answer within {timeout:g} s; it goes on: qflow knowledge show {id_}")
        time.sleep(0.1)
    if found["state"] != "resolved":
        raise QflowError(found["problem"] or f"the question was {found['state']}")
    resolution = found["resolutions"][0]["resolution"]
    if json:
        print_json({"id": str(id_), "repository": name, **resolution})
        return
    show_answer(resolution)


def show_answer(resolution: dict) -> None:
    """An answer for people: its words, then the places that show it."""
    console.print(resolution["answer"])
    if resolution["evidence"]:
        console.print()
    for one in resolution["evidence"]:
        place = f"{one['path']}:{one['line']}" if one.get("line") else one.get("path") or ""
        commit = "" if one.get("line") else one["commit"][:10]
        console.print("  ".join(part for part in (place, commit, one["words"][:160]) if part))
