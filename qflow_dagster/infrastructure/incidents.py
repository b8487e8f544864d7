"""Damping of health checks: when a result changes the current status. Pure functions.

A check that fails once is not an incident, and one that alternates is a single incident, not twenty.
Does not belong here: storing and notifying (`health_agent`).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["healthy", "unknown", "degraded", "unhealthy"]
# From best to worst.
STATUSES: tuple[Status, ...] = ("healthy", "unknown", "degraded", "unhealthy")
# As many last results decide whether a check is flapping.
RECENT = 20


@dataclass(frozen=True)
class DampedState:
    """The current status of a check, and the results since that may change it; times in seconds."""

    status: Status
    result: Status
    # How often in a row that was the result.
    streak: int
    # The last results, the newest last.
    recent: tuple[Status, ...]
    since: float
    # Whether the results change so often that no status would be true for long.
    flapping: bool = False


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst status; unknown if there are none."""
    return STATUSES[max(map(STATUSES.index, statuses), default=STATUSES.index("unknown"))]


def damp(
    before: DampedState | None, result: Status, now: float, *, confirmations: int, flapping: int
) -> DampedState:
    """Return the state of a check after another result.

    The status changes after `confirmations` equal results; until then, a new check with a bad result is unknown.
    A check is flapping from `flapping` changes among its last 20 results until half as many. It then keeps the
    worst status of these results. (Nagios detects flapping in the same way, with weights.)
    """
    if before is None:
        status: Status = result if result == "healthy" or confirmations <= 1 else "unknown"
        return DampedState(status, result, 1, (result,), now)
    streak = before.streak + 1 if result == before.result else 1
    recent = (*before.recent, result)[-RECENT:]
    changes = sum(first != second for first, second in itertools.pairwise(recent))
    after = replace(before, result=result, streak=streak, recent=recent)
    flaps = changes > flapping // 2 if before.flapping else changes >= flapping
    if flaps:
        status = worst([*recent, before.status] if before.flapping else recent)
    elif result != before.status and streak >= confirmations:
        status = result
    else:
        status = before.status
    changed = status != before.status
    return replace(after, status=status, since=now if changed else before.since, flapping=flaps)
