"""The SPARC orchestrator: a goal goes through specification, pseudocode, architecture, refinement, completion.

Each phase is a workflow with an artifact and a gate. An accepted phase is followed by the next; a
rejected one by the phase its gate names, in a new round, `ROUNDS` at most; then a person is asked.
A goal ends when its target is measured to be reached, or it is given up with a reason.

Belongs here: the life of goals and phases. Does not belong here: doing phases (`sparc_worker`), what
they put out (their makers reach into every domain: `agents.sparc_phases`), strategies
(`sparc_strategies`), targets (`sparc_targets`), reading (`sparc_records`).
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import sparc_strategies, sparc_targets, work_items
from qflow_dagster.execution.sparc_targets import Target
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, current_snapshot
from qflow_dagster.quantumflow import (
    Held,
    NewWorkflow,
    StateMachine,
    create_workflows,
    register,
    transition,
    uuid7,
)
from qflow_dagster.registry import Queue, WorkflowTypeName

ACTOR = "SPARC orchestrator"
PHASES = ("specification", "pseudocode", "architecture", "refinement", "completion")
ROUNDS = 5
# Seconds after which a goal that nobody reached is given up.
TERM = 90 * 86_400.0
GOAL = StateMachine(
    name="sparc_goal",
    initial="working",
    transitions={
        "working": frozenset({"tracking", "needs_person", "met", "given_up", "cancelled"}),
        # The change is verified on its branch; the target is measured once the branch is merged.
        "tracking": frozenset({"met", "working", "given_up", "cancelled"}),
        "needs_person": frozenset({"working", "met", "given_up", "cancelled"}),
        "met": frozenset(),
        "given_up": frozenset({"working"}),
        "cancelled": frozenset({"working"}),
    },
    terminal=frozenset({"met", "given_up", "cancelled"}),
    completed="met",
    cancelled="cancelled",
    # So that it alerts.
    dead="needs_person",
    expired="given_up",
)
PHASE = StateMachine(
    name="sparc_phase",
    initial="pending",
    transitions={
        "pending": frozenset({"running", "cancelled"}),
        "running": frozenset({"accepted", "rejected", "waiting", "pending", "failed", "cancelled"}),
        # For what a person decides, or what is being verified.
        "waiting": frozenset({"accepted", "rejected", "cancelled"}),
        "accepted": frozenset(),
        "rejected": frozenset(),
        "failed": frozenset({"pending"}),
        "cancelled": frozenset(),
    },
    terminal=frozenset({"accepted", "rejected", "failed", "cancelled"}),
    completed="accepted",
    claimable=frozenset({"pending"}),
    claimed="running",
    leased=frozenset({"running"}),
    failed="pending",
    dead="failed",
    released="pending",
    cancelled="cancelled",
)
GOAL_TYPE = register(WorkflowTypeName.SPARC_GOAL, machine=GOAL, queue=Queue.SPARC_NOTIFICATIONS).name
PHASE_TYPE = register(WorkflowTypeName.SPARC_PHASE, machine=PHASE, queue=Queue.SPARC_NOTIFICATIONS).name


class Gate(NamedTuple):
    """Who or what looked at an artifact, and the verdict; a rejection names the phase to go back to, or a person."""

    by: str
    verdict: Literal["accepted", "rejected", "waiting", "met"]
    reason: str
    back_to: str | None = None


class Made(NamedTuple):
    """What a phase put out: Markdown, data, who made it, the gate's verdict, and what it cost."""

    artifact: str
    data: dict[str, Any]
    author: str
    gate: Gate
    cost: float = 0.0


class Earlier(NamedTuple):
    """A phase of a goal that was done."""

    phase: str
    round: int
    verdict: str
    reason: str
    data: dict[str, Any]


class Goal(NamedTuple):
    """A goal as phase makers see it; `earlier` in order."""

    id: UUID
    repository: str
    work_item_id: UUID | None
    title: str
    goal_type: str
    language: str
    target: Target
    strategy: str
    round: int
    earlier: Sequence[Earlier]

    def last(self, phase: str) -> dict[str, Any]:
        """What that phase put out last; empty where it did not run."""
        return next((one.data for one in reversed(self.earlier) if one.phase == phase), {})


Maker = Callable[[Engine, Goal], Made]
# Looks at what a waiting completion waits for; None: still waiting.
Judge = Callable[[Connection, Goal, dict[str, Any]], Gate | None]


