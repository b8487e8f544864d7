"""The SPARC orchestrator: goals go through specification, pseudocode, architecture, refinement, completion.

Each phase is a workflow with an artifact and a gate. An accepted phase is followed by the next one; a
rejected one by the phase its gate names, in a new round. After `MAX_ROUNDS` rounds a person decides.
A goal ends when its target is measured to be reached, or when it is abandoned with a reason.

Belongs here: the lifecycle of goals and phases. Does not belong here: running phases (`sparc_worker`),
producing their artifacts (`agents.sparc_phases`), strategies (`sparc_strategies`), targets
(`sparc_targets`), reading (`sparc_records`).
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, select, text, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import coverage_goals, sparc_strategies, sparc_targets, work_items
from qflow_dagster.execution.sparc_targets import Target
from qflow_dagster.execution.tables import sparc_goals, sparc_phases
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
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import Queue, WorkflowTypeName

ACTOR = "SPARC orchestrator"
PHASES = ("specification", "pseudocode", "architecture", "refinement", "completion")
MAX_ROUNDS = 5
# Seconds after which a goal that was not reached is abandoned (90 days).
GOAL_TTL = 90 * 86_400.0
GOAL = StateMachine(
    name="sparc_goal",
    initial="working",
    transitions={
        "working": frozenset({"tracking", "needs_person", "met", "given_up", "cancelled"}),
        # The change is verified on its branch; the target is measured after the branch is merged.
        "tracking": frozenset({"met", "working", "given_up", "cancelled"}),
        "needs_person": frozenset({"working", "met", "given_up", "cancelled"}),
        "met": frozenset(),
        "given_up": frozenset({"working"}),
        "cancelled": frozenset({"working"}),
    },
    terminal=frozenset({"met", "given_up", "cancelled"}),
    completed="met",
    cancelled="cancelled",
    # The dead state, because that one alerts.
    dead="needs_person",
    expired="given_up",
)
PHASE = StateMachine(
    name="sparc_phase",
    initial="pending",
    transitions={
        "pending": frozenset({"running", "cancelled"}),
        "running": frozenset({"accepted", "rejected", "waiting", "pending", "failed", "cancelled"}),
        # For a person's decision, or for the verification of the change.
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
    """The check of an artifact and its verdict; a rejection names the phase to go back to, or None for a person."""

    by: str
    verdict: Literal["accepted", "rejected", "waiting", "met"]
    reason: str
    back_to: str | None = None


class PhaseResult(NamedTuple):
    """The result of a phase: a Markdown artifact, data, its author, the gate's verdict, and the cost."""

    artifact: str
    data: dict[str, Any]
    author: str
    gate: Gate
    cost: float = 0.0


class EarlierPhase(NamedTuple):
    """A finished phase of a goal."""

    phase: str
    round: int
    verdict: str
    reason: str
    data: dict[str, Any]


class Goal(NamedTuple):
    """A goal as the makers of its phases see it; `earlier` holds the finished phases in order."""

    id: UUID
    repository: str
    work_item_id: UUID | None
    title: str
    goal_type: str
    language: str
    target: Target
    strategy: str
    round: int
    earlier: Sequence[EarlierPhase]

    def last(self, phase: str) -> dict[str, Any]:
        """Return the data of the latest run of that phase; empty if it did not run."""
        return next((finished.data for finished in reversed(self.earlier) if finished.phase == phase), {})


Maker = Callable[[Engine, Goal], PhaseResult]
# Checks whether a waiting completion can be decided; None while it cannot.
CompletionCheck = Callable[[Connection, Goal, dict[str, Any]], Gate | None]


