"""Who is asking, and the headers every answer carries.

On loopback the user of this system decides, as on the command line. Anywhere else a request
needs an account (HTTP Basic, passwords hashed with scrypt) or a header set by a trusted
proxy. Does not belong here: who may decide which kind (the arbiter knows).
"""

import base64
import binascii
import getpass
import hashlib
import hmac
import ipaddress
import os
from functools import lru_cache

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qflow_dagster.errors import UsageError
from qflow_dagster.notifications.sealing import key_for
from qflow_dagster.setting_groups import InboxSettings

# RFC 7914's interactive parameters: some 50 ms and 16 MB a try.
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """What decides who a request is from."""

    def __init__(self, limits: InboxSettings, host: str) -> None:
        self.limits = limits
        self.loopback = is_loopback(host)
        self.hosts = {*LOOPBACK_NAMES, host.lower(), *(name.lower() for name in limits.hosts)}
        if not self.loopback and not limits.accounts and not (limits.trusted_header and limits.proxies):
            raise UsageError(
                f"the inbox on {host} would let everybody decide: set QFLOW_INBOX_ACCOUNTS "
                "(`qflow inbox password NAME` makes an entry), or QFLOW_INBOX_TRUSTED_HEADER and "
                "QFLOW_INBOX_PROXIES; on 127.0.0.1 neither is needed"
            )

    def actor(self, request: Request) -> str | None:
        """Who asks; None if that is nobody we know."""
        client = request.client.host if request.client else ""
        if self.limits.trusted_header and client in self.limits.proxies:
            return request.headers.get(self.limits.trusted_header, "").strip() or None
        if self.limits.accounts:
            return self._account(request.headers.get("Authorization", ""))
        return getpass.getuser() if self.loopback and not self.limits.trusted_header else None

    def known_host(self, request: Request) -> bool:
        """Whether the request names us: a foreign name that leads here (DNS rebinding) is refused."""
        name = request.headers.get("Host", "").lower()
        name = (
            name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() and not name.endswith("]") else name
        )
        # Behind an address for everybody any name may lead here; there accounts protect.
        return name in self.hosts or (not self.loopback and not self.limits.hosts)

    def _account(self, header: str) -> str | None:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        stored = self.limits.accounts.get(name)
        # An unknown name costs as much time as a wrong password.
        hashed = stored.get_secret_value() if stored else _NOBODY
        return name if _matches(hashed, password) and stored else None


def is_loopback(host: str) -> bool:
    """Whether a server on this address is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def hash_password(password: str) -> str:
    """What `QFLOW_INBOX_ACCOUNTS` holds of a password: ``salt$hash``, both hexadecimal."""
    salt = os.urandom(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def csrf_token(actor: str, about: str) -> str:
    """What a form must bring back: only a page of ours, shown to this actor, has it."""
    return hmac.new(key_for("csrf"), f"{actor}\0{about}".encode(), hashlib.sha256).hexdigest()


def is_own_form(request: Request, actor: str, about: str, token: str) -> bool:
    """Whether a form comes from a page of ours: its token, and where the browser says it comes from."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        return False
    return hmac.compare_digest(token.encode(), csrf_token(actor, about).encode())


@lru_cache(maxsize=256)
def _matches(hashed: str, password: str) -> bool:
    salt, _, expected = hashed.partition("$")
    try:
        found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **SCRYPT)
        return hmac.compare_digest(found, bytes.fromhex(expected))
    except ValueError:
        return False


_NOBODY = "00" * 16 + "$" + "00" * 64


class Guard:
    """ASGI middleware: only who is known comes in, and every answer carries the headers."""

    # Probes of an orchestrator have no account; they learn only that we live. Errors bring a key of their own.
    OPEN = ("/health/live", "/health/ready", "/api/")

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or let through with `request.state.actor` set."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        refusal: Response | None = None
        if not self.access.known_host(request):
            refusal = PlainTextResponse("this name is not one of ours; see QFLOW_INBOX_HOSTS\n", 421)
        elif not scope["path"].startswith(self.OPEN):
            actor = self.access.actor(request)
            request.state.actor = actor
            if actor is None:
                challenge = {"WWW-Authenticate": 'Basic realm="qflow", charset="UTF-8"'}
                offered = challenge if self.access.limits.accounts else {}
                refusal = PlainTextResponse("an account is needed\n", 401, offered)
        await (refusal or self.app)(scope, receive, send_with_headers)
