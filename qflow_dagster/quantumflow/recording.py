"""Recording work that this process does itself as a workflow: begun, done or failed, by whom, when.

Belongs here: the machine of such workflows, and the context manager that carries one through.
Does not belong here: work that waits for a worker (`transitions.claim`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow.errors import LeaseLostError
from qflow_dagster.quantumflow.rows import Held, Json, Lease
from qflow_dagster.quantumflow.state_machine import StateMachine
from qflow_dagster.quantumflow.transitions import claim, complete, fail, heartbeat
from qflow_dagster.quantumflow.workflows import create_workflow
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

# Nobody else can take such work up, so there is no waiting and no retry: a new run is a new
# workflow. One whose process was killed is dead once its lease has run out.
RECORDED = StateMachine(
    name="recorded",
    initial="pending",
    transitions={
        "pending": frozenset({"running"}),
        "running": frozenset({"completed", "dead"}),
        "completed": frozenset(),
        "dead": frozenset(),
    },
    terminal=frozenset({"completed", "dead"}),
    completed="completed",
    claimable=frozenset({"pending"}),
    claimed="running",
    leased=frozenset({"running"}),
    dead="dead",
)


@contextmanager
def recorded(
    engine: Engine, type_name: str, payload: Json, *, worker: str, run_id: str | None = None
) -> Iterator[Callable[[Json], None]]:
    """Do the body as a workflow of that type (its machine is `RECORDED`); yields a way to set the result.

    The workflow is `running` while the body is, kept alive by heartbeats, then `completed` with
    the result, or `dead` with the error, which is raised to the caller.
    """
    results: list[Json] = [None]
    with engine.begin() as connection:
        create_workflow(connection, type_name, payload, actor=worker, max_attempts=1, run_id=run_id)
        # Nobody else sees the row yet, and none is ever left pending, so this claims the one just made.
        [workflow] = claim(connection, type_name, worker=worker, run_id=run_id)
    lease = Lease(workflow.id, workflow.attempt)
    try:
        with kept_alive(engine, [lease]):
            yield lambda result: results.__setitem__(0, result)
    except BaseException as error:
        message = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}: {error}"
        try:
            with engine.begin() as connection:
                fail(
                    connection,
                    [lease],
                    [{"kind": type(error).__name__, "message": message[:2_000]}],
                    retry=False,
                )
        except (QflowError, SQLAlchemyError):
            # The first error is the one to hear of; the lease's end records this one.
            logger.warning("the failure of %s %s could not be recorded", type_name, workflow.id)
        raise
    with engine.begin() as connection:
        complete(connection, [lease], results)


@contextmanager
def kept_alive(engine: Engine, held: Sequence[Held]) -> Iterator[None]:
    """Renew these leases while the body runs, each on its own: one that is lost or done stops nobody else's."""
    done = threading.Event()
    beating = threading.Thread(target=_keep_alive, args=(engine, list(held), done), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()


def _keep_alive(engine: Engine, held: list[Held], done: threading.Event) -> None:
    while held and not done.wait(settings().quantumflow.lease / 3):
        for item in list(held):
            try:
                with engine.begin() as connection:
                    heartbeat(connection, [item])
            except LeaseLostError:
                held.remove(item)
                logger.warning("the lease of %s is lost", item.id)
            except (QflowError, SQLAlchemyError) as error:
                logger.warning("no heartbeat for %s: %s", item.id, error)
