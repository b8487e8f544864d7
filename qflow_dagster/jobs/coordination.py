"""Jobs of execution, agents and knowledge: each drains what waits in the tables, in batches."""

from collections.abc import Iterator

import dagster as dg

from qflow_dagster.agents import builtin_agents, sparc_changes
from qflow_dagster.agents.task_agents import ADAPTERS
from qflow_dagster.assets.coordination import AGENT_PERFORMANCE, KNOWLEDGE_INDEX, SPARC_GOALS, TASK_GRAPHS
from qflow_dagster.execution import sparc_worker, task_worker
from qflow_dagster.knowledge import producers, requests
from qflow_dagster.resources.database import Database
from qflow_dagster.settings import settings


@dg.op(
    out=dg.DynamicOut(int),
    description="Opens the lanes: steps that share the ready tasks of all graphs among them.",
)
def open_lanes() -> Iterator[dg.DynamicOutput[int]]:
    """As many as are set; a lane claims what it can do, so none waits for another."""
    for number in range(settings().execution.task_lanes):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op(description="Claims ready tasks in batches and does them, until none is ready.")
def do_tasks(context: dg.OpExecutionContext, database: Database, lane: int) -> dict[str, int]:
    """What a lane did; killed, its tasks are claimed again when their leases run out."""
    worker = f"dagster run {context.run_id[:8]} lane {lane}"
    done = task_worker.work(database.engine(), worker=worker, adapters=ADAPTERS, run_id=context.run_id)
    context.add_output_metadata(done._asdict())
    return done._asdict()


@dg.op(description="Adds up what the lanes did.")
def close_lanes(context: dg.OpExecutionContext, lanes: list[dict[str, int]]) -> None:
    """For the run's page."""
    context.add_output_metadata({name: sum(lane[name] for lane in lanes) for name in lanes[0]})


@dg.job(tags={"qflow/drain": "tasks"}, description="Does the ready tasks of all task graphs.")
def run_task_graphs() -> None:
    """Lanes mapped over; with an executor of many processes they run side by side."""
    close_lanes(open_lanes().map(do_tasks).collect())


@dg.op(description="Routes assignments, and does those given to the agents that ship.")
def do_assignments(context: dg.OpExecutionContext, database: Database) -> None:
    """Until nothing is left for them."""
    worker = f"dagster run {context.run_id[:8]}"
    done = builtin_agents.work(database.engine(), worker=worker, run_id=context.run_id)
    context.add_output_metadata(done._asdict())


@dg.job(tags={"qflow/drain": "assignments"}, description="Routes assignments, and does those of our agents.")
def work_assignments() -> None:
    """External agents take theirs themselves."""
    do_assignments()


@dg.op(description="Moves goals through their phases, follows their suggestions, measures their targets.")
def do_phases(context: dg.OpExecutionContext, database: Database) -> None:
    """Until every goal waits for somebody."""
    worker = f"dagster run {context.run_id[:8]}"
    done = sparc_worker.work(
        database.engine(),
        sparc_changes.MAKERS,
        sparc_changes.check_completion,
        worker=worker,
        run_id=context.run_id,
    )
    context.add_output_metadata(done._asdict())


@dg.job(tags={"qflow/drain": "sparc"}, description="Works on SPARC goals until each waits for somebody.")
def work_on_goals() -> None:
    """All goals, one phase at a time."""
    do_phases()


@dg.op(description="Answers knowledge requests, and makes work of rules found to be wrong.")
def answer_waiting(context: dg.OpExecutionContext, database: Database) -> None:
    """Those that are due; what fails is due again later."""
    engine = database.engine()
    done = requests.work(
        engine, worker=f"dagster run {context.run_id[:8]}", run_id=context.run_id, limit=1_000
    )
    with engine.begin() as connection:
        flagged = producers.flag(connection)
    context.add_output_metadata({**done._asdict(), "rules_flagged": flagged})


@dg.job(
    tags={"qflow/drain": "knowledge"}, description="Answers knowledge requests that no listener has taken."
)
def answer_knowledge_requests() -> None:
    """The net under `qflow ask` and `qflow knowledge listen`."""
    answer_waiting()


observe_coordination = dg.define_asset_job(
    "observe_coordination",
    selection=dg.AssetSelection.assets(TASK_GRAPHS, SPARC_GOALS, AGENT_PERFORMANCE),
    description="Look at task graphs, goals and agents.",
)
index_knowledge = dg.define_asset_job(
    "index_knowledge",
    selection=dg.AssetSelection.assets(KNOWLEDGE_INDEX),
    description="Bring the index of a repository's words up to date.",
)

jobs = [
    run_task_graphs,
    work_assignments,
    work_on_goals,
    answer_knowledge_requests,
    observe_coordination,
    index_knowledge,
]
