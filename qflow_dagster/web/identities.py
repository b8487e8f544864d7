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
    if not is_name(name):
        raise UsageError(
            f"{visible_line(name, 50)!r} is not a valid name: 1 to {MAX_NAME} visible characters, "
            "no surrounding space, no comma, no prefix 'policy:'"
        )
    if not 0 < days <= MAX_DAYS:
        raise UsageError(f"a name is signed for more than 0 and at most {MAX_DAYS} days, not {days:g}")
    claim = json.dumps([name, int(time.time() + days * _DAY)], ensure_ascii=False).encode()
    return PREFIX + _encoded(_signature(claim) + claim)


def verify(token: str) -> str:
    """Verify a token and return its name.

    Raises:
        UsageError: It is of another instance, was altered, or has expired.
    """
    encoded = token.removeprefix(PREFIX) if token.startswith(PREFIX) else ""
    try:
        signed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        signed = b""
    signature, claim = signed[:32], signed[32:]
    # Base64 has several encodings of the same bytes; only the canonical one is accepted.
    if _encoded(signed) != encoded or not hmac.compare_digest(signature, _signature(claim)):
        raise UsageError(f"{VARIABLE} is not a token of this instance; `qflow identity NAME` signs one")
    name, expires = json.loads(claim)
    if expires <= time.time():
        raise UsageError(
            f"the token of {name} in {VARIABLE} has expired; `qflow identity NAME` signs another"
        )
    return name


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


def _encoded(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def _signature(claim: bytes) -> bytes:
    return hmac.new(key_for("identity"), claim, hashlib.sha256).digest()
