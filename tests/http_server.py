"""A small HTTP server for tests: answers as told, and remembers what it got."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


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


def write_certificate(path: Path, *, days: float = 1) -> Path:
    """Write a certificate for localhost that is valid for so many days, with its key; return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    return path


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
