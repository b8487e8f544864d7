"""Pushes that a forge reports: the endpoint for webhooks of GitHub, GitLab, Gitea and Forgejo.

A report only makes the head of its repository looked at next; what it says about commits is not used. So a report that
is sent again changes nothing. Does not belong here: which run follows (`sensors.ingestion`).
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.ingestion import repositories
from qflow_dagster.settings import settings

# GitHub sends no more.
MAX_BODY_BYTES = 25_000_000
# The addresses of a repository in a report: of GitHub, Gitea and Forgejo, then of GitLab.
ADDRESSES = ("clone_url", "ssh_url", "html_url", "git_http_url", "git_ssh_url", "homepage")


class Pushes:
    """The endpoint for webhooks of forges."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def report(self, request: Request) -> Response:
        """Have the repository that was pushed to looked at; return the names by which it is registered."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"detail": "the request is too large"}, 413)
        if not is_authentic(request.headers, bytes(body)):
            return JSONResponse(
                {"detail": "neither its signature nor its token is of QFLOW_INGESTION_WEBHOOK_SECRET"}, 401
            )
        try:
            addresses = list(_addresses(json.loads(body)))
        except (ValueError, RecursionError):
            return JSONResponse(
                {"detail": "this is not JSON: choose the content type application/json in the webhook"}, 400
            )
        return JSONResponse({"repositories": await run_in_threadpool(self._look_at, addresses)}, 202)

    def _look_at(self, addresses: list[str]) -> list[str]:
        with self.engine.begin() as connection:
            return repositories.report_push(connection, addresses)


def is_authentic(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a report has the signature of its body (GitHub, Gitea, Forgejo) or the token (GitLab)."""
    secret = settings().ingestion.webhook_secret
    if secret is None:
        return False
    key = secret.get_secret_value().encode()
    signature = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}".encode()
    given = (headers.get("X-Hub-Signature-256", ""), headers.get("X-Gitlab-Token", ""))
    # Both are compared, and in constant time.
    matches = [
        hmac.compare_digest(text.encode(errors="replace"), expected)
        for text, expected in zip(given, (signature, key), strict=True)
    ]
    return any(matches)


def _addresses(report: Any) -> Iterator[str]:
    """Yield the addresses of a report's repository; none: it is about something else."""
    for part in ("repository", "project"):
        described = report.get(part) if isinstance(report, dict) else None
        if isinstance(described, dict):
            yield from (described[name] for name in ADDRESSES if isinstance(described.get(name), str))
