"""Host and origin of requests: the requested name, and whether a page of this server made the request.

Pure functions over headers. Does not belong here: the configured names (`access`).
"""

import re
from collections.abc import Collection

from starlette.datastructures import Headers

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.urls import http_url

DEFAULT_PORTS = {"http": "80", "https": "443"}
# A host as browsers send it: a name, an IPv4 address, or an IPv6 address in brackets.
_AUTHORITY = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")


def host_name(authority: str) -> str | None:
    """Return the name or address of ``host:port`` in lower case, IPv6 in brackets; None if it is neither."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return match[1] if match and int(match[2] or 0) <= 65_535 else None


def origin(scheme: str, authority: str) -> str:
    """Return the origin as a browser writes it: lower case, without the scheme's default port."""
    return f"{scheme}://{authority.lower().removesuffix(':' + DEFAULT_PORTS[scheme])}"


def origin_of(url: str, setting: str) -> str:
    """Return the origin of a configured URL.

    Raises:
        UsageError: It is not an http or https address; the message names `setting`.
    """
    parts = http_url(url)
    if parts is None or host_name(parts.netloc) is None:
        raise UsageError(f"{setting}: {url!r} is not an address such as https://name.example.org")
    return origin(parts.scheme, parts.netloc)


def from_pages_of(origins: Collection[str], headers: Headers) -> bool:
    """Return whether the headers of a request are consistent with a page of these origins.

    Browsers send the origin of a request, and no page can change it. A request without one is not made by
    a browser.
    """
    site, source, referrer = (headers.getlist(name) for name in ("Sec-Fetch-Site", "Origin", "Referer"))
    if max(len(site), len(source), len(referrer)) > 1:
        return False
    return (
        site in ([], ["same-origin"])
        and (not source or source[0] in origins)
        and (not referrer or any(f"{referrer[0]}/".startswith(f"{ours}/") for ours in origins))
    )


def is_reading(method: str, headers: Headers) -> bool:
    """Return whether a request is read-only and may come from any site: a followed link, or no browser."""
    if method not in ("GET", "HEAD", "OPTIONS"):
        return False
    site = headers.getlist("Sec-Fetch-Site")
    if site in ([], ["same-origin"], ["none"]):
        return not headers.getlist("Origin")
    return headers.getlist("Sec-Fetch-Mode") == ["navigate"] and headers.getlist("Sec-Fetch-Dest") == [
        "document"
    ]
