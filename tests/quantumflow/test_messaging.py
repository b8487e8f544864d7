"""Messages: sent with the transaction, read in order by a cursor, heard at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster import quantumflow
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow import (
    Message,
    acknowledge,
    create_workflow,
    listen,
    prune_messages,
    send_with_notify,
    subscribe,
    unsubscribe,
)

QUEUE = "test_queue"


def receive(connection: Connection, queue: str, consumer: str, **options: int) -> list[Message]:
    """What there is to receive once the transactions of other tests no longer hold it back."""
    oldest = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    open_ones = f"SELECT count(*) FROM messages WHERE xact >= {oldest}"
    deadline = time.monotonic() + 120
    while connection.execute(text(open_ones)).scalar_one() and time.monotonic() < deadline:
        time.sleep(0.01)
    return quantumflow.receive(connection, queue, consumer, **options)  # type: ignore[arg-type]


def send(engine: Engine, *payloads: object) -> None:
    with engine.begin() as connection:
        send_with_notify(connection, QUEUE, payloads)


def payloads(messages: list) -> list:
    return [message.payload for message in messages]


def test_messages_are_received_in_the_order_sent_until_acknowledged(engine: Engine) -> None:
    send(engine, {"n": 1}, "two")
    send(engine, 3, None)
    with engine.begin() as connection:
        first = receive(connection, QUEUE, "reader", limit=2)
        assert payloads(first) == [{"n": 1}, "two"]
        acknowledge(connection, "reader", first[-1])
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "reader")) == [3, None]
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "reader")) == [3, None]
        assert payloads(receive(connection, QUEUE, "another")) == [{"n": 1}, "two", 3, None]


def test_what_is_rolled_back_was_never_sent(engine: Engine) -> None:
    with engine.connect() as connection:
        send_with_notify(connection, QUEUE, ["lost"])
        connection.rollback()
    send(engine, "kept")
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "reader")) == ["kept"]


def test_a_cursor_never_passes_a_message_whose_transaction_is_still_open(engine: Engine) -> None:
    """The trap of reading by id: a lower id may commit after a higher one was read."""
    with engine.connect() as slow:
        send_with_notify(slow, QUEUE, ["slow"])
        send(engine, "fast")
        with engine.begin() as connection:
            assert quantumflow.receive(connection, QUEUE, "reader") == []
        slow.commit()
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "reader")) == ["slow", "fast"]


def test_acknowledging_in_the_transaction_of_the_effect_makes_it_happen_once(engine: Engine) -> None:
    send(engine, "work")
    with engine.connect() as connection:
        [message] = receive(connection, QUEUE, "worker")
        create_workflow(connection, "test.job", message.payload, actor="worker")
        acknowledge(connection, "worker", message)
        connection.rollback()
        [message] = receive(connection, QUEUE, "worker")
        create_workflow(connection, "test.job", message.payload, actor="worker")
        acknowledge(connection, "worker", message)
        connection.commit()
        assert receive(connection, QUEUE, "worker") == []
        assert connection.execute(text("SELECT count(*) FROM workflows")).scalar_one() == 1


def test_acknowledging_an_earlier_message_changes_nothing(engine: Engine) -> None:
    send(engine, 1, 2, 3)
    with engine.begin() as connection:
        one, two, _ = receive(connection, QUEUE, "reader")
        acknowledge(connection, "reader", two)
        acknowledge(connection, "reader", one)
        assert payloads(receive(connection, QUEUE, "reader")) == [3]


def test_a_consumer_that_starts_with_what_is_next_gets_nothing_older(engine: Engine) -> None:
    send(engine, "old")
    with engine.begin() as connection:
        assert receive(connection, QUEUE, "early")
        subscribe(connection, QUEUE, "late", start="next")
    send(engine, "new")
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "late")) == ["new"]


def test_two_drains_of_one_consumer_take_turns(engine: Engine) -> None:
    send(engine, "once")
    with engine.connect() as one, engine.connect() as two:
        [message] = receive(one, QUEUE, "worker")
        two.execute(text("SET lock_timeout = '200ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            receive(two, QUEUE, "worker")
        two.rollback()
        acknowledge(one, "worker", message)
        one.commit()
        assert receive(two, QUEUE, "worker") == []


@pytest.mark.parametrize("queue", ["", "1st", "with space", "q" * 64, "quote'", 'double"', "sémantique"])
def test_a_name_that_is_no_queue_is_refused(connection: Connection, queue: str) -> None:
    for refused in (
        lambda: send_with_notify(connection, queue, [1]),
        lambda: receive(connection, queue, "reader"),
    ):
        with pytest.raises(UsageError, match="cannot name a queue"):
            refused()


def test_what_is_no_json_is_refused_and_nothing_of_the_call_is_sent(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(UsageError, match="a message to test_queue"):
            send_with_notify(connection, QUEUE, ["fine", {1, 2}])
        assert receive(connection, QUEUE, "reader") == []


def test_only_a_subscriber_may_acknowledge(engine: Engine) -> None:
    send(engine, 1)
    with engine.begin() as connection:
        [message] = receive(connection, QUEUE, "reader")
        unsubscribe(connection, QUEUE, "reader")
        with pytest.raises(UsageError, match="'reader' is not subscribed to the queue 'test_queue'"):
            acknowledge(connection, "reader", message)


def test_a_listener_hears_at_once_without_looking(engine: Engine) -> None:
    heard: list[float] = []
    with engine.begin() as connection:
        subscribe(connection, QUEUE, "ear")

    def hear() -> None:
        for _ in listen(engine, QUEUE, "ear", poll=60, idle=20):
            heard.append(time.monotonic())
            return

    listener = threading.Thread(target=hear)
    listener.start()
    wait_until(lambda: listening(engine))
    sent = time.monotonic()
    send(engine, "now")
    listener.join(60)
    assert heard
    assert heard[0] - sent < 5


def test_a_listener_whose_connection_is_cut_goes_on(engine: Engine) -> None:
    heard: list = []

    def hear() -> None:
        for message in listen(engine, QUEUE, "ear", poll=60, idle=100):
            with engine.begin() as connection:
                acknowledge(connection, "ear", message)
            heard.append(message.payload)
            if message.payload == "last":
                return

    listener = threading.Thread(target=hear, daemon=True)
    listener.start()
    send(engine, "first")
    wait_until(lambda: heard == ["first"])
    with engine.begin() as connection:
        cut = f"SELECT pg_terminate_backend(pid, 60000) FROM ({LISTENERS}) AS listeners"
        assert connection.scalars(text(cut)).all() == [True]
    send(engine, "last")
    listener.join(120)
    assert heard == ["first", "last"]


def test_a_second_listener_of_a_consumer_stands_by_and_takes_over(engine: Engine) -> None:
    first = listen(engine, QUEUE, "ear", poll=1, idle=20)
    second = listen(engine, QUEUE, "ear", poll=1, idle=1)
    send(engine, "one")
    assert next(first).payload == "one"
    assert list(second) == []
    first.close()  # type: ignore[attr-defined]
    assert payloads(list(listen(engine, QUEUE, "ear", poll=1, idle=2))) == ["one"]


def test_messages_are_pruned_once_all_consumers_have_them(engine: Engine) -> None:
    send(engine, 1, 2)
    with engine.begin() as connection:
        [_, last] = receive(connection, QUEUE, "quick")
        subscribe(connection, QUEUE, "slow")
        acknowledge(connection, "quick", last)
        assert prune_messages(connection, older_than=0) == 0
        acknowledge(connection, "slow", last)
        assert prune_messages(connection, older_than=3600) == 0
        assert prune_messages(connection, older_than=0) == 2


def test_a_cursor_of_another_server_is_refused_and_says_what_to_do(engine: Engine) -> None:
    """After restoring a dump, transaction numbers begin low again: reading on would skip messages."""
    with engine.begin() as connection:
        subscribe(connection, QUEUE, "reader")
        connection.execute(text("UPDATE subscriptions SET xact = 4000000000000"))
        with pytest.raises(QflowError, match="restored from a dump; see 'Restoring a dump'"):
            receive(connection, QUEUE, "reader")


def test_after_the_documented_remedy_a_restored_dump_is_read_on_where_it_was(engine: Engine) -> None:
    page = (Path(quantumflow.__file__).parents[2] / "docs" / "durable_core.md").read_text()
    remedy = page.split("```sql\n")[1].split("```")[0]
    send(engine, 1)
    send(engine, 2)
    with engine.begin() as connection:
        one, _ = receive(connection, QUEUE, "reader")
        acknowledge(connection, "reader", one)
        connection.execute(text("UPDATE messages SET xact = xact + 4000000000000"))
        connection.execute(text("UPDATE subscriptions SET xact = xact + 4000000000000"))
    with engine.begin() as connection:
        connection.exec_driver_sql(remedy)
    send(engine, 3)
    with engine.begin() as connection:
        assert payloads(receive(connection, QUEUE, "reader")) == [2, 3]
        assert payloads(receive(connection, QUEUE, "another")) == [1, 2, 3]
    assert payloads([m for _, m in zip(range(2), listen(engine, QUEUE, "reader"), strict=False)]) == [2, 3]


# Sessions that hold the lock of the one listener of a consumer; of other databases are other tests'.
LISTENERS = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def listening(engine: Engine) -> bool:
    """Whether a session waits after LISTEN and becoming the one listener."""
    with engine.connect() as connection:
        return bool(connection.execute(text(LISTENERS)).all())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 60 s"
        time.sleep(0.02)
