"""The one guard of the one address: who is asking, from where, and the headers every answer carries.

Everything served passes here, HTTP and WebSocket, and what no rule lets through is refused. On
loopback the user this process runs as decides, as on the command line, and the kernel says that it is
that user's process that asks. Anywhere else a request needs an account (HTTP Basic, passwords hashed
with scrypt) or a header set by a proxy. Does not belong here: who may decide which kind (the arbiter
knows).
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import pwd
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qflow_dagster.errors import UsageError
from qflow_dagster.notifications.sealing import key_for
from qflow_dagster.settings.platform import ErrorsSettings, InboxSettings
from qflow_dagster.web import peers
from qflow_dagster.web.identities import is_name
from qflow_dagster.web.origins import from_pages_of, host_name, is_reading, origin, origin_of

# RFC 7914's interactive parameters: some 50 ms and 16 MB a try.
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

# Where programs send errors: they bring a key of their own.
INTAKE = "/api/"
# Probes of an orchestrator have no account; they learn only that we live, and what is loaded.
OPEN = ("/health/live", "/health/ready")
# Numbers alone: on loopback every process of the machine may read them.
MONITORING = ("/health/deep", "/metrics")

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
    """What decides who a request is from, and whether a page of ours made it."""

    def __init__(self, limits: InboxSettings, errors: ErrorsSettings, host: str) -> None:
        self.limits = limits
        self.loopback = is_loopback(host)
        self.origins = {origin_of(limits.url, "QFLOW_INBOX_URL")} if limits.url else set()
        addresses = [urlsplit(source).netloc for source in self.origins]
        self.hosts = {*LOOPBACK_NAMES, *(_name(host) for host in (host, *limits.hosts, *addresses))}
        self.intake_origins = {origin_of(source, "QFLOW_ERRORS_ORIGINS") for source in errors.origins}
        self.proxies = [_network(proxy) for proxy in limits.proxies]
        self.proxy_users = {0, os.geteuid(), *(_user_id(name) for name in limits.proxy_users)}
        if self.intake_origins and errors.sentry_key is None:
            raise UsageError(
                "QFLOW_ERRORS_ORIGINS lets browsers send errors: set QFLOW_ERRORS_SENTRY_KEY too"
            )
        if limits.trusted_header and not self.proxies:
            raise UsageError(
                "QFLOW_INBOX_TRUSTED_HEADER would let everybody decide as anybody: name the proxy that sets "
                "it in QFLOW_INBOX_PROXIES"
            )
        if not self.loopback and not limits.accounts and not limits.trusted_header:
            raise UsageError(
                f"the inbox on {host} would let everybody decide: set QFLOW_INBOX_ACCOUNTS "
                "(`qflow inbox password NAME` makes an entry), or QFLOW_INBOX_TRUSTED_HEADER and "
                "QFLOW_INBOX_PROXIES; on 127.0.0.1 neither is needed"
            )

    def actor(self, connection: HTTPConnection) -> str | None:
        """Who asks; None if that is nobody we know."""
        if self.limits.trusted_header and self._is_proxy(connection):
            names = connection.headers.getlist(self.limits.trusted_header)
            # Two names: the proxy added its own to one that came from outside.
            return names[0] if len(names) == 1 and is_name(names[0]) else None
        if self.limits.accounts:
            return self._account(connection.headers.getlist("Authorization"))
        if not self.loopback or self.limits.trusted_header:
            return None
        ours = not peers.CAN_TELL or _owner(connection) == os.geteuid()
        return peers.own_name() if ours else None

    @property
    def needs_nobody(self) -> bool:
        """Whether a process of this machine may read numbers without being anybody."""
        return self.loopback and not self.limits.accounts and not self.limits.trusted_header

    def names_us(self, connection: HTTPConnection) -> bool:
        """Return whether the request names us: a foreign name that leads here (DNS rebinding) is refused."""
        if len(connection.headers.getlist("Host")) != 1:
            return False
        names = {
            host_name(authority) for authority in (connection.headers["Host"], self._authority(connection))
        }
        # Behind an address for everybody any name may lead here; there accounts protect.
        return None not in names and (names <= self.hosts or not (self.loopback or self.limits.hosts))

    def may_come_from(self, connection: HTTPConnection) -> bool:
        """Return whether the page that made the request, if any did, may make it: ours, except for what only reads."""
        headers = connection.headers
        if connection.scope["type"] == "websocket":
            # Every browser names the origin of a WebSocket, and nobody else has a use for one here.
            return "Origin" in headers and from_pages_of(self._own_origins(connection), headers)
        sources = headers.getlist("Origin")
        if (
            connection.scope["path"].startswith(INTAKE)
            and len(sources) == 1
            and sources[0] in self.intake_origins
        ):
            return True
        reads = is_reading(connection.scope["method"], headers)
        return reads or from_pages_of(self._own_origins(connection), headers)

    def _own_origins(self, connection: HTTPConnection) -> set[str]:
        scheme = "https" if self._forwarded(connection, "X-Forwarded-Proto") in ("https", "wss") else "http"
        return {origin(scheme, self._authority(connection)), *self.origins}

    def _authority(self, connection: HTTPConnection) -> str:
        return self._forwarded(connection, "X-Forwarded-Host") or connection.headers["Host"]

    def _forwarded(self, connection: HTTPConnection, name: str) -> str | None:
        """Return what the proxy next to us says; what came to it from further out stands left of that."""
        values = connection.headers.getlist(name)
        if not values or not self._is_proxy(connection):
            return None
        return values[-1].rpartition(",")[2].strip()

    def _is_proxy(self, connection: HTTPConnection) -> bool:
        """Return whether the peer itself, never one that a header names, is a proxy of ours."""
        peer = _address(connection)
        if peer is None or not any(peer in network for network in self.proxies):
            return False
        # On loopback every process of the machine has the proxy's address.
        return not peer.is_loopback or _owner(connection) in self.proxy_users

    def _account(self, headers: list[str]) -> str | None:
        scheme, _, encoded = (headers[0] if len(headers) == 1 else "").partition(" ")
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
    """Return whether a server on this address is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def hash_password(password: str) -> str:
    """Return what `QFLOW_INBOX_ACCOUNTS` holds of a password: ``salt$hash``, both hexadecimal."""
    salt = os.urandom(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def csrf_token(actor: str, about: str) -> str:
    """Return what a form must bring back: only a page of ours, shown to this actor, has it."""
    return hmac.new(key_for("csrf"), f"{actor}\0{about}".encode(), hashlib.sha256).hexdigest()


def is_own_form(actor: str, about: str, token: str) -> bool:
    """Return whether a form was shown to this actor by a page of ours; where it comes from, the guard has looked at."""
    return hmac.compare_digest(token.encode(errors="replace"), csrf_token(actor, about).encode())


def _name(host: str) -> str:
    """Return a configured name or address as a request writes it."""
    return host_name(f"[{host}]" if host.count(":") > 1 and "[" not in host else host) or host.lower()


def _network(proxy: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        raise UsageError(f"QFLOW_INBOX_PROXIES: {proxy!r} is neither an address nor a network") from None


def _user_id(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UsageError(f"QFLOW_INBOX_PROXY_USERS: this system has no user {name!r}") from None


def _address(connection: HTTPConnection) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the peer's address, as its socket has it."""
    try:
        peer = ipaddress.ip_address(connection.scope["client"][0])
    except (TypeError, ValueError):
        return None
    return getattr(peer, "ipv4_mapped", None) or peer


def _owner(connection: HTTPConnection) -> int | None:
    client, server = connection.scope.get("client"), connection.scope.get("server")
    return peers.socket_owner(client, server) if client and server else None


@lru_cache(maxsize=256)
def _matches(hashed: str, password: str) -> bool:
    salt, _, expected = hashed.partition("$")
    try:
        digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **SCRYPT)
        return hmac.compare_digest(digest, bytes.fromhex(expected))
    except ValueError:
        return False


_NOBODY = "00" * 16 + "$" + "00" * 64


class Guard:
    """ASGI middleware: only who is known comes in, from pages of ours, and every answer carries the headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or let through with `state.actor` set."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                if scope["path"].startswith(INTAKE):
                    headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin")
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        connection = HTTPConnection(scope)
        await (self._refusal(connection) or self.app)(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        access, path = self.access, connection.scope["path"]
        if not access.names_us(connection):
            return PlainTextResponse("this name is not one of ours; see QFLOW_INBOX_HOSTS\n", 421)
        if not access.may_come_from(connection):
            return PlainTextResponse(
                "another site's page asked for this, or one whose address we do not know: see QFLOW_INBOX_URL\n",
                403,
            )
        if path in OPEN or path.startswith(INTAKE):
            return None
        connection.state.actor = access.actor(connection)
        if connection.state.actor is not None or (path in MONITORING and access.needs_nobody):
            return None
        if access.needs_nobody:
            message = (
                f"only processes of {peers.own_name()} may come in here; for others see QFLOW_INBOX_ACCOUNTS"
            )
            return PlainTextResponse(f"{message}\n", 401)
        challenge = {"WWW-Authenticate": 'Basic realm="qflow", charset="UTF-8"'}
        return PlainTextResponse("an account is needed\n", 401, challenge if access.limits.accounts else {})
