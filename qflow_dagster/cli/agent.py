"""`qflow agent`: who can do what, giving them assignments, and being one."""

from typing import Annotated, Any

import typer

from qflow_dagster.agents import agent_messages, agent_program, assignments, builtin_agents, coordination
from qflow_dagster.agents.coordination import Capability, Requirement
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    known,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.storable import read_json

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent.")]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", "-d", help=f"Of: {', '.join(coordination.DOMAINS)}.")
]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="What it takes; default: code.")]
Outputs = Annotated[list[str] | None, typer.Option("--output", help="What it gives; default: analysis.")]
Role = Annotated[str, typer.Option(help="What it is: refactoring, architect, quality_enforcer, ...")]
Complexity = Annotated[str, typer.Option(help="Up to which it is good: simple, medium, complex.")]
Cost = Annotated[float, typer.Option(help="What an assignment of medium complexity costs.")]
Heartbeat = Annotated[float, typer.Option(help="Seconds between heartbeats; three missed: it is offline.")]


@app.command()
def register(
    name: Name,
    domain: Domains = None,
    input_: Inputs = None,
    output: Outputs = None,
    role: Role = "chat",
    complexity: Complexity = "medium",
    cost: Cost = 100.0,
    heartbeat: Heartbeat = 15.0,
    most: Annotated[int, typer.Option(help="Assignments at a time.")] = 1,
) -> None:
    """Make an agent known, or say anew what it can do."""
    capability = _capability(name, domain, input_, output, role, complexity, cost, heartbeat, most)
    with ready_engine().begin() as connection:
        coordination.register(connection, capability)
    console.print(f"registered {name}")


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """Who is there: ours, and those that were registered."""
    with ready_engine().begin() as connection:
        builtin_agents.register_all(connection)
        found = coordination.agents(connection)
    if json:
        print_json([_fields(agent) for agent in found])
        return
    rows = [
        {
            "agent": agent.name,
            "role": agent.role,
            "domains": ", ".join(agent.domains),
            "availability": agent.availability,
            "load": f"{agent.load} of {agent.max_assignments}",
            "success": f"{agent.success_rate:.2f}",
            "outcomes": agent.successes + agent.failures,
        }
        for agent in found
    ]
    print_rows(rows, empty="No agent.")


@app.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """What an agent says it can do, what it has in hand, how it did."""
    with ready_engine().connect() as connection:
        found, outcomes = coordination.show(connection, name), coordination.statistics(connection, name)
    if json:
        print_json({**_fields(found), "outcomes": outcomes})
        return
    print_fields(_fields(found))
    print_rows(outcomes, empty="Nothing is known of its work yet.")


@app.command()
def availability(
    name: Name, state: Annotated[str, typer.Argument(help="available, busy, overloaded, offline.")]
) -> None:
    """Say whether an agent is to be given work."""
    with ready_engine().begin() as connection:
        coordination.set_availability(connection, name, state)  # type: ignore[arg-type]
    console.print(f"{name} is {state}")


