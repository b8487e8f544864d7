"""Personal tokens for the HTTP API: signed, with scopes, expiring, revocable.

A token is ``qfp_`` and, in base64, its id, a name, scopes and the second it expires, with an HMAC-SHA256 over them by
the key of this instance. The database has the id alone: whoever reads it cannot make a token. A revoked one is refused.
Does not belong here: what a scope allows (`api`), names on the command line (`identities`).
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, func, insert, select, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.web import identities
from qflow_dagster.web.tables import api_tokens

PREFIX = "qfp_"
SCOPES = ("read", "request", "decide")


class TokenRefusedError(QflowError):
    """A token is not one of ours, was altered, has expired or was revoked."""


class Bearer(NamedTuple):
    """The person a token stands for, and what it may be used for."""

    name: str
    scopes: frozenset[str]


def issue(
    connection: Connection, name: str, scopes: Sequence[str], *, days: float, actor: str
) -> tuple[UUID, str]:
    """Return the id of a new token, and the token; it is shown this once.

    Raises:
        UsageError: the name or a scope is not valid, or the days are out of range.
    """
    identities.check(name, days)
    if unknown := set(scopes) - set(SCOPES):
        raise UsageError(f"{sorted(unknown)[0]!r} is no scope; there are: {', '.join(SCOPES)}")
    if not scopes:
        raise UsageError(f"a token needs at least one scope: {', '.join(SCOPES)}")
    id_, expires = uuid4(), int(time.time() + days * 86_400)
    connection.execute(
        insert(api_tokens).values(
            id=id_,
            name=name,
            scopes=sorted(set(scopes)),
            created_by=actor,
            expires_at=func.to_timestamp(expires),
        )
    )
    return id_, identities.signed(PREFIX, "api", [str(id_), name, sorted(set(scopes)), expires])


def verify(connection: Connection, token: str) -> Bearer:
    """Return whom a token stands for, and note that it was used.

    Raises:
        TokenRefusedError: it is not valid; the message does not say why.
    """
    claim = identities.claim(PREFIX, "api", token)
    if claim is not None:
        id_, name, scopes, _ = claim
        used = connection.execute(
            update(api_tokens)
            .where(
                api_tokens.c.id == UUID(id_),
                api_tokens.c.revoked_at.is_(None),
                api_tokens.c.expires_at > func.clock_timestamp(),
            )
            .values(last_used_at=func.clock_timestamp())
        )
        if used.rowcount:
            return Bearer(name, frozenset(scopes))
    raise TokenRefusedError("the token is not valid: it is unknown, was altered or revoked, or has expired")


def find(connection: Connection) -> list[dict[str, Any]]:
    """Return all tokens, newest first, without anything by which they could be used."""
    columns = api_tokens.c
    query = select(api_tokens).order_by(columns.created_at.desc())
    return [dict(row) for row in connection.execute(query).mappings()]


def revoke(connection: Connection, id_: UUID) -> None:
    """Revoke a token.

    Raises:
        UsageError: there is no such token that is not revoked yet.
    """
    columns = api_tokens.c
    revoked = connection.execute(
        update(api_tokens)
        .where(columns.id == id_, columns.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )
    if not revoked.rowcount:
        raise UsageError(f"there is no token {id_} that could be revoked; see qflow approvals tokens")
