"""Deciders of approvals: names that people may have, the deciders of a kind, and teams.

Does not belong here: deciding (`arbiter`), who somebody is (`web.access`, the command line).
"""

from qflow_dagster.approvals.approval import MAX_NAME_LENGTH, DecisionRefusedError
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.names import identity
from qflow_dagster.settings import settings

# Begins the name of a team among the deciders of a kind.
TEAM = "team:"


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
    if not actor.strip() or len(actor) > MAX_NAME_LENGTH:
        raise DecisionRefusedError(f"a decision needs a named actor of at most {MAX_NAME_LENGTH} characters")
    if identity(actor).startswith("policy:"):
        raise DecisionRefusedError("names beginning with 'policy:' are the policies' own")


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
    allowed = members(kind)
    if allowed is not None and identity(actor) not in map(identity, allowed):
        named = ", ".join(settings().approvals.deciders[kind])
        raise DecisionRefusedError(
            f"{actor} may not decide approvals of kind {kind}; QFLOW_APPROVALS_DECIDERS names: {named or 'nobody'}"
        )
