"""`qflow errors`: reporting errors, and the groups they form."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_fields,
    print_json,
    print_rows,
    print_text,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.infrastructure import error_grouping, error_rate_tracker, error_records, intake_counts
from qflow_dagster.infrastructure.fingerprints import counting_frames
from qflow_dagster.infrastructure.stacks import chain_from
from qflow_dagster.ingestion import suspects
from qflow_dagster.quantumflow import resolve as resolve_workflow

app = typer.Typer(no_args_is_help=True)
# Frames of an exception that are printed.
MAX_SHOWN_FRAMES = 10
Ids = Annotated[list[str], typer.Argument(help="Ids of error groups, or unique prefixes.")]
Reason = Annotated[str | None, typer.Option("--reason", help="The reason; it goes into the history.")]


@app.command()
def track(
    operation: Annotated[str, typer.Argument(help="The operation that failed, such as `payments.charge`.")],
    message: Annotated[
        str, typer.Argument(help="The error message; - reads a stack trace from standard input.")
    ],
    kind: Annotated[str, typer.Option(help="The error type, such as `TimeoutError`.")] = "Error",
    severity: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "error",
    correlation: Annotated[
        str | None, typer.Option(help="Correlation id that connects related errors.")
    ] = None,
) -> None:
    """Report an error from a script."""
    stack = None
    if message == "-":
        stack = sys.stdin.read()
        message = next((line for line in reversed(stack.splitlines()) if line.strip()), "")
    occurrence = error_rate_tracker.Occurrence(
        operation=operation,
        kind=kind,
        message=message,
        stack=stack,
        severity=severity,
        correlation_id=correlation,
        source="cli",
    )
    with ready_engine().begin() as connection:
        error_rate_tracker.track_errors(connection, [occurrence])


@app.command("list")
def list_(
    state: Annotated[
        str | None, typer.Option(help="open, acknowledged, regressed, resolved, muted, or all.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only of this operation.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List errors, the latest seen first; by default the open ones."""
    engine = ready_engine()
    suspects.analyze_errors(engine)
    with engine.connect() as connection:
        groups = error_records.find(connection, state=state, operation=operation, limit=limit)
    if json:
        print_json(groups)
        return
    rows = [
        {
            "id": str(row["id"])[:18],
            "state": row["state"],
            "count": row["count"],
            "last_seen": row["last_seen"],
            "operation": row["operation"],
            "kind": row["kind"],
            "class": row["classification"],
            "message": row["message"].split("\n")[0][:80],
        }
        for row in groups
    ]
    print_rows(rows, empty="No error matches." if state else "No error is open.")


@app.command()
def show(
    error: Annotated[str, typer.Argument(help="Id of the group, or a unique prefix.")], json: JsonFlag = False
) -> None:
    """Show an error: advice, where it happens, the suspected commit, its last occurrences."""
    with ready_engine().connect() as connection:
        group = error_records.show(connection, error_records.resolve_id(connection, error))
    if json:
        print_json(group)
        return
    occurrences, frames, suspect = group.pop("occurrences"), group.pop("frames"), group["suspect"]
    if suspect:
        group["suspect"] = _suspect(suspect)
        if suspect.get("others"):
            group["other suspects"] = "\n".join(map(_suspect, suspect["others"]))
    group["merged"] = ", ".join(str(part)[:18] for part in group["merged"])
    print_fields({name: value for name, value in group.items() if value not in (None, "")})
    latest: dict[str, Any] = occurrences[0] if occurrences else {}
    if latest.get("exceptions"):
        _print_exceptions(latest["exceptions"])
    else:
        print_rows(frames, empty="No stack was recorded.", title="Frames")
    if isinstance(latest.get("context"), dict):
        _print_context(latest["context"])
    table_rows = [
        {name: row[name] for name in ("at", "severity", "source", "message")} for row in occurrences
    ]
    print_rows(table_rows, empty="Its occurrences are past their retention.", title="Occurrences")


def _suspect(suspect: dict[str, Any]) -> str:
    reason = f": {suspect['reason']}" if suspect.get("reason") else ""
    return (
        f"{suspect['commit'][:10]} {suspect['subject']} ({suspect['author']}, {suspect['committed_at'][:10]}), "
        f"{suspect['path']}:{suspect['line']} in {suspect['repository']}{reason}"
    )


def _print_exceptions(exceptions: list[dict[str, Any]]) -> None:
    """Print the frames of the program with the lines around them, the innermost first, as of the last occurrence."""
    counting = counting_frames(chain_from(exceptions))
    for error, counts in reversed(list(zip(exceptions, counting, strict=True))):
        print_text(f"\n{error.get('type', '')}: {error.get('value', '')}")
        frames = error.get("frames", [])
        shown = [frame for frame, is_own in zip(frames, counts, strict=True) if is_own][-MAX_SHOWN_FRAMES:]
        for frame in reversed(shown):
            file = frame.get("path") or frame.get("file") or frame.get("package", "")
            line = frame.get("line", 0)
            repeated = f" ({frame['repeated']} times)" if frame.get("repeated") else ""
            print_text(f"  {file}:{line} in {frame.get('function', '?')}{repeated}")
            before = frame.get("before", [])
            source = [*before, *filter(None, [frame.get("source")]), *frame.get("after", [])]
            for number, text in enumerate(source, line - len(before)):
                print_text(f"   {'>' if number == line else ' '} {number:>5}  {text}")
        if len(shown) < len(frames):
            print_text(f"  ({len(frames) - len(shown)} more frames)")


