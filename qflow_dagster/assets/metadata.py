"""How values become metadata of assets: tables, pictures, Markdown, column schemas."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from sqlalchemy.dialects import postgresql

from qflow_dagster.safety.display import visible, visible_line

# Types are shown by the names the database has for them.
POSTGRESQL = postgresql.dialect()
# Rows of a table that metadata shows.
MAX_ROWS = 20


def table(rows: Sequence[Mapping[str, Any]], limit: int = 10) -> dg.MarkdownMetadataValue:
    """The first `limit` rows as a Markdown table; says so where there is none."""
    if not rows:
        return dg.MetadataValue.md("*no rows*")
    header = list(rows[0])
    lines = [_line(header), _line(["---"] * len(header))]
    lines += [_line([_cell(row[name]) for name in header]) for row in rows[:limit]]
    return dg.MetadataValue.md("\n".join(lines))


def picture(svg: str) -> dg.MarkdownMetadataValue:
    """An SVG picture, inline, so that it needs no file and no server."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![picture](data:image/svg+xml;base64,{encoded})")


def column_schema(table: Any) -> dg.TableSchema:
    """The columns of a SQLAlchemy table, for the asset's catalogue page."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.compile(dialect=POSTGRESQL).lower(),
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable)),
            )
            for column in table.columns
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    """A value as a table cell. File names come from outside: nothing of theirs may become markup."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, datetime):
        value = value.strftime("%Y-%m-%d %H:%M:%S")
    return markdown(value, 200)


def markdown(value: Any, limit: int | None = None) -> str:
    """Return a value as one line of Markdown that shows it: nothing of it becomes markup, or hides."""
    text = visible_line(" ".join(visible(str(value)).split()))
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&$" else c for c in text)
    # What looks like an address would become a link.
    escaped = escaped.replace("://", "\\://").replace("www.", "www\\.")
    return escaped if limit is None or len(escaped) <= limit else escaped[: limit - 1] + "…"
