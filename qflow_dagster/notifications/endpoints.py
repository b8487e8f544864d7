"""Endpoints: where the messages of a queue go, which of them, and how often.

An address is a URL of Apprise (e-mail and a hundred more), of a webhook of a chat service (`chat`), another
``http(s)://`` address, which gets signed JSON, or says where the address is kept: ``env:NAME``, ``file:PATH``.
Does not belong here: sending (`delivery`).
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import circuit_breaker
from qflow_dagster.notifications.chat import apprise_address, chat_service
from qflow_dagster.notifications.events import SEVERITIES
from qflow_dagster.notifications.sealing import seal, unseal
from qflow_dagster.notifications.tables import notification_endpoints
from qflow_dagster.quantumflow import subscribe, uuid7
from qflow_dagster.quantumflow.queues import check_queue
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.safety.names import check_name
from qflow_dagster.safety.urls import http_url

# The consumer that all queues with endpoints have.
CONSUMER = "notifier"

Filters = Mapping[str, Sequence[str]]


class Endpoint(NamedTuple):
    """One registered endpoint; its secrets are still sealed."""

    id: UUID
    name: str
    queue: str
    address: bytes
    signing_key: bytes | None
    filters: dict[str, list[str]]
    options: dict[str, Any]


def add(
    connection: Connection,
    name: str,
    queue: str,
    address: str,
    *,
    filters: Filters | None = None,
    options: Mapping[str, Any] | None = None,
    signing_key: str | None = None,
) -> UUID:
    """Register an endpoint; it gets what is sent to the queue from now on.

    `options`: `severity` (the least), `digest` (minutes), `quiet` ("22:00-07:00") with `timezone`, `each` (repeats are
    not joined).

    Raises:
        UsageError: the name is taken, the queue's name is invalid, the address is of no known form, or an option is.
    """
    given = check_options(options or {})
    check_queue(queue)
    check_name(name, "an endpoint")
    check_address(address)
    if signing_key and not is_webhook(address) and not address.startswith(("env:", "file:")):
        raise UsageError("only http(s):// endpoints are signed; leave the signing key away")
    id_ = uuid7()
    endpoint = insert(notification_endpoints).values(
        id=id_,
        name=name,
        queue=queue,
        address=seal(address),
        signing_key=seal(signing_key) if signing_key else None,
        filters=to_jsonb(dict(filters or {}), "filters"),
        options=to_jsonb(given, "options"),
    )
    try:
        with connection.begin_nested():
            connection.execute(endpoint)
    except IntegrityError:
        raise UsageError(
            f"there is an endpoint {name!r} already: choose another name, or remove it first"
        ) from None
    subscribe(connection, queue, CONSUMER, start="next")
    return id_


def remove(connection: Connection, name: str) -> None:
    """Forget an endpoint; what was not delivered yet will not be.

    Raises:
        UsageError: there is none of that name.
    """
    named = notification_endpoints.c.name == name
    if not connection.execute(delete(notification_endpoints).where(named)).rowcount:
        raise UsageError(f"there is no endpoint {name!r}; see `qflow notify list`")
    # Its breaker would stay open: no call closes it any more.
    with suppress(UsageError):
        circuit_breaker.reset(connection, f"notify:{name}", actor="qflow")


def find(connection: Connection, *, name: str | None = None) -> list[Endpoint]:
    """Return all endpoints, or the one of that name.

    Raises:
        UsageError: there is none of that name.
    """
    columns = notification_endpoints.c
    query = select(*(columns[field] for field in Endpoint._fields)).order_by(columns.name)
    if name is not None:
        query = query.where(columns.name == name)
    rows = [Endpoint(*row) for row in connection.execute(query)]
    if name is not None and not rows:
        raise UsageError(f"there is no endpoint {name!r}; see `qflow notify list`")
    return rows


def masked(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint as people may see it: of the address only what is not secret."""
    address = unseal(endpoint.address)
    kept = address if address.startswith(("env:", "file:")) else f"{urlsplit(address).scheme}://..."
    return {
        "name": endpoint.name,
        "queue": endpoint.queue,
        "address": kept,
        "signed": endpoint.signing_key is not None,
        "filters": endpoint.filters,
        "options": endpoint.options,
    }


def passes(filters: Filters, fields: Mapping[str, Any]) -> bool:
    """Return whether an event with these fields is let through by the filters."""
    return all(str(fields.get(name)) in values for name, values in filters.items())


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set.

    Raises:
        UsageError: A severity, a time or a time zone is invalid.
    """
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    if given.get("severity", "info") not in SEVERITIES:
        raise UsageError(f"{given['severity']!r} is not a severity; valid ones: {', '.join(SEVERITIES)}")
    if "digest" in given and not 1 <= given["digest"] <= 10_080:
        raise UsageError("a digest comes every 1 to 10,080 minutes")
    if "quiet" in given:
        try:
            begin, end = (datetime.strptime(part, "%H:%M") for part in given["quiet"].split("-"))
        except ValueError:
            raise UsageError(f"{given['quiet']!r} are no quiet hours; expected HH:MM-HH:MM") from None
        if begin == end:
            raise UsageError("quiet hours begin and end at different times")
    try:
        ZoneInfo(given.get("timezone", "UTC"))
    # Of a folder in the data of time zones, such as `Europe`: OSError.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"{given['timezone']!r} is not a time zone; expected a name such as Europe/Berlin"
        ) from None
    return given


def resolved_address(endpoint: Endpoint) -> str:
    """Return the address itself.

    Raises:
        UsageError: the variable or file that should hold it does not.
    """
    address = unseal(endpoint.address).strip()
    kind, _, where = address.partition(":")
    if kind == "env":
        address = os.environ.get(where, "").strip()
        if not address:
            raise UsageError(f"endpoint {endpoint.name}: the environment variable {where} is not set here")
    elif kind == "file" and not address.startswith("file://"):
        try:
            address = Path(where).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(f"endpoint {endpoint.name}: {where} cannot be read: {error.strerror}") from None
    return address


def is_webhook(address: str) -> bool:
    """Return whether an address gets our signed JSON rather than the form of a chat service."""
    return address.startswith(("http://", "https://")) and chat_service(address) is None


def check_address(address: str) -> None:
    """Refuse an address of no known form. Its text is not repeated: it may be a secret.

    Raises:
        UsageError: as said.
    """
    if address.startswith(("env:", "file:")) and address.partition(":")[2]:
        return
    if address.startswith(("http://", "https://")):
        if http_url(address) is None:
            raise UsageError("the address is not an http(s) address; expected https://host/path")
        service = chat_service(address)
        if service in (None, "Slack"):
            return
        address = apprise_address(address, service)
    # Imported late: it brings a hundred services along.
    from apprise import Apprise

    if "://" not in address or not Apprise.instantiate(address, suppress_exceptions=True):
        raise UsageError(
            "the address is of no known form: https://..., env:NAME, file:PATH, or one that Apprise knows "
            "(slack://, msteams://, mailto://, ...)"
        )
