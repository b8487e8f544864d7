"""The page of one request: what it asks for, the decision, and how it goes on afterwards.

It works without JavaScript; the script follows the progress and adds keys. Does not belong here: sentences
(`agents.request_description`, `agents.request_progress`), deciding (`approvals.arbiter`), layout (the templates).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qflow_dagster.agents.request_description import describe
from qflow_dagster.agents.request_progress import progress
from qflow_dagster.approvals import arbiter, assignment, deciders, forms, records, tokens
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.safety.display import visible_json
from qflow_dagster.safety.names import identity
from qflow_dagster.settings import settings
from qflow_dagster.web.access import csrf_token
from qflow_dagster.web.diff_context import files_with_context
from qflow_dagster.web.diffs import DiffFile
from qflow_dagster.web.forms import NOT_OURS, read_form
from qflow_dagster.web.pages import page

# More lines of a patch are shown on request; a decision requires that they were shown.
MAX_DIFF_LINES = 5_000
# Begins the names of the form's inputs for the request's fields.
ANSWER = "answer."


class RequestPage:
    """The pages of single requests in a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def show(self, request: Request, *, problem: str | None = None, status_code: int = 200) -> Response:
        """Return the page of a request; `?part` gives its progress alone."""
        approval_id, actor = request.path_params["id"], request.state.actor
        with self.engine.connect() as connection:
            approval = records.show(connection, approval_id)
            steps = progress(connection, approval)
            if "part" in request.query_params:
                return page(request, "progress.html", approval=approval, progress=steps, run_url=_run_url)
            history = records.approval_history(connection, approval_id)
            description = describe(connection, approval)
            objection = deciders.objection(connection, approval, actor)
            content = approval["content"]
            patch = content.get("patch") if isinstance(content, dict) else None
            rest = {k: v for k, v in content.items() if k != "patch"} if isinstance(patch, str) else content
            files, base = [], rest.get("base") if isinstance(rest, dict) else None
            if isinstance(patch, str):
                files = files_with_context(
                    request,
                    connection,
                    patch,
                    approval["repository"],
                    base if isinstance(base, str) else None,
                )
        # Lines around the change were wished for, and count for nothing.
        added = sum(len(file.lines) for file in files) - (patch.count("\n") if isinstance(patch, str) else 0)
        left_out = 0 if "all" in request.query_params else _cut(files, MAX_DIFF_LINES + max(added, 0))
        return page(
            request,
            "approval.html",
            status_code=status_code,
            approval=approval,
            title=(approval["reason"].strip().splitlines() or [approval["target"]])[0],
            description=description,
            progress=steps,
            history=history,
            files=files,
            left_out=left_out,
            rest=visible_json(rest) if rest else None,
            evidence=visible_json(description.rest) if description.rest else None,
            form=forms.parse(approval["form"]),
            csrf=csrf_token(actor, str(approval_id)),
            objection=objection,
            decided=next((d for d in approval["decisions"] if identity(d["actor"]) == identity(actor)), None),
            revocable=deciders.may_revoke(approval, actor),
            problem=problem,
            run_url=_run_url,
        )

    async def decide(self, request: Request) -> Response:
        """Record what the form says: a decision, a comment, locations to leave out, or the wish for a token."""
        form = await read_form(request, str(request.path_params["id"]))
        if form is None:
            return await run_in_threadpool(self.show, request, problem=NOT_OURS, status_code=403)
        return await run_in_threadpool(self._decide, request, form)

    def _decide(self, request: Request, form: ImmutableMultiDict[str, str]) -> Response:
        approval_id, actor = request.path_params["id"], request.state.actor
        target = f"/approvals/{approval_id}"
        try:
            if form.get("decision") == "exclude":
                target = self._exclude(approval_id, actor, form)
            elif form.get("decision") == "token":
                with self.engine.begin() as connection:
                    token = tokens.replace_token(connection, approval_id, actor=actor)
                return page(request, "token.html", approval_id=approval_id, token=token)
            elif not self._record(approval_id, actor, form):
                return self.show(request, problem="choose approve, deny or revoke", status_code=400)
        except QflowError as error:
            return self.show(request, problem=str(error), status_code=409)
        return RedirectResponse(target, 303)

    def _record(self, approval_id: UUID, actor: str, form: ImmutableMultiDict[str, str]) -> bool:
        """Record a decision or comment; return False if the form has none."""
        comment = form.get("comment", "").strip() or None
        common: dict[str, Any] = {"actor": actor, "digest": form.get("digest", "")}
        with self.engine.begin() as connection:
            match form.get("decision"):
                case "approve":
                    arbiter.approve(
                        connection, approval_id, comment=comment, answers=_answers(form), **common
                    )
                case "deny":
                    arbiter.deny(connection, approval_id, comment=comment, **common)
                case "revoke":
                    arbiter.revoke(connection, approval_id, reason=comment or "no reason given", **common)
                case "comment":
                    arbiter.comment(connection, approval_id, actor=actor, words=comment or "")
                case "reassign":
                    assignment.reassign(
                        connection, approval_id, actor=actor, to=_person(form), reason=comment or ""
                    )
                case "delegate":
                    assignment.delegate(
                        connection, approval_id, actor=actor, to=_person(form), reason=comment or ""
                    )
                case _:
                    return False
        return True

    def _exclude(self, approval_id: UUID, actor: str, form: ImmutableMultiDict[str, str]) -> str:
        """Replace the request by one without the marked locations; return the address of the new one."""
        # Imported late: it needs parsers, and most people leave out nothing.
        from qflow_dagster.agents import exclusion, self_improvement

        with self.engine.connect() as connection:
            approval = records.show(connection, approval_id)
            suggestion = describe(connection, approval).suggestion
            if objection := deciders.objection(connection, approval, actor):
                raise QflowError(objection)
        if suggestion is None:
            raise QflowError("nothing can be left out of this request")
        locations, reason = form.getlist("location"), form.get("reason", "").strip()
        if not locations or not reason:
            raise QflowError("mark the locations to leave out, and say why they stay as they are")
        new = exclusion.exclude(self.engine, suggestion, locations, actor=actor, reason=reason)
        with self.engine.connect() as connection:
            return f"/approvals/{self_improvement.show(connection, new)['approval']}"


def _person(form: ImmutableMultiDict[str, str]) -> str:
    """Return who the form passes the request on to."""
    name = form.get("to", "").strip()
    if not name:
        raise UsageError("name the person, or `team:NAME`, to pass the request on to")
    return name


def _answers(form: ImmutableMultiDict[str, str]) -> dict[str, Any]:
    """Return the answers to the request's fields; several values of a field as a list."""
    names = {name for name in form if name.startswith(ANSWER)}
    values = {name.removeprefix(ANSWER): [v for v in form.getlist(name) if v] for name in names}
    return {name: found if len(found) > 1 else found[0] for name, found in values.items() if found}


def _cut(files: list[DiffFile], limit: int) -> int:
    """Shorten files to `limit` lines together; return how many are left out."""
    left_out = 0
    for file in files:
        left_out += max(len(file.lines) - limit, 0)
        file.lines = file.lines[:limit]
        limit -= len(file.lines)
    return left_out


def _run_url(run_id: str | None) -> str | None:
    return f"{settings().dagster_page}/runs/{run_id}" if run_id else None
