"""`qflow agent`: registering agents, giving them assignments, and acting as one."""

from typing import Annotated, Any

import typer

from qflow_dagster.agents import agent_messages, agent_program, assignments, builtin_agents, coordination
from qflow_dagster.agents.coordination import Capability, Requirement
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
    renamed,
    worker_name,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.storable import read_json

app = typer.Typer(no_args_is_help=True)
# The name for the agents that ship; `ours` is its older form.
BUILTIN = ("builtin", "ours")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent.")]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", "-d", help=f"Of: {', '.join(coordination.DOMAINS)}.")
]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="Its input types; default: code.")]
Outputs = Annotated[list[str] | None, typer.Option("--output", help="Its output types; default: analysis.")]
Role = Annotated[str, typer.Option(help="Its role: refactoring, architect, quality_enforcer, ...")]
Complexity = Annotated[str, typer.Option(help="The highest complexity it handles: simple, medium, complex.")]
Cost = Annotated[float, typer.Option(help="Cost of an assignment of medium complexity.")]
Heartbeat = Annotated[
    float, typer.Option(help="Seconds between heartbeats; after three missed ones it is offline.")
]


@app.command(context_settings=renamed(most="max-assignments"))
def register(
    name: Name,
    domain: Domains = None,
    input_: Inputs = None,
    output: Outputs = None,
    role: Role = "chat",
    complexity: Complexity = "medium",
    cost: Cost = 100.0,
    heartbeat: Heartbeat = 15.0,
    max_assignments: Annotated[int, typer.Option(help="Assignments at the same time.")] = 1,
) -> None:
    """Register an agent, or update its capability."""
    capability = _capability(name, domain, input_, output, role, complexity, cost, heartbeat, max_assignments)
    with ready_engine().begin() as connection:
        coordination.register(connection, capability)
    console.print(f"registered {name}")


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List all agents: the built-in ones and registered ones."""
    with ready_engine().begin() as connection:
        builtin_agents.register_all(connection)
        agents = coordination.agents(connection)
    if json:
        print_json([_fields(agent) for agent in agents])
        return
    rows = [
        {
            "agent": agent.name,
            "role": agent.role,
            "domains": ", ".join(agent.domains),
            "availability": agent.availability,
            "machine": agent.host,
            "load": f"{agent.load} of {agent.max_assignments}",
            "success": f"{agent.success_rate:.2f}",
            "outcomes": agent.successes + agent.failures,
        }
        for agent in agents
    ]
    print_rows(rows, empty="No agent.")


@app.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """Show an agent's capability, its current load, and its results."""
    with ready_engine().connect() as connection:
        agent, outcomes = coordination.show(connection, name), coordination.statistics(connection, name)
    if json:
        print_json({**_fields(agent), "outcomes": outcomes})
        return
    print_fields(_fields(agent))
    print_rows(outcomes, empty="No outcome was recorded yet.")


@app.command()
def availability(
    name: Name, state: Annotated[str, typer.Argument(help="available, busy, overloaded, offline.")]
) -> None:
    """Set whether an agent gets assignments."""
    with ready_engine().begin() as connection:
        coordination.set_availability(connection, name, state)  # type: ignore[arg-type]
    console.print(f"{name} is {state}")