def start(
    connection: Connection,
    *,
    requested_by: str,
    work_item: UUID | None = None,
    repository: str | None = None,
    words: str | None = None,
    strategy: str | None = None,
    draw: Callable[[float, float], float] = random.betavariate,
) -> UUID:
    """Begin a goal: a work item, or words that name a target in a repository. A living goal of the item is found.

    Raises:
        UsageError: both or neither are given, or the words name no target.
        QflowError: there is no such work item or repository, or it has ended.
    """
    if (work_item is None) == (words is None or repository is None):
        raise UsageError("a goal is a work item, or words and a repository")
    if work_item is not None:
        there = connection.scalar(_LIVING, {"item": work_item})
        if there is not None:
            return there
        item = work_items.show(connection, work_item)
        if item["level"] != "feature" or item["state"] not in ("backlog", "in_progress"):
            raise QflowError(
                f"work item {work_item} is a {item['level']} that is {item['state']}; "
                "a goal is made of an open feature"
            )
        title = item["title"]
        target = sparc_targets.of_work_item(item)
        snapshot = current_snapshot(connection, item["repository"])
        kind = {"findings": "finding", "metric": "metric"}.get(item["source"], "text")
        if item["state"] == "backlog":
            work_items.move(
                connection, [work_item], "in_progress", actor=ACTOR, data={"reason": "a SPARC goal"}
            )
    else:
        snapshot = current_snapshot(connection, str(repository))
        title = " ".join(str(words).split())[:500]
        target = sparc_targets.read(connection, snapshot, title)
        kind = "metric"
    language = _language(connection, snapshot, target.path)
    chosen, considered = _strategy(connection, strategy, kind, language, draw)
    id_ = uuid7()
    new = NewWorkflow(type=GOAL_TYPE, payload={"title": title, "target": target.words}, ttl=TERM, id=id_)
    create_workflows(connection, [new], actor=requested_by)
    connection.execute(
        text("""
            INSERT INTO sparc_goals (id, repository_id, work_item_id, title, goal_type, language, target, strategy,
                                     considered, requested_by)
            VALUES (:id, :repository, :item, :title, :kind, :language, CAST(:target AS jsonb), :strategy,
                    CAST(:considered AS jsonb), :by)
        """),
        {
            "id": id_,
            "repository": snapshot.repository_id,
            "item": work_item,
            "title": title,
            "kind": kind,
            "language": language,
            "target": target.model_dump_json(),
            "strategy": chosen,
            "considered": json.dumps(considered),
            "by": requested_by,
        },
    )
    _begin(connection, id_, PHASES[0], 1)
    return id_


_LIVING = text("""
SELECT g.id FROM sparc_goals g JOIN workflows w ON w.id = g.id
WHERE g.work_item_id = :item AND w.finished_at IS NULL ORDER BY g.id DESC LIMIT 1
""")


def _language(connection: Connection, snapshot: Snapshot, path: str) -> str:
    query = text(
        f"SELECT b.language FROM files f JOIN blobs b ON b.id = f.blob_id WHERE {IN_SNAPSHOT} AND f.path = :p"
    )
    return connection.scalar(query, {**snapshot.interval, "p": path}) or ""


def _strategy(
    connection: Connection,
    wanted: str | None,
    kind: str,
    language: str,
    draw: Callable[[float, float], float],
) -> tuple[str, dict[str, float]]:
    if wanted is not None:
        return sparc_strategies.named(wanted).name, {}
    known = sparc_strategies.evidence(connection, kind, language)
    chosen, worth = sparc_strategies.choose(sparc_strategies.fitting(kind, language), known, draw)
    return chosen.name, worth


def _begin(connection: Connection, goal: UUID, phase: str, round_: int) -> None:
    [id_] = create_workflows(
        connection, [NewWorkflow(type=PHASE_TYPE, parent_id=goal, max_attempts=3)], actor=ACTOR
    )
    query = text("INSERT INTO sparc_phases (id, goal_id, phase, round) VALUES (:id, :goal, :phase, :round)")
    connection.execute(query, {"id": id_, "goal": goal, "phase": phase, "round": round_})
    connection.execute(
        text("UPDATE sparc_goals SET round = :round WHERE id = :id"), {"id": goal, "round": round_}
    )


_GOAL = text("""
SELECT p.phase, g.id, r.name AS repository, g.work_item_id, g.title, g.goal_type, g.language, g.target, g.strategy,
       g.round, (SELECT coalesce(jsonb_agg(jsonb_build_array(e.phase, e.round, e.verdict, e.reason, e.data)
                                 ORDER BY e.id), '[]')
                 FROM sparc_phases e WHERE e.goal_id = g.id AND e.verdict IS NOT NULL AND e.id <> p.id) AS earlier
FROM sparc_phases p JOIN sparc_goals g ON g.id = p.goal_id JOIN repositories r ON r.id = g.repository_id
WHERE p.id = :id
""")


def goal_of(connection: Connection, phase_id: UUID) -> tuple[Goal, str]:
    """The goal of a phase as its maker sees it, and which phase it is."""
    row = connection.execute(_GOAL, {"id": phase_id}).one()
    _, id_, repository, item, title, kind, language, target, strategy, round_, earlier = row
    before = [Earlier(*one) for one in earlier]
    return Goal(
        id_, repository, item, title, kind, language, Target.model_validate(target), strategy, round_, before
    ), row.phase


