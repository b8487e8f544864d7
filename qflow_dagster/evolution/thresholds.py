"""Thresholds of trust levels: adapting them by regret, within bounds; every change is recorded and can be reverted.

The estimates compared with them are in `confidence`.

The regret of a threshold is what it would have cost on the decisions of the window: acting (or requesting
approval) where the outcome was bad, and not doing so where it was good. The costs follow from the
target rate of success: at 90% one wrong action costs as much as nine needless requests.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.tables import rule_thresholds
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

STEP = 0.03
# The newest decisions considered, and new decisions needed before a threshold moves.
WINDOW = 200
MIN_DECISIONS = 10
# Minimum reduction of regret per decision for a change.
MIN_GAIN = 0.05
ACTOR = "rule evolution"
# The rate of success at which each threshold breaks even.
TARGETS = {"ask": 0.5, "act": 0.9, "publish": 0.9}


class Decision(NamedTuple):
    """The estimated confidence of a change (0 to 1), whether its outcome was good, and when (None: irrelevant)."""

    estimate: float
    good: bool
    at: datetime | None = None


class Change(NamedTuple):
    """A threshold's new value, the reason, and the evidence."""

    value: float
    reason: str
    evidence: dict[str, Any]


def regret(threshold: float, decisions: Sequence[Decision], target: float) -> float:
    """Return the mean cost per decision of a threshold; a missed good change costs 1."""
    wrong = target / (1 - target)
    costs = [
        (0.0 if decision.good else wrong)
        if decision.estimate >= threshold
        else (1.0 if decision.good else 0.0)
        for decision in decisions
    ]
    return sum(costs) / len(costs) if costs else 0.0


def adapted(
    value: float, decisions: Sequence[Decision], target: float, bounds: tuple[float, float]
) -> Change | None:
    """Return the change to a better value, one or two steps away; None if the threshold stays."""
    if len(decisions) < MIN_DECISIONS:
        return None
    low, high = bounds
    steps = [round(min(max(value + n * STEP, low), high), 4) for n in (-2, -1, 1, 2)]
    current_regret = regret(value, decisions, target)
    best = min(steps, key=lambda other: (regret(other, decisions, target), abs(other - value)))
    best_regret = regret(best, decisions, target)
    if current_regret - best_regret < MIN_GAIN:
        return None
    reason = (
        f"on the last {len(decisions)} decisions {best:.2f} would have cost {best_regret:.3f} each, "
        f"{value:.2f} did cost {current_regret:.3f}"
    )
    evidence = {
        "decisions": len(decisions),
        "regret": round(current_regret, 4),
        "regret_after": round(best_regret, 4),
    }
    return Change(best, reason, evidence)


def starting() -> dict[str, float]:
    """Return the initial values, from the settings."""
    limits = settings()
    return {
        "ask": limits.evolution.ask,
        "act": limits.approvals.policy_confidence,
        "publish": limits.evolution.publish,
    }


def bounds(name: str) -> tuple[float, float]:
    """Return the lower and upper bound of a threshold."""
    low, high = getattr(settings().evolution, f"{name}_bounds")
    return low, high


def current(connection: Connection) -> dict[str, float]:
    """Return the current value of every threshold."""
    query = (
        select(rule_thresholds.c.name, rule_thresholds.c.value)
        .distinct(rule_thresholds.c.name)
        .order_by(rule_thresholds.c.name, rule_thresholds.c.id.desc())
    )
    return {**starting(), **{row.name: row.value for row in connection.execute(query)}}


def adapt(connection: Connection, name: str, decisions: Sequence[Decision]) -> Change | None:
    """Move a threshold if the decisions (oldest first) justify it; the change is recorded and notified.

    Each move needs `MIN_DECISIONS` new decisions; a change that a person reverted is not made again from
    the same decisions.
    """
    table = rule_thresholds.c
    moved = func.max(table.at)
    reverted = moved.filter(table.reverts.is_not(None))
    last = connection.execute(
        select(moved.label("moved"), reverted.label("reverted")).where(table.name == name)
    ).one()
    considered = [decision for decision in decisions if _is_after(decision, last.reverted)]
    if sum(_is_after(decision, last.moved) for decision in considered) < MIN_DECISIONS:
        return None
    value = current(connection)[name]
    change = adapted(value, considered[-WINDOW:], TARGETS[name], bounds(name))
    if change is not None:
        _record(connection, name, value, change, ACTOR, None)
    return change


def _is_after(decision: Decision, moment: datetime | None) -> bool:
    return moment is None or (decision.at is not None and decision.at > moment)


def changes(connection: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return the changes of thresholds, newest first."""
    table = rule_thresholds.c
    columns = (
        table.id,
        table.at,
        table.name,
        table.previous,
        table.value,
        table.actor,
        table.reason,
        table.evidence,
        table.reverts,
    )
    query = select(*columns).order_by(table.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def revert(connection: Connection, id_: int, *, actor: str, reason: str) -> float:
    """Revert a change: the threshold gets its previous value, which is returned.

    Raises:
        QflowError: There is no such change, or it is not the newest of its threshold.
    """
    table = rule_thresholds.c
    row = connection.execute(
        select(table.name, table.previous, table.value).where(table.id == id_)
    ).one_or_none()
    if row is None:
        raise QflowError(f"there is no change {id_} of a threshold; see qflow rules thresholds")
    newest = connection.scalar(select(func.max(table.id)).where(table.name == row.name))
    if newest != id_:
        raise QflowError(f"change {id_} of {row.name!r} is not its newest: take back {newest} first")
    _record(connection, row.name, row.value, Change(row.previous, reason, {}), actor, id_)
    return row.previous


def _record(
    connection: Connection, name: str, previous: float, change: Change, actor: str, reverts: int | None
) -> None:
    connection.execute(
        insert(rule_thresholds).values(
            name=name,
            previous=previous,
            value=change.value,
            actor=actor,
            reason=change.reason,
            evidence=change.evidence,
            reverts=reverts,
        )
    )
    message = {
        "event": "threshold",
        "name": name,
        "from": previous,
        "to": change.value,
        "reason": change.reason,
    }
    send_with_notify(connection, Queue.RULE_NOTIFICATIONS, [message])
