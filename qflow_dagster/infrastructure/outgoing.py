"""HTTP requests to other machines: only the given data is sent, only to the given host, within limits.

Belongs here: a request and its response, and the rules for redirects. Does not belong here: which
hosts a task may contact (`execution.task_policy`), circuit breakers (the caller adds them), git.

Nothing is added to a request: no ``~/.netrc``, no proxy of the environment, no cookie. The time
limit is for the complete request, from name resolution to the last byte, so that a slow server cannot
extend it. The only proxy is `settings().outgoing.proxy`.
"""

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings

REDIRECTS = (301, 302, 303, 307, 308)
# Headers that may be sent to another origin after a redirect; any other could be a credential.
HARMLESS = frozenset({"accept", "accept-language", "accept-encoding", "user-agent"})
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# zlib: gzip or zlib, as the data says.
ANY_FORMAT = 47


class Request(NamedTuple):
    """A request; an empty `body` means none."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Answer(NamedTuple):
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    # When the certificate of an https server expires.
    certificate_end: datetime | None = None

    @property
    def text(self) -> str:
        """Decode the body with its declared character set, by default UTF-8."""
        charset = self.headers.get("content-type", "").lower().partition("charset=")[2].split(";")[0]
        try:
            return self.body.decode(charset.strip(" \"'") or "utf-8", "replace")
        # The character set is unknown to Python, or no text encoding.
        except (LookupError, UnicodeError, ValueError):
            return self.body.decode("utf-8", "replace")


class NoResponseError(QflowError):
    """There was no response. The message omits the address, which may be a secret."""


class ResponseTimeoutError(NoResponseError):
    """The response exceeded the time limit."""


class ResponseTooLargeError(NoResponseError):
    """The response exceeded the size limit."""


class RedirectRefusedError(QflowError):
    """Following the redirect would disclose data to another host."""


def fetch(request: Request, *, seconds: float, max_bytes: int = 0) -> Answer:
    """Send a request and return its response, even a redirect, with up to `max_bytes` of the body (default: none).

    Raises:
        ResponseTimeoutError: It took longer than `seconds` in total.
        ResponseTooLargeError: The body is larger than `max_bytes` (and that is not 0).
        NoResponseError: The address is invalid, or the host does not respond.
    """
    # Imported late, here and below, because most commands send no request.
    import httpx2

    try:
        return asyncio.run(asyncio.wait_for(_fetch(request, max_bytes), seconds))
    except (TimeoutError, httpx2.TimeoutException):
        raise ResponseTimeoutError("Timeout") from None
    except httpx2.TransportError as error:
        raise NoResponseError(_certificate_problem(error) or "ConnectionError") from None
    # An address or a header that cannot be sent (ValueError includes text that is not ASCII).
    except (httpx2.InvalidURL, ValueError, OSError) as error:
        raise NoResponseError(type(error).__name__) from None


def redirected(request: Request, answer: Answer) -> Request:
    """Return the request that follows a redirect (RFC 9110, section 15.4).

    A POST becomes a GET as in browsers. Another origin (scheme, host, port) never gets the body, and only
    harmless headers.

    Raises:
        RedirectRefusedError: It has no valid target, leads from https to another scheme, or would send
            a body to another origin.
    """
    try:
        url = urljoin(request.url, answer.headers["location"])
        same = _origin(url) == _origin(request.url)
    except ValueError:
        raise RedirectRefusedError("a redirect to an invalid URL is not followed") from None
    if urlsplit(request.url).scheme == "https" and urlsplit(url).scheme != "https":
        raise RedirectRefusedError("a redirect from https to another scheme is not followed")
    becomes_get = (answer.status == 303 and request.method != "HEAD") or (
        answer.status in (301, 302) and request.method == "POST"
    )
    method, body = ("GET", b"") if becomes_get else (request.method, request.body)
    if not same and (body or method not in ("GET", "HEAD")):
        raise RedirectRefusedError(f"a redirect of a {method} to another origin is not followed")
    headers = {
        name: value
        for name, value in request.headers.items()
        if (same or name.lower() in HARMLESS) and not (becomes_get and name.lower().startswith("content-"))
    }
    return Request(method, url, headers, body)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


async def _fetch(request: Request, max_bytes: int) -> Answer:
    import httpx2

    url = httpx2.URL(request.url)
    # Reading an invalid port raises ValueError.
    _, host, _ = _origin(request.url)
    # The address was authorized as parsed here, so it must not be parsed differently for sending.
    if not host or (host.isascii() and url.raw_host.decode("ascii", "replace").lower() != host):
        raise ValueError
    proxy = settings().outgoing.proxy
    async with (
        httpx2.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            # Certificate authorities of OpenSSL's environment variables, else of certifi.
            verify=httpx2.create_ssl_context() if url.scheme == "https" else False,
            proxy=proxy.get_secret_value() if proxy and host not in LOOPBACK else None,
        ) as client,
        client.stream(
            request.method,
            url,
            headers={"Accept-Encoding": "identity", **request.headers},
            content=request.body or None,
        ) as response,
    ):
        # Read now: it is gone once the connection is closed.
        certificate_end = _certificate_end(response.extensions)
        body = b""
        if max_bytes:
            async for part in response.aiter_raw(65_536):
                body += part
                if len(body) > max_bytes:
                    raise ResponseTooLargeError(f"the answer is larger than {max_bytes:,} bytes")
            if response.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
                body = _inflated(body, max_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, body, certificate_end)


def _certificate_problem(error: BaseException | None) -> str | None:
    """Return what is wrong with a certificate; the name in it is left out, because it is part of the address."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = "it is of another host" if "ostname" in error.verify_message else error.verify_message
            return f"its certificate is refused: {reason}"
        error = error.__cause__ or error.__context__
    return None


def _certificate_end(extensions: Mapping[str, Any]) -> datetime | None:
    stream = extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    if not certificate or "notAfter" not in certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _inflated(body: bytes, max_bytes: int) -> bytes:
    """Decompress a body that was compressed without our request; at most `max_bytes`."""
    try:
        unpacked = zlib.decompressobj(ANY_FORMAT).decompress(body, max_bytes + 1)
    except zlib.error:
        return body
    if len(unpacked) > max_bytes:
        raise ResponseTooLargeError(f"the answer is larger than {max_bytes:,} bytes")
    return unpacked
