"""Values of Sentry's formats, which senders may give any type: texts, lists, lines and times."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qflow_dagster.safety.redaction import cut


def text(value: Any, limit: int) -> str:
    """Return a string or number as stripped text; empty for other types."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return cut(str(value).strip(), limit)


def one_line(value: Any, limit: int) -> str:
    """Return a string or number as text without line breaks; empty for other types."""
    return " ".join(text(value, limit).split())


def values(value: Any) -> list[Mapping[str, Any]]:
    """Return a list that Sentry writes bare or as {"values": [...]}."""
    items = value.get("values") if isinstance(value, Mapping) else value
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def line_number(value: Any) -> int:
    """Return a line of a file; 0 if it is invalid. Some SDKs send numbers as strings."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def age(at: Any, header: Mapping[str, Any]) -> float:
    """Return the seconds since a time, by the sender's clock if the header of the envelope says when it was sent.

    0 for a time to come or none.
    """
    seconds, sent = _seconds(at), _seconds(header.get("sent_at"))
    return 0.0 if seconds is None else max((time.time() if sent is None else sent) - seconds, 0.0)


def _seconds(value: Any) -> float | None:
    """Return a time as seconds since the epoch, from a number or ISO 8601; without a zone it is UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < 1e11 else None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and len(value) < 64 else None
        return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
