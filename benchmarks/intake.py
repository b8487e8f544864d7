"""Events per second that `qflow inbox` takes in: `python -m benchmarks.operations --intake 10`.

Real processes, sockets and an embedded PostgreSQL with fsync on; an event counts when its response says that it is
stored, and the table is counted afterwards. Beside it two upper bounds: a server that reads the same requests and only
answers, and the same rows written by COPY.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import requests
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks.brokers import free_port

CONNECTIONS = 32
# Different errors that are sent, one by each connection in turn.
KINDS = 20
BATCH = 1_000
PLACEHOLDER = b"0" * 32
BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", lifespan="off")
"""


def request_of(port: int, kind: int) -> bytes:
    """Return a request with an event as an SDK sends it: 20 frames with their source, 10 breadcrumbs."""
    frames = [
        {
            "filename": f"shop/part_{kind}/module_{n}.py",
            "abs_path": f"/srv/app/shop/part_{kind}/module_{n}.py",
            "module": f"shop.part_{kind}.module_{n}",
            "function": f"handle_{kind}_{n}",
            "lineno": 100 + n,
            "pre_context": [f"    line {line} of {kind} before the call" for line in range(5)],
            "context_line": f"    return module_{n + 1}.handle_{n + 1}(request, timeout=3)",
            "post_context": [f"    line {line} of {kind} after the call" for line in range(5)],
            "in_app": n > 9,
        }
        for n in range(20)
    ]
    crumbs = [{"category": "query", "message": f"SELECT {n}", "level": "info"} for n in range(10)]
    error = {
        "type": "TimeoutError",
        "value": f"no answer to {PLACEHOLDER.decode()}",
        "stacktrace": {"frames": frames},
    }
    event = {
        "event_id": PLACEHOLDER.decode(),
        "transaction": f"shop.part_{kind}",
        "level": "error",
        "platform": "python",
        "release": "shop@1.2.0",
        "exception": {"values": [error]},
        "breadcrumbs": {"values": crumbs},
        "contexts": {
            "trace": {"trace_id": PLACEHOLDER.decode()},
            "runtime": {"name": "CPython", "version": "3.11"},
        },
    }
    item = json.dumps(event).encode()
    body = b'{"event_id":"%s"}\n{"type":"event","length":%d}\n%s\n' % (PLACEHOLDER, len(item), item)
    head = f"POST /api/1/envelope/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _send(ports: Sequence[int], seconds: float) -> int:
    """Send events on many connections for so long; return how many were answered."""
    end = time.perf_counter() + seconds

    async def connection(port: int, kind: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        parts = request_of(port, kind).split(PLACEHOLDER)
        answered = 0
        while time.perf_counter() < end:
            writer.write(uuid4().hex.encode().join(parts))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            answered += 1
        writer.close()
        return answered

    return sum(
        await asyncio.gather(*(connection(ports[n % len(ports)], n % KINDS) for n in range(CONNECTIONS)))
    )


@contextmanager
def _running(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """Run a server until it is no longer needed; yields its port."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        for _ in range(300):
            try:
                requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _inbox(port: int) -> list[str]:
    return [sys.executable, "-m", "qflow_dagster.cli", "inbox", "--no-notifier", "--port", str(port)]


def table(engine: Engine, seconds: float) -> Table:
    """Measure, and return the results as a table."""
    rows: list[tuple[str, float]] = []
    url = engine.url.render_as_string(hide_password=False)
    count = text("SELECT count(*) FROM error_occurrences")
    for processes in (1, 2):
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE error_occurrences"))
        with ExitStack() as stack:
            ports = [free_port() for _ in range(processes)]
            for port in ports:
                stack.enter_context(_running(_inbox(port), port, QFLOW_DATABASE_URL=url))
            asyncio.run(_send(ports, 1.0))
            with engine.connect() as connection:
                before = connection.scalar(count) or 0
            started = time.perf_counter()
            answered = asyncio.run(_send(ports, seconds))
            rate = answered / (time.perf_counter() - started)
            with engine.connect() as connection:
                stored = (connection.scalar(count) or 0) - before
        assert stored == answered, (stored, answered)
        rows.append((f"qflow inbox, {processes} process{'es' if processes > 1 else ''}", rate))
    port = free_port()
    with _running([sys.executable, "-c", BARE, str(port)], port):
        started = time.perf_counter()
        answered = asyncio.run(_send([port], seconds))
        rows.append(("a server that only answers", answered / (time.perf_counter() - started)))
    rows.append((f"COPY of the same rows, {BATCH:,} in a transaction", _copied(engine, seconds)))
    size = len(request_of(port, 0))
    result = Table(
        "what", "events per second", title=f"Intake: requests of {size:,} bytes, {CONNECTIONS} connections"
    )
    for what, rate in rows:
        result.add_row(what, f"{rate:,.0f}")
    return result


def _copied(engine: Engine, seconds: float) -> float:
    """Return how many rows COPY writes per second into an empty table of the same shape."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    columns = "operation, kind, message, exceptions, context, severity, correlation_id, source, at, event_id"
    with psycopg.connect(url) as connection:
        row: list[Any] = list(
            connection.execute(f"SELECT {columns} FROM error_occurrences LIMIT 1").fetchone() or ()
        )
        row[3], row[4] = json.dumps(row[3]), json.dumps(row[4])
        connection.execute("CREATE TABLE copied (LIKE error_occurrences INCLUDING ALL)")
        connection.commit()
        done, started = 0, time.perf_counter()
        while time.perf_counter() < started + seconds:
            with connection.cursor().copy(f"COPY copied ({columns}) FROM STDIN") as copy:
                for _ in range(BATCH):
                    copy.write_row([*row[:-1], uuid4().hex])
            connection.commit()
            done += BATCH
        return done / (time.perf_counter() - started)
