"""The access guard of the server: authentication, origins, and the security headers of responses.

All HTTP and WebSocket requests pass through it, and those that no rule admits are refused. On loopback,
the actor is the user of this process, as on the command line, and the kernel confirms that the client is
a process of that user. Anywhere else a request needs an account (HTTP Basic, passwords hashed
with scrypt) or a header set by a proxy. Does not belong here: who may decide which kind of approval
(the arbiter).
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
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qflow_dagster.errors import UsageError
from qflow_dagster.notifications.sealing import key_for
from qflow_dagster.settings.platform import ErrorsSettings, InboxSettings
from qflow_dagster.web import peers
from qflow_dagster.web.identities import is_name
from qflow_dagster.web.origins import from_pages_of, host_name, is_reading, origin, origin_of

# RFC 7914's interactive parameters: about 50 ms and 16 MB per attempt.
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

# Programs send errors there, authenticated by their own key.
INTAKE = "/api/"
# Programs work on approvals there, authenticated by a personal token.
API = "/api/v1"
# Slack reports pressed buttons there, signed.
SLACK = "/slack/interactions"
# Forges report pushes there, signed.
PUSHES = "/webhooks/pushes"
# Services send heartbeats there, authenticated by a token of their own in the path.
HEARTBEATS = "/health/heartbeats/"
# Probes of an orchestrator have no account; responses only say that the server runs, and what is loaded.
OPEN = ("/health/live", "/health/ready")
# Only numbers: on loopback every process of the machine may read them.
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
    """The configuration for authentication and for the check of origins."""

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
        """Return the actor of a request; None if it is not authenticated."""
        if self.limits.trusted_header and self._is_proxy(connection):
            names = connection.headers.getlist(self.limits.trusted_header)
            # With two names, the proxy added its own to a forged header.
            return names[0] if len(names) == 1 and is_name(names[0]) else None
        if self.limits.accounts:
            return self._account(connection.headers.getlist("Authorization"))
        if not self.loopback or self.limits.trusted_header:
            return None
        ours = not peers.OWNERS_AVAILABLE or _owner(connection) == os.geteuid()
        return peers.own_name() if ours else None

    @property
    def needs_nobody(self) -> bool:
        """Return whether a local process may read the metrics without authentication."""
        return self.loopback and not self.limits.accounts and not self.limits.trusted_header

    def names_us(self, connection: HTTPConnection) -> bool:
        """Return whether the Host header is a name of this server; others are refused (DNS rebinding)."""
        if len(connection.headers.getlist("Host")) != 1:
            return False
        names = {
            host_name(authority) for authority in (connection.headers["Host"], self._authority(connection))
        }
        # On a public address any name may lead here; accounts protect the server there.
        return None not in names and (names <= self.hosts or not (self.loopback or self.limits.hosts))

    def may_come_from(self, connection: HTTPConnection) -> bool:
        """Return whether the page that made the request, if any did, may make it: ours, except for what only reads."""
        headers = connection.headers
        if connection.scope["type"] == "websocket":
            # Every browser sends the origin of a WebSocket, and only browsers need one here.
            return "Origin" in headers and from_pages_of(self._own_origins(connection), headers)
        sources = headers.getlist("Origin")
        if is_intake(connection.scope["path"]) and len(sources) == 1 and sources[0] in self.intake_origins:
            return True
        reads = is_reading(connection.scope["method"], headers)
        return reads or from_pages_of(self._own_origins(connection), headers)

    def _own_origins(self, connection: HTTPConnection) -> set[str]:
        scheme = "https" if self._forwarded(connection, "X-Forwarded-Proto") in ("https", "wss") else "http"
        return {origin(scheme, self._authority(connection)), *self.origins}

    def _authority(self, connection: HTTPConnection) -> str:
        return self._forwarded(connection, "X-Forwarded-Host") or connection.headers["Host"]

    def _forwarded(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the last entry of a header, which the adjacent proxy added; earlier entries are untrusted."""
        values = connection.headers.getlist(name)
        if not values or not self._is_proxy(connection):
            return None
        return values[-1].rpartition(",")[2].strip()

    def _is_proxy(self, connection: HTTPConnection) -> bool:
        """Return whether the peer of the connection, not one named in a header, is a configured proxy."""
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
        # An unknown name takes as much time as a wrong password.
        hashed = stored.get_secret_value() if stored else _NOBODY
        return name if _matches(hashed, password) and stored else None


def refusal(path: str, message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error for a program: as JSON below the API, as plain text elsewhere."""
    if path == API or path.startswith(f"{API}/"):
        return JSONResponse({"error": message}, status, headers)
    return PlainTextResponse(f"{message}\n", status, headers)


def is_intake(path: str) -> bool:
    """Return whether programs send errors to this path."""
    return path.startswith(INTAKE) and not path.startswith(f"{API}/")


def is_loopback(host: str) -> bool:
    """Return whether a server on this address is reachable only from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def hash_password(password: str) -> str:
    """Return the entry of `QFLOW_INBOX_ACCOUNTS` for a password: ``salt$hash``, both hexadecimal."""
    salt = os.urandom(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def csrf_token(actor: str, about: str) -> str:
    """Return the token of forms (against CSRF), which only pages shown to this actor contain."""
    return hmac.new(key_for("csrf"), f"{actor}\0{about}".encode(), hashlib.sha256).hexdigest()


def is_own_form(actor: str, about: str, token: str) -> bool:
    """Verify the token of a form shown to this actor; the guard has already checked the origin."""
    return hmac.compare_digest(token.encode(errors="replace"), csrf_token(actor, about).encode())


def _name(host: str) -> str:
    """Return a configured name or address in the form of a Host header."""
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
    """Return the address of the connection's peer."""
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
    """ASGI middleware: admits authenticated requests from allowed origins, and adds the security headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with `state.actor` set."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                if is_intake(scope["path"]):
                    headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin")
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        connection = HTTPConnection(scope)
        await (self._refusal(connection) or self.app)(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        access, path = self.access, connection.scope["path"]
        # Probes ask by the address of a pod; what they learn is no secret.
        if path not in OPEN and not access.names_us(connection):
            return refusal(path, "this name is not one of ours; see QFLOW_INBOX_HOSTS", 421)
        if not access.may_come_from(connection):
            return refusal(
                path,
                "another site's page asked for this, or one whose address we do not know: see QFLOW_INBOX_URL",
                403,
            )
        if path in (*OPEN, SLACK, PUSHES) or path.startswith((INTAKE, HEARTBEATS)):
            return None
        connection.state.actor = access.actor(connection)
        if connection.state.actor is not None or (path in MONITORING and access.needs_nobody):
            return None
        if access.needs_nobody:
            message = (
                f"only processes of {peers.own_name()} may come in here; for others see QFLOW_INBOX_ACCOUNTS"
            )
            return refusal(path, message, 401)
        challenge = {"WWW-Authenticate": 'Basic realm="qflow", charset="UTF-8"'}
        return refusal(path, "an account is needed", 401, challenge if access.limits.accounts else {})
