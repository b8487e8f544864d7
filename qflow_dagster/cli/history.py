"""`qflow history`: verify that the recorded history was not changed."""

from typing import Annotated

import typer

from qflow_dagster import quantumflow
from qflow_dagster.cli.output import JsonFlag, console, print_json
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def history() -> None:
    """Work with the tamper-evident history of all workflows."""


@app.command()
def verify(
    workflow: Annotated[str | None, typer.Argument(help="Id of a workflow; default: all.")] = None,
    kept_hash: Annotated[
        str | None,
        typer.Option("--seal", help="Hash of a seal that was stored outside the database, in hexadecimal."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Recompute every hash; report the first broken link, if any (exit code 1)."""
    try:
        kept = bytes.fromhex(kept_hash) if kept_hash else None
    except ValueError:
        raise UsageError(f"--seal {kept_hash!r} is not hexadecimal") from None
    with ready_engine().connect() as connection:
        id_ = quantumflow.resolve(connection, workflow) if workflow else None
        broken = quantumflow.verify_history(connection, id_, kept_hash=kept)
        damaged = quantumflow.damaged_archives(connection) if workflow is None else []
    if json:
        broken_link = broken and {
            "workflow_id": broken.workflow_id,
            "seq": broken.seq,
            "reason": broken.reason,
        }
        print_json(
            {"sound": broken is None and not damaged, "broken": broken_link, "damaged_archives": damaged}
        )
    if broken is not None:
        position = f"workflow {broken.workflow_id}, event" if broken.workflow_id else "seal"
        raise QflowError(f"history is broken at {position} {broken.seq}: {broken.reason}")
    if damaged:
        raise QflowError("\n".join(damaged))
    if not json:
        console.print("sound: every event follows the one before it")
