"""Rendering of pages: the templates, and what every page shows.

All data is untrusted: every expression of a template is escaped, and characters that hide or reorder text are
written out. Does not belong here: reading data (the domains), what a page shows (a module per page).
"""

from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.templating import Jinja2Templates

from qflow_dagster.safety.display import visible
from qflow_dagster.settings import settings

FOLDER = Path(__file__).parent
# The header's links, in order.
NAVIGATION = {
    "/approvals": "Approvals",
    "/health/deep": "Health",
}


def _visible(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


templates = Jinja2Templates(FOLDER / "templates")
# Escape every expression, so that no template can forget it.
templates.env.finalize = _visible


def page(request: Request, template: str, *, status_code: int = 200, **values: Any) -> Response:
    """Return a rendered template within the layout; `values` are its variables."""
    first = request.url.path.split("/")[1]
    common = {
        "actor": getattr(request.state, "actor", None) or "not logged in",
        "dagster": settings().dagster_page,
        "navigation": NAVIGATION.items(),
        "section": f"/{first}",
    }
    return templates.TemplateResponse(request, template, common | values, status_code=status_code)


def error_page(request: Request, title: str, message: str, status_code: int) -> Response:
    """Return an error as a page to a browser, and as plain text to any other client."""
    if "text/html" not in request.headers.get("Accept", ""):
        return PlainTextResponse(f"{message}\n", status_code)
    return page(request, "error.html", status_code=status_code, title=title, message=message)
