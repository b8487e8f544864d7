"""The rules that hold now: those of the packs, and what their lives made of them.

Belongs here: the life of a rule version (draft, trial, active, retired) as a workflow, and which
rules follow from it. Does not belong here: why a life changes (`rule_evolver`), asking people
about it (the agents), rules in files (`rules`).

A rule of a pack needs no row: its file says its status. It gets one when its life is changed here,
and keeps it until its pack says something else: a rule that was edited is another one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import EVALUATED, RULE, Rule, load_rules
from qflow_dagster.quantumflow import StateMachine, create_workflow, get_events, register, transition, uuid7
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Lock, Queue, WorkflowTypeName

LIFE = StateMachine(
    name="rule",
    initial="draft",
    transitions={
        # To itself: what a person was asked about it, and what came of it, are events too.
        "draft": frozenset({"draft", "trial", "active", "retired"}),
        "trial": frozenset({"trial", "active", "retired"}),
        "active": frozenset({"active", "retired"}),
        "retired": frozenset(),
    },
    terminal=frozenset({"retired"}),
    completed="active",
)
TYPE = register(WorkflowTypeName.RULE, machine=LIFE, queue=Queue.RULE_NOTIFICATIONS).name
Origin = Literal["shipped", "mined", "variant", "imported"]

_LIVES = """
SELECT l.id, l.rule_id, l.version, l.digest, l.definition, l.origin, l.parent, l.words, l.evidence, l.approval_id,
       l.wanted, l.created_at, w.status, w.updated_at
FROM rule_lives l JOIN workflows w ON w.id = l.id
"""


def current(connection: Connection) -> tuple[Rule, ...]:
    """Every rule that is not a draft or retired here, drafts of packs included; several versions where one is on trial.

    Of one id the active version comes first.
    """
    lives = connection.execute(text(_LIVES + " ORDER BY l.rule_id, l.version")).all()
    return merged(load_rules(), lives)


def merged(packs: Sequence[Rule], lives: Sequence[Row[Any] | Any]) -> tuple[Rule, ...]:
    """The rules that follow from packs and lives (rows of `rule_lives` with their `status`)."""
    rules = {rule.digest: rule for rule in packs}
    newest = {rule.id: rule.version for rule in packs}
    for life in lives:
        digest = bytes(life.digest)
        if life.status in EVALUATED and (digest in rules or life.version > newest.get(life.rule_id, 0)):
            definition = {**life.definition, "status": life.status}
            rules[digest] = RULE.validate_python(definition)
        elif life.status == "retired":
            rules.pop(digest, None)
    order = {"active": 0, "trial": 1, "draft": 2}
    return tuple(sorted(rules.values(), key=lambda rule: (rule.id, order.get(rule.status, 3), -rule.version)))


def by_id(rules: Sequence[Rule]) -> dict[str, Rule]:
    """One rule per id: the active version, else the one on trial."""
    return {rule.id: rule for rule in reversed(rules)}


def find_life(connection: Connection, digest: bytes) -> Row[Any] | None:
    """The row of a rule version's life, if it has one."""
    return connection.execute(text(_LIVES + " WHERE l.digest = :digest"), {"digest": digest}).one_or_none()


def get_life(connection: Connection, id_: UUID) -> Row[Any]:
    """A life by its id.

    Raises:
        QflowError: there is none.
    """
    row = connection.execute(text(_LIVES + " WHERE l.id = :id"), {"id": id_}).one_or_none()
    if row is None:
        raise QflowError(f"there is no rule version {id_}")
    return row


def lives(connection: Connection, *, rule: str | None = None, states: Sequence[str] = ()) -> list[Row[Any]]:
    """Lives, the newest first; of one rule, in those states (default: all)."""
    query = text(f"""{_LIVES} WHERE (CAST(:rule AS text) IS NULL OR l.rule_id = :rule)
        AND (cardinality(CAST(:states AS text[])) = 0 OR w.status = ANY(:states)) ORDER BY l.id DESC""")
    return list(connection.execute(query, {"rule": rule, "states": list(states)}))


