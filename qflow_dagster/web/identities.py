"""Authenticated names of actors: of the operating system's user, or of a signed token.

Belongs here: the actor on the command line. Does not belong here: the actor of an HTTP request
(`access`), permissions (`approvals.arbiter`).

A token is ``qfi_`` and, in base64, a name, the second it expires and an HMAC-SHA256 over both with
the instance's key. Whoever has the key can sign any name: that is the operator, who holds
the database too.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from typing import Any

from qflow_dagster.errors import UsageError
from qflow_dagster.notifications.sealing import key_for
from qflow_dagster.safety.display import visible_line
from qflow_dagster.web import peers

PREFIX = "qfi_"
VARIABLE = "QFLOW_IDENTITY"
MAX_NAME = 200
MAX_DAYS = 366
_DAY = 86_400


def is_name(text: str) -> bool:
    """Return whether a name is allowed for actors.

    It must have no invisible characters or commas (proxies join headers by commas), and not be a policy's.
    """
    return (
        0 < len(text) <= MAX_NAME
        and text.strip() == text
        and visible_line(text) == text
        and "," not in text
        and not text.startswith("policy:")
    )


def sign(name: str, *, days: float) -> str:
    """Return a token that authenticates `name` for that many days.

    Raises:
        UsageError: the name is empty, too long, reserved or not readable; or the days are out of range.
    """
    check(name, days)
    return signed(PREFIX, "identity", [name, int(time.time() + days * _DAY)])


def check(name: str, days: float) -> None:
    """Refuse a name or a time for which no token is signed.

    Raises:
        UsageError: the name is empty, too long, reserved or not readable; or the days are out of range.
    """
    if not is_name(name):
        raise UsageError(
            f"{visible_line(name, 50)!r} is not a valid name: 1 to {MAX_NAME} visible characters, "
            "no surrounding space, no comma, no prefix 'policy:'"
        )
    if not 0 < days <= MAX_DAYS:
        raise UsageError(f"a name is signed for more than 0 and at most {MAX_DAYS} days, not {days:g}")


def verify(token: str) -> str:
    """Verify a token and return its name.

    Raises:
        UsageError: It is of another instance, was altered, or has expired.
    """
    found = claim(PREFIX, "identity", token)
    if found is None:
        raise UsageError(f"{VARIABLE} is not a token of this instance; `qflow identity NAME` signs one")
    name, expires = found
    if expires <= time.time():
        raise UsageError(
            f"the token of {name} in {VARIABLE} has expired; `qflow identity NAME` signs another"
        )
    return name


def signed(prefix: str, purpose: str, content: list[Any]) -> str:
    """Return a token: the content and its signature for a purpose, by the key of this instance."""
    encoded = json.dumps(content, ensure_ascii=False).encode()
    return prefix + _encoded(_signature(purpose, encoded) + encoded)


def claim(prefix: str, purpose: str, token: str) -> list[Any] | None:
    """Return the content of a token; None if it was not signed for this purpose by the key of this instance."""
    encoded = token.removeprefix(prefix) if token.startswith(prefix) else ""
    try:
        whole = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signature, content = whole[:32], whole[32:]
    # Base64 has several encodings of the same bytes; only the canonical one is accepted.
    if _encoded(whole) != encoded or not hmac.compare_digest(signature, _signature(purpose, content)):
        return None
    return json.loads(content)


def established(requested: str | None = None) -> str:
    """Return the name under which this process acts: that of the token in `QFLOW_IDENTITY`, or its account's.

    Raises:
        UsageError: another name is `wanted`, or the token does not hold.
    """
    token = os.environ.get(VARIABLE)
    name = verify(token) if token else peers.own_name()
    if requested is not None and requested != name:
        raise UsageError(
            f"nothing says that you are {visible_line(requested, MAX_NAME)}: you act as {name}; "
            f"leave --as away, or set {VARIABLE} to what `qflow identity` signs for that name"
        )
    return name


def _encoded(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


def _signature(purpose: str, content: bytes) -> bytes:
    return hmac.new(key_for(purpose), content, hashlib.sha256).digest()
