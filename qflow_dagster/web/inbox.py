"""The inbox: the list of approvals with its filters, and decisions on several at once.

Everything works without JavaScript; the script only refreshes the list and adds keyboard shortcuts. Does not belong
here: one request (`request_page`), deciding (`approvals.arbiter`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.agents.request_description import describe
from qflow_dagster.approvals import arbiter, batches, deciders, lists, records
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.web.access import csrf_token
from qflow_dagster.web.diffs import diff_files
from qflow_dagster.web.forms import NOT_OURS, read_form
from qflow_dagster.web.pages import page

PAGE_ROWS = 50
# Values of a filter that are offered; the search finds the rest.
MAX_VALUES = 30
MAX_SELECTED = PAGE_ROWS
# What is longer is decided on its own page.
MAX_SELECTED_LINES = 300
AGES = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0}
# The token of the form for several decisions is about the list.
ABOUT = "selected"


class Query(NamedTuple):
    """What the address of a list selects; what it does not understand is left out."""

    parameters: dict[str, str]
    status: str
    sort: str
    number: int

    @classmethod
    def of(cls, request: Request) -> "Query":
        """Return the query of a request."""
        wanted = request.query_params
        status = wanted.get("status", "pending")
        status = status if status in (*lists.STATUSES, "all") else "pending"
        sort = wanted.get("sort", "")
        sort = sort if sort in lists.SORTS else "oldest" if status == "pending" else "newest"
        number = wanted.get("page", "1")
        number = int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else 1
        names = (*lists.FACETS, "age", "search")
        parameters = {name: wanted[name] for name in names if wanted.get(name, "").strip()}
        if parameters.get("kind", "edit") not in arbiter.KINDS:
            del parameters["kind"]
        if parameters.get("age", "day") not in AGES:
            del parameters["age"]
        return cls(parameters, status, sort, max(number, 1))

    def filter(self) -> lists.Filter:
        """Return the filter for the list."""
        values: dict[str, Any] = {name: self.parameters.get(name) for name in (*lists.FACETS, "search")}
        age = self.parameters.get("age")
        status = None if self.status == "all" else self.status
        return lists.Filter(status=status, older_than=AGES[age] if age else None, **values)

    def link(self, **changes: str | int | None) -> str:
        """Return the address of the list with other parameters; a new filter begins at its first page."""
        values = {"status": self.status, "sort": self.sort, **self.parameters, **changes}
        return "/approvals?" + urlencode({name: value for name, value in values.items() if value is not None})


class Inbox:
    """The list of approvals in a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def list(self, request: Request) -> Response:
        """Return a page of the list; `?part` gives the table alone."""
        query = Query.of(request)
        selection = query.filter()
        with self.engine.connect() as connection:
            total, facets = lists.facets(connection, selection)
            last = max((total - 1) // PAGE_ROWS + 1, 1)
            number = min(query.number, last)
            offset = (number - 1) * PAGE_ROWS
            rows = lists.find(connection, selection, sort=query.sort, offset=offset, limit=PAGE_ROWS)
            counts = lists.counts(connection)
        facets = {name: dict(list(values.items())[:MAX_VALUES]) for name, values in facets.items()}
        return page(
            request,
            "rows.html" if "part" in request.query_params else "list.html",
            query=query,
            rows=[{**row, "title": _title(row)} for row in rows],
            total=total,
            facets=facets,
            counts=counts,
            number=number,
            last=last,
            first_row=offset + 1,
            ages=tuple(AGES),
            sorts=tuple(lists.SORTS),
        )

    def selected(self, request: Request) -> Response:
        """Return a summary of the selected requests, on which a decision about all of them is taken."""
        ids = [id_ for value in request.query_params.getlist("id") if (id_ := _uuid(value)) is not None]
        return self._selected(request, list(dict.fromkeys(ids))[:MAX_SELECTED])

    async def decide(self, request: Request) -> Response:
        """Record the same decision on several requests; the response says what became of each."""
        form = await read_form(request, ABOUT)
        if form is None:
            return await run_in_threadpool(self._selected, request, [], problem=NOT_OURS, status_code=403)
        seen: dict[UUID, str] = {}
        for value in form.getlist("seen")[:MAX_SELECTED]:
            text_id, _, digest = value.partition(" ")
            if (id_ := _uuid(text_id)) is not None:
                seen[id_] = digest
        comment = form.get("comment", "").strip() or None
        return await run_in_threadpool(self._decide, request, seen, form.get("decision", ""), comment)

    def _decide(
        self, request: Request, seen: dict[UUID, str], decision: str, comment: str | None
    ) -> Response:
        if not seen:
            return self._selected(
                request, [], problem="nothing was decided: no request is marked", status_code=400
            )
        try:
            results = batches.decide_all(
                self.engine, decision, seen, actor=request.state.actor, comment=comment
            )
        except QflowError as error:
            return self._selected(request, list(seen), problem=str(error), status_code=400)
        with self.engine.connect() as connection:
            rows = [
                {"id": id_, "approval": _found(connection, id_), "result": result, "problem": problem}
                for id_, result, problem in results
            ]
        return page(request, "decided.html", rows=rows, decision=decision)

    def _selected(
        self, request: Request, ids: Sequence[UUID], *, problem: str | None = None, status_code: int = 200
    ) -> Response:
        rows = []
        unknown: list[UUID] = []
        actor = request.state.actor
        with self.engine.connect() as connection:
            for id_ in ids:
                approval = _found(connection, id_)
                if approval is None:
                    unknown.append(id_)
                    continue
                content = approval["content"]
                patch = content.get("patch") if isinstance(content, dict) else None
                short = isinstance(patch, str) and patch.count("\n") <= MAX_SELECTED_LINES
                objection = deciders.objection(connection, approval, actor)
                if objection is None and not short:
                    objection = "it is too long to be decided here, or no patch: open it"
                rows.append(
                    {
                        "approval": approval,
                        "title": _title(approval),
                        "description": describe(connection, approval),
                        "files": diff_files(patch) if short and patch else [],
                        "objection": objection,
                    }
                )
        if unknown:
            named = f"there is no approval {', '.join(map(str, unknown))}"
            if not rows:
                raise UsageError(named)
            problem = f"{problem}; {named}" if problem else named
        risks: dict[str, int] = {}
        for row in rows:
            if row["objection"] is None:
                risk = row["approval"]["risk"] or "not stated"
                risks[risk] = risks.get(risk, 0) + 1
        return page(
            request,
            "selected.html",
            status_code=status_code,
            rows=rows,
            risks=risks,
            untested=sum(
                row["objection"] is None and any(gate[0] == "tests" for gate in row["description"].skipped)
                for row in rows
            ),
            able=sum(row["objection"] is None for row in rows),
            csrf=csrf_token(actor, ABOUT),
            problem=problem,
        )


def _found(connection: Connection, id_: UUID) -> dict[str, Any] | None:
    try:
        return records.show(connection, id_)
    except UsageError:
        return None


def _title(approval: Any) -> str:
    """Return what a link to an approval says: its reason, in one line."""
    lines = approval["reason"].strip().splitlines()
    return lines[0][:200] if lines else approval["target"]


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
