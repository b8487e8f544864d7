"""Rendering of pages: the templates, what every page shows, and the parts that pages consist of.

All data is untrusted: every expression of a template is escaped, and characters that hide or reorder text are
written out. Does not belong here: reading data (the domains), what a page shows (a module per page).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape
from sqlalchemy import Connection, Engine, text
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from qflow_dagster.safety.display import visible, visible_json
from qflow_dagster.settings import settings
from qflow_dagster.web.access import refusal

FOLDER = Path(__file__).parent
# The header's links, in order.
NAVIGATION = {
    "/": "Home",
    "/approvals": "Approvals",
    "/repositories": "Repositories",
    "/changes": "Changes",
    "/goals": "Goals",
    "/agents": "Agents",
    "/rules": "Rules",
    "/errors": "Errors",
    "/workflows": "Workflows",
    "/health": "Health",
}
# Milliseconds that a page's statement may take, so that no page holds the database for long.
STATEMENT_TIMEOUT = 10_000
PAGE_ROWS = 50
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


class Link(NamedTuple):
    """A cell or an item that leads somewhere."""

    text: str
    href: str


class Status(NamedTuple):
    """A state, severity or risk, which is shown as a coloured label."""

    text: str


class Code(NamedTuple):
    """Text that is code, an id or a path."""

    text: str


class Picture(NamedTuple):
    """A small picture in a cell: SVG from `pictures`, which escapes what it draws."""

    svg: str

    @property
    def markup(self) -> Markup:
        """The picture as HTML."""
        return Markup(self.svg)  # noqa: S704


class Choice(NamedTuple):
    """One value of a filter; `number` of its rows where that is counted."""

    text: str
    href: str
    current: bool
    number: int | None = None


def history_rows(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table of the events of one workflow."""
    return [
        {
            "at": event["at"],
            "to": Status(event["to"]),
            "by": event["actor"],
            "data": Code(visible_json(event["data"], indent=None)[:500]) if event["data"] else None,
        }
        for event in events
    ]


# Columns whose names are the measurement's and not a reader's words; see `heading`.
HEADINGS = {
    "alone": "files changed by this author alone",
    "churn": "changed lines",
    "code_lines": "lines of code",
    "cognitive": "cognitive complexity",
    "cognitive_max": "cognitive complexity of the worst function",
    "cognitive_p90": "cognitive complexity, 90th percentile",
    "cyclomatic": "cyclomatic complexity",
    "cyclomatic_max": "cyclomatic complexity of the worst function",
    "fan_in": "files that import it",
    "fan_out": "files that it imports",
    "lost": "files whose knowledge is mostly lost",
}
WITHIN_DAYS = re.compile(r"_(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page: facts, a picture, a table, text, in this order; what is empty is left out.

    `rows` are the rows of the table by column label; below a picture the table is folded. `body` is HTML that was
    made of escaped text (highlighted code, rendered Markdown).
    """

    title: str
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    picture: str = ""
    rows: Sequence[Mapping[str, Any]] = ()
    empty: str = ""
    body: Markup | None = None
    link: Link | None = None
    # Beside another section where there is space.
    half: bool = False

    @property
    def anchor(self) -> str:
        """The fragment of links to this section."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())

    @property
    def svg(self) -> Markup:
        """The picture; `pictures` escapes what it draws."""
        return Markup(self.picture)  # noqa: S704


def _visible(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def duration(seconds: float | None) -> str:
    """Return a time span with its largest unit: 45 s, 12 min, 3 h, 9 d."""
    if seconds is None:
        return ""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1.0, "s"))
    value = seconds / size
    return f"{value:.1f} s" if unit == "s" and value < 10 else f"{value:.0f} {unit}"


def age(at: datetime | None) -> str:
    """Return the time since `at`, as `duration`."""
    return "" if at is None else duration((datetime.now(UTC) - at).total_seconds())


def percent(share: float | None) -> str:
    """Return a share, 0 to 1, in percent."""
    return "" if share is None else f"{share:.0%}"


def counted(number: float | None, href: str) -> Link | float | None:
    """Return a number as the link to what it counts; nothing is counted where it is zero or not known."""
    return Link(_number(number), href) if number else number


def repository_link(name: str) -> Link:
    """Return the link to a repository's page."""
    return Link(name, address("repositories", name))


def repository_path(name: str) -> list[Link]:
    """Return the links above the pages of a repository."""
    return [Link("Repositories", "/repositories"), repository_link(name)]


def run_link(run_id: str | None) -> Link | None:
    """Return the link to a run in Dagster."""
    return Link(run_id[:8], f"{settings().dagster_page}/runs/{run_id}") if run_id else None


