"""The inbox: pages that show pending approvals and accept decisions on them.

Everything works without JavaScript; the script only refreshes the list and adds keyboard shortcuts.
All data is untrusted: the templates escape it, and the content security policy allows only our script.
Does not belong here: deciding (`approvals.arbiter`).
"""

from typing import NamedTuple
from urllib.parse import parse_qs
from uuid import UUID

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible_json
from qflow_dagster.settings import settings
from qflow_dagster.web.access import csrf_token, is_own_form
from qflow_dagster.web.pages import page

MAX_ROWS = 200
MAX_FORM_BYTES = 100_000
# More lines of a patch are shown on request; a decision requires that they were shown.
MAX_DIFF_LINES = 5_000


class DiffLine(NamedTuple):
    """A line of a diff as displayed on the page."""

    kind: str
    old: int | None
    new: int | None
    text: str


def diff_lines(patch: str) -> list[DiffLine]:
    """Return a unified diff, line by line, with the numbers of old and new lines."""
    lines: list[DiffLine] = []
    old = new = left_old = left_new = 0
    for text in patch.removesuffix("\n").split("\n"):
        if left_old > 0 or left_new > 0:
            if text.startswith("+"):
                lines.append(DiffLine("added", None, new, text))
                new, left_new = new + 1, left_new - 1
                continue
            if text.startswith("-"):
                lines.append(DiffLine("deleted", old, None, text))
                old, left_old = old + 1, left_old - 1
                continue
            if text.startswith("\\"):
                lines.append(DiffLine("note", None, None, text))
                continue
            lines.append(DiffLine("same", old, new, text))
            old, new, left_old, left_new = old + 1, new + 1, left_old - 1, left_new - 1
            continue
        start = _hunk(text)
        if start:
            old, left_old, new, left_new = start
            lines.append(DiffLine("hunk", None, None, text))
        else:
            lines.append(DiffLine("file" if text.startswith("diff ") else "header", None, None, text))
    return lines


class Inbox:
    """The pages of the inbox, for a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def list(self, request: Request) -> Response:
        """Return approvals of a status, newest first; `?part` gives the table alone."""
        status = request.query_params.get("status", "pending")
        if status not in (*records.STATUSES, "all"):
            status = "pending"
        with self.engine.connect() as connection:
            rows = records.find(connection, status=None if status == "all" else status, limit=MAX_ROWS)
            counts = records.counts(connection)
        template = "rows.html" if "part" in request.query_params else "list.html"
        return page(request, template, rows=rows, status=status, counts=counts, max_rows=MAX_ROWS)

    def show(self, request: Request, *, problem: str | None = None, status_code: int = 200) -> Response:
        """Return the page of an approval: content, reason, evidence, decisions and history."""
        approval_id = request.path_params["id"]
        with self.engine.connect() as connection:
            approval = records.show(connection, approval_id)
            history = records.approval_history(connection, approval_id)
        content = approval["content"]
        patch = content.get("patch") if isinstance(content, dict) else None
        rest = {k: v for k, v in content.items() if k != "patch"} if isinstance(patch, str) else content
        lines = diff_lines(patch) if isinstance(patch, str) else []
        line_limit = len(lines) if "all" in request.query_params else MAX_DIFF_LINES
        return page(
            request,
            "approval.html",
            status_code=status_code,
            approval=approval,
            history=history,
            lines=lines[:line_limit],
            left_out=max(len(lines) - line_limit, 0),
            rest=visible_json(rest) if rest else None,
            evidence=visible_json(approval["evidence"]) if approval["evidence"] else None,
            csrf=csrf_token(request.state.actor, str(approval_id)),
            problem=problem,
            run_url=_run_url(approval["run_id"]),
        )

    async def decide(self, request: Request) -> Response:
        """Record a decision from the form; the response to the approving actor shows the token."""
        approval_id: UUID = request.path_params["id"]
        actor: str = request.state.actor
        form = await read_form(request)
        if form is None or not is_own_form(actor, str(approval_id), form.get("csrf", "")):
            problem = "this form was not one of ours, or is too old: look again and decide then"
            return await run_in_threadpool(self.show, request, problem=problem, status_code=403)
        return await run_in_threadpool(self._decide, request, approval_id, actor, form)

    def _decide(self, request: Request, approval_id: UUID, actor: str, form: dict[str, str]) -> Response:
        comment, digest = form.get("comment", "").strip() or None, form.get("digest", "")
        token = None
        try:
            with self.engine.begin() as connection:
                match form.get("decision"):
                    case "approve":
                        token = arbiter.approve(
                            connection, approval_id, actor=actor, comment=comment, digest=digest
                        ).token
                    case "deny":
                        arbiter.deny(connection, approval_id, actor=actor, comment=comment, digest=digest)
                    case "revoke":
                        reason = comment or "no reason given"
                        arbiter.revoke(connection, approval_id, actor=actor, reason=reason, digest=digest)
                    case _:
                        return self.show(request, problem="choose approve, deny or revoke", status_code=400)
        except QflowError as error:
            return self.show(request, problem=str(error), status_code=409)
        if token is None:
            return RedirectResponse(f"/approvals/{approval_id}", 303)
        return page(request, "approved.html", approval_id=approval_id, token=token)


async def read_form(request: Request) -> dict[str, str] | None:
    """Return the fields of a urlencoded form; None if it is invalid or too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        return None
    return {name: values[-1] for name, values in fields.items()}


def _hunk(text: str) -> tuple[int, int, int, int] | None:
    """Return start and length of a hunk in the old and the new file, from its header."""
    parts = text.split(" ")
    if len(parts) < 4 or parts[0] != "@@" or parts[3] != "@@":
        return None
    numbers: list[int] = []
    for sign, part in zip("-+", parts[1:3], strict=True):
        start, _, length = part.removeprefix(sign).partition(",")
        if not part.startswith(sign) or not start.isdecimal() or not (length or "1").isdecimal():
            return None
        numbers += [int(start), int(length or 1)]
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _run_url(run_id: str | None) -> str | None:
    return f"{settings().dagster_page}/runs/{run_id}" if run_id else None