def conclude(connection: Connection, phase_id: UUID | Held, goal: Goal, phase: str, gate: Gate) -> None:
    """What follows a gate's verdict, in the transaction that records it."""
    state = "accepted" if gate.verdict == "met" else gate.verdict
    transition(
        connection, [phase_id], state, actor=gate.by, data={"reason": gate.reason, "back_to": gate.back_to}
    )
    if gate.verdict == "waiting":
        return
    connection.execute(
        text("UPDATE sparc_phases SET gate = :by, verdict = :verdict, reason = :reason WHERE id = :id"),
        {
            "id": phase_id if isinstance(phase_id, UUID) else phase_id.id,
            "by": gate.by,
            "verdict": state,
            "reason": gate.reason,
        },
    )
    if gate.verdict == "met":
        end(connection, goal, "met", gate.reason)
    elif gate.verdict == "accepted":
        if phase == PHASES[-1]:
            transition(connection, [goal.id], "tracking", actor=ACTOR, data={"reason": gate.reason})
            _record(connection, goal.id, True)
        else:
            _begin(connection, goal.id, PHASES[PHASES.index(phase) + 1], goal.round)
    elif gate.back_to is None:
        ask_person(connection, goal, gate.reason)
    elif goal.round >= ROUNDS:
        ask_person(connection, goal, f"{ROUNDS} rounds were not enough: {gate.reason}")
    else:
        _begin(connection, goal.id, gate.back_to, goal.round + 1)


def ask_person(connection: Connection, goal: Goal, reason: str) -> None:
    """Leave a goal to a person, who is alerted."""
    transition(connection, [goal.id], "needs_person", actor=ACTOR, data={"reason": reason})
    _record(connection, goal.id, False)


def end(connection: Connection, goal: Goal, state: str, reason: str, actor: str = ACTOR) -> None:
    """End a goal; nothing of it is worked on any more."""
    transition(connection, [goal.id], state, actor=actor, data={"reason": reason})
    if state != "met":
        _record(connection, goal.id, False)
    release(connection, goal, reason, met=state == "met", actor=actor)


def release(connection: Connection, goal: Goal, reason: str, *, met: bool, actor: str) -> None:
    """Cancel the open phases of a goal; the item that it had taken is done, or free again."""
    open_ = text("""
        SELECT w.id FROM sparc_phases p JOIN workflows w ON w.id = p.id
        WHERE p.goal_id = :id AND w.finished_at IS NULL ORDER BY w.id FOR UPDATE OF w
    """)
    ids = connection.scalars(open_, {"id": goal.id}).all()
    transition(connection, ids, "cancelled", actor=actor, data={"reason": reason})
    if goal.work_item_id is not None:
        query = text("SELECT status FROM workflows WHERE id = :id FOR UPDATE")
        if connection.scalar(query, {"id": goal.work_item_id}) == "in_progress":
            to = "done" if met else "backlog"
            work_items.move(connection, [goal.work_item_id], to, actor=actor, data={"reason": reason})


def _record(connection: Connection, goal: UUID, success: bool) -> None:
    """How the strategy did, where it came to be tried: the change is verified, or a person is asked."""
    query = text("""
        UPDATE sparc_goals g SET success = :success, quality = CASE WHEN :success THEN 1.0 / g.round ELSE 0 END,
            seconds = spent.seconds, cost = spent.cost
        FROM (SELECT sum(seconds) AS seconds, sum(cost) AS cost FROM sparc_phases WHERE goal_id = :id) AS spent
        WHERE g.id = :id AND EXISTS (SELECT FROM sparc_phases WHERE goal_id = :id AND phase = 'refinement')
    """)
    connection.execute(query, {"id": goal, "success": success})


def go_on(connection: Connection, id_: UUID, phase: str, *, actor: str, reason: str | None = None) -> None:
    """Let a goal that asks for a person, or was given up, go on at `phase`, with `ROUNDS` rounds again.

    Raises:
        UsageError: there is no such phase, or what it builds on was never done.
        IllegalTransitionError: it is being worked on, or met.
    """
    if phase not in PHASES:
        raise UsageError(f"no phase {phase!r}; there are: {', '.join(PHASES)}")
    query = text("SELECT DISTINCT phase FROM sparc_phases WHERE goal_id = :id AND data IS NOT NULL")
    done = set(connection.scalars(query, {"id": id_}))
    for before in reversed(PHASES[: PHASES.index(phase)]):
        if before not in done:
            raise UsageError(f"{phase} builds on {before}, which was never done")
    transition(connection, [id_], "working", actor=actor, data={"phase": phase, "reason": reason})
    _begin(connection, id_, phase, 1)


def give_up(connection: Connection, id_: UUID, *, actor: str, reason: str) -> None:
    """Give a goal up; its work item goes back to the backlog.

    Raises:
        IllegalTransitionError: it has ended.
    """
    query = text("SELECT id FROM sparc_phases WHERE goal_id = :id ORDER BY id DESC LIMIT 1")
    goal, _ = goal_of(connection, connection.scalar(query, {"id": id_}))
    end(connection, goal, "given_up", reason, actor)