def _number(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def address(*parts: object, **query: object) -> str:
    """Return the address of a page: its path of parts, each quoted, and a query of what is not None."""
    path = "/".join(
        quote(str(part), safe="/" if number == len(parts) - 1 else "") for number, part in enumerate(parts)
    )
    chosen = {name: value for name, value in query.items() if value is not None}
    return f"/{path}" + (f"?{urlencode(chosen)}" if chosen else "")


templates = Jinja2Templates(FOLDER / "templates")
# Escape every expression, so that no template can forget it.
templates.env.finalize = _visible
templates.env.filters["grouped"] = _number
templates.env.tests |= {
    "link": lambda value: isinstance(value, Link),
    "numeric": lambda value: (
        isinstance(value, int | float)
        or (isinstance(value, Link) and value.text.replace(",", "").replace(".", "").isdecimal())
    ),
    "status": lambda value: isinstance(value, Status),
    "picture": lambda value: isinstance(value, Picture),
    "code": lambda value: isinstance(value, Code),
    "time": lambda value: isinstance(value, datetime),
    "list": lambda value: isinstance(value, list | tuple),
}


def with_code(value: Any) -> Markup:
    """Return text as HTML, with what is between backticks as code."""
    parts = visible(str(value)).split("`")
    if len(parts) % 2 == 0:
        # The last one opens nothing.
        parts[-2:] = [f"{parts[-2]}`{parts[-1]}"]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


templates.env.filters["code"] = with_code


def heading(name: str) -> str:
    """Return the name of a column or value in plain words: `commits_90` is `commits in 90 days`."""
    return HEADINGS.get(name) or WITHIN_DAYS.sub(r" in \1 days", name).replace("_", " ")


templates.env.filters["heading"] = heading


def page(request: Request, template: str, *, status_code: int = 200, **values: Any) -> Response:
    """Return a rendered template within the layout; `values` are its variables."""
    first = request.url.path.split("/")[1]
    common = {
        "actor": getattr(request.state, "actor", None) or "not logged in",
        "dagster": settings().dagster_page,
        "health": request.app.state.health(),
        "navigation": NAVIGATION.items(),
        "section": f"/{first}",
    }
    return templates.TemplateResponse(request, template, common | values, status_code=status_code)


def view(
    request: Request,
    title: str,
    sections: Sequence[Section],
    *,
    path: Sequence[Link] = (),
    status: str = "",
    lead: str = "",
    numbers: Mapping[str, Any] | None = None,
    filters: Mapping[str, Sequence[Choice]] | None = None,
    more: Link | None = None,
    events: str = "",
) -> Response:
    """Return a page of sections.

    Args:
        request: The request.
        title: Its heading.
        sections: Its parts.
        path: The pages above it.
        status: The state of what it is about.
        lead: The sentence below the heading.
        numbers: Values by label, shown large; a value may be a link.
        filters: Choices by name of the filter.
        more: Where the next rows are.
        events: The address of the events after which the page is read again.
    """
    return page(
        request,
        "view.html",
        title=title,
        sections=sections,
        path=path,
        status=status,
        lead=lead,
        numbers=numbers or {},
        filters=filters or {},
        more=more,
        events=events,
    )


def error_page(request: Request, title: str, message: str, status_code: int) -> Response:
    """Return an error as a page to a browser, and as `access.refusal` to any other client."""
    if "text/html" not in request.headers.get("Accept", ""):
        return refusal(request.url.path, message, status_code)
    return page(request, "error.html", status_code=status_code, title=title, message=message)


def reader(engine: Engine, show: Callable[[Request, Connection], Response]) -> Callable[[Request], Response]:
    """Return the endpoint of a page that reads the database: in one read-only transaction with a time limit."""

    def endpoint(request: Request) -> Response:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT}"))
            return show(request, connection)

    return endpoint


def choices(
    request: Request, name: str, values: Sequence[str], counts: Mapping[str, int] | None = None
) -> list[Choice]:
    """Return the choices of a filter that is the parameter `name` of the address; the other parameters stay."""
    kept = {
        key: value for key, value in request.query_params.items() if key not in (name, "before", "offset")
    }
    current = request.query_params.get(name)
    links = [Choice("all", f"?{urlencode(kept)}", current is None)]
    for value in values:
        number = None if counts is None else counts.get(value, 0)
        links.append(Choice(value, f"?{urlencode({**kept, name: value})}", current == value, number))
    return links


def chosen(request: Request, name: str, values: Sequence[str]) -> str | None:
    """Return the value of a filter; None where there is none, or not one of `values`."""
    value = request.query_params.get(name)
    return value if value in values else None


def offset(request: Request) -> int:
    """Return the number of rows before the first that is shown, from the address."""
    value = request.query_params.get("offset", "0")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 9 else 0


def next_rows(request: Request, label: str, first: int) -> Link:
    """Return the link to the rows from `first` on, with the same filters."""
    return Link(label, f"?{urlencode({**request.query_params, 'offset': first})}")
