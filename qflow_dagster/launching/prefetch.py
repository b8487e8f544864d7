"""A worker receives only runs that it can begin: others wait in the broker, for whichever worker is free first.

Celery acknowledges a message when its task begins, and receives the next, which then waits behind a run that may take
an hour, while another worker is idle. To acknowledge late would not do: a broker sends again what is not acknowledged
in time.

Belongs here: when a worker receives messages. Does not belong here: when it acknowledges them (`worker`).
"""

import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu import exceptions
from kombu.transport import pgmq, virtual

# Seconds between two looks of a worker that is busy whether it still is, if nothing else wakes it.
LOOK = 0.05
# Seconds between two looks of an idle one for messages of which it was not notified: those that come back because
# their worker was killed, and any that was lost. Celery itself looks every two.
LOOK_FOR_MESSAGES = 10.0
# Seconds until a message counts as one that cannot be acknowledged: a lost connection, or a process that was killed
# as it took it.
UNTIL_ACKNOWLEDGED = 15.0


class ReceiveWhatCanBegin(bootsteps.StartStopStep):
    """A step of a worker's start: while all of its processes are busy, it receives nothing."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        # Received and not acknowledged. More than one would come at once, however many can begin.
        consumer.initial_prefetch_count = 1
        self._tick: Callable[[], None] | None = None

    def start(self, parent: Any) -> None:
        """Begin with a connection, the first or one after another was lost."""
        tasks = parent.task_consumer

        def is_busy() -> bool:
            return len(state.reserved_requests) >= parent.pool.num_processes

        if isinstance(tasks.channel, virtual.Channel):
            _fetch_nothing_while(is_busy, tasks.channel)
        else:
            self._tick = _be_sent_nothing_while(is_busy, tasks)
            parent.hub.on_tick.add(self._tick)

    def stop(self, parent: Any) -> None:
        """End with the connection."""
        if self._tick is not None:
            parent.hub.on_tick.discard(self._tick)
            self._tick = None


def _is_stopping() -> bool:
    """Return whether somebody wants the worker to end."""
    # An exit code; 0 is one.
    return any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))


def _fetch_nothing_while(is_busy: Callable[[], bool], channel: Any) -> None:
    """Let a client that fetches messages (PGMQ's, that of Redis) fetch none."""
    can_consume, allowed = channel.qos.can_consume, False
    acknowledged_at = time.monotonic()

    def may_fetch() -> bool:
        nonlocal acknowledged_at
        if can_consume():
            acknowledged_at = time.monotonic()
            return not is_busy()
        # Nothing else would ever notice: who fetches nothing does not see that the connection is gone.
        if time.monotonic() - acknowledged_at > UNTIL_ACKNOWLEDGED:
            raise exceptions.ConnectionError(f"a message was not acknowledged for {UNTIL_ACKNOWLEDGED:.0f} s")
        return False

    def look() -> bool:
        nonlocal allowed
        allowed = may_fetch()
        return allowed

    channel.qos.can_consume = look
    if isinstance(channel, pgmq.Channel):
        waiter = channel.connection._get_notify_waiter()
        notified = waiter.wait

        def wait(timeout: float | None) -> bool:
            """Wait for a message, or until messages may be fetched that are there already: of this nobody notifies."""
            deadline = time.monotonic() + (timeout or 0.0)
            if not allowed:
                while not may_fetch() and time.monotonic() < deadline:
                    time.sleep(LOOK)
                return False
            deadline += LOOK_FOR_MESSAGES
            while not notified(timeout):
                # Its connection is lost, perhaps with a notification.
                if waiter._conn is None or _is_stopping() or time.monotonic() > deadline:
                    return False
            return True

        waiter.wait = wait


def _be_sent_nothing_while(is_busy: Callable[[], bool], tasks: Any) -> Callable[[], None]:
    """Return what is called in each turn of the worker's loop, so that the broker (RabbitMQ) sends it nothing.

    It is called between the receipt of a message and its acknowledgement, after which the next would be sent.
    """
    consume = tasks.consume
    is_sent = False

    def begin(*arguments: Any, **options: Any) -> None:
        nonlocal is_sent
        # After a lost connection, the worker may be busy from the start.
        if not is_busy():
            consume(*arguments, **options)
            is_sent = True

    def tick() -> None:
        nonlocal is_sent
        if is_sent and is_busy():
            tasks.cancel()
            is_sent = False
        elif not is_sent:
            begin()

    tasks.consume = begin
    return tick
