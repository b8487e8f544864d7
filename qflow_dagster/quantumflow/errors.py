"""The exceptions of the core.

Each refusal leaves the caller's transaction as it was: usable, with nothing of the refused
operation in it.
"""

from collections.abc import Sequence
from uuid import UUID

from qflow_dagster.errors import QflowError, UsageError


class WorkflowNotFoundError(UsageError):
    """No workflow has that id, or its prefix matches several."""


class IllegalTransitionError(QflowError):
    """The state machine does not allow what was asked."""


class DependencyCycleError(UsageError):
    """The dependencies would form a cycle."""


class LeaseLostError(QflowError):
    """A worker reported on workflows it no longer holds: its lease ran out, or somebody took them away.

    `ids` names them, so that the worker can report on the others again.
    """

    def __init__(self, ids: Sequence[UUID]) -> None:
        self.ids = tuple(ids)
        names = ", ".join(map(str, self.ids[:3])) + (", ..." if len(self.ids) > 3 else "")
        super().__init__(
            f"the lease of {len(self.ids)} workflow(s) is lost ({names}): they were claimed again, paused, "
            "cancelled or finished meanwhile; drop the work, another attempt does it"
        )
