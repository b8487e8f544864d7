"""Which texts are URLs of an HTTP server."""

import pytest

from qflow_dagster.safety.urls import http_url


@pytest.mark.parametrize(
    "text", ["http://localhost", "https://ada@example.org:8443/a?b", "HTTPS://[::1]:80/"]
)
def test_urls_with_a_host_are_accepted(text: str) -> None:
    parts = http_url(text)
    assert parts is not None
    assert parts.hostname in ("localhost", "example.org", "::1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "http://",
        "https:///path",
        "http://:80",
        "http://[::1",
        "http://example.org:0",
        "http://example.org:65536",
        "http://example.org:http",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    assert http_url(text) is None
