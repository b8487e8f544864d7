"""Run tasks: claim ready ones, run them, report results in batches, finalize; until none is ready.

Belongs here: one worker's loop, and what a claimed task turns into (completed, skipped, split, or
handed to an external adapter). Does not belong here: the adapters (`task_adapters`), what follows the end
of a task (`task_graph`).
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.database.locks import lock_name
from qflow_dagster.database.refusals import is_refusal
from qflow_dagster.errors import QflowError
from qflow_dagster.execution import model_decomposition, references, task_adapters, task_graph
from qflow_dagster.execution.tables import task_graphs, tasks
from qflow_dagster.execution.task_adapters import Adapters, Call, ExternalAdapter, TaskFailedError
from qflow_dagster.execution.task_definitions import INPUT, OF_ELEMENTS, Task, check_tasks
from qflow_dagster.execution.task_policy import PolicyViolationError, check, policy
from qflow_dagster.processes import Pool
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow import (
    LeaseLostError,
    Workflow,
    claim,
    complete,
    create_workflows,
    fail,
    heartbeat,
    transition,
)
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

# How many short tasks a worker holds at a time: their results are stored in one statement. Of long ones it holds as
# many as it does at a time, because another worker may be free for the next.
MAX_IN_FLIGHT = 200
# Seconds after which finished tasks are reported although others still run.
REPORT_INTERVAL = 0.05


class TaskCounts(NamedTuple):
    """The result of a worker: tasks completed, failed attempts, tasks skipped, tasks split or handed on."""

    completed: int = 0
    failed: int = 0
    skipped: int = 0
    split: int = 0


@dataclass
class Held:
    """A claimed task with its definition, its inputs and, once it has run, its outcome."""

    workflow: Workflow
    graph_id: UUID
    depth: int
    task: Task
    inputs: dict[str, Any]
    outcome: Any = None
    error: dict[str, Any] | None = None
    retry: bool = True
    lost: bool = False
    future: Future[Any] | None = field(default=None, repr=False)


def work(
    engine: Engine,
    *,
    worker: str,
    adapters: Adapters = task_adapters.ADAPTERS,
    run_id: str | None = None,
    threads: int | None = None,
    progress: ReportProgress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TaskCounts:
    """Run tasks until none is ready or `stop` returns true; do not wait for tasks that run elsewhere."""
    config = settings().execution
    threads = threads or config.task_threads
    report = progress or (lambda stage, done, total: None)
    with engine.begin() as connection:
        task_graph.finalize_all(connection)
    total = TaskCounts()
    in_flight: list[Held] = []
    last_heartbeat = time.monotonic()
    pool = Pool(task_adapters.serve, None, threads)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="task")
    hold = threads
    try:
        while True:
            claimed = [] if stop() else _claim(engine, worker, hold - len(in_flight), run_id)
            for held in claimed:
                total = _begin(engine, held, adapters, executor, pool, worker, total, in_flight)
            if not claimed and not in_flight:
                return total
            _wait(in_flight)
            done = [held for held in in_flight if held.future is None or held.future.done()]
            in_flight = [held for held in in_flight if held not in done]
            are_short = not in_flight or len(done) > len(in_flight)
            hold = min(2 * hold, max(MAX_IN_FLIGHT, threads)) if are_short else max(hold // 2, threads)
            total = _end(engine, done, total)
            report("tasks", total.completed, total.completed + len(in_flight))
            if in_flight and time.monotonic() - last_heartbeat > settings().quantumflow.lease / 3:
                _heartbeat(engine, in_flight)
                last_heartbeat = time.monotonic()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        pool.close()


_LOAD = text("""
SELECT t.type, ready.count AS ready, held.count AS held, held.in_runs
FROM unnest(CAST(:types AS text[])) AS t(type)
CROSS JOIN LATERAL (SELECT count(*) FROM (
    SELECT FROM workflows w WHERE w.type = t.type AND w.claimable AND w.remaining_dependencies = 0
    AND w.available_at <= statement_timestamp() LIMIT :most) AS w) AS ready
CROSS JOIN LATERAL (
    SELECT count(*), count(w.run_id) AS in_runs FROM workflows w
    WHERE w.type = t.type AND w.lease_expires_at IS NOT NULL) AS held
""")


def useful_runs(connection: Connection) -> int:
    """Return how many runs would have work, those included that have some: at most as many as are set.

    Work is a ready task, or a parent whose parts have all ended.
    """
    config = settings().execution
    most = config.task_runs * config.task_threads
    roles = {type_: role for role, type_ in task_graph.TASK_TYPES.items()}
    ready = claimable = in_runs = 0
    for row in connection.execute(_LOAD, {"types": list(roles), "most": most}):
        limit = policy(roles[row.type]).concurrency
        ready += row.ready
        claimable += row.ready if limit is None else min(row.ready, max(limit - row.held, 0))
        in_runs += row.in_runs
    if not claimable:
        return 1 if ready or task_graph.unfinalized(connection) else 0
    return min(config.task_runs, math.ceil((claimable + in_runs) / config.task_threads))


def _wait(in_flight: Sequence[Held]) -> None:
    futures = [held.future for held in in_flight if held.future is not None]
    if not wait(futures, timeout=REPORT_INTERVAL).done and futures:
        wait(futures, timeout=1.0, return_when="FIRST_COMPLETED")


_READY = text("""
SELECT type FROM unnest(CAST(:types AS text[])) AS type
WHERE EXISTS (SELECT FROM workflows w WHERE w.type = type.type AND w.claimable AND w.remaining_dependencies = 0
              AND w.available_at <= statement_timestamp())
