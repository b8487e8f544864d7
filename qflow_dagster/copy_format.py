"""Rows as lines of COPY's text format, without a database.

Belongs here: encoding values. It stands apart from ``database`` because processes that only
encode (the workers of ingestion) start in half the time without a driver.
"""

from collections.abc import Iterable
from typing import Any


def copy_line(values: Iterable[Any]) -> str:
    """Return one row in COPY's text format: None, bool, int, float, str, bytes, and lists of int or str."""
    return "\t".join([_copy_field(value) for value in values]) + "\n"


# NUL and halves of surrogate pairs cannot be stored as text at all; they become the replacement character.
_UNSTORABLE = dict.fromkeys([0, *range(0xD800, 0xE000)], "\ufffd")
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", **_UNSTORABLE})


def _copy_field(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is str:
        return value if value.isalnum() else value.translate(_SPECIAL)
    if value is None:
        return "\\N"
    if kind is bool:
        return "t" if value else "f"
    if kind is bytes:
        return "\\\\x" + value.hex()
    if kind is list:
        if not value:
            return "{}"
        if type(value[0]) is int:
            return "{" + ",".join(map(str, value)) + "}"
        return "{" + ",".join([_array_element(item) for item in value]) + "}"
    return str(value)


def _array_element(item: str) -> str:
    if item.isidentifier() and item.upper() != "NULL":
        return item
    quoted = '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return quoted.translate(_SPECIAL)
