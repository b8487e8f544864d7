"""The states of a suggestion, and of the edit that it becomes when it is applied.

Does not belong here: what moves it from one to another (`self_improvement`, `edits`, `edit_verification`,
`edit_lifecycle`).
"""

from qflow_dagster.quantumflow import StateMachine, register
from qflow_dagster.registry import Queue, WorkflowTypeName

# How an edit can end.
ENDED_EDIT = ("merged", "superseded", "closed", "reverted")
EDIT_STATES = ("applied", "verified", "conflicting", *ENDED_EDIT)
SUGGESTION = StateMachine(
    name="suggestion",
    initial="suggested",
    transitions={
        "suggested": frozenset({"validated", "failed", "rejected", "superseded"}),
        "validated": frozenset({"awaiting_approval", "failed", "rejected", "superseded"}),
        "awaiting_approval": frozenset({"approved", "rejected", "expired", "failed", "superseded"}),
        "approved": frozenset({"applied", "expired", "failed", "rejected"}),
        # From here on it is an edit; a rebased one is applied again.
        "applied": frozenset({"applied", "verified", "conflicting", *ENDED_EDIT}),
        "verified": frozenset({"applied", "conflicting", *ENDED_EDIT}),
        "conflicting": frozenset({"applied", *ENDED_EDIT}),
        "merged": frozenset({"reverted"}),
        "superseded": frozenset(),
        "closed": frozenset(),
        "reverted": frozenset(),
        "rejected": frozenset(),
        "expired": frozenset(),
        "failed": frozenset(),
    },
    terminal=frozenset({*ENDED_EDIT, "rejected", "expired", "failed"}),
    completed="merged",
)
TYPE = register(WorkflowTypeName.SUGGESTION, machine=SUGGESTION, queue=Queue.SUGGESTION_NOTIFICATIONS).name
# Nothing is committed yet.
OPEN_STATES = ("suggested", "validated", "awaiting_approval", "approved")
