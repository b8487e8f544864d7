"""`qflow knowledge`: knowledge requests, their answers, and answering them."""

from typing import Annotated

import typer

from qflow_dagster.cli.ask import show_answer
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    check_choice,
    console,
    print_fields,
    print_json,
    print_rows,
    worker_name,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.knowledge import listener, requests
from qflow_dagster.processes import host_name
from qflow_dagster.safety.storable import read_json

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the request, or a unique prefix.")]


@app.command()
def add(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(requests.KINDS)}.")],
    payload: Annotated[str, typer.Argument(help='Input of the kind, as JSON: {"symbol": "connect"}.')],
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="The repository it concerns.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key again is the same request.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Raise a request; the listener answers it."""
    with ready_engine().begin() as connection:
        id_ = requests.enqueue(
            connection,
            kind,
            _object(payload, "the payload"),
            source=actor_name(as_),
            repository=repo,
            key=key,
        )
    print_json({"id": str(id_)}) if json else console.print(str(id_))


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="pending, in_progress, failed, resolved, dead.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of: {', '.join(requests.KINDS)}.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List requests, the newest first."""
    check_choice("state of a request", state, requests.MACHINE.states)
    check_choice("kind", kind, requests.KINDS)
    with ready_engine().connect() as connection:
        rows = requests.find(connection, state=state, kind=kind, limit=limit)
    if json:
        print_json(rows)
        return
    names = ("state", "kind", "repository", "about", "seconds", "problem")
    table_rows = [{"id": str(row["id"])[:18], **{name: row[name] for name in names}} for row in rows]
    print_rows(table_rows, empty='No request; `qflow ask "..."` asks a question.')


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """Show one request, its answers and its history."""
    with ready_engine().connect() as connection:
        request = requests.show(connection, requests.resolve_id(connection, id_))
    if json:
        print_json(request)
        return
    resolutions, events = request.pop("resolutions"), request.pop("history")
    print_fields(request)
    for resolution in resolutions:
        console.print(f"\n{resolution['at']:%Y-%m-%d %H:%M:%S} by {resolution['resolved_by']}:")
        show_answer(resolution["resolution"])
    print_rows([{name: event[name] for name in ("at", "from", "to", "actor")} for event in events], empty="")


@app.command()
def retry(ids: Annotated[list[str], typer.Argument(help="Ids of requests.")], as_: As = None) -> None:
    """Retry failed or dead requests at once."""
    with ready_engine().begin() as connection:
        request_ids = [requests.resolve_id(connection, id_) for id_ in ids]
        requests.retry(connection, request_ids, actor=actor_name(as_))
    console.print(f"{len(request_ids)} retried")


@app.command()
def resolve(
    id_: Id,
    answer: Annotated[str, typer.Option("--answer", help="The answer, as text.")],
    data: Annotated[str | None, typer.Option("--data", help="Further data, a JSON object.")] = None,
    as_: As = None,
) -> None:
    """Answer a request by hand."""
    resolution = {"evidence": [], **(_object(data, "--data") if data else {}), "answer": answer}
    with ready_engine().begin() as connection:
        requests.resolve_by_hand(
            connection, requests.resolve_id(connection, id_), resolution, actor=actor_name(as_)
        )
    console.print("resolved")


@app.command()
def work(json: JsonFlag = False) -> None:
    """Answer pending requests in this process."""
    result = requests.work(ready_engine(), worker=worker_name(), limit=10_000)
    print_json(result._asdict()) if json else console.print(
        f"{result.resolved:,} resolved, {result.failed:,} failed"
    )


@app.command()
def listen(
    idle: Annotated[float | None, typer.Option(help="End after so many seconds without a request.")] = None,
) -> None:
    """Answer requests the moment they are raised; Ctrl-C ends it."""
    for result in listener.listen(
        ready_engine(), worker=f"listener of {actor_name(None)} on {host_name()}", idle=idle
    ):
        console.print(f"{result.resolved:,} resolved, {result.failed:,} failed")


def _object(text: str, noun: str) -> dict:
    try:
        value = read_json(text)
    except ValueError as error:
        raise UsageError(f"{noun} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{noun} is not a JSON object")
    return value
