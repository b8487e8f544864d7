"""Lists of approvals: filters, sort orders, pages, and how many there are of each kind, repository, rule, risk, owner.

Does not belong here: one approval as a whole (`records`).
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.approvals.approval import TYPES
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.names import identity

UNENDED = ("pending", "approved")
STATUSES = ("pending", "approved", "denied", "consumed", "expired", "revoked")
# By these columns lists are filtered, and counted.
FACETS = ("kind", "repository", "rule", "risk", "owner")
# `{w}` is the table by whose rows a list is found.
SORTS = {
    "oldest": "{w}.id",
    "newest": "{w}.id DESC",
    "expiry": "{w}.expires_at, {w}.id",
    "risk": "array_position(ARRAY['experimental', 'high', 'medium', 'low'], a.risk), a.id",
}
# The filter for what has no value in a column.
NOTHING = "-"
# Counts are of the newest so many; a queue of more is not read by people.
MAX_COUNTED = 20_000
# Constants of ours, written out: only then the planner knows that the partial index holds them all.
TYPE_LIST = ", ".join(f"'{name}'" for name in TYPES.values())

COLUMNS = """
    a.id, a.kind, a.target, coalesce(w.status, a.final_status, 'archived') AS status, a.requested_by, a.reason,
    a.repository, a.rule, a.risk, a.owner,
    a.required_approvals, a.requested_at, a.expires_at, encode(a.digest, 'hex') AS digest,
    (SELECT count(*) FROM approval_decisions d WHERE d.approval_id = a.id AND d.decision = 'approve')
        AS approvals,
    coalesce(w.run_id, a.run_id) AS run_id
"""


@dataclass(frozen=True)
class Filter:
    """Which approvals to list; None selects all.

    `older_than` is an age in seconds, `search` a text in target, reason, requester, repository, rule or owner.
    `-` selects those without a repository, rule, risk or owner.
    """

    status: str | None = None
    kind: str | None = None
    repository: str | None = None
    rule: str | None = None
    risk: str | None = None
    owner: str | None = None
    older_than: float | None = None
    search: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("status", STATUSES), ("kind", tuple(TYPES))):
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise UsageError(f"{value!r} is no {name} of approvals; there are: {', '.join(allowed)}")

    def source(self, connection: Connection) -> tuple[str, dict[str, Any]]:
        """Return the FROM and WHERE clauses, and their parameters."""
        if self.status in UNENDED:
            # Few of many: by the index of workflows. None of them is archived.
            types = f"'{TYPES[self.kind]}'" if self.kind else TYPE_LIST  # pyright: ignore[reportArgumentType]
            tables = "workflows w JOIN approvals a ON a.id = w.id"
            conditions = [f"w.type IN ({types})", "w.status = :status"]
        else:
            tables = "approvals a LEFT JOIN workflows w ON w.id = a.id"
            conditions = ["coalesce(w.status, a.final_status) = :status"] if self.status else []
        parameters: dict[str, Any] = {"status": self.status} if self.status else {}
        for name in FACETS:
            if (value := getattr(self, name)) == NOTHING:
                conditions.append(f"a.{name} IS NULL")
            elif value is not None:
                conditions.append(f"a.{name} = ANY(:{name})")
                parameters[name] = _spellings(connection, value) if name == "owner" else [value]
        if self.older_than is not None:
            conditions.append("a.requested_at <= statement_timestamp() - make_interval(secs => :older_than)")
            parameters["older_than"] = self.older_than
        if self.search:
            conditions.append(
                "concat_ws(' ', a.id, a.target, a.reason, a.requested_by, a.repository, a.rule, a.owner) "
                "ILIKE '%' || :search || '%' ESCAPE '!'"
            )
            literal = self.search
            for character in "!%_":
                literal = literal.replace(character, "!" + character)
            parameters["search"] = literal
        return f"FROM {tables} WHERE {' AND '.join(conditions) or 'true'}", parameters


EVERYTHING = Filter()


def _spellings(connection: Connection, owner: str) -> list[str]:
    """Return how the name of an owner is spelt where it is one."""
    stored = connection.scalars(text("SELECT DISTINCT owner FROM approvals WHERE owner IS NOT NULL"))
    return [name for name in stored if identity(name) == identity(owner)]


def find(
    connection: Connection,
    selection: Filter = EVERYTHING,
    *,
    sort: str = "newest",
    offset: int = 0,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return a page of the selected approvals, without their content.

    Raises:
        UsageError: there is no such sort order.
    """
    if sort not in SORTS:
        raise UsageError(f"{sort!r} is no order of approvals; there are: {', '.join(SORTS)}")
    source, parameters = selection.source(connection)
    order = SORTS[sort].format(w="w" if selection.status in UNENDED else "a")
    query = text(f"SELECT {COLUMNS} {source} ORDER BY {order} LIMIT :limit OFFSET :offset")
    rows = connection.execute(query, {**parameters, "limit": limit, "offset": offset})
    return [dict(row) for row in rows.mappings()]


def facets(connection: Connection, selection: Filter) -> tuple[int, dict[str, dict[str, int]]]:
    """Return how many approvals are selected, and by facet and value how many of them have it, the most first."""
    source, parameters = selection.source(connection)
    names = ", ".join(f"a.{name}" for name in FACETS)
    query = text(f"""
        WITH a AS MATERIALIZED (SELECT {names} {source} ORDER BY a.id DESC LIMIT {MAX_COUNTED})
        SELECT {
        ", ".join(
            f"CASE WHEN grouping({name}) = 0 THEN coalesce({name}, '{NOTHING}') END AS {name}"
            for name in FACETS
        )
    }, count(*) AS many
        FROM a GROUP BY GROUPING SETS ({", ".join(f"({name})" for name in FACETS)}, ())
        ORDER BY many DESC, {", ".join(FACETS)}
    """)
    total, counted = 0, {name: {} for name in FACETS}
    for row in connection.execute(query, parameters).mappings():
        facet = next((name for name in FACETS if row[name] is not None), None)
        if facet is None:
            total = row["many"]
        else:
            counted[facet][row[facet]] = row["many"]
    return total, counted


def counts(connection: Connection) -> dict[str, int]:
    """Return how many approvals are in each status."""
    query = text(
        f"SELECT status, count(*) AS many FROM workflows WHERE type IN ({TYPE_LIST}) GROUP BY status"
    )
    by_status = {row.status: row.many for row in connection.execute(query)}
    return {status: by_status.get(status, 0) for status in STATUSES}
