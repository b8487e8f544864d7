"""URLs that people, settings and tasks name.

Belongs here: whether a text is the URL of an HTTP server. Does not belong here: which servers may be requested
(`task_policy`), requesting them (`outgoing`).
"""

from urllib.parse import SplitResult, urlsplit


def http_url(text: str) -> SplitResult | None:
    """Return the parts of an http or https URL with a host and a valid port; None if the text is none."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if valid else None
