"""Conversion of values to asset metadata: tables, pictures, Markdown, column schemas."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import dagster as dg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from qflow_dagster.assets.column_descriptions import COMMON, OF_TABLE
from qflow_dagster.database import public_address
from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.settings import settings

# Tag of the steps that lead to the hotspots, which are shown before the rest of a run: of the steps that can be
# executed, those of the highest priority are.
FIRST = {"dagster/priority": "1"}
# Types are shown by their PostgreSQL names.
POSTGRESQL = postgresql.dialect()
# Maximum rows of a table in metadata, and maximum characters of a cell.
MAX_ROWS = 20
MAX_CELL = 200

# The page of ours that shows the rows of a table; all others are shown with their repository.
PAGES = {
    "agents": "/agents",
    "approvals": "/approvals",
    "assignments": "/agents",
    "candidates": "/changes",
    "circuit_breakers": "/errors",
    "edits": "/changes",
    "error_groups": "/errors",
    "health_states": "/health",
    "outcomes": "/agents",
    "rule_confidence": "/rules",
    "rule_lifecycles": "/rules",
    "rule_outcomes": "/rules",
    "sparc_goals": "/goals",
    "suggestions": "/changes",
    "tasks": "/workflows",
    "workflows": "/workflows",
}

# Maximum ages of assets (freshness). Tables that change by themselves are summarized hourly, metrics and learning
# run nightly. An asset that is materialized only when there is something to do has no maximum age: however old its
# materialization is, it may be up to date.
HOURLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=2))
NIGHTLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
# For assets that follow commits: not every day has a commit, but a month without any hints at a fault.
ON_COMMIT = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=30), warn_window=timedelta(days=7))


def table(
    rows: Sequence[Mapping[str, Any]], limit: int = 10, columns: Sequence[str] | None = None
) -> dg.TableMetadataValue:
    """Return the first `limit` rows as a table of those columns (default: all of the first row)."""
    names = columns or list(rows[0] if rows else ())
    cells = [{name: _cell(row[name]) for name in names} for row in rows[:limit]]
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in cells],
        dg.TableSchema(columns=[dg.TableColumn(name, _type([row[name] for row in cells])) for name in names]),
    )


def _type(cells: Sequence[Any]) -> str:
    """Return the type of a column, as Dagster's page shows it in the table's schema."""
    types = {type(cell) for cell in cells if cell is not None}
    if types == {int, float}:
        return "float"
    return types.pop().__name__ if len(types) == 1 and str not in types else "string"


def page(path: str) -> dg.UrlMetadataValue:
    """Return the link to a page of ours."""
    return dg.MetadataValue.url(f"{settings().inbox.address}{path}")


def approval_link(approval_id: UUID, label: Any) -> str:
    """Return a Markdown link to an approval in the inbox."""
    return link(label, f"{settings().inbox.address}/approvals/{approval_id}")


def link(label: Any, url: str) -> str:
    """Return a Markdown link; the label is escaped."""
    return f"[{markdown(label)}]({quote(url, safe=':/?#@%')})"


def links(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    """Return Markdown links as a list. (A table's cells are plain text on Dagster's page.)"""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "*none*")


def picture(svg: str) -> dg.MarkdownMetadataValue:
    """Return an SVG picture as inline metadata, so that it needs no file and no server."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![picture](data:image/svg+xml;base64,{encoded})")


def table_metadata(table: Table) -> dict[str, Any]:
    """Return the catalogue metadata of an asset that is a table: column schema, table name, URI and page."""
    own = OF_TABLE.get(table.name, {})
    columns = [
        dg.TableColumn(
            column.name,
            column.type.compile(dialect=POSTGRESQL).lower(),
            description=own.get(column.name) or COMMON.get(column.name),
            constraints=dg.TableColumnConstraints(nullable=bool(column.nullable)),
        )
        for column in table.columns
    ]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": f"public.{table.name}",
        "dagster/uri": f"{public_address()}#public.{table.name}",
        "dagster/storage_kind": "postgres",
        "page": page(PAGES.get(table.name, "/repositories")),
    }


def _cell(value: Any) -> str | int | float | bool | None:
    """Return a value as a table's cell. Dagster's page shows cells as plain text; invisible characters are escaped."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, datetime):
        value = value.strftime("%Y-%m-%d %H:%M:%S")
    text = visible_line(" ".join(visible(str(value)).split()))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def markdown(value: Any) -> str:
    """Return a value as one line of Markdown, with markup and invisible characters escaped."""
    text = visible_line(" ".join(visible(str(value)).split()))
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&$" else c for c in text)
    # Text that looks like an address would become a link.
    return escaped.replace("://", "\\://").replace("www.", "www\\.")