def start(
    connection: Connection,
    *,
    requested_by: str,
    work_item: UUID | None = None,
    repository: str | None = None,
    description: str | None = None,
    strategy: str | None = None,
    draw: Callable[[float, float], float] = random.betavariate,
) -> UUID:
    """Start a goal for a work item, or for a description that names a target in a repository; return its id.

    An open goal of the same work item is returned instead.

    Raises:
        UsageError: both or neither are passed, or the description names no target.
        QflowError: there is no such work item or repository, or the item has ended.
    """
    if (work_item is None) == (description is None or repository is None):
        raise UsageError("a goal needs a work item, or a description and a repository")
    if work_item is None and repository is not None:
        snapshot = current_snapshot(connection, repository)
        work_item = coverage_goals.story_of(connection, snapshot, str(description), actor=requested_by)
    if work_item is not None:
        open_goal = connection.scalar(_OPEN_GOAL, {"item": work_item})
        if open_goal is not None:
            return open_goal
        item = work_items.show(connection, work_item)
        if item["level"] not in work_items.WORKABLE or item["state"] not in ("backlog", "in_progress"):
            raise QflowError(
                f"work item {work_item} is a {item['level']} that is {item['state']}; "
                "a goal is made of an open feature or story"
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
        title = " ".join(str(description).split())[:500]
        target = sparc_targets.read(connection, snapshot, title)
        kind = "metric"
    language = _language(connection, snapshot, target.path)
    chosen_name, considered = _strategy(connection, strategy, kind, language, target.measure, draw)
    id_ = uuid7()
    new = NewWorkflow(
        type=GOAL_TYPE, payload={"title": title, "target": target.description}, ttl=GOAL_TTL, id=id_
    )
    create_workflows(connection, [new], actor=requested_by)
    connection.execute(
        insert(sparc_goals).values(
            id=id_,
            repository_id=snapshot.repository_id,
            work_item_id=work_item,
            title=title,
            goal_type=kind,
            language=language,
            target=target.model_dump(),
            strategy=chosen_name,
            considered=considered,
            requested_by=requested_by,
        )
    )
    _begin(connection, id_, PHASES[0], 1)
    return id_


_OPEN_GOAL = text("""
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
    requested: str | None,
    kind: str,
    language: str,
    measure: str,
    draw: Callable[[float, float], float],
) -> tuple[str, dict[str, float]]:
    if requested is not None:
        return sparc_strategies.named(requested).name, {}
    evidence = sparc_strategies.evidence(connection, kind, language)
    chosen, values = sparc_strategies.choose(
        sparc_strategies.matching(kind, language, measure), evidence, draw
    )
    return chosen.name, values


def _begin(connection: Connection, goal: UUID, phase: str, round_: int) -> None:
    [id_] = create_workflows(
        connection, [NewWorkflow(type=PHASE_TYPE, parent_id=goal, max_attempts=3)], actor=ACTOR
    )
    connection.execute(insert(sparc_phases).values(id=id_, goal_id=goal, phase=phase, round=round_))
    connection.execute(update(sparc_goals).where(sparc_goals.c.id == goal).values(round=round_))


_GOAL = text("""
SELECT p.phase, g.id, r.name AS repository, g.work_item_id, g.title, g.goal_type, g.language, g.target, g.strategy,
       g.round, (SELECT coalesce(jsonb_agg(jsonb_build_array(e.phase, e.round, e.verdict, e.reason, e.data)
                                 ORDER BY e.id), '[]')
                 FROM sparc_phases e WHERE e.goal_id = g.id AND e.verdict IS NOT NULL AND e.id <> p.id) AS earlier
FROM sparc_phases p JOIN sparc_goals g ON g.id = p.goal_id JOIN repositories r ON r.id = g.repository_id
WHERE p.id = :id
""")


def goal_of(connection: Connection, phase_id: UUID) -> tuple[Goal, str]:
    """Return the goal of a phase as its maker sees it, and the name of the phase."""
    row = connection.execute(_GOAL, {"id": phase_id}).one()
    _, id_, repository, item, title, kind, language, target, strategy, round_, earlier = row
    earlier_phases = [EarlierPhase(*values) for values in earlier]
    return Goal(
        id_,
        repository,
        item,
        title,
        kind,
        language,
        Target.model_validate(target),
        strategy,
        round_,
        earlier_phases,
    ), row.phase


def conclude(connection: Connection, phase_id: UUID | Held, goal: Goal, phase: str, gate: Gate) -> None:
    """Record a gate's verdict and start what follows from it, in the caller's transaction."""
    state = "accepted" if gate.verdict == "met" else gate.verdict
    transition(
        connection, [phase_id], state, actor=gate.by, data={"reason": gate.reason, "back_to": gate.back_to}
    )
    if gate.verdict == "waiting":
        return
    connection.execute(
        update(sparc_phases)
        .where(sparc_phases.c.id == (phase_id if isinstance(phase_id, UUID) else phase_id.id))
        .values(gate=gate.by, verdict=state, reason=gate.reason)
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
        escalate(connection, goal, gate.reason)
    elif goal.round >= MAX_ROUNDS:
        escalate(connection, goal, f"{MAX_ROUNDS} rounds were not enough: {gate.reason}")
    else:
        _begin(connection, goal.id, gate.back_to, goal.round + 1)


def escalate(connection: Connection, goal: Goal, reason: str) -> None:
    """Leave a goal to a person, who is alerted."""
    transition(connection, [goal.id], "needs_person", actor=ACTOR, data={"reason": reason})
    _record(connection, goal.id, False)


def end(connection: Connection, goal: Goal, state: str, reason: str, actor: str = ACTOR) -> None:
    """End a goal and cancel its open phases."""
    transition(connection, [goal.id], state, actor=actor, data={"reason": reason})
    if state != "met":
        _record(connection, goal.id, False)
    release(connection, goal, reason, met=state == "met", actor=actor)


def release(connection: Connection, goal: Goal, reason: str, *, met: bool, actor: str) -> None:
    """Cancel the open phases of a goal; its work item becomes done, or returns to the backlog."""
    open_ = text("""
        SELECT w.id FROM sparc_phases p JOIN workflows w ON w.id = p.id
        WHERE p.goal_id = :id AND w.finished_at IS NULL ORDER BY w.id FOR UPDATE OF w
    """)
    ids = connection.scalars(open_, {"id": goal.id}).all()
    transition(connection, ids, "cancelled", actor=actor, data={"reason": reason})
    if goal.work_item_id is not None:
        status = select(workflows.c.status).where(workflows.c.id == goal.work_item_id).with_for_update()
        if connection.scalar(status) == "in_progress":
            to = "done" if met else "backlog"
            work_items.move(connection, [goal.work_item_id], to, actor=actor, data={"reason": reason})
    own = select(workflows.c.id).where(
        workflows.c.key == story_key(goal.id), workflows.c.finished_at.is_(None)
    )
    stories = connection.scalars(own.with_for_update()).all()
    work_items.move(connection, stories, "done" if met else "cancelled", actor=actor, data={"reason": reason})


def _record(connection: Connection, goal: UUID, success: bool) -> None:
    """Record the result of the strategy, if it was tried: the change is verified, or a person has to decide."""
    query = text("""
        UPDATE sparc_goals g SET success = :success, quality = CASE WHEN :success THEN 1.0 / g.round ELSE 0 END,
            seconds = spent.seconds, cost = spent.cost
        FROM (SELECT sum(seconds) AS seconds, sum(cost) AS cost FROM sparc_phases WHERE goal_id = :id) AS spent
        WHERE g.id = :id AND EXISTS (SELECT FROM sparc_phases WHERE goal_id = :id AND phase = 'refinement')
    """)
    connection.execute(query, {"id": goal, "success": success})


def resume(connection: Connection, id_: UUID, phase: str, *, actor: str, reason: str | None = None) -> None:
    """Resume a goal that needs a person or was abandoned, at `phase`, with `MAX_ROUNDS` rounds again.

    Raises:
        UsageError: unknown phase, or a phase it builds on was never done.
        IllegalTransitionError: the goal is being worked on, or met.
    """
    if phase not in PHASES:
        raise UsageError(f"unknown phase {phase!r}; phases: {', '.join(PHASES)}")
    query = select(sparc_phases.c.phase).where(
        sparc_phases.c.goal_id == id_, sparc_phases.c.data.is_not(None)
    )
    done = set(connection.scalars(query))
    for before in reversed(PHASES[: PHASES.index(phase)]):
        if before not in done:
            raise UsageError(f"{phase} builds on {before}, which was never done")
    transition(connection, [id_], "working", actor=actor, data={"phase": phase, "reason": reason})
    _begin(connection, id_, phase, 1)


def story_key(goal: UUID) -> str:
    """Return the key of the story that stands for the bound of a goal itself, where no finding does."""
    return f"goal:{goal}"


def abandon(connection: Connection, id_: UUID, *, actor: str, reason: str) -> None:
    """Abandon a goal; its work item goes back to the backlog.

    Raises:
        IllegalTransitionError: the goal has ended.
    """
    query = (
        select(sparc_phases.c.id)
        .where(sparc_phases.c.goal_id == id_)
        .order_by(sparc_phases.c.id.desc())
        .limit(1)
    )
    goal, _ = goal_of(connection, connection.scalars(query).one())
    end(connection, goal, "given_up", reason, actor)
