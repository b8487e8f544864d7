"""Approvals: their state machine, their kinds, what they are bound to, and how one is read under its lock.

Does not belong here: asking and deciding (`arbiter`), using one up (`authorization`).
"""

import hashlib
import json
from typing import Any, Literal

from sqlalchemy import Connection, Row, text

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import Json, StateMachine, register
from qflow_dagster.registry import Queue, WorkflowTypeName

APPROVAL = StateMachine(
    name="approval",
    initial="pending",
    transitions={
        # To itself: the request's digest, and each approval short of the quorum, are events too.
        "pending": frozenset({"pending", "approved", "denied", "expired", "revoked"}),
        # To itself: its token was replaced.
        "approved": frozenset({"approved", "consumed", "expired", "revoked"}),
        "denied": frozenset(),
        "consumed": frozenset(),
        "expired": frozenset(),
        "revoked": frozenset(),
    },
    terminal=frozenset({"denied", "consumed", "expired", "revoked"}),
    completed="approved",
    expired="expired",
)

Kind = Literal["edit", "workflow", "rule", "rollback"]
KINDS: tuple[Kind, ...] = ("edit", "workflow", "rule", "rollback")
QUEUES = dict.fromkeys(KINDS, Queue.APPROVAL_NOTIFICATIONS) | {
    "workflow": Queue.WORKFLOW_APPROVAL_NOTIFICATIONS
}
# A type per kind, so that pending approvals of a kind are selected without reading the others.
TYPES = {
    kind: register(WorkflowTypeName(f"{kind}_approval"), machine=APPROVAL, queue=QUEUES[kind]).name
    for kind in KINDS
}

TOKEN_PREFIX = "qfa_"  # noqa: S105  (says to a person and to a scanner what it is)
TOKEN_BYTES = 32
MAX_CONTENT_BYTES = 5_000_000
MAX_NAME_LENGTH = 200

_LOCK = """
SELECT a.id, a.kind, a.target, a.content, a.digest, a.requested_by, a.required_approvals, a.token_hash, a.form,
       a.owner, w.status, w.expires_at
FROM approvals a JOIN workflows w ON w.id = a.id
WHERE {which} FOR UPDATE OF w
"""
LOCK_BY_ID = text(_LOCK.format(which="a.id = :id"))
LOCK_BY_TOKEN = text(_LOCK.format(which="a.token_hash = :hash"))


class DecisionRefusedError(QflowError):
    """Somebody may not decide, or there is nothing left to decide."""


def digest_of(kind: str, target: str, content: Json) -> bytes:
    """SHA-256 of the canonical form (JSON, sorted keys, no spaces) of what is approved."""
    canonical = json.dumps([kind, target, content], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()


def hash_token(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def is_over(connection: Connection, row: Row[Any]) -> bool:
    """Return whether its term is over. A statement of its own: the one that locked may have waited."""
    return bool(connection.scalar(text("SELECT :at <= clock_timestamp()"), {"at": row.expires_at}))
