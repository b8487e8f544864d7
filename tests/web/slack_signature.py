"""The signature of Slack's requests, computed as Slack describes it."""

import hashlib
import hmac


def signature(secret: str, timestamp: str, body: str) -> str:
    """Return the value of the header `X-Slack-Signature`."""
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return f"v0={digest}"
