"""`qflow health`: the status of all checks, incidents, watched services and maintenance windows."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    messages,
    print_json,
    print_rows,
    print_text,
)
from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import ready_engine
from qflow_dagster.infrastructure import health_agent, health_exceptions, health_states, services
from qflow_dagster.settings import settings

app = typer.Typer()
COLOURS = {"healthy": "green", "unknown": "magenta", "degraded": "yellow", "unhealthy": "red"}


@app.callback(invoke_without_command=True)
def health(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Include slow checks: every history chain.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on anything but healthy.")] = False,
    json: JsonFlag = False,
) -> None:
    """Run all checks now. Exit code 0: healthy or degraded; 1: a check is unhealthy or unknown."""
    if context.invoked_subcommand is not None:
        return
    import os

    engine = ready_engine()
    os.environ.update(dagster_environment())
    # Imported here: it brings Dagster along.
    from qflow_dagster.resources.health import all_checks

    checks = [check for check in all_checks(engine) if deep or not check.deep]
    findings = health_agent.probe_all(checks)
    with engine.begin() as connection:
        health_agent.record(connection, findings)
        forecasts = health_states.forecasts(connection)
    # The results of this run, not the damped status, which changes only after several results.
    rows: list[dict[str, Any]] = [
        {
            "check": name,
            "status": result.status,
            "value": result.value,
            "threshold": result.threshold,
            "unit": result.unit,
            "threshold_in_days": round(forecasts[name] / 86_400, 1) if name in forecasts else None,
            "message": result.message,
        }
        for finding in findings.values()
        for name, result in finding.items()
    ]
    rows.sort(key=lambda row: (-health_states.STATUSES.index(row["status"]), row["check"]))
    overall = health_states.overall(rows)
    if json:
        print_json({"status": overall, "checks": rows})
    else:
        console.print(overall, style=f"bold {COLOURS[overall]}")
        print_rows(
            [
                {name: row[name] for name in ("status", "check", "message", "threshold_in_days")}
                for row in rows
            ],
            empty="",
        )
    failed = {"unhealthy", "unknown"} | ({"degraded"} if strict else set())
    # Not by the worst status alone: an unknown check must not hide behind a degraded one.
    raise typer.Exit(1 if any(row["status"] in failed for row in rows) else 0)


@app.command()
def incidents(
    status: Annotated[str | None, typer.Option(help="open or closed.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List incidents, newest first, with how long they lasted."""
    with ready_engine().connect() as connection:
        rows = health_states.incidents(connection, status=status, limit=limit)
    print_json(rows) if json else print_rows(rows, empty="No incident.")


service_app = typer.Typer(no_args_is_help=True, help="Watched external services: add, list, remove.")
app.add_typer(service_app, name="services")


@service_app.command("add")
def add_service(
    name: Annotated[str, typer.Argument(help="A name for it.")],
    url: Annotated[
        str | None, typer.Argument(help="The URL to check, such as http://host:port/health.")
    ] = None,
    heartbeat: Annotated[
        int | None,
        typer.Option(
            min=1, max=31_536_000, help="Instead of a URL: seconds within which it sends a heartbeat."
        ),
    ] = None,
    expect: Annotated[int, typer.Option(min=100, max=599, help="The expected HTTP status.")] = 200,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=TEXT: a header contains a text; may be repeated.")
    ] = None,
    body: Annotated[str | None, typer.Option(help="A text that the body contains.")] = None,
    json_path: Annotated[
        str | None,
        typer.Option(
            "--json-path", help="An SQL/JSON path predicate on the body, such as '$.status == \"ok\"'."
        ),
    ] = None,
    certificate_days: Annotated[
        int, typer.Option(min=0, max=400, help="Degraded if the certificate expires within so many days.")
    ] = 14,
    depends_on: Annotated[
        list[str] | None,
        typer.Option(help="A check without which it cannot work, such as service:db; may be repeated."),
    ] = None,
    timeout: Annotated[int | None, typer.Option(min=1, max=60_000, help="Timeout in milliseconds.")] = None,
    restart: Annotated[
        str | None, typer.Option(help="Command that restarts it, run when it is unhealthy. Default: never.")
    ] = None,
    restart_limit: Annotated[int, typer.Option(min=0, max=100, help="Restarts an hour.")] = 3,
) -> None:
    """Watch a service; the same name again changes it."""
    headers = {name: text for name, _, text in (part.partition("=") for part in header or ())}
    conditions = {"headers": headers, "body": body, "json": json_path, "certificate_days": certificate_days}
    with ready_engine().begin() as connection:
        token = services.add(
            connection,
            name,
            url,
            heartbeat=heartbeat,
            conditions={key: value for key, value in conditions.items() if value not in (None, {})},
            depends_on=depends_on or (),
            expected_status=expect,
            timeout_ms=timeout,
            restart_command=restart,
            restart_limit=restart_limit,
        )
    console.print(f"{name} is watched")
    if token is not None:
        messages.print("It sends a heartbeat by a request to this address, which is shown only now:")
        print_text(f"{settings().page_address}/health/heartbeats/{token}")


@service_app.command("list")
def list_services(json: JsonFlag = False) -> None:
    """List watched services with their uptime of the last 30 days."""
    with ready_engine().connect() as connection:
        found = services.find(connection)
        uptimes = health_states.uptimes(connection, [f"service:{service['name']}" for service in found])
    rows = [
        {
            **{name: value for name, value in service.items() if name != "token_hash"},
            "uptime_30_days": uptimes.get(f"service:{service['name']}"),
        }
        for service in found
    ]
    print_json(rows) if json else print_rows(rows, empty="No service is watched.")


@service_app.command("remove")
def remove_service(name: Annotated[str, typer.Argument(help="The service.")]) -> None:
    """Stop watching a service."""
    with ready_engine().begin() as connection:
        services.remove(connection, name)
    console.print(f"{name} is no longer watched")


maintenance_app = typer.Typer(no_args_is_help=True, help="Maintenance windows: start, list, end.")
app.add_typer(maintenance_app, name="maintenance")


@maintenance_app.command("start")
def start_maintenance(
    pattern: Annotated[str, typer.Argument(help="Names of checks, such as 'service:shop*'.")],
    minutes: Annotated[float, typer.Option("--for", min=1, max=43_200, help="Minutes it lasts.")],
    reason: Annotated[str, typer.Option(help="The reason.")],
    at: Annotated[datetime | None, typer.Option(help="When it starts (UTC); default: now.")] = None,
    actor: As = None,
) -> None:
    """Start or plan a maintenance window: bad results of these checks are no incidents while it lasts."""
    with ready_engine().begin() as connection:
        id_ = health_exceptions.plan(
            connection,
            pattern,
            seconds=minutes * 60,
            reason=reason,
            actor=actor_name(actor),
            starts=at and at.replace(tzinfo=UTC),
        )
    console.print(f"maintenance window {id_} of {pattern}: {minutes:g} minutes")


@maintenance_app.command("list")
def list_maintenance(json: JsonFlag = False) -> None:
    """List the maintenance windows that are not over."""
    with ready_engine().connect() as connection:
        rows = health_exceptions.windows(connection)
    print_json(rows) if json else print_rows(rows, empty="No maintenance window.")


@maintenance_app.command("end")
def end_maintenance(id_: Annotated[int, typer.Argument(metavar="ID", help="The window.")]) -> None:
    """End a maintenance window now, or cancel one that has not begun."""
    with ready_engine().begin() as connection:
        health_exceptions.end(connection, id_)
    console.print(f"maintenance window {id_} is over")
