"""Thresholds of autonomy, and how they adapt: from regret, within bounds, every change recorded.

Belongs here: the pure decision, and storing and taking back changes. Does not belong here: what
is compared with them (`confidence`).

Regret of a threshold is what it would have cost on the decisions of the window: acting (asking)
on what turned out bad, and not acting (asking) on what turned out good. The costs follow from the
rate of success that is aimed at: at 90% a wrong act weighs as much as nine needless questions.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

STEP = 0.03
# Decisions that are looked at: the newest; and those needed before anything moves.
WINDOW = 200
ENOUGH = 10
# Regret per decision by which another value has to be better.
MIN_GAIN = 0.05
ACTOR = "rule evolution"
# What is compared with it, (name of the bound, the rate of success at which it breaks even).
TARGETS = {"ask": 0.5, "act": 0.9, "publish": 0.9}


class Decision(NamedTuple):
    """What was believed of a change (0 to 1), whether it turned out good, and when (None: does not matter)."""

    believed: float
    good: bool
    at: datetime | None = None


class Change(NamedTuple):
    """A threshold's new value, and why."""

    value: float
    reason: str
    evidence: dict[str, Any]


def regret(threshold: float, decisions: Sequence[Decision], target: float) -> float:
    """Mean cost per decision of such a threshold; a missed good one costs 1."""
    wrong = target / (1 - target)
    costs = [
        (0.0 if one.good else wrong) if one.believed >= threshold else (1.0 if one.good else 0.0)
        for one in decisions
    ]
    return sum(costs) / len(costs) if costs else 0.0


def adapted(
    value: float, decisions: Sequence[Decision], target: float, bounds: tuple[float, float]
) -> Change | None:
    """The value to move to: one step, or two where that is better still; None where it stays."""
    if len(decisions) < ENOUGH:
        return None
    low, high = bounds
    steps = [round(min(max(value + n * STEP, low), high), 4) for n in (-2, -1, 1, 2)]
    now = regret(value, decisions, target)
    best = min(steps, key=lambda other: (regret(other, decisions, target), abs(other - value)))
    then = regret(best, decisions, target)
    if now - then < MIN_GAIN:
        return None
    reason = (
        f"on the last {len(decisions)} decisions {best:.2f} would have cost {then:.3f} each, "
        f"{value:.2f} did cost {now:.3f}"
    )
    evidence = {"decisions": len(decisions), "regret": round(now, 4), "regret_after": round(then, 4)}
    return Change(best, reason, evidence)


def starting() -> dict[str, float]:
    """The values nothing has moved yet: the settings'."""
    limits = settings()
    return {
        "ask": limits.evolution.ask,
        "act": limits.approvals.policy_confidence,
        "publish": limits.evolution.publish,
    }


def bounds(name: str) -> tuple[float, float]:
    """Between what a threshold may move."""
    low, high = getattr(settings().evolution, f"{name}_bounds")
    return low, high


def current(connection: Connection) -> dict[str, float]:
    """Every threshold's value now."""
    query = text("SELECT DISTINCT ON (name) name, value FROM rule_thresholds ORDER BY name, id DESC")
    return {**starting(), **{row.name: row.value for row in connection.execute(query)}}


def adapt(connection: Connection, name: str, decisions: Sequence[Decision]) -> Change | None:
    """Move a threshold if the decisions (oldest first) say so; the change is recorded and told.

    Each move waits for `ENOUGH` new decisions; what a person took back is not concluded again from
    the same ones.
    """
    query = text("""
        SELECT max(at) AS moved, max(at) FILTER (WHERE reverts IS NOT NULL) AS reverted
        FROM rule_thresholds WHERE name = :name
    """)
    last = connection.execute(query, {"name": name}).one()
    seen = [one for one in decisions if last.reverted is None or (one.at and one.at > last.reverted)]
    if sum(last.moved is None or bool(one.at and one.at > last.moved) for one in seen) < ENOUGH:
        return None
    value = current(connection)[name]
    change = adapted(value, seen[-WINDOW:], TARGETS[name], bounds(name))
    if change is not None:
        _record(connection, name, value, change, ACTOR, None)
    return change


def changes(connection: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Changes of thresholds, newest first."""
    query = text("""
        SELECT id, at, name, previous, value, actor, reason, evidence, reverts FROM rule_thresholds
        ORDER BY id DESC LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"limit": limit}).mappings()]


def revert(connection: Connection, id_: int, *, actor: str, reason: str) -> float:
    """Take a change back: the threshold is what it was before it; returns that value.

    Raises:
        QflowError: there is no such change, or it is not the newest of its threshold.
    """
    query = text("""
        SELECT t.*, (SELECT max(id) FROM rule_thresholds n WHERE n.name = t.name) AS newest
        FROM rule_thresholds t WHERE id = :id
    """)
    row = connection.execute(query, {"id": id_}).one_or_none()
    if row is None:
        raise QflowError(f"there is no change {id_} of a threshold; see qflow rules thresholds")
    if row.id != row.newest:
        raise QflowError(f"change {id_} of {row.name!r} is not its newest: take back {row.newest} first")
    _record(connection, row.name, row.value, Change(row.previous, reason, {}), actor, id_)
    return row.previous


def _record(
    connection: Connection, name: str, previous: float, change: Change, actor: str, reverts: int | None
) -> None:
    statement = text("""
        INSERT INTO rule_thresholds (name, previous, value, actor, reason, evidence, reverts)
        VALUES (:name, :previous, :value, :actor, :reason, CAST(:evidence AS jsonb), :reverts)
    """)
    connection.execute(
        statement,
        {
            "name": name,
            "previous": previous,
            "value": change.value,
            "actor": actor,
            "reason": change.reason,
            "evidence": to_json(change.evidence, "the evidence"),
            "reverts": reverts,
        },
    )
    message = {
        "event": "threshold",
        "name": name,
        "from": previous,
        "to": change.value,
        "reason": change.reason,
    }
    send_with_notify(connection, Queue.RULE_NOTIFICATIONS, [message])
