"""Decisions by buttons in Slack: the endpoint that Slack calls.

A request is Slack's if its signature is right and young; who pressed the button is a person of
`QFLOW_NOTIFICATIONS_SLACK_USERS`. The same rules hold as in the inbox. Does not belong here: messages to Slack
(`notifications.chat`).
"""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.approvals import arbiter
from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible
from qflow_dagster.settings import settings

# Older requests are refused, so that none can be sent again later.
MAX_AGE = 300
MAX_BODY_BYTES = 1_000_000


class Slack:
    """The endpoint for Slack's interactive messages."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def interact(self, request: Request) -> Response:
        """Decide as the button says; the response is a message that only the person who pressed it sees."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"detail": "the request is too large"}, 413)
        if not is_signed(request.headers, bytes(body), time.time()):
            return JSONResponse({"detail": "this request is not signed by Slack, or too old"}, 401)
        try:
            user, action, value = _pressed(bytes(body))
        except (ValueError, KeyError, IndexError, TypeError):
            return JSONResponse({"detail": "this is not a button of ours"}, 400)
        if action == "open":
            # Slack reports buttons that are links as well.
            return Response()
        message = await run_in_threadpool(self._decide, user, action, value)
        return JSONResponse({"response_type": "ephemeral", "replace_original": False, "text": message})

    def _decide(self, user: str, action: str, value: str) -> str:
        actor = settings().notifications.slack_users.get(user)
        if actor is None:
            return f"Slack's user {visible(user)} is nobody's here: see QFLOW_NOTIFICATIONS_SLACK_USERS"
        identifier, _, digest = value.partition(" ")
        decide = {"approve": arbiter.approve, "deny": arbiter.deny}.get(action)
        try:
            if decide is None:
                return "this button means nothing here"
            with self.engine.begin() as connection:
                result = decide(
                    connection, UUID(identifier), actor=actor, digest=digest, comment="decided in Slack"
                )
        except ValueError:
            return "this button belongs to no approval"
        except QflowError as error:
            return visible(str(error))
        return f"{actor}: {action} counted; the approval is {result.status} ({result.approvals} of {result.required})"


def is_signed(headers: Any, body: bytes, now: float) -> bool:
    """Return whether a request has Slack's signature (https://docs.slack.dev/authentication/verifying-requests)."""
    secret = settings().notifications.slack_secret
    timestamp = headers.get("X-Slack-Request-Timestamp", "")
    if secret is None or not timestamp.isdecimal() or abs(now - int(timestamp)) > MAX_AGE:
        return False
    signed = hmac.new(secret.get_secret_value().encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256)
    given = headers.get("X-Slack-Signature", "")
    return hmac.compare_digest(f"v0={signed.hexdigest()}".encode(), given.encode(errors="replace"))


def _pressed(body: bytes) -> tuple[str, str, str]:
    """Return the user, the action and the value of the pressed button."""
    payload = json.loads(parse_qs(body.decode())["payload"][0])
    action = payload["actions"][0]
    values = (payload["user"]["id"], action["action_id"], action.get("value", ""))
    if not all(isinstance(value, str) for value in values):
        raise ValueError("not a button of ours")
    return values
