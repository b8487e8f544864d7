"""Damping of health checks: when a result changes the current status. Pure functions.

A check that fails once is not an incident, and one that alternates is a single incident, not twenty.
Does not belong here: storing and notifying (`health_agent`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["healthy", "unknown", "degraded", "unhealthy"]
# From best to worst.
STATUSES: tuple[Status, ...] = ("healthy", "unknown", "degraded", "unhealthy")
# Status changes within the last hour count; while there are many, an improvement needs this many times more
# results.
HOUR = 3_600.0
FLAPPING_PATIENCE = 5


@dataclass(frozen=True)
class DampedState:
    """The current status of a check, and the results since that may change it; times in seconds."""

    status: Status
    result: Status
    streak: int
    changes: tuple[float, ...]
    since: float


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst status; unknown if there are none."""
    return STATUSES[max(map(STATUSES.index, statuses), default=STATUSES.index("unknown"))]


def damp(
    before: DampedState | None, result: Status, now: float, *, confirmations: int, flapping: int
) -> DampedState:
    """Return the state of a check after another result.

    The status changes after `confirmations` equal results. After `flapping` changes within an hour, it
    improves only after five times as many, so that an alternating check keeps its worst status.
    """
    if before is None:
        return DampedState(result, result, 1, (), now)
    streak = before.streak + 1 if result == before.result else 1
    changes = tuple(at for at in before.changes if at > now - HOUR)
    after = replace(before, result=result, streak=streak, changes=changes)
    if result == before.status:
        return after
    needed = confirmations
    better = STATUSES.index(result) < STATUSES.index(before.status)
    if better and len(changes) >= flapping:
        needed *= FLAPPING_PATIENCE
    if streak < needed:
        return after
    return replace(after, status=result, since=now, changes=(*changes, now))
