"""The addresses of the pages that read the database and change nothing."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from qflow_dagster.web import (
    changes,
    errors,
    findings,
    goals,
    health,
    home,
    plan,
    repository,
    rules,
    source,
    workflows,
)
from qflow_dagster.web.events import Events
from qflow_dagster.web.pages import reader

PAGES: dict[str, Callable[[Request, Connection], Response]] = {
    "/": home.home,
    "/repositories": home.repositories,
    "/repositories/{name}": repository.repository,
    "/repositories/{name}/findings": findings.finding_list,
    "/repositories/{name}/findings/{id:uuid}": findings.finding,
    "/repositories/{name}/plan": plan.plan,
    "/repositories/{name}/files": source.files,
    "/repositories/{name}/files/{path:path}": source.file,
    "/work/{id:uuid}": plan.work_item,
    "/changes": changes.changes,
    "/changes/{id:uuid}": changes.change,
    "/goals": goals.goals,
    "/goals/{id:uuid}": goals.goal,
    "/agents": goals.agents,
    "/agents/{name}": goals.agent,
    "/rules": rules.rules,
    "/rules/{id:path}": rules.rule,
    "/errors": errors.errors,
    "/errors/{id:uuid}": errors.error,
    "/health": health.health,
    "/workflows": workflows.workflows,
    "/workflows/{id:uuid}": workflows.workflow,
}


def routes(engine: Engine) -> list[BaseRoute]:
    """Return the routes of these pages, and of the events that renew them."""
    pages = [Route(path, reader(engine, show)) for path, show in PAGES.items()]
    return [*pages, Route("/events", Events(engine).stream)]