@app.command()
def assign(
    domain: Annotated[str, typer.Argument(help=f"One of: {', '.join(coordination.DOMAINS)}.")],
    task: Annotated[str, typer.Argument(help="The task, as JSON.")],
    input_: Annotated[str, typer.Option("--input", help="The input type.")] = "code",
    output: Annotated[str, typer.Option("--output", help="The output type.")] = "analysis",
    complexity: Annotated[str, typer.Option(help="simple, medium, complex.")] = "medium",
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key again is the same assignment.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Create an assignment for the agent that fits best."""
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
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of an assignment, or a unique prefix.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="queued, assigned, running, succeeded, failed.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only those of this agent.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List assignments, the newest first, or show one with its history."""
    with ready_engine().connect() as connection:
        if id_ is not None:
            result: Any = assignments.show(connection, assignments.resolve_id(connection, id_))
        else:
            check_choice("state of an assignment", state, assignments.MACHINE.states)
            result = assignments.find(connection, state=state, agent=agent, limit=limit)
    if json:
        print_json(result)
    elif id_ is not None:
        events = result.pop("history", [])
        print_fields(result)
        print_rows([{name: e[name] for name in ("at", "from", "to", "actor")} for e in events], empty="")
    else:
        print_rows([{**row, "id": str(row["id"])[:18]} for row in result], empty="No assignment.")


@app.command()
def work(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent; `builtin` for those that ship.")],
    command: Annotated[list[str] | None, typer.Argument(help="The program, after --.")] = None,
    domain: Domains = None,
    input_: Inputs = None,
    output: Outputs = None,
    role: Role = "chat",
    complexity: Complexity = "medium",
    cost: Cost = 100.0,
    heartbeat: Heartbeat = 15.0,
    timeout: Annotated[float, typer.Option(help="Time limit of an assignment, in seconds.")] = 3_600.0,
    idle: Annotated[float | None, typer.Option(help="End after this many seconds without work.")] = None,
) -> None:
    """Act as an agent: pass each assignment to a program as JSON, and report the JSON it prints as the result.

    Example: qflow agent work fixer -d refactoring --input code --output patch -- ./fix.sh
    """
    if name in BUILTIN:
        result = builtin_agents.work(ready_engine(), worker=worker_name())
        console.print(f"{result.routed:,} routed, {result.succeeded:,} succeeded, {result.failed:,} failed")
        return
    if not command:
        raise UsageError("no program: qflow agent work NAME -- PROGRAM ARGUMENTS")
    capability = _capability(name, domain, input_, output, role, complexity, cost, heartbeat, 1)
    count = agent_program.work(
        ready_engine(),
        capability,
        command,
        timeout=timeout,
        idle=idle,
        report=lambda line: console.print(line),
    )
    console.print(f"{count:,} done")


@app.command()
def message(
    sender: Annotated[str, typer.Argument(help="The agent that sends.")],
    kind: Annotated[str, typer.Argument(help="The kind of message.")],
    payload: Annotated[str, typer.Argument(help="JSON.")] = "null",
    to: Annotated[str | None, typer.Option(help="The receiving agent; default: all others.")] = None,
) -> None:
    """Send a message to other agents; they receive it with `qflow listen agent.NAME`."""
    with ready_engine().begin() as connection:
        id_ = agent_messages.send(connection, sender, to, kind, _json(payload, "the payload"))
    console.print(str(id_))


@app.command()
def statistics(
    agent: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this agent.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show the results of agents by domain."""
    with ready_engine().begin() as connection:
        builtin_agents.record_outcomes(connection)
        rows = coordination.statistics(connection, agent)
    print_json(rows) if json else print_rows(rows, empty="No outcome was recorded yet.")


def _capability(
    name: str,
    domains: list[str] | None,
    inputs: list[str] | None,
    outputs: list[str] | None,
    role: str,
    complexity: str,
    cost: float,
    heartbeat: float,
    max_assignments: int,
) -> Capability:
    if name in {agent.name for agent in builtin_agents.capabilities()} or name in BUILTIN:
        raise UsageError(f"{name!r} is a built-in agent; choose another name")
    return Capability(
        name=name,
        domains=domains or (),
        input_types=inputs or ("code",),
        output_types=outputs or ("analysis",),
        role=role,  # type: ignore[arg-type]
        complexity=complexity,  # type: ignore[arg-type]
        cost=cost,
        heartbeat=heartbeat,
        max_assignments=max_assignments,
    )


def _fields(agent: coordination.Agent) -> dict[str, Any]:
    return {**agent._asdict(), "success_rate": round(agent.success_rate, 3)}


def _json(text: str, noun: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise UsageError(f"{noun} is not valid JSON: {error}") from None
