"""Weight and time of the pages: `python -m benchmarks.pages`, on the database of the settings.

Follows the links from the home page, and requests a page of each kind five times from a server in this process: its
size, the time to the first byte, and the processor's time of both sides, the best of the five. `--requests 10000` adds
so many pending requests first: only to an installation that is thrown away. The exit code is 1 if a page has more than
100 kB.
"""

import argparse
import re
import sys
import threading
import time
from collections.abc import Iterator
from html import unescape

import requests
import uvicorn
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from qflow_dagster.approvals import arbiter
from qflow_dagster.cli.inbox import server_config
from qflow_dagster.database import ready_engine
from qflow_dagster.web.app import build_app

HTML = {"Accept": "text/html"}
MAX_KB, TIMES, MAX_PAGES = 100, 5, 300
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def kind_of(address: str) -> str:
    """Return the kind of page that an address leads to."""
    path, _, query = address.partition("?")
    parts = ID.sub("ID", path).strip("/").split("/")
    if parts[0] in ("repositories", "rules", "agents") and len(parts) > 1:
        parts[1:] = ["NAME", *parts[2:3], *(["PATH"] if len(parts) > 3 and "ID" not in parts else [])]
    names = "&".join(sorted({part.partition("=")[0] for part in query.split("&")})) if query else ""
    return "/" + "/".join(parts) + (f"?{names}" if names else "")


def addresses(client: requests.Session, server: str) -> Iterator[str]:
    """Yield the addresses of a page of each kind, as a person finds them."""
    waiting, kinds = ["/"], set[str]()
    for address in waiting:
        if kind_of(address) in kinds or len(kinds) > MAX_PAGES:
            continue
        kinds.add(kind_of(address))
        yield address
        page = client.get(server + address, headers=HTML).text
        found = [unescape(href).partition("#")[0] for href in re.findall(r'href="([^"]+)"', page)]
        waiting += [
            href if href.startswith("/") else address.partition("?")[0] + href
            for href in found
            if href.startswith(("/", "?")) and not href.startswith(("/static", "/dagster"))
        ]


def measure(client: requests.Session, address: str) -> tuple[float, float, float]:
    """Return the size of a page in kB, and the best of the times in ms: to the first byte, and of the processor."""
    first, processor, size = [], [], 0
    for _ in range(TIMES):
        worked = time.process_time()
        response = client.get(address, headers=HTML)
        processor.append(time.process_time() - worked)
        first.append(response.elapsed.total_seconds())
        size = len(response.content)
    return size / 1_000, min(first) * 1_000, min(processor) * 1_000


def request_many(engine: Engine, number: int) -> None:
    """Add pending requests of several kinds of risk and rules."""
    patch = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    with engine.begin() as connection:
        for at in range(number):
            arbiter.request_approval(
                connection,
                "edit",
                f"src/module_{at % 500}.py",
                {"patch": patch, "number": at},
                requested_by=f"bot {at % 7}",
                reason=f"reason number {at}",
                evidence={"risk": ("low", "medium", "high")[at % 3], "rule": f"python/rule-{at % 40}"},
            )


def main() -> None:
    """Measure all kinds of pages and print them, the slowest first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=0)
    options = parser.parse_args()
    engine = ready_engine()
    request_many(engine, options.requests)
    server = uvicorn.Server(server_config(build_app(engine, host="127.0.0.1"), "127.0.0.1", 0))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    at = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    client = requests.Session()
    rows = [(address, *measure(client, at + address)) for address in addresses(client, at)]
    rows.sort(key=lambda row: -row[2])
    table = Table("page", "kB", "ms to the first byte", "processor ms")
    for address, size, whole, processor in rows:
        table.add_row(kind_of(address), f"{size:.0f}", f"{whole:.0f}", f"{processor:.0f}")
    Console().print(table)
    sys.exit(any(size > MAX_KB for _, size, _, _ in rows))


if __name__ == "__main__":
    main()
