"""The durable core: workflows in PostgreSQL, their state machines, history and messages.

What is pending, is decided or can fail is a workflow: a row with a declared state machine, moved by
workers under leases, with a tamper-evident history and a message at each transition. Every
function takes the caller's `Connection` first and does its work in the caller's transaction;
everything that changes workflows takes a sequence of them and changes all or none.

- `register`, `StateMachine`, `JOB`, `Fairness`: kinds of workflows
- `create_workflow(s)`, `add_dependencies`, `get`, `find`, `due`, `newest_due`, `resolve`, `dependencies`
- a worker: `claim`, `heartbeat`, `complete`, `complete_and_claim`, `fail`
- by hand: `transition`, `cancel`, `pause`, `resume`, `retry`
- `skip_dependency`: continue the dependents of workflows that will not complete
- by the clock: `postpone`, `hasten`, `reclaim_expired`, `expire_due`, `checkpoint`, `prune`, `prune_messages`
- messages: `send_with_notify`, `receive`, `listen`, `acknowledge`, `subscribe`, `unsubscribe`
- processes: the module `leases`
- audit: `get_events`, `verify_history`, `damaged_archives`

Does not belong here: what any type of workflow means; that is its domain's.
"""

from qflow_dagster.quantumflow.archives import ArchiveMissingError
from qflow_dagster.quantumflow.errors import (
    DependencyCycleError,
    IllegalTransitionError,
    LeaseLostError,
    WorkflowNotFoundError,
)
from qflow_dagster.quantumflow.history import BrokenLink, Seal, checkpoint, get_events, verify_history
from qflow_dagster.quantumflow.messaging import (
    Message,
    Position,
    acknowledge,
    listen,
    receive,
    send_with_notify,
    subscribe,
    unsubscribe,
)
from qflow_dagster.quantumflow.retention import PruneResult, damaged_archives, prune, prune_messages
from qflow_dagster.quantumflow.rows import Event, Held, Json, Lease, NewWorkflow, Workflow, uuid7, uuid7s
from qflow_dagster.quantumflow.state_machine import (
    JOB,
    Fairness,
    StateMachine,
    WorkflowType,
    register,
    registered_types,
    status_check,
    workflow_type,
)
from qflow_dagster.quantumflow.transitions import (
    cancel,
    claim,
    complete,
    complete_and_claim,
    expire_due,
    fail,
    hasten,
    heartbeat,
    pause,
    postpone,
    reclaim_expired,
    resume,
    retry,
    skip_dependency,
    transition,
)
from qflow_dagster.quantumflow.workflows import (
    add_dependencies,
    count_unfinished,
    create_workflow,
    create_workflows,
    dependencies,
    due,
    find,
    get,
    newest_due,
    resolve,
)

__all__ = [
    "JOB",
    "ArchiveMissingError",
    "BrokenLink",
    "DependencyCycleError",
    "Event",
    "Fairness",
    "Held",
    "IllegalTransitionError",
    "Json",
    "Lease",
    "LeaseLostError",
    "Message",
    "NewWorkflow",
    "Position",
    "PruneResult",
    "Seal",
    "StateMachine",
    "Workflow",
    "WorkflowNotFoundError",
    "WorkflowType",
    "acknowledge",
    "add_dependencies",
    "cancel",
    "checkpoint",
    "claim",
    "complete",
    "complete_and_claim",
    "count_unfinished",
    "create_workflow",
    "create_workflows",
    "damaged_archives",
    "dependencies",
    "due",
    "expire_due",
    "fail",
    "find",
    "get",
    "get_events",
    "hasten",
    "heartbeat",
    "listen",
    "newest_due",
    "pause",
    "postpone",
    "prune",
    "prune_messages",
    "receive",
    "reclaim_expired",
    "register",
    "registered_types",
    "resolve",
    "resume",
    "retry",
    "send_with_notify",
    "skip_dependency",
    "status_check",
    "subscribe",
    "transition",
    "unsubscribe",
    "uuid7",
    "uuid7s",
    "verify_history",
    "workflow_type",
]