@app.command()
def assign(
    domain: Annotated[str, typer.Argument(help=f"One of: {', '.join(coordination.DOMAINS)}.")],
    task: Annotated[str, typer.Argument(help="What is to be done, as JSON.")],
    input_: Annotated[str, typer.Option("--input", help="What is given.")] = "code",
    output: Annotated[str, typer.Option("--output", help="What is wanted.")] = "analysis",
    complexity: Annotated[str, typer.Option(help="simple, medium, complex.")] = "medium",
    key: Annotated[str | None, typer.Option(help="The same key again is the same assignment.")] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Ask for something to be done by whoever fits best."""
    with ready_engine().begin() as connection:
        id_ = assignments.create(
            connection,
            _json(task, "the task"),
            Requirement(domain, input_, output, complexity),
            requested_by=actor_name(as_),
            key=key,
        )
    print_json({"id": str(id_)}) if json else console.print(str(id_))


@app.command("assignments")
def assignments_(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="One of them, or its beginning.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, assigned, running, succeeded, failed.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only those of this agent.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List assignments, the newest first, or show one with its history."""
    with ready_engine().connect() as connection:
        if id_ is not None:
            found: Any = assignments.show(connection, assignments.resolve_id(connection, id_))
        else:
            known("state of an assignment", state, assignments.MACHINE.states)
            found = assignments.find(connection, state=state, agent=agent, limit=limit)
    if json:
        print_json(found)
    elif id_ is not None:
        events = found.pop("history", [])
        print_fields(found)
        print_rows([{name: e[name] for name in ("at", "from", "to", "actor")} for e in events], empty="")
    else:
        print_rows([{**row, "id": str(row["id"])[:18]} for row in found], empty="No assignment.")


@app.command()
def work(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent; `ours` for those that ship.")],
    command: Annotated[list[str] | None, typer.Argument(help="The program, after --.")] = None,
    domain: Domains = None,
    input_: Inputs = None,
    output: Outputs = None,
    role: Role = "chat",
    complexity: Complexity = "medium",
    cost: Cost = 100.0,
    heartbeat: Heartbeat = 15.0,
    timeout: Annotated[float, typer.Option(help="Seconds an assignment may take.")] = 3_600.0,
    idle: Annotated[float | None, typer.Option(help="End after so many seconds without work.")] = None,
) -> None:
    """Be an agent: each assignment goes to the program as JSON, and what it prints, JSON too, comes back.

    As: qflow agent work mender -d refactoring --input code --output patch -- ./mend.sh
    """
    if name == "ours":
        done = builtin_agents.work(ready_engine(), worker=f"{actor_name(None)} by hand")
        console.print(f"{done.routed:,} given, {done.succeeded:,} succeeded, {done.failed:,} failed")
        return
    if not command:
        raise UsageError("no program: qflow agent work NAME -- PROGRAM ARGUMENTS")
    capability = _capability(name, domain, input_, output, role, complexity, cost, heartbeat, 1)
    number = agent_program.work(
        ready_engine(),
        capability,
        command,
        timeout=timeout,
        idle=idle,
        report=lambda words: console.print(words),
    )
    console.print(f"{number:,} done")


@app.command()
def message(
    sender: Annotated[str, typer.Argument(help="The agent that sends.")],
    kind: Annotated[str, typer.Argument(help="What it is about, in a word.")],
    payload: Annotated[str, typer.Argument(help="JSON.")] = "null",
    to: Annotated[str | None, typer.Option(help="The agent to tell; default: all others.")] = None,
) -> None:
    """Tell other agents something; they hear it with `qflow listen agent.NAME`."""
    with ready_engine().begin() as connection:
        id_ = agent_messages.send(connection, sender, to, kind, _json(payload, "the payload"))
    console.print(str(id_))


@app.command()
def statistics(
    agent: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this agent.")] = None,
    json: JsonFlag = False,
) -> None:
    """How agents did, by domain."""
    with ready_engine().begin() as connection:
        builtin_agents.record_outcomes(connection)
        found = coordination.statistics(connection, agent)
    print_json(found) if json else print_rows(found, empty="Nothing is known of any agent's work yet.")


def _capability(
    name: str,
    domains: list[str] | None,
    inputs: list[str] | None,
    outputs: list[str] | None,
    role: str,
    complexity: str,
    cost: float,
    heartbeat: float,
    most: int,
) -> Capability:
    if name in {known.name for known in builtin_agents.capabilities()} or name == "ours":
        raise UsageError(f"{name!r} is an agent that ships; choose another name")
    return Capability(
        name=name,
        domains=domains or (),
        input_types=inputs or ("code",),
        output_types=outputs or ("analysis",),
        role=role,  # type: ignore[arg-type]
        complexity=complexity,  # type: ignore[arg-type]
        cost=cost,
        heartbeat=heartbeat,
        max_assignments=most,
    )


def _fields(agent: coordination.Agent) -> dict[str, Any]:
    return {**agent._asdict(), "success_rate": round(agent.success_rate, 3)}


def _json(given: str, what: str) -> Any:
    try:
        return read_json(given)
    except ValueError as error:
        raise UsageError(f"{what} is no JSON: {error}") from None
