"""The rules in force: those of the packs, modified by the lifecycles of rule versions.

A lifecycle (draft, trial, active, retired) is a workflow with a row in `rule_lifecycles`. Why a status
changes is decided in `rule_evolver` and by people.

A rule of a pack needs no row: its file states its status. It gets a row when its status is changed here.
The row applies until the rule is edited in its pack: an edited rule is another version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import EVALUATED, RULE, Rule, load_rules
from qflow_dagster.evolution.tables import rule_lifecycles
from qflow_dagster.quantumflow import StateMachine, create_workflow, get_events, register, transition, uuid7
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import Lock, Queue, WorkflowTypeName

LIFECYCLE = StateMachine(
    name="rule",
    initial="draft",
    transitions={
        # To itself: requests for approval and their results are events, too.
        "draft": frozenset({"draft", "trial", "active", "retired"}),
        "trial": frozenset({"trial", "active", "retired"}),
        "active": frozenset({"active", "retired"}),
        "retired": frozenset(),
    },
    terminal=frozenset({"retired"}),
    completed="active",
)
TYPE = register(WorkflowTypeName.RULE, machine=LIFECYCLE, queue=Queue.RULE_NOTIFICATIONS).name
Origin = Literal["shipped", "mined", "variant", "imported"]


def _select() -> Select[Any]:
    """Return the query of all lifecycles with their status."""
    return select(rule_lifecycles, workflows.c.status, workflows.c.updated_at).join_from(
        rule_lifecycles, workflows, workflows.c.id == rule_lifecycles.c.id
    )


def current(connection: Connection) -> tuple[Rule, ...]:
    """Return the rules in force, including drafts of packs; one id may have an active version and versions on trial.

    Of one id the active version comes first.
    """
    query = _select().order_by(rule_lifecycles.c.rule_id, rule_lifecycles.c.version)
    return merged(load_rules(), connection.execute(query).all())


def merged(packs: Sequence[Rule], lifecycles: Sequence[Row[Any] | Any]) -> tuple[Rule, ...]:
    """Combine the rules of packs with lifecycles (rows of `rule_lifecycles` with their `status`)."""
    rules = {rule.digest: rule for rule in packs}
    newest = {rule.id: rule.version for rule in packs}
    for lifecycle in lifecycles:
        digest = bytes(lifecycle.digest)
        if lifecycle.status in EVALUATED and (
            digest in rules or lifecycle.version > newest.get(lifecycle.rule_id, 0)
        ):
            # What a pack says of a rule is newer than what its lifecycle began with.
            definition = definition_of(rules[digest]) if digest in rules else lifecycle.definition
            rules[digest] = RULE.validate_python({**definition, "status": lifecycle.status})
        elif lifecycle.status == "retired":
            rules.pop(digest, None)
    order = {"active": 0, "trial": 1, "draft": 2}
    return tuple(sorted(rules.values(), key=lambda rule: (rule.id, order.get(rule.status, 3), -rule.version)))


def by_id(rules: Sequence[Rule]) -> dict[str, Rule]:
    """Return one rule per id: the active version, else the one on trial."""
    return {rule.id: rule for rule in reversed(rules)}


def find_lifecycle(connection: Connection, digest: bytes) -> Row[Any] | None:
    """Return the lifecycle of the rule version with that digest, if it has one."""
    return connection.execute(_select().where(rule_lifecycles.c.digest == digest)).one_or_none()


def get_lifecycle(connection: Connection, id_: UUID) -> Row[Any]:
    """Return a lifecycle by its id.

    Raises:
        QflowError: There is none with that id.
    """
    row = connection.execute(_select().where(rule_lifecycles.c.id == id_)).one_or_none()
    if row is None:
        raise QflowError(f"there is no rule version {id_}")
    return row


def lifecycles(
    connection: Connection, *, rule: str | None = None, states: Sequence[str] = ()
) -> list[Row[Any]]:
    """Return lifecycles, newest first; filtered by rule id and states (default: all)."""
    query = _select().order_by(rule_lifecycles.c.id.desc())
    if rule is not None:
        query = query.where(rule_lifecycles.c.rule_id == rule)
    if states:
        query = query.where(workflows.c.status.in_(states))
    return list(connection.execute(query))


def begin_lifecycle(
    connection: Connection,
    rule: Rule,
    origin: Origin,
    description: str,
    *,
    actor: str,
    evidence: Mapping[str, Any] | None = None,
    parent: bytes | None = None,
) -> UUID | None:
    """Create the lifecycle of a new rule version, as a draft; None if a rule with that digest has one already."""
    if find_lifecycle(connection, rule.digest) is not None:
        return None
    id_ = uuid7()
    key = rule.digest.hex()
    created = create_workflow(
        connection, TYPE, {"rule": rule.id, "version": rule.version}, actor=actor, id=id_, key=key
    )
    if created != id_:
        # A concurrent call created it; a retired one keeps its key.
        return None
    connection.execute(
        insert(rule_lifecycles).values(
            id=id_,
            rule_id=rule.id,
            version=rule.version,
            digest=rule.digest,
            definition=_jsonb(to_json(definition_of(rule), f"the rule {rule.id}", exact=True)),
            origin=origin,
            parent=parent,
            description=description,
            evidence=_jsonb(to_json(dict(evidence or {}), "the evidence")),
        )
    )
    return id_


def _jsonb(encoded: str) -> ColumnElement[Any]:
    """Return JSON that was checked and encoded by `to_json` as an SQL value."""
    return literal(encoded, Text()).cast(JSONB)


def lifecycle_of(connection: Connection, rule: Rule, *, actor: str) -> UUID:
    """Return the lifecycle's id of a rule version; a rule of a pack gets one, with the status its pack states.

    Raises:
        QflowError: A concurrent call changes the same rule.
    """
    lifecycle = find_lifecycle(connection, rule.digest)
    if lifecycle is not None:
        return lifecycle.id
    id_ = begin_lifecycle(connection, rule, "shipped", f"shipped in pack {rule.pack}", actor=actor)
    if id_ is None:
        raise QflowError(f"{rule.id} is being changed by somebody else at this moment; try again")
    if rule.status != "draft":
        transition(connection, [id_], rule.status, actor=actor, data={"reason": f"so says pack {rule.pack}"})
    return id_


def change(
    connection: Connection, id_: UUID, to: str, *, actor: str, reason: str, run_id: str | None = None
) -> None:
    """Change the status of a rule version. If it becomes active, the versions it replaces are retired.

    Raises:
        UsageError: The reason is empty.
        IllegalTransitionError: The state machine does not allow the change.
    """
    if not reason.strip():
        raise UsageError("a change of a rule needs a reason")
    lifecycle = get_lifecycle(connection, id_)
    if to == "active":
        for other in lifecycles(connection, rule=lifecycle.rule_id, states=EVALUATED):
            if other.id != id_:
                replacement_reason = f"version {lifecycle.version} takes its place"
                transition(
                    connection, [other.id], "retired", actor=actor, data={"reason": replacement_reason}
                )
        for rule in load_rules():
            if rule.id == lifecycle.rule_id and rule.digest != bytes(lifecycle.digest):
                replaced = lifecycle_of(connection, rule, actor=actor)
                if get_lifecycle(connection, replaced).status != "retired":
                    replacement_reason = f"version {lifecycle.version} takes its place"
                    transition(
                        connection, [replaced], "retired", actor=actor, data={"reason": replacement_reason}
                    )
    transition(connection, [id_], to, actor=actor, data={"reason": reason}, run_id=run_id)
    _set_request(connection, id_, None, None)


def record_request(
    connection: Connection, id_: UUID, approval: UUID, to: str, *, actor: str, reason: str
) -> None:
    """Record that the approval of a change of status was requested."""
    lifecycle = get_lifecycle(connection, id_)
    data = {"reason": reason, "approval": str(approval)}
    transition(connection, [id_], lifecycle.status, actor=actor, data=data)
    _set_request(connection, id_, approval, to)


def forget_request(connection: Connection, id_: UUID, *, reason: str) -> None:
    """Record that a request ended without a decision: it may be requested again."""
    lifecycle = get_lifecycle(connection, id_)
    transition(connection, [id_], lifecycle.status, actor="rule evolution", data={"reason": reason})
    _set_request(connection, id_, None, None)


def _set_request(connection: Connection, id_: UUID, approval: UUID | None, status: str | None) -> None:
    changes = {"approval_id": approval, "requested_status": status}
    connection.execute(update(rule_lifecycles).where(rule_lifecycles.c.id == id_).values(changes))


def definition_of(rule: Rule) -> dict[str, Any]:
    """Return the rule as in a pack."""
    return rule.model_dump(mode="json", by_alias=True, exclude_none=True)


def one_at_a_time(connection: Connection) -> None:
    """Lock the creation of rule versions until the transaction ends, so that version numbers are unique."""
    lock(connection, Lock.RULE_VERSIONS)


def next_version(connection: Connection, rule: str) -> int:
    """Return the number for a new version of the rule: above all existing ones. Call `one_at_a_time` before."""
    query = select(func.max(rule_lifecycles.c.version)).where(rule_lifecycles.c.rule_id == rule)
    shipped = [pack_rule.version for pack_rule in load_rules() if pack_rule.id == rule]
    return max([0, *shipped, connection.scalar(query) or 0]) + 1


def events(connection: Connection, id_: UUID) -> list[dict[str, Any]]:
    """Return the events of a lifecycle, oldest first."""
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
