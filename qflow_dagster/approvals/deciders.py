"""Deciders of approvals: names that people may have, the deciders of a kind, teams, and who decides in whose place.

Does not belong here: deciding (`arbiter`), delegating (`assignment`), who somebody is (`web.access`, the command line).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from qflow_dagster.approvals.approval import MAX_NAME_LENGTH, DecisionRefusedError
from qflow_dagster.approvals.tables import approval_delegations
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.names import alike, identity
from qflow_dagster.settings import settings

# Begins the name of a team among the deciders of a kind.
TEAM = "team:"
RESERVED = (TEAM, "policy:")


def members(kind: str) -> list[str] | None:
    """Return the people who may decide approvals of a kind; None if everybody may.

    Raises:
        UsageError: A team that is named is not in `QFLOW_APPROVALS_TEAMS`.
    """
    limits = settings().approvals
    named = limits.deciders.get(kind)
    if named is None:
        return None
    people: list[str] = []
    for name in named:
        if not name.startswith(TEAM):
            people.append(name)
            continue
        team = name.removeprefix(TEAM)
        if team not in limits.teams:
            raise UsageError(
                f"QFLOW_APPROVALS_DECIDERS names the team {team!r}, QFLOW_APPROVALS_TEAMS does not"
            )
        people += limits.teams[team]
    return people


def refuse_unnamed(actor: str) -> None:
    """Refuse a name that no person may have.

    Raises:
        DecisionRefusedError: It is empty, too long, or reserved.
    """
    if not identity(actor) or len(actor) > MAX_NAME_LENGTH:
        raise DecisionRefusedError(f"a person is named by 1 to {MAX_NAME_LENGTH} characters")
    if reserved := next((prefix for prefix in RESERVED if identity(actor).startswith(prefix)), None):
        raise DecisionRefusedError(f"names that begin with {reserved!r} are no names of people")


def refuse_unreadable(name: str) -> None:
    """Refuse somebody to pass a request on to whose name cannot be read as it is.

    Raises:
        UsageError: It is no name of a person, or has characters that hide.
    """
    try:
        refuse_unnamed(name)
    except DecisionRefusedError as refused:
        raise UsageError(str(refused)) from None
    if visible_line(name) != name:
        raise UsageError(f"{visible_line(name, 50)!r} has characters that hide: write the name without them")


def refuse_unreachable(kind: str, required: int, requested_by: str) -> None:
    """Refuse a request that could only expire.

    Raises:
        UsageError: Too few of its deciders are not the requester.
    """
    allowed = members(kind)
    if allowed is None:
        return
    able = {identity(name) for name in allowed} - {identity(requested_by)}
    if len(able) < required:
        raise UsageError(
            f"{kind} needs {required} approvals, and {len(able)} of its deciders may decide what {requested_by} asks "
            "for: name more in QFLOW_APPROVALS_DECIDERS, or lower QFLOW_APPROVALS_QUORUM"
        )


def refuse_role(kind: str, actor: str) -> None:
    """Refuse somebody who is none of the deciders of a kind.

    Raises:
        DecisionRefusedError: As said; the message names the deciders.
    """
    if not is_decider(kind, actor):
        named = ", ".join(settings().approvals.deciders[kind])
        raise DecisionRefusedError(
            f"{actor} may not decide approvals of kind {kind}; QFLOW_APPROVALS_DECIDERS names: {named or 'nobody'}"
        )


def refuse_unfit(kind: str, owner: str, requested_by: str) -> None:
    """Refuse an owner (a person, or `team:NAME`) none of whom may decide a request.

    Raises:
        UsageError: It is no team or name, or the requester, or may not decide.
    """
    limits = settings().approvals
    if owner.startswith(TEAM):
        people = limits.teams.get(owner.removeprefix(TEAM))
        if people is None:
            raise UsageError(
                f"there is no {owner!r}; QFLOW_APPROVALS_TEAMS has {', '.join(limits.teams) or 'none'}"
            )
    else:
        refuse_unreadable(owner)
        people = [owner]
    if not any(is_decider(kind, name) and identity(name) != identity(requested_by) for name in people):
        raise UsageError(
            f"{owner} may not decide this {kind}: they asked for it, or QFLOW_APPROVALS_DECIDERS lacks them"
        )


def is_decider(kind: str, actor: str) -> bool:
    """Return whether somebody is one of the deciders of a kind."""
    allowed = members(kind)
    return allowed is None or identity(actor) in map(identity, allowed)


def delegations(connection: Connection, approval_id: UUID) -> list[dict[str, Any]]:
    """Return who lets whom decide an approval in their place, and why; oldest first."""
    columns = approval_delegations.c
    query = (
        select(columns.delegator, columns.delegate, columns.reason, columns.at)
        .where(columns.approval_id == approval_id)
        .order_by(columns.at)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def refuse_alike(actor: str, other: str) -> None:
    """Refuse somebody whose name looks like that of another person of the same request.

    Raises:
        DecisionRefusedError: The names differ only in letters that look the same.
    """
    if alike(actor, other):
        raise DecisionRefusedError(
            f"the name {actor} looks like {other}, who has a part in this request, but has other letters: "
            "one person could decide twice"
        )


def decides_for(
    connection: Connection, approval_id: UUID, kind: str, requested_by: str, actor: str
) -> str | None:
    """Return the decider in whose place somebody decides an approval; None if in their own.

    Raises:
        DecisionRefusedError: They requested it, are none of its deciders, or have delegated the decision.
    """
    if identity(actor) == identity(requested_by):
        raise DecisionRefusedError(f"{actor} asked for this approval: somebody else has to decide it")
    refuse_alike(actor, requested_by)
    delegated = delegations(connection, approval_id)
    for row in delegated:
        if identity(row["delegator"]) == identity(actor):
            raise DecisionRefusedError(f"{actor} has delegated this decision to {row['delegate']}")
    if is_decider(kind, actor):
        return None
    for row in delegated:
        if identity(row["delegate"]) == identity(actor):
            return row["delegator"]
    refuse_role(kind, actor)
    return None


def objection(connection: Connection, approval: Mapping[str, Any], actor: str) -> str | None:
    """Return why somebody cannot decide an approval (as `records.show` returns it) now; None if they can."""
    try:
        refuse_unnamed(actor)
        decides_for(connection, approval["id"], approval["kind"], approval["requested_by"], actor)
    except DecisionRefusedError as refused:
        return str(refused)
    for decision in approval["decisions"]:
        if identity(decision["actor"]) == identity(actor):
            return f"{actor} has decided already ({decision['decision']}): one decision each"
    if approval["status"] != "pending":
        return f"approval {approval['id']} is {approval['status']} already"
    return None


def may_revoke(approval: Mapping[str, Any], actor: str) -> bool:
    """Return whether somebody may take an approval back: they requested it, or are one of its deciders."""
    return identity(actor) == identity(approval["requested_by"]) or is_decider(approval["kind"], actor)
