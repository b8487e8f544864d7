"""Server-sent events: a page that shows live state is read again when a workflow changed.

One thread per server process listens to the notifications of the core's queues while any page is open, and wakes
the open pages at most once a second. Does not belong here: what changed (the page reads it).
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import cast

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from qflow_dagster.database.sessions import own_session
from qflow_dagster.registry import Queue
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

# Open pages that are served at a time.
MAX_CLIENTS = 100
# Seconds between two events of a page, between two signs of life, and until a lost connection is made again.
INTERVAL, KEEPALIVE, RECONNECT = 1.0, 15.0, 2.0


class Events:
    """The endpoint of events, for a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clients: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self.lock = threading.Lock()
        self.listener: threading.Thread | None = None

    async def stream(self, request: Request) -> Response:
        """Return an endless stream with an event for each time that workflows changed."""
        if len(self.clients) >= MAX_CLIENTS:
            return PlainTextResponse("too many pages are open; close some\n", 503, {"Retry-After": "30"})
        return StreamingResponse(self._events(request), media_type="text/event-stream")

    async def _events(self, request: Request) -> AsyncIterator[str]:
        changed = asyncio.Event()
        self._add(changed)
        try:
            yield "retry: 3000\n\n"
            while not await request.is_disconnected():
                try:
                    await asyncio.wait_for(changed.wait(), KEEPALIVE)
                except TimeoutError:
                    yield ": alive\n\n"
                    continue
                # What changes within the interval is one event.
                await asyncio.sleep(INTERVAL)
                changed.clear()
                yield "data: changed\n\n"
        finally:
            with self.lock:
                del self.clients[changed]

    def _add(self, changed: asyncio.Event) -> None:
        with self.lock:
            self.clients[changed] = asyncio.get_running_loop()
            if self.listener is None:
                self.listener = threading.Thread(target=self._listen, daemon=True)
                self.listener.start()

    def _listen(self) -> None:
        """Listen while there are clients; whatever the connection missed is found by the pages' next read."""
        while self._wake():
            try:
                with own_session(self.engine) as connection:
                    quote = connection.dialect.identifier_preparer.quote_identifier
                    for queue in Queue:
                        connection.execute(text(f"LISTEN {quote(queue)}"))
                    driver = cast(psycopg.Connection, connection.connection.dbapi_connection)
                    while self._has_clients():
                        if any(True for _ in driver.notifies(timeout=KEEPALIVE, stop_after=1)):
                            self._wake()
            except (SQLAlchemyError, psycopg.Error) as error:
                logger.warning("lost the connection that listens for changes: %s", type(error).__name__)
                threading.Event().wait(RECONNECT)

    def _wake(self) -> bool:
        """Wake all clients; return whether there are any."""
        with self.lock:
            for event, loop in self.clients.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)
        return self._has_clients()

    def _has_clients(self) -> bool:
        """Return whether a page is open; if none is, the thread ends and the next page starts another."""
        with self.lock:
            if not self.clients:
                self.listener = None
            return bool(self.clients)
