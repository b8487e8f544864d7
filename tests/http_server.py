"""A small HTTP server for tests: answers as told, and remembers what it got."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class LocalServer:
    """A running server; `status` is what it answers with."""

    url: str
    status: int = 200
    delay: float = 0.0
    received: list[Received] = field(default_factory=list)


@contextmanager
def local_server(port: int = 0) -> Iterator[LocalServer]:
    """Serve on loopback while the body runs."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender was killed while it sent.
                return
            described.received.append(Received(self.path, dict(self.headers), body))
            stop.wait(described.delay)
            self.send_response(described.status)
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    described = LocalServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield described
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