def begin(
    connection: Connection,
    rule: Rule,
    origin: Origin,
    words: str,
    *,
    actor: str,
    evidence: Mapping[str, Any] | None = None,
    parent: bytes | None = None,
) -> UUID | None:
    """Give a new rule version a life, as a draft; None where this very rule has one already."""
    if find_life(connection, rule.digest) is not None:
        return None
    id_ = uuid7()
    key = rule.digest.hex()
    made = create_workflow(
        connection, TYPE, {"rule": rule.id, "version": rule.version}, actor=actor, id=id_, key=key
    )
    if made != id_:
        # Somebody else begins the same one at this moment; a retired one keeps its key.
        return None
    connection.execute(
        text("""
            INSERT INTO rule_lives (id, rule_id, version, digest, definition, origin, parent, words, evidence)
            VALUES (:id, :rule, :version, :digest, CAST(:definition AS jsonb), :origin, :parent, :words,
                    CAST(:evidence AS jsonb))
        """),
        {
            "id": id_,
            "rule": rule.id,
            "version": rule.version,
            "digest": rule.digest,
            "definition": to_json(definition_of(rule), f"the rule {rule.id}", exact=True),
            "origin": origin,
            "parent": parent,
            "words": words,
            "evidence": to_json(dict(evidence or {}), "the evidence"),
        },
    )
    return id_


def life_of(connection: Connection, rule: Rule, *, actor: str) -> UUID:
    """The life of a rule version; one of a pack that has none yet gets it, in the state its pack says."""
    life = find_life(connection, rule.digest)
    if life is not None:
        return life.id
    id_ = begin(connection, rule, "shipped", f"shipped in pack {rule.pack}", actor=actor)
    if id_ is None:
        raise QflowError(f"{rule.id} is being changed by somebody else at this moment; try again")
    if rule.status != "draft":
        transition(connection, [id_], rule.status, actor=actor, data={"reason": f"so says pack {rule.pack}"})
    return id_


def change(
    connection: Connection, id_: UUID, to: str, *, actor: str, reason: str, run_id: str | None = None
) -> None:
    """Move a life on. Where a version becomes active, the active ones it replaces retire.

    Raises:
        UsageError: no reason is given.
        IllegalTransitionError: it cannot go there.
    """
    if not reason.strip():
        raise UsageError("a change of a rule needs a reason")
    life = get_life(connection, id_)
    if to == "active":
        for other in [*lives(connection, rule=life.rule_id, states=EVALUATED)]:
            if other.id != id_:
                words = f"version {life.version} takes its place"
                transition(connection, [other.id], "retired", actor=actor, data={"reason": words})
        for rule in load_rules():
            if rule.id == life.rule_id and rule.digest != bytes(life.digest):
                replaced = life_of(connection, rule, actor=actor)
                if get_life(connection, replaced).status != "retired":
                    words = f"version {life.version} takes its place"
                    transition(connection, [replaced], "retired", actor=actor, data={"reason": words})
    transition(connection, [id_], to, actor=actor, data={"reason": reason}, run_id=run_id)
    connection.execute(
        text("UPDATE rule_lives SET approval_id = NULL, wanted = NULL WHERE id = :id"), {"id": id_}
    )


def ask(connection: Connection, id_: UUID, approval: UUID, to: str, *, actor: str, reason: str) -> None:
    """Note that a person was asked whether the life may move on."""
    life = get_life(connection, id_)
    data = {"reason": reason, "approval": str(approval)}
    transition(connection, [id_], life.status, actor=actor, data=data)
    connection.execute(
        text("UPDATE rule_lives SET approval_id = :approval, wanted = :to WHERE id = :id"),
        {"approval": approval, "to": to, "id": id_},
    )


def forget_request(connection: Connection, id_: UUID, *, reason: str) -> None:
    """Note that nobody answered: it may be asked again."""
    life = get_life(connection, id_)
    transition(connection, [id_], life.status, actor="rule evolution", data={"reason": reason})
    connection.execute(
        text("UPDATE rule_lives SET approval_id = NULL, wanted = NULL WHERE id = :id"), {"id": id_}
    )


def definition_of(rule: Rule) -> dict[str, Any]:
    """The rule as a pack says it."""
    return rule.model_dump(mode="json", by_alias=True, exclude_none=True)


def one_at_a_time(connection: Connection) -> None:
    """Nobody else makes new rule versions until the caller's transaction ends: numbers are given once."""
    lock(connection, Lock.RULE_VERSIONS)


def next_version(connection: Connection, rule: str) -> int:
    """The number a new version of the rule gets: above all there ever were. See `one_at_a_time`."""
    query = text("SELECT max(version) FROM rule_lives WHERE rule_id = :rule")
    known = [one.version for one in load_rules() if one.id == rule]
    return max([0, *known, connection.scalar(query, {"rule": rule}) or 0]) + 1


def events(connection: Connection, id_: UUID) -> list[dict[str, Any]]:
    """What happened in a life, oldest first."""
    return [
        {
            "at": event.at,
            "from": event.from_status,
            "to": event.to_status,
            "actor": event.actor,
            "reason": (event.data or {}).get("reason"),
        }
        for event in get_events(connection, id_)
    ]
