"""When a change of health is believed: damping, as a pure function.

A check that fails once is no incident, and one that comes and goes is one incident and not
twenty. Does not belong here: storing and notifying (`health_agent`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["healthy", "unknown", "degraded", "unhealthy"]
# From best to worst.
STATUSES: tuple[Status, ...] = ("healthy", "unknown", "degraded", "unhealthy")
# Changes of the last hour count; while there are many, an improvement must last this many times longer.
HOUR = 3_600.0
FLAPPING_PATIENCE = 5


@dataclass(frozen=True)
class Damped:
    """What is believed of a check, and what it takes to change that; times in seconds."""

    status: Status
    result: Status
    streak: int
    changes: tuple[float, ...]
    since: float


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst of several; nothing at all is unknown."""
    return STATUSES[max(map(STATUSES.index, statuses), default=STATUSES.index("unknown"))]


def damp(before: Damped | None, result: Status, now: float, *, confirmations: int, flapping: int) -> Damped:
    """Return what is believed after one more result.

    A status is believed after `confirmations` equal results. After `flapping` changes within
    an hour, better ones are believed only after five times as many, so that a check that
    comes and goes stays what it is at its worst.
    """
    if before is None:
        return Damped(result, result, 1, (), now)
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
