"""Values that PostgreSQL can hold, and reading JSON from outside whatever it contains.

Belongs here: replacing the one part of a value that cannot be stored, so that the rest is kept.
Does not belong here: whether a value is right (its reader's business), secrets (`redaction`).

PostgreSQL holds no NUL in text or jsonb, no half of a surrogate pair, no NaN or infinity in
jsonb; Python and PostgreSQL both refuse what nests too deeply, and integers of any length.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

# U+FFFD, what Unicode gives for a character that cannot be represented.
REPLACEMENT = "\ufffd"
# No honest value nests deeper; PostgreSQL's own limit is its stack, Python's 1,000 calls.
MAX_DEPTH = 100
TOO_DEEP = "[nested too deeply]"
# The largest integers of a double, and so of every other reader of JSON.
_MAX_INTEGER = 2**1024
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Whether the NUL is one, or a backslash and the letters u0000, an even number of backslashes before says.
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
# A string that never ends is one part up to the end: searched again from each quote it would be quadratic.
_PARTS_OF_JSON = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def storable_text(text: str) -> str:
    """Return `text` with what PostgreSQL's text cannot hold replaced by U+FFFD."""
    # What is ASCII without NUL, nearly everything, is as it is.
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable(value: Any, _above: tuple[int, ...] = ()) -> Any:
    """Return JSON data with what jsonb cannot hold replaced, and the rest as it is.

    NaN and infinities become None; NUL and lone surrogates U+FFFD; integers no double can hold a text
    that says their size; what nests deeper than 100 levels, or within itself, a text that says so.
    Keys become text.
    Types that JSON does not know are left for the encoder to refuse.
    """
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -_MAX_INTEGER < value < _MAX_INTEGER else f"[integer of {value.bit_length()} bits]"
    if isinstance(value, Mapping | list | tuple):
        if len(_above) >= MAX_DEPTH or id(value) in _above:
            return TOO_DEEP
        above = (*_above, id(value))
        if isinstance(value, Mapping):
            return {storable_text(str(key)): storable(item, above) for key, item in value.items()}
        return [storable(item, above) for item in value]
    return value


def is_storable_json(encoded: str) -> bool:
    """Return whether jsonb can hold the JSON text that `json.dumps` made, and our readers can read it."""
    try:
        raw = encoded.encode()
        # It refuses what nests deeper than 200 levels or has integers of more than 4,300 digits.
        from_json(raw)
    except ValueError:
        return False
    return not (b"\\u0000" in raw and _NUL_IN_JSON.search(raw))


def read_json(text: str | bytes) -> Any:
    """Return the storable value of JSON text from outside; bytes are UTF-8, what is not is replaced.

    Raises:
        ValueError: it is not JSON.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    try:
        value = json.loads(text, parse_int=_integer)
    except RecursionError:
        value = json.loads(_flattened(text), parse_int=_integer)
    return storable(value)


def _integer(digits: str) -> int | str:
    # Python refuses to read more than 4,300 digits (CVE-2020-10735); 310 are beyond any double.
    return int(digits) if len(digits) <= 310 else f"[integer of {len(digits.lstrip('-'))} digits]"


def _flattened(text: str) -> str:
    """JSON text with what nests deeper than `MAX_DEPTH` replaced by a text that says so; in linear time."""
    kept: list[str] = []
    depth = start = 0
    for part in _PARTS_OF_JSON.finditer(text):
        if part[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(text[start : part.start()])
        elif part[0] in "]}":
            if depth == MAX_DEPTH + 1:
                kept.append(json.dumps(TOO_DEEP))
                start = part.end()
            depth -= 1
    return "".join(kept) + (text[start:] if depth <= MAX_DEPTH else "")