def _print_context(context: dict[str, Any]) -> None:
    """Print what the program said about the last occurrence."""
    names = ("release", "environment", "server_name", "template", "fingerprint", "request", "tags", "user")
    facts = {name: context[name] for name in names if context.get(name)}
    if facts:
        print_text("\nLast occurrence:")
        print_fields(facts)
    crumbs = [crumb for crumb in context.get("breadcrumbs") or [] if isinstance(crumb, dict)]
    if crumbs:
        columns = ("timestamp", "level", "category", "message")
        rows = [{name: crumb.get(name, "") for name in columns} for crumb in crumbs]
        print_rows(rows, empty="", title="Breadcrumbs")
    if threads := error_records.threads(context):
        print_rows(threads, empty="", title="Threads")


@app.command()
def rates(
    window: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds back.")] = 60,
    json: JsonFlag = False,
) -> None:
    """Show the error rate of every operation."""
    with ready_engine().connect() as connection:
        rates_by_operation = error_rate_tracker.rates(connection, window=window)
    rows: list[dict[str, Any]] = [
        {"operation": rate.operation, "errors": rate.errors, "calls": rate.total, "rate": rate.rate}
        for rate in rates_by_operation
    ]
    print_json(rows) if json else print_rows(rows, empty=f"No call within {window:.0f} s.")


@app.command()
def resolve(
    errors: Ids,
    in_release: Annotated[
        str | None,
        typer.Option(
            "--in-release", help="The release with the fix: errors of earlier ones are no regression."
        ),
    ] = None,
    reason: Reason = None,
    actor: As = None,
) -> None:
    """Mark as fixed; if it occurs again, it has regressed."""
    with ready_engine().begin() as connection:
        ids = [error_records.resolve_id(connection, prefix) for prefix in errors]
        error_records.decide(
            connection, ids, "resolved", actor=actor_name(actor), reason=reason, release=in_release
        )
    for id_ in ids:
        console.print(f"{id_} resolved")


@app.command()
def merge(
    errors: Ids,
    into: Annotated[str, typer.Option(help="The error that they become part of.")],
    reason: Reason = None,
    actor: As = None,
) -> None:
    """Show errors as part of another one, with all that belongs to them later."""
    with ready_engine().begin() as connection:
        ids = [error_records.resolve_id(connection, prefix) for prefix in errors]
        target = error_records.resolve_id(connection, into)
        error_grouping.merge(connection, ids, target, actor=actor_name(actor), reason=reason)
    for id_ in ids:
        console.print(f"{id_} merged into {target}")


@app.command()
def split(errors: Ids, reason: Reason = None, actor: As = None) -> None:
    """Show merged errors by themselves again."""
    with ready_engine().begin() as connection:
        ids = [resolve_workflow(connection, prefix, table="error_groups", noun="error") for prefix in errors]
        error_grouping.split(connection, ids, actor=actor_name(actor), reason=reason)
    for id_ in ids:
        console.print(f"{id_} split off")


@app.command("rules")
def rules_(json: JsonFlag = False) -> None:
    """List the grouping rules that people made, the newest first."""
    with ready_engine().connect() as connection:
        rows = error_grouping.rules(connection)
    print_json(rows) if json else print_rows(rows, empty="There is no grouping rule.")


@app.command("rule")
def rule_(
    fingerprint: Annotated[
        list[str],
        typer.Argument(
            help="What matching errors have in common; '{{ default }}' is the grouping without the rule."
        ),
    ],
    match: Annotated[
        list[str],
        typer.Option(
            help=f"FIELD=PATTERN with * and ?; all have to match. Fields: {', '.join(error_grouping.FIELDS)}."
        ),
    ],
    actor: As = None,
) -> None:
    """Group later errors that match patterns by a fingerprint."""
    patterns = {name: text for name, _, text in (pattern.partition("=") for pattern in match)}
    with ready_engine().begin() as connection:
        number = error_grouping.add_rule(connection, patterns, fingerprint, actor=actor_name(actor))
    console.print(f"rule {number} applies from now on")


@app.command()
def unrule(
    number: Annotated[int, typer.Argument(help="Number of the rule, as `qflow errors rules` lists it.")],
    actor: As = None,
) -> None:
    """Let a grouping rule no longer apply."""
    with ready_engine().begin() as connection:
        error_grouping.remove_rule(connection, number, actor=actor_name(actor))
    console.print(f"rule {number} no longer applies")


@app.command("releases")
def releases_(
    days: Annotated[int, typer.Option(min=1, max=3_650, help="Days back.")] = 30, json: JsonFlag = False
) -> None:
    """Show the sessions of each release, the share of them without a crash, and what SDKs dropped."""
    with ready_engine().connect() as connection:
        rows = intake_counts.releases(connection, days=days)
        dropped = intake_counts.discarded(connection, days=days)
    if json:
        print_json({"releases": rows, "discarded": dropped})
        return
    print_rows(rows, empty="No program reported sessions.")
    print_rows(
        dropped, empty="No SDK reported that it dropped events.", title="Dropped before they were sent"
    )


def _decision(state: str, message: str) -> Callable[..., None]:
    def decide(errors: Ids, reason: Reason = None, actor: As = None) -> None:
        with ready_engine().begin() as connection:
            ids = [error_records.resolve_id(connection, prefix) for prefix in errors]
            error_records.decide(connection, ids, state, actor=actor_name(actor), reason=reason)
        for id_ in ids:
            console.print(f"{id_} {message}")

    return decide


app.command("ack", help="Mark as being looked at.")(_decision("acknowledged", "acknowledged"))
app.command("mute", help="Send no more notifications of it.")(_decision("muted", "muted"))
app.command("reopen", help="Reopen a resolved or muted error.")(_decision("open", "open again"))
