"""Pages that take seconds to build, in a server that answers at once: until they are there, their address says why.

Imports nothing of Dagster, which takes seconds itself. Does not belong here: building them (`page`).
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from qflow_dagster.errors import QflowError
from qflow_dagster.safety import logs
from qflow_dagster.settings.platform import DAGSTER_PATH
from qflow_dagster.web.pages import error_page

# Seconds after which a browser looks again, and for which the end of a server waits for the thread.
LOOK_AGAIN, STOP_TIMEOUT = 1, 5

# Whether each code location is loaded.
Locations = Callable[[], Mapping[str, bool]]
# Takes what is called with each state, in words; the pages are served while its context is open.
Build = Callable[[Callable[[str], None]], AbstractContextManager[tuple[ASGIApp, Locations]]]

logger = logs.logger(__name__)


class LatePage:
    """The pages below `DAGSTER_PATH`, which are built in a thread; until they are there, a page with the state."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._state = "it is imported"
        self._built: tuple[ASGIApp, Locations] | None = None
        self._stop = threading.Event()

    def routes(self) -> list[BaseRoute]:
        """Return the routes, which are the same before and after."""
        return [
            Route(DAGSTER_PATH, lambda _request: RedirectResponse(f"{DAGSTER_PATH}/")),
            Mount(DAGSTER_PATH, app=self),
        ]

    def locations(self) -> Mapping[str, bool] | None:
        """Return for each code location whether it is loaded; None before the pages are there."""
        return self._built[1]() if self._built else None

    @contextmanager
    def building(self, give_up: Callable[[], None]) -> Iterator[None]:
        """Build the pages while the body serves; call `give_up`, and raise after the body, if that fails.

        Raises:
            QflowError: The pages could not be built; the log says why.
        """
        failures: list[Exception] = []

        def work() -> None:
            try:
                with self._build(self._report) as self._built:
                    self._stop.wait()
            except _StoppedError:
                pass
            except Exception as error:
                # Whatever it is: `qflow up` starts a server that ended again.
                logger.error("Dagster's page could not be built", exc_info=error)
                failures.append(error)
                give_up()

        thread = threading.Thread(target=work, name="late page", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(STOP_TIMEOUT)
        if failures:
            raise QflowError(f"Dagster's page could not be built: {failures[0]}") from failures[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the pages; before they are there, answer 503, which a browser shows and tries again."""
        if self._built:
            await self._built[0](scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            message = f"{self._state}; its pages come by themselves, all others are there already"
            page = error_page(Request(scope), "Dagster is starting", message, 503)
            page.headers.update({"Retry-After": str(LOOK_AGAIN), "Refresh": str(LOOK_AGAIN)})
            await page(scope, receive, send)

    def _report(self, state: str) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self._state = state


class _StoppedError(Exception):
    """The server ends before its pages are built."""
