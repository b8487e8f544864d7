"""The HTTP API of approvals: JSON, with personal tokens, described by an OpenAPI document.

Belongs here: routes, the check of tokens and of what is sent, the document. Does not belong here: what an operation
does (`approvals`), tokens (`api_tokens`), pages. A token is needed on loopback as well.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema
from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import qflow_dagster
from qflow_dagster.approvals import arbiter, assignment, batches, lists, records
from qflow_dagster.approvals.approval import Kind
from qflow_dagster.errors import QflowError, UsageError, problem_of
from qflow_dagster.web.access import API
from qflow_dagster.web.api_tokens import Bearer, TokenRefusedError, verify

MAX_BODY_BYTES = 6_000_000
_NAME = Field(min_length=1, max_length=200)
_REASON = Field(min_length=1, max_length=2_000)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListQuery(_Strict):
    """Which approvals to list."""

    status: Literal["pending", "approved", "denied", "consumed", "expired", "revoked"] | None = None
    kind: Kind | None = None
    repository: str | None = None
    rule: str | None = None
    risk: str | None = None
    owner: str | None = None
    search: str | None = None
    sort: Literal["newest", "oldest", "expiry", "risk"] = "newest"
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class NewRequest(_Strict):
    """A request for approval; the requester is the person of the token."""

    kind: Kind
    target: Annotated[str, _NAME]
    content: Any
    reason: Annotated[str, _REASON]
    evidence: Any = None
    form: list[Any] | None = None
    owner: Annotated[str, _NAME] | None = None
    required_approvals: Annotated[int, Field(ge=1, le=100)] | None = None
    ttl: Annotated[float, Field(gt=0, le=31_536_000)] | None = None


class NewDecision(_Strict):
    """A decision about the content with this digest (hexadecimal, see the approval)."""

    decision: Literal["approve", "deny", "revoke"]
    digest: Annotated[str, Field(max_length=64)]
    comment: Annotated[str, Field(max_length=10_000)] | None = None
    answers: dict[str, Any] | None = None


class NewDecisions(_Strict):
    """The same decision about several requests: the digest of each, by its id."""

    decision: Literal["approve", "deny"]
    seen: Annotated[dict[UUID, str], Field(min_length=1, max_length=100)]
    comment: Annotated[str, Field(max_length=10_000)] | None = None


class NewComment(_Strict):
    """A comment without a decision."""

    comment: Annotated[str, Field(min_length=1, max_length=10_000)]


class NewAssignment(_Strict):
    """Whom a request is passed on to; `delegate` lets them decide in the place of the person of the token."""

    to: Annotated[str, _NAME]
    reason: Annotated[str, _REASON]
    delegate: bool = False


class Operation(NamedTuple):
    """An operation of the API: `run` gets a connection in a transaction (a batch: the engine), what was sent, and whom
    the token stands for.
    """

    method: str
    path: str
    name: str
    summary: str
    scope: str
    run: Callable[..., Any]
    body: type[_Strict] | None = None
    query: type[_Strict] | None = None
    status: int = 200


def _list(connection: Connection, sent: ListQuery, _name: str) -> Any:
    selection = lists.Filter(**sent.model_dump(exclude={"sort", "offset", "limit"}))
    found = lists.find(connection, selection, sort=sent.sort, offset=sent.offset, limit=sent.limit)
    return {"approvals": found, "total": lists.facets(connection, selection)[0]}


def _show(connection: Connection, _sent: None, _name: str, id_: UUID) -> Any:
    return records.show(connection, id_)


def _history(connection: Connection, _sent: None, _name: str, id_: UUID) -> Any:
    records.show(connection, id_)
    return {"events": records.approval_history(connection, id_)}


def _request(connection: Connection, sent: NewRequest, name: str) -> Any:
    values = sent.model_dump()
    kind, target, content = (values.pop(key) for key in ("kind", "target", "content"))
    id_ = arbiter.request_approval(connection, kind, target, content, requested_by=name, **values)
    return records.show(connection, id_)


def _decide(connection: Connection, sent: NewDecision, name: str, id_: UUID) -> Any:
    records.show(connection, id_)
    common = {"actor": name, "digest": sent.digest}
    if sent.decision == "approve":
        arbiter.approve(connection, id_, comment=sent.comment, answers=sent.answers, **common)
    elif sent.decision == "deny":
        arbiter.deny(connection, id_, comment=sent.comment, **common)
    else:
        arbiter.revoke(connection, id_, reason=sent.comment or "no reason given", **common)
    return records.show(connection, id_)


def _decide_all(engine: Engine, sent: NewDecisions, name: str) -> Any:
    results = batches.decide_all(engine, sent.decision, sent.seen, actor=name, comment=sent.comment)
    return {
        "decisions": [
            {"id": id_, "status": result and result.status, "problem": problem}
            for id_, result, problem in results
        ]
    }


def _comment(connection: Connection, sent: NewComment, name: str, id_: UUID) -> Any:
    records.show(connection, id_)
    arbiter.comment(connection, id_, actor=name, words=sent.comment)
    return records.show(connection, id_)


def _assign(connection: Connection, sent: NewAssignment, name: str, id_: UUID) -> Any:
    records.show(connection, id_)
    pass_on = assignment.delegate if sent.delegate else assignment.reassign
    pass_on(connection, id_, actor=name, to=sent.to, reason=sent.reason)
    return records.show(connection, id_)


OPERATIONS = (
    Operation("GET", "/approvals", "list", "List approvals.", "read", _list, query=ListQuery),
    Operation(
        "POST", "/approvals", "request", "Request an approval.", "request", _request, NewRequest, status=201
    ),
    Operation(
        "POST", "/decisions", "decide_all", "Decide on several requests.", "decide", _decide_all, NewDecisions
    ),
    Operation("GET", "/approvals/{id}", "show", "Return an approval with its content.", "read", _show),
    Operation(
        "GET", "/approvals/{id}/history", "history", "Return all that happened to it.", "read", _history
    ),
    Operation(
        "POST", "/approvals/{id}/decisions", "decide", "Decide on a request.", "decide", _decide, NewDecision
    ),
    Operation(
        "POST", "/approvals/{id}/comments", "comment", "Comment on it.", "request", _comment, NewComment
    ),
    Operation(
        "POST", "/approvals/{id}/assignments", "assign", "Pass it on.", "decide", _assign, NewAssignment
    ),
)


class ApiError(QflowError):
    """A request that the API refuses, with the status of the response."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def routes(engine: Engine) -> list[Route]:
    """Return the routes of the API for a database."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = operation

    def endpoint(operations: dict[str, Operation]) -> Callable[..., Any]:
        async def respond(request: Request) -> Response:
            operation = operations.get(request.method)
            if operation is None:
                allowed = ", ".join(operations)
                return _response({"error": f"the method is not one of {allowed}"}, 405, {"Allow": allowed})
            try:
                sent = await _body(request, operation.body) if operation.body else None
                return await run_in_threadpool(_respond, engine, request, operation, sent)
            except ApiError as refused:
                challenge = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
                return _response({"error": str(refused)}, refused.status, challenge)

        return respond

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    return [
        Route(f"{API}/openapi.json", lambda _request: _response(document()), methods=["GET"]),
        *(Route(API + path, endpoint(operations), methods=methods) for path, operations in paths.items()),
    ]


def _respond(engine: Engine, request: Request, operation: Operation, sent: Any) -> Response:
    bearer = _bearer(engine, request)
    if operation.scope not in bearer.scopes:
        raise ApiError(403, f"the token lacks the scope {operation.scope}")
    if operation.query:
        sent = _validated(operation.query, _parameters(request))
    arguments = [sent, bearer.name]
    if "id" in request.path_params:
        arguments.append(_id(request.path_params["id"]))
    try:
        if operation.run is _decide_all:
            return _response(operation.run(engine, *arguments))
        with engine.begin() as connection:
            return _response(operation.run(connection, *arguments), operation.status)
    except QflowError as error:
        missing = isinstance(error, UsageError) and str(error).startswith("there is no approval")
        raise ApiError(404 if missing else 409, str(error)) from None


def _bearer(engine: Engine, request: Request) -> Bearer:
    headers = request.headers.getlist("Authorization")
    scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
    if scheme.lower() != "bearer":
        raise ApiError(
            401, "a personal token is needed: Authorization: Bearer qfp_... (qflow approvals token NAME)"
        )
    try:
        with engine.begin() as connection:
            return verify(connection, token.strip())
    except TokenRefusedError as refused:
        raise ApiError(401, str(refused)) from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ApiError(404, "there is no approval with this id") from None


async def _body(request: Request, model: type[_Strict]) -> Any:
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "the body is sent as application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
    try:
        return _validated(model, json.loads(bytes(body)))
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is no JSON text in UTF-8") from None


def _parameters(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    if len(dict(pairs)) != len(pairs):
        raise ApiError(400, "a parameter is given twice")
    return dict(pairs)


def _validated(model: type[_Strict], values: Any) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where or 'the body'}: {problem_of(first)}") from None


def _response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(content, default=_plain, ensure_ascii=True)
    return Response(text, status, headers, "application/json")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of the API."""
    bodies = [operation.body for operation in OPERATIONS if operation.body]
    _, definitions = models_json_schema(
        [(model, "validation") for model in (*bodies, ListQuery)], ref_template="#/components/schemas/{model}"
    )
    schemas = definitions["$defs"]
    query = schemas.pop("ListQuery")
    schemas["Error"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    }
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, query)
    return {
        "openapi": "3.1.0",
        "info": {"title": "qflow approvals", "version": qflow_dagster.__version__},
        "servers": [{"url": API}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation, query: dict[str, Any]) -> dict[str, Any]:
    refused = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    statuses = {
        "400": "Not valid.",
        "401": "No valid token.",
        "403": "The token lacks the scope, or a foreign page asks.",
    }
    if "{id}" in operation.path:
        statuses["404"] = "There is no such approval."
    if operation.body:
        statuses |= {"409": "Refused.", "413": "Too large.", "415": "Not JSON."}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`.",
        "responses": {
            str(operation.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **{status: {"description": words, **refused} for status, words in statuses.items()},
        },
        "parameters": [],
    }
    if "{id}" in operation.path:
        identifier = {"type": "string", "format": "uuid"}
        described["parameters"].append({"name": "id", "in": "path", "required": True, "schema": identifier})
    if operation.query:
        described["parameters"] += [
            {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
            for name, schema in query["properties"].items()
        ]
    if operation.body:
        schema = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: one that is left out has no value, and no other is null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return choices[0] if choices else {key: value for key, value in schema.items() if key != "title"}
