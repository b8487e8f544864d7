"""`qflow tasks`: task graphs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from qflow_dagster.agents.task_agents import ADAPTERS
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
    write_file,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.execution import task_graph, task_interventions, task_records, task_worker
from qflow_dagster.execution.task_definitions import read_graph, read_tasks
from qflow_dagster.execution.task_policy import PolicyViolationError
from qflow_dagster.infrastructure.error_rate_tracker import occurrence_of, track_errors
from qflow_dagster.pictures import task_graph as task_pictures
from qflow_dagster.quantumflow.errors import WorkflowNotFoundError
from qflow_dagster.safety import documents
from qflow_dagster.safety.storable import read_json

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the task graph, or a unique prefix.")]
Reason = Annotated[str | None, typer.Option("--reason", help="The reason; it goes into the history.")]


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The graph, as YAML or JSON; - for standard input.")],
    input_: Annotated[
        str | None, typer.Option("--input", help="JSON object that overrides the graph's own input.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key: submitting with the same key again returns the first graph."),
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Submit a task graph; the daemon runs its tasks, or `qflow tasks work` in this process."""
    input_values = {} if input_ is None else _object(input_, "--input")
    if str(file) == "-":
        document = documents.parse(typer.get_text_stream("stdin").read(), "standard input")
    else:
        document = documents.read(file)
    try:
        graph = read_graph(document, ADAPTERS)
    except PolicyViolationError as violation:
        # The graph is not stored; the violation is recorded as an error.
        context: Any = {"file": document.name, "requested_by": actor_name(as_)}
        with ready_engine().begin() as connection:
            track_errors(connection, [occurrence_of("tasks.submit", violation, context=context)])
        raise
    with ready_engine().begin() as connection:
        id_ = task_graph.submit(connection, graph, requested_by=actor_name(as_), input=input_values, key=key)
    print_json({"id": str(id_)}) if json else console.print(str(id_))


@app.command()
def work(
    threads: Annotated[int | None, typer.Option(min=1, max=256, help="Tasks at the same time.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run ready tasks in this process until none is left."""
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,}"), TimeElapsedColumn())
    with Bars(*columns, console=None if json else console, transient=True, disable=json) as bars:
        bar = bars.add_task("tasks done", total=None)
        result = task_worker.work(
            ready_engine(),
            worker=worker_name(),
            adapters=ADAPTERS,
            threads=threads,
            progress=lambda stage, completed, total: bars.update(bar, completed=completed),
        )
    if json:
        print_json(result._asdict())
        return
    console.print(
        f"{result.completed:,} completed, {result.failed:,} attempts failed, {result.skipped:,} skipped, "
        f"{result.split:,} split or handed on"
    )


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="running, completed, failed or cancelled.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List task graphs, the newest first."""
    check_choice("state of a task graph", state, task_graph.GRAPH.states)
    with ready_engine().connect() as connection:
        rows = task_records.find(connection, state=state, limit=limit)
    if json:
        print_json(rows)
        return
    names = ("name", "state", "tasks", "completed", "failed", "seconds", "requested_by")
    table_rows = [{"id": str(row["id"])[:18], **{name: row[name] for name in names}} for row in rows]
    print_rows(table_rows, empty="No task graph; `qflow tasks submit FILE` submits one.")


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """Show one graph: its tasks, their results, and its critical path."""
    with ready_engine().connect() as connection:
        graph_row = task_records.show(connection, task_records.resolve_id(connection, id_))
    path, seconds = task_records.critical_path(graph_row["tasks"])
    if json:
        print_json({**graph_row, "critical_path": path, "critical_seconds": seconds})
        return
    tasks = graph_row.pop("tasks")
    print_fields({**graph_row, "critical_path": f"{' > '.join(path[:12])} ({seconds:.1f} s)"})
    console.print()
    for line in task_pictures.lines(tasks):
        console.print(line)


@app.command()
def graph(
    id_: Id,
    svg: Annotated[Path | None, typer.Option(help="Write an SVG picture to this file instead.")] = None,
) -> None:
    """Print the graph with its states, layer by layer."""
    with ready_engine().connect() as connection:
        graph_row = task_records.show(connection, task_records.resolve_id(connection, id_), limit=100_000)
    if svg is not None:
        write_file(svg, task_pictures.svg(graph_row["tasks"], graph_row["name"]))
        console.print(f"wrote {svg}")
        return
    for number, layer in enumerate(task_pictures.layers(graph_row["tasks"])):
        marks = "  ".join(f"{task_pictures.MARKS.get(t['state'], '?')} {t['name']}" for t in layer[:40])
        more = f"  and {len(layer) - 40:,} more" if len(layer) > 40 else ""
        console.print(f"{number:>4}  {marks}{more}")


@app.command()
def retry(id_: Id, reason: Reason = None, as_: As = None) -> None:
    """Retry the failed tasks of a graph, or one task; tasks they blocked become pending again."""
    with ready_engine().begin() as connection:
        try:
            target = task_records.resolve_id(connection, id_)
        except WorkflowNotFoundError:
            target = task_records.resolve_task(connection, id_)
        count = task_interventions.retry_failed(connection, target, actor=actor_name(as_), reason=reason)
    console.print(f"{count} tasks are retried")


@app.command()
def amend(
    id_: Annotated[str, typer.Argument(metavar="TASK", help="Id of the failed task, or a unique prefix.")],
    reason: Annotated[str, typer.Option("--reason", help="The reason; it goes into the history.")],
    arguments: Annotated[
        str | None, typer.Option("--arguments", help="Its new arguments, a JSON object.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="File with the list of tasks to split it into.")
    ] = None,
    before: Annotated[Path | None, typer.Option("--before", help="File with a task to run first.")] = None,
    as_: As = None,
) -> None:
    """Retry a failed task with other arguments, split into parts, or after another task."""
    if arguments is None and split is None and before is None:
        raise UsageError("nothing to change: pass --arguments, --split or --before")
    if arguments is not None and split is not None:
        raise UsageError("a task that is split has no arguments: pass either --arguments or --split")
    new_arguments = None if arguments is None else _object(arguments, "--arguments")
    parts = None if split is None else read_tasks(documents.read(split))
    first = [] if before is None else read_tasks(documents.read(before))
    if len(first) > 1:
        raise UsageError(f"{before} has {len(first)} tasks; --before takes one")
    with ready_engine().begin() as connection:
        task = task_records.resolve_task(connection, id_)
        task_interventions.amend(
            connection,
            task,
            ADAPTERS,
            actor=actor_name(as_),
            reason=reason,
            arguments=new_arguments,
            parts=parts,
            before=first[0] if first else None,
        )
    console.print("the task is retried")


@app.command()
def cancel(id_: Id, reason: Reason = None, as_: As = None) -> None:
    """Cancel a graph and all of its tasks that have not ended."""
    with ready_engine().begin() as connection:
        target = task_records.resolve_id(connection, id_)
        count = task_interventions.cancel_graph(connection, target, actor=actor_name(as_), reason=reason)
    console.print(f"cancelled, including {count} tasks")


def _object(text: str, noun: str) -> dict[str, Any]:
    try:
        value = read_json(text)
    except ValueError as error:
        raise UsageError(f"{noun} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{noun} is not a JSON object")
    return value
