"""Dagster's own page, below `/dagster` of our application: what of it is served, and how.

Every route of the installed `dagster_webserver` was looked at: `SERVED` names those that are kept, and
a test fails when a new version brings another. Does not belong here: who may come in (`web.access`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from graphene import Schema
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qflow_dagster.launching.code import load_target
from qflow_dagster.launching.launched_by import tag_launches
from qflow_dagster.settings.platform import DAGSTER_PATH

# As Dagster's own server has them: milliseconds, seconds, connections.
STATEMENT_TIMEOUT, POOL_RECYCLE, POOL_OVERFLOW = 15_000, 3_600, 20
# Seconds a code server may take.
START_TIMEOUT = 180
# Milliseconds between two looks of an open page.
POLL_RATE = 2_000

SERVED = {
    "/server_info",
    # By POST as JSON alone, and by WebSocket; see `Page.graphql_http_endpoint`.
    "/graphql",
    "/logs/{path:path}",
    "/download_debug/{run_id:str}",
    # By POST as JSON alone: what other programs have made.
    "/report_asset_materialization/{asset_key:path}",
    "/report_asset_check/{asset_key:path}",
    "/report_asset_observation/{asset_key:path}",
    # The page itself, whose script shows what the rest of the path says.
    "/{path:path}",
    "/",
}
# Dagster's other routes are not served: a notebook's scripts would run with the page's rights.

# What may load and frame the pages that come without a policy of their own.
POLICY = "frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'"
GRAPHIQL_POLICY = (
    f"{POLICY}; default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:"
)


class Page(DagsterWebserver):
    """Dagster's page as it is, except that nothing but a POST of JSON changes anything."""

    def build_graphql_schema(self) -> Schema:
        """Return Dagster's schema, with launches tagged with their actor."""
        schema = super().build_graphql_schema()
        tag_launches(schema.graphql_schema)
        return schema

    def make_csp_header(self, nonce: str) -> str:
        """Return Dagster's own policy, extended so that no site can frame the page."""
        return f"{super().make_csp_header(nonce).rstrip().rstrip(';')}; frame-ancestors 'none'; form-action 'self'"

    async def graphql_http_endpoint(
        self, request: Request
    ) -> HTMLResponse | PlainTextResponse | JSONResponse:
        """Answer queries and mutations by POST; by GET only the page to write them in."""
        if request.method != "GET":
            return await super().graphql_http_endpoint(request)
        if "text/html" not in request.headers.get("Accept", ""):
            return PlainTextResponse("GraphQL is answered by POST\n", 405, {"Allow": "POST"})
        page = await super().graphql_http_endpoint(request)
        page.headers["Content-Security-Policy"] = GRAPHIQL_POLICY
        return page

    def served(self) -> ASGIApp:
        """Return the routes that are kept, as an application to be mounted at `DAGSTER_PATH`."""
        [prefix, _redirect] = self.build_routes()
        files = {route.path for route in self.build_static_routes()}
        kept = [route for route in prefix.routes if route.path in SERVED | files]
        return JsonOnly(Router(kept))


class JsonOnly:
    """ASGI middleware: what changes something comes as JSON, which no form of another site can send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on; answers without a policy or a word on caching get Dagster's own."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                # Its files are megabytes, and their names say their version.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            sent = Request(scope).headers.getlist("Content-Type")
            if [kind.partition(";")[0].strip().lower() for kind in sent] != ["application/json"]:
                refusal = PlainTextResponse("send it as application/json\n", 415)
                await refusal(scope, receive, send_with_headers)
                return
        await self.app(scope, receive, send_with_headers)


@contextmanager
def dagster_page(
    workspace: Path | None, report: Callable[[str], None]
) -> Iterator[tuple[ASGIApp, Callable[[], Mapping[str, bool]]]]:
    """Yield Dagster's page for a workspace (see `load_target`), and what says which code locations are loaded.

    The instance is that of `DAGSTER_HOME`. `report` is called with what is waited for.
    """
    target = load_target(workspace)
    _wait_for_code_servers(target, report)
    report("it loads the definitions")
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT, POOL_RECYCLE, POOL_OVERFLOW)
        with WorkspaceProcessContext(
            instance, target, version=__version__, code_server_log_level="warning"
        ) as context:

            def locations() -> Mapping[str, bool]:
                entries = context.get_current_workspace().code_location_entries
                return {name: entry.code_location is not None for name, entry in entries.items()}

            yield Page(context, DAGSTER_PATH, POLL_RATE).served(), locations


def _wait_for_code_servers(target: WorkspaceLoadTarget, report: Callable[[str], None]) -> None:
    """Wait until those started beside us answer; the page shows which did not."""
    deadline = time.monotonic() + START_TIMEOUT
    for origin in target.create_origins():
        if not isinstance(origin, GrpcServerCodeLocationOrigin):
            continue
        client = origin.create_client()
        while time.monotonic() < deadline:
            report(f"it waits for the code server of {origin.location_name}")
            try:
                client.ping("")
                break
            except DagsterUserCodeUnreachableError:
                time.sleep(0.1)
