"""A small HTTP server for tests: answers as told, and remembers what it got."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = ""


@dataclass
class LocalServer:
    """A running server; `status`, `headers` and `body` are what it answers with.

    With `drip` it sends a byte of a header that never ends, every so many seconds.
    """

    url: str
    status: int = 200
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drip: float = 0.0
    received: list[Received] = field(default_factory=list)


@contextmanager
def local_server(port: int = 0, certificate: Path | None = None) -> Iterator[LocalServer]:
    """Serve on loopback while the body runs; by https where a certificate for localhost (with its key) is given."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender was killed while it sent.
                return
            described.received.append(Received(self.path, dict(self.headers), body, self.command))
            stop.wait(described.delay)
            self.send_response(described.status)
            for name, value in described.headers.items():
                self.send_header(name, value)
            if described.drip:
                self.flush_headers()
                self.wfile.write(b"X-Endless: ")
                with suppress(OSError):
                    while not stop.wait(described.drip):
                        self.wfile.write(b"x")
                return
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(described.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    described = LocalServer(f"http://127.0.0.1:{server.server_port}")
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        described.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield described
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
