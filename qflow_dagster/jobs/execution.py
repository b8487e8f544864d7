"""Jobs of execution: task graphs, SPARC goals, approved texts. Each processes its pending rows in batches."""

import time

import dagster as dg

from qflow_dagster.agents import sparc_changes
from qflow_dagster.agents.task_agents import ADAPTERS
from qflow_dagster.assets.agents import AGENT_PERFORMANCE
from qflow_dagster.assets.execution import SPARC_GOALS, TASK_GRAPHS
from qflow_dagster.execution import sparc_worker, task_worker, work_chunks
from qflow_dagster.jobs import run_tags
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

# The drain of the first run; those beside it have others (`sensors.drains`).
TASKS = "tasks"
# Seconds between two looks at which runs wait.
LOOK_AGAIN = 5.0


@dg.op(description="Claims ready tasks in batches and executes them, until none is ready.")
def do_tasks(context: dg.OpExecutionContext, database: Database) -> None:
    """Do tasks as one of the workers; if it is killed, its tasks are claimed again when their leases expire.

    A run beside the first one ends when a run of another job waits for its worker.
    """
    looked_at, gives_way = 0.0, False
    beside = context.run.tags.get(run_tags.DRAIN, TASKS) != TASKS

    def stop() -> bool:
        nonlocal looked_at, gives_way
        if beside and time.monotonic() - looked_at > LOOK_AGAIN:
            gives_way = run_tags.others_wait(context.instance, context.job_name)
            looked_at = time.monotonic()
        return gives_way

    result = task_worker.work(
        database.engine(),
        worker=f"{worker(context)} {context.op_handle}",
        adapters=ADAPTERS,
        run_id=context.run_id,
        stop=stop,
    )
    context.add_output_metadata(result._asdict())


@dg.job(tags=run_tags.long(TASKS), description="Executes the ready tasks of all task graphs.")
def run_task_graphs() -> None:
    """Share the ready tasks among steps, each claiming its own; a multi-process executor runs them in parallel."""
    for number in range(settings().execution.task_workers):
        do_tasks.alias(f"worker_{number + 1}")()


@dg.op(
    description="Advances SPARC goals through their phases, tracks their suggestions, measures their targets."
)
def do_phases(context: dg.OpExecutionContext, database: Database) -> None:
    """Advance goals until each is pending an event from outside."""
    result = sparc_worker.work(
        database.engine(),
        sparc_changes.MAKERS,
        sparc_changes.check_completion,
        worker=worker(context),
        run_id=context.run_id,
    )
    context.add_output_metadata(result._asdict())


@dg.job(
    tags=run_tags.long("sparc"),
    description="Advances SPARC goals until each is pending an event from outside.",
)
def work_on_goals() -> None:
    """Advance all goals, a phase at a time."""
    do_phases()


@dg.op(description="Converts approved texts into work items.")
def decide_chunks(context: dg.OpExecutionContext, database: Database) -> None:
    """Apply each in a transaction of its own, until none is pending."""
    results = work_chunks.apply_approved(database.engine(), worker=worker(context), run_id=context.run_id)
    for result in results:
        if result.problem is not None:
            context.log.warning("chunk %s: %s", result.row, visible_line(result.problem))
    context.add_output_metadata({"applied": sum(result.problem is None for result in results)})


@dg.job(
    tags=run_tags.quick("work_chunks"), description="Creates work items from free texts that were approved."
)
def plan_approved_work() -> None:
    """Use the approvals of free texts."""
    decide_chunks()


observe_coordination = dg.define_asset_job(
    "observe_coordination",
    selection=dg.AssetSelection.assets(TASK_GRAPHS, SPARC_GOALS, AGENT_PERFORMANCE),
    tags=run_tags.long(),
    description="Summarizes task graphs, goals and agents.",
)

jobs = [run_task_graphs, work_on_goals, plan_approved_work, observe_coordination]