""")
_INPUTS = text("""
SELECT d.workflow_id, t.name, w.result FROM workflow_dependencies d
JOIN tasks t ON t.id = d.depends_on_id JOIN workflows w ON w.id = t.id
WHERE d.workflow_id = ANY(:ids) AND w.status = 'completed'
""")


def _claim(engine: Engine, worker: str, remaining_capacity: int, run_id: str | None) -> list[Held]:
    """Claim up to `remaining_capacity` ready tasks, of each role no more than may run at the same time."""
    if remaining_capacity <= 0:
        return []
    claimed: list[Workflow] = []
    roles = {type_: role for role, type_ in task_graph.TASK_TYPES.items()}
    with engine.begin() as connection:
        for type_ in connection.scalars(_READY, {"types": list(roles)}).all():
            limit = remaining_capacity - len(claimed)
            max_running = policy(roles[type_]).concurrency
            if max_running is not None:
                # Serialized, so that two workers do not both count the same free slots.
                lock_name(connection, type_)
                limit = min(limit, max_running - _running(connection, type_))
            if limit > 0:
                claimed += claim(connection, type_, worker=worker, limit=limit, run_id=run_id)
        if not claimed:
            return []
        ids = [workflow.id for workflow in claimed]
        columns = (*tasks.c, tasks.c.element.is_not(None).label("mapped"))
        specs = {row.id: row for row in connection.execute(select(*columns).where(tasks.c.id.in_(ids)))}
        # Read once per graph: the input of a graph with a large map is as large as all of its elements.
        graphs = task_graphs.c.id.in_({row.graph_id for row in specs.values()})
        query = select(task_graphs.c.id, task_graphs.c.input).where(graphs)
        graph_inputs = {row.id: row.input for row in connection.execute(query)}
        inputs: dict[UUID, dict[str, Any]] = {}
        for row in connection.execute(_INPUTS, {"ids": ids}):
            inputs.setdefault(row.workflow_id, {})[row.name] = row.result
    claimed_tasks = []
    for workflow in claimed:
        row = specs[workflow.id]
        visible = {INPUT: graph_inputs[row.graph_id], **inputs.get(workflow.id, {})}
        if row.mapped:
            visible |= {"item": row.element, "index": row.position}
        claimed_tasks.append(Held(workflow, row.graph_id, row.depth, Task.model_validate(row.spec), visible))
    return claimed_tasks


def _running(connection: Connection, type_: str) -> int:
    """Return how many tasks of a type are held by workers."""
    held = (workflows.c.type == type_, workflows.c.lease_expires_at.is_not(None))
    return connection.scalar(select(func.count()).where(*held)) or 0


def _begin(
    engine: Engine,
    held: Held,
    adapters: Adapters,
    executor: ThreadPoolExecutor,
    pool: Pool,
    worker: str,
    total: TaskCounts,
    in_flight: list[Held],
) -> TaskCounts:
    """Skip, split, hand on or start a claimed task; record an error if it cannot be started."""
    task = held.task
    in_flight.append(held)
    try:
        if task.when is not None and not references.contains(held.inputs, task.when):
            if task.otherwise == "fail":
                raise TaskFailedError("its condition does not hold", kind="condition", retry=False)
            in_flight.remove(held)
            with engine.begin() as connection:
                transition(connection, [held.workflow], "skipped", actor=worker, data={"unmet": task.when})
                task_graph.propagate(connection, [(held.workflow.id, "skipped", task)])
            _finalize(engine, [held])
            return total._replace(skipped=total.skipped + 1)
        if task.map is not None or not task.adapter:
            parts, decomposed = _parts(engine, held, adapters)
            if parts:
                in_flight.remove(held)
                with engine.begin() as connection:
                    task_graph.split(
                        connection,
                        held.workflow,
                        held.graph_id,
                        held.depth,
                        [part for part, _ in parts],
                        actor=worker,
                        elements=[element for _, element in parts] if task.map is not None else None,
                        data={"decomposition": decomposed} if decomposed else None,
                    )
                return total._replace(split=total.split + 1)
            held.outcome = []
            return total
        call = _call(engine, held, adapters, pool)
        adapter = adapters[call.adapter]
        if isinstance(adapter, ExternalAdapter):
            in_flight.remove(held)
            with engine.begin() as connection:
                create_workflows(connection, [adapter.start(connection, call)], actor=worker)
                task_graph.await_children(connection, held.workflow, actor=worker)
            return total._replace(split=total.split + 1)
        held.future = executor.submit(adapter, call)
    except LeaseLostError:
        with suppress(ValueError):
            in_flight.remove(held)
    except Exception as error:
        # An error of one task must not stop the others; an unreachable database is not an error of a task.
        if isinstance(error, SQLAlchemyError) and not is_refusal(error):
            raise
        if not isinstance(error, QflowError):
            logger.exception("task %s cannot be started", held.workflow.id)
        held.error, held.retry = _describe(error)
        if held not in in_flight:
            in_flight.append(held)
    return total


def _parts(engine: Engine, held: Held, adapters: Adapters) -> tuple[list[tuple[Task, Any]], Any]:
    """Return the parts of a task, each with its array element or None, and how a goal was decomposed into them."""
    task = held.task
    if task.map is None:
        check_parts = partial(check_tasks, adapters=adapters, depth=held.depth + 1)
        decomposed = None
        parts = list(task.tasks)
        if not parts:
            parts, decomposed = model_decomposition.parts(engine, task, check_parts)
        check_parts(parts)
        return [(part, None) for part in parts], decomposed
    elements = references.look_up(task.map, held.inputs)
    if not isinstance(elements, list):
        raise TaskFailedError(
            f"{task.map} is not an array but {type(elements).__name__}", kind="arguments", retry=False
        )
    # Filled in here: the parts do not depend on the tasks these references name.
    arguments = references.fill_except(OF_ELEMENTS, task.arguments, held.inputs)
    template = task.model_copy(update={"map": None, "depends_on": (), "when": None, "arguments": arguments})
    return [
        (template.model_copy(update={"name": f"{task.name}-{number}"}), element)
        for number, element in enumerate(elements)
    ], None


def _call(engine: Engine, held: Held, adapters: Adapters, pool: Pool) -> Call:
    task = held.task
    arguments = references.fill(task.arguments, held.inputs)
    # Checked again, now with the references filled in.
    adapter = task.adapter or ""
    spec = getattr(adapters[adapter], "argument_spec", None)
    for _, message in spec.problems(adapter, arguments, filled=True) if spec else ():
        raise TaskFailedError(message, kind="arguments", retry=False)
    check(task.role, adapter, arguments, task.timeout, filled=True)
    return Call(
        id=held.workflow.id,
        graph_id=held.graph_id,
        name=task.name,
        title=task.title or task.name,
        role=task.role,
        adapter=adapter,
        arguments=arguments,
        inputs=held.inputs,
        timeout=task.timeout,
        attempt=held.workflow.attempt,
        engine=engine,
        pool=pool,
    )


def _describe(error: BaseException) -> tuple[dict[str, Any], bool]:
    """Return an error as it is stored, and whether another attempt may succeed."""
    kind, retry = type(error).__name__, True
    if isinstance(error, TaskFailedError):
        kind, retry = error.kind, error.retry
    elif isinstance(error, PolicyViolationError):
        kind, retry = "policy_violation", False
    elif isinstance(error, references.MissingValueError):
        kind, retry = "no_value", False
    message = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}: {error}"
    return {"kind": kind, "message": redact(message)[:4_000]}, retry


def _end(engine: Engine, done: Sequence[Held], total: TaskCounts) -> TaskCounts:
    """Complete and fail finished tasks; skip those whose lease was lost."""
    if not done:
        return total
    for held in done:
        if held.future is not None:
            error = held.future.exception()
            if error is None:
                held.outcome = held.future.result()
            else:
                held.error, held.retry = _describe(error)
    completed = _complete(engine, [held for held in done if held.error is None and not held.lost])
    failed = [held for held in done if held.error is not None and not held.lost]
    for held in failed:
        _fail(engine, held)
    _finalize(engine, done)
    return total._replace(completed=total.completed + completed, failed=total.failed + len(failed))


def _complete(engine: Engine, group: Sequence[Held]) -> int:
    """Complete tasks in one statement; retry one by one when a lease was lost or a result cannot be stored."""
    if not group:
        return 0
    try:
        with engine.begin() as connection:
            complete(connection, [held.workflow for held in group], [held.outcome for held in group])
        return len(group)
    except LeaseLostError as lost:
        return _complete(engine, [held for held in group if held.workflow.id not in lost.ids])
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(group) > 1:
            return sum(_complete(engine, [held]) for held in group)
        group[0].error, group[0].retry = {**_describe(error)[0], "kind": "result"}, False
        _fail(engine, group[0])
        return 0


def _fail(engine: Engine, held: Held) -> None:
    with suppress(LeaseLostError), engine.begin() as connection:
        [status] = fail(connection, [held.workflow], [held.error], retry=held.retry)
        if status == "failed":
            task_graph.propagate(connection, [(held.workflow.id, status, held.task)])


def _finalize(engine: Engine, done: Sequence[Held]) -> None:
    parents = [held.workflow.parent_id for held in done if held.workflow.parent_id is not None]
    with engine.begin() as connection:
        task_graph.finalize(connection, parents)


def _heartbeat(engine: Engine, in_flight: Sequence[Held]) -> None:
    try:
        with engine.begin() as connection:
            heartbeat(connection, [held.workflow for held in in_flight])
    except LeaseLostError as lost:
        for held in in_flight:
            held.lost = held.lost or held.workflow.id in lost.ids
