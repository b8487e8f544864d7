"""Values of Sentry's formats, which senders may give any type: texts, lists, lines and times."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qflow_dagster.safety.redaction import cut

MAX_CLOCK_SKEW = 300.0
# Where a parameter stands in a message: as in printf, with or without a name, and as in Python, .NET and Rust.
_PARAMETER = re.compile(r"%%|%(?:\((\w{1,50})\))?[a-zA-Z]|\{(\w{0,50})\}")


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


def filled(template: str, parameters: Any) -> str:
    """Return a message with its parameters, a list or an object; what has none stays as it is."""
    if not isinstance(parameters, list | Mapping):
        return template
    left = iter(parameters)

    def fill(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name, value = match[1] or match[2], None
        if isinstance(parameters, Mapping):
            value = parameters.get(name)
        elif not name:
            value = next(left, None)
        elif name.isdecimal() and int(name) < len(parameters):
            value = parameters[int(name)]
        return text(value, 1_000) or match[0]

    return _PARAMETER.sub(fill, template) if parameters else template


def line_number(value: Any) -> int:
    """Return a line of a file; 0 if it is invalid. Some SDKs send numbers as strings."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def age(at: Any, header: Mapping[str, Any]) -> float:
    """Return the seconds since a time, by the sender's clock if the header of the envelope says when it was sent.

    0 for a time to come or none: it was sent now.
    """
    return max(_age(at, header) or 0.0, 0.0)


def is_ahead(at: Any, header: Mapping[str, Any]) -> bool:
    """Return whether a time is later than the one at which it was sent, by more than clocks differ."""
    return (_age(at, header) or 0.0) < -MAX_CLOCK_SKEW


def _age(at: Any, header: Mapping[str, Any]) -> float | None:
    seconds, sent = _seconds(at), _seconds(header.get("sent_at"))
    return None if seconds is None else (time.time() if sent is None else sent) - seconds


def _seconds(value: Any) -> float | None:
    """Return a time as seconds since the epoch, from a number or ISO 8601; without a zone it is UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < 1e11 else None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and len(value) < 64 else None
        return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
