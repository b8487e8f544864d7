"""Asking other machines over HTTP: what was given is sent, to where it was meant, within limits.

Belongs here: one request and its answer, and what may become of a request that is redirected.
Does not belong here: who may ask which host (`execution.task_policy`), circuit breakers (whoever
asks, around it), git.

Nothing is added to a request: no ``~/.netrc``, no proxy of the environment, no cookie. The limit
is of the whole, from the name's resolution to the last byte: a server that sends a byte now and
then gains nothing. The only proxy is `settings().outgoing.proxy`.
"""

import asyncio
import zlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings

REDIRECTS = (301, 302, 303, 307, 308)
# What may follow a redirect to another origin; any other header could be a credential.
HARMLESS = frozenset({"accept", "accept-language", "accept-encoding", "user-agent"})
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# zlib: gzip or zlib, as the data says.
ANY_FORMAT = 47


class Request(NamedTuple):
    """What is sent; `body` empty for none."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Answer(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body by the character set it says, UTF-8 without."""
        charset = self.headers.get("content-type", "").lower().partition("charset=")[2].split(";")[0]
        try:
            return self.body.decode(charset.strip(" \"'") or "utf-8", "replace")
        # Of a name that Python does not have, or that is none of a character set.
        except (LookupError, UnicodeError, ValueError):
            return self.body.decode("utf-8", "replace")


class NoResponseError(QflowError):
    """Nothing came back. The message says why, not from where: an address may be a secret."""


class ResponseTimeoutError(NoResponseError):
    """It was not there in time."""


class ResponseTooLargeError(NoResponseError):
    """It has more bytes than are read."""


class RedirectRefusedError(QflowError):
    """To go on would send what was given to somebody it was not given for."""


def fetch(request: Request, *, seconds: float, max_bytes: int = 0) -> Answer:
    """Send one request and return its answer, a redirect too; of the body `max_bytes`, by default none.

    Raises:
        ResponseTimeoutError: it took longer than `seconds` in all.
        ResponseTooLargeError: the body is larger than `max_bytes` (and that is not 0).
        NoResponseError: the address is none, or nobody is there.
    """
    # Imported late, here and below: most commands ask nobody.
    import httpx2

    try:
        return asyncio.run(asyncio.wait_for(_fetch(request, max_bytes), seconds))
    except (TimeoutError, httpx2.TimeoutException):
        raise ResponseTimeoutError("Timeout") from None
    except httpx2.TransportError:
        raise NoResponseError("ConnectionError") from None
    # An address or a header that cannot be sent (ValueError is that of text that ASCII does not have, too).
    except (httpx2.InvalidURL, ValueError, OSError) as error:
        raise NoResponseError(type(error).__name__) from None


def redirected(request: Request, answer: Answer) -> Request:
    """Return the request that a redirect asks for (RFC 9110, section 15.4).

    A POST becomes a GET where browsers make it one; a body goes to another origin (scheme, host,
    port) never, and of the headers only what is harmless.

    Raises:
        RedirectRefusedError: it leads nowhere, or from https to http, or would carry a body to
            another origin.
    """
    try:
        url = urljoin(request.url, answer.headers["location"])
        same = _origin(url) == _origin(request.url)
    except ValueError:
        raise RedirectRefusedError("a redirect to what is no URL is not followed") from None
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
    # Reading the port raises ValueError for one that is none.
    _, host, _ = _origin(request.url)
    # Who is allowed to ask whom was decided by one reading of the address; no other may be acted on.
    if not host or (host.isascii() and url.raw_host.decode("ascii", "replace").lower() != host):
        raise ValueError
    proxy = settings().outgoing.proxy
    async with (
        httpx2.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            # Whom OpenSSL's variables say we believe, else certifi's list.
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
        body = b""
        if max_bytes:
            async for part in response.aiter_raw(65_536):
                body += part
                if len(body) > max_bytes:
                    raise ResponseTooLargeError(f"the answer is larger than {max_bytes:,} bytes")
            if response.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
                body = _inflated(body, max_bytes)
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


def _inflated(body: bytes, max_bytes: int) -> bytes:
    """Return what was sent packed though nobody asked for that; never more than `max_bytes` of it."""
    try:
        unpacked = zlib.decompressobj(ANY_FORMAT).decompress(body, max_bytes + 1)
    except zlib.error:
        return body
    if len(unpacked) > max_bytes:
        raise ResponseTooLargeError(f"the answer is larger than {max_bytes:,} bytes")
    return unpacked
