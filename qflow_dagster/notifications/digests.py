"""What is delivered later, in one message: quiet hours, digests, repeats and bursts.

Belongs here: deciding when a notification is due, and joining those that wait. Does not belong here: sending
(`delivery`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from qflow_dagster.notifications.endpoints import Endpoint
from qflow_dagster.notifications.rendering import Text, render_template
from qflow_dagster.notifications.tables import notification_recent, notification_waiting
from qflow_dagster.settings import settings

BURST_SECONDS = 60.0
# Entries of one digest; what is beyond is counted.
MAX_ENTRIES = 50


class Item(NamedTuple):
    """A notification for an endpoint, before it is known when it is due."""

    endpoint: Endpoint
    text: Text
    severity: str
    link: str | None
    # Equal notifications have the same; None where nothing is joined.
    group: bytes | None


@dataclass
class Recent:
    """What an endpoint got lately, by group and within the last minute, and when it gets what waits."""

    groups: dict[bytes, datetime] = field(default_factory=dict)
    burst: int = 0
    # When what waits for the endpoint is delivered next.
    next_digest: datetime | None = None


def group_of(title: str, body: str) -> bytes:
    """Return what equal notifications have in common."""
    return sha256(f"{title}\n{body}".encode()).digest()


def due_at(item: Item, recent: Recent, now: datetime) -> datetime | None:
    """Return when a notification is due; None for now. Critical ones wait for no quiet hours and no digest."""
    options, limits = item.endpoint.options, settings().notifications
    if item.severity != "critical":
        if end := _quiet_until(options, now):
            return end
        if options.get("digest"):
            return recent.next_digest or now + timedelta(minutes=options["digest"])
    if item.group is None:
        return None
    if item.group in recent.groups:
        return recent.groups[item.group] + timedelta(seconds=limits.repeat)
    if recent.burst >= limits.burst:
        return now + timedelta(seconds=BURST_SECONDS)
    return None


def split(connection: Connection, items: Sequence[Item]) -> list[bool]:
    """Return for each notification whether it is due now; what is not waits in the table."""
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    recent = _recent(connection, {item.endpoint.id for item in items}, now)
    is_due: list[bool] = []
    waiting: list[dict[str, Any]] = []
    sent: dict[tuple[UUID, bytes], None] = {}
    for item in items:
        before = recent[item.endpoint.id]
        due = due_at(item, before, now)
        is_due.append(due is None)
        if due is None and item.group is not None:
            before.groups[item.group] = now
            before.burst += 1
            sent[item.endpoint.id, item.group] = None
        elif due is not None:
            before.next_digest = min(before.next_digest or due, due)
            waiting.append(
                {
                    "endpoint_id": item.endpoint.id,
                    "title": item.text.title,
                    "body": item.text.body,
                    "link": item.link,
                    "due_at": due,
                }
            )
    if sent:
        values = [{"endpoint_id": id_, "group_key": group, "at": now} for id_, group in sent]
        statement = upsert(notification_recent).values(values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["endpoint_id", "group_key"], set_={"at": statement.excluded.at}
            )
        )
    if waiting:
        connection.execute(insert(notification_waiting), waiting)
    return is_due


def take_due(connection: Connection) -> list[tuple[UUID, int, Text, str | None]]:
    """Remove what is due and return it joined: (endpoint, id of the last one, text, link)."""
    table = notification_waiting
    due = table.c.due_at <= func.clock_timestamp()
    ids = select(table.c.id).where(due).with_for_update(skip_locked=True)
    taken = delete(table).where(table.c.id.in_(ids)).returning(table)
    by_endpoint: dict[UUID, list[Any]] = {}
    for row in sorted(connection.execute(taken), key=lambda row: row.id):
        by_endpoint.setdefault(row.endpoint_id, []).append(row)
    return [(id_, rows[-1].id, *_joined(rows)) for id_, rows in by_endpoint.items()]


def forget(connection: Connection) -> None:
    """Delete what is no longer recent."""
    seconds = max(settings().notifications.repeat, BURST_SECONDS)
    oldest = func.clock_timestamp() - timedelta(seconds=seconds)
    connection.execute(delete(notification_recent).where(notification_recent.c.at < oldest))


def _joined(rows: Sequence[Any]) -> tuple[Text, str | None]:
    """Return one text for several notifications; equal titles are counted."""
    entries: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = entries.setdefault(row.title, {"title": row.title, "count": 0})
        entry["count"] += 1
        entry["link"] = row.link
        entry["body"] = row.body
    if len(entries) == 1:
        [entry] = entries.values()
        times = f" ({entry['count']} times)" if entry["count"] > 1 else ""
        return Text(f"{entry['title']}{times}", entry["body"]), entry["link"]
    shown = list(entries.values())[:MAX_ENTRIES]
    if len(entries) > MAX_ENTRIES:
        shown.append({"title": f"and {len(entries) - MAX_ENTRIES} more", "count": 1, "link": None})
    return render_template("digest", {"total": len(rows), "entries": shown}), None


def _recent(connection: Connection, ids: set[UUID], now: datetime) -> dict[UUID, Recent]:
    table = notification_recent
    oldest = now - timedelta(seconds=max(settings().notifications.repeat, BURST_SECONDS))
    query = select(table).where(table.c.endpoint_id.in_(ids), table.c.at > oldest)
    recent = {id_: Recent() for id_ in ids}
    repeat = timedelta(seconds=settings().notifications.repeat)
    for row in connection.execute(query):
        of_endpoint = recent[row.endpoint_id]
        if row.at > now - repeat:
            of_endpoint.groups[row.group_key] = row.at
        of_endpoint.burst += row.at > now - timedelta(seconds=BURST_SECONDS)
    waiting = notification_waiting.c
    earliest = select(waiting.endpoint_id, func.min(waiting.due_at).label("due")).where(
        waiting.endpoint_id.in_(ids)
    )
    for row in connection.execute(earliest.group_by(waiting.endpoint_id)):
        recent[row.endpoint_id].next_digest = row.due
    return recent


def _quiet_until(options: dict[str, Any], now: datetime) -> datetime | None:
    """Return the end of the quiet hours that are now, in the endpoint's time zone; None outside of them."""
    if not options.get("quiet"):
        return None
    local = now.astimezone(ZoneInfo(options.get("timezone", "UTC")))
    begin, end = (datetime.strptime(part, "%H:%M").time() for part in options["quiet"].split("-"))
    today = local.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
    if begin <= end:
        return today if begin <= local.time() < end else None
    if local.time() >= begin:
        return today + timedelta(days=1)
    return today if local.time() < end else None
