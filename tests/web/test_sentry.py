"""Errors over HTTP: what a real Sentry SDK sends arrives whole; what is no envelope is refused and harms nothing."""

import contextlib
import gzip
import json
import threading
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import brotli
import pytest
import requests
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ErrorsSettings
from qflow_dagster.web.access import hash_password
from qflow_dagster.web.app import build_app
from qflow_dagster.web.intake import InvalidEnvelopeError
from qflow_dagster.web.sentry_events import parse_envelope

EVENT = {
    "transaction": "shop.pay",
    "level": "fatal",
    "exception": {
        "values": [
            {
                "type": "KeyError",
                "value": "'sku'",
                "stacktrace": {
                    "frames": [
                        {"filename": "app.py", "abs_path": "/srv/app.py", "function": "main", "lineno": 3},
                        {"filename": "shop/cart.py", "function": "pay", "lineno": 12},
                    ]
                },
            }
        ]
    },
}


def envelope(*items: tuple[str, object]) -> bytes:
    lines = [json.dumps({"event_id": uuid4().hex}).encode()]
    for kind, payload in items:
        body = json.dumps(payload).encode()
        lines += [json.dumps({"type": kind, "length": len(body)}).encode(), body]
    return b"\n".join(lines) + b"\n"


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM error_occurrences")) or 0


def test_a_real_sdk_reports_errors_and_transactions(served: str, engine: Engine) -> None:
    client = sentry_sdk.Client(
        dsn=served.replace("http://", "http://anything@") + "/1",
        traces_sample_rate=1.0,
        default_integrations=False,
        release="shop@1.2",
        environment="test",
    )
    scope = sentry_sdk.Scope(client=client)
    with sentry_sdk.scope.use_scope(scope), sentry_sdk.isolation_scope() as isolated:
        isolated.set_client(client)
        for n in range(3):
            try:
                {"a": 1}[f"missing {n}"]
            except KeyError as error:
                sentry_sdk.capture_exception(error)
        with sentry_sdk.start_transaction(name="shop.checkout", op="http.server"):
            pass
    client.flush(timeout=20)
    client.close()
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
        shown = error_records.show(connection, group["id"])
        assert rate(connection, "shop.checkout").total == 1
    assert (group["count"], group["kind"], group["classification"]) == (3, "KeyError", "validation")
    assert group["frames"][-1]["function"] == "test_a_real_sdk_reports_errors_and_transactions"
    assert shown["occurrences"][0]["context"]["release"] == "shop@1.2"


def test_an_event_becomes_an_occurrence_with_its_frames(client: TestClient, engine: Engine) -> None:
    answer = client.post("/api/1/envelope/", content=envelope(("event", EVENT), ("session", {"sid": 1})))
    assert len(answer.json()["id"]) == 32
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM error_occurrences")).mappings().one()
    assert (row["operation"], row["kind"], row["severity"], row["source"]) == (
        "shop.pay",
        "KeyError",
        "critical",
        "sentry",
    )
    assert row["stack"].endswith('File "shop/cart.py", line 12, in pay')


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("", bytes)],
)
def test_compressed_bodies_are_read(
    client: TestClient, engine: Engine, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    answer = client.post(
        "/api/1/envelope/",
        content=compress(envelope(("event", EVENT))),
        headers={"Content-Encoding": encoding},
    )
    assert (answer.status_code, stored(engine)) == (200, 1)


@pytest.mark.parametrize("path", ["/api/1/store/", "/api/1/store"])
def test_the_old_endpoint_works_too(client: TestClient, engine: Engine, path: str) -> None:
    assert client.post(path, json=EVENT).status_code == 200
    assert stored(engine) == 1


def test_a_path_without_its_slash_is_no_redirect(client: TestClient, engine: Engine) -> None:
    answer = client.post("/api/1/envelope", content=envelope(("event", EVENT)), follow_redirects=False)
    assert (answer.status_code, stored(engine)) == (200, 1)


@pytest.mark.parametrize(
    ("logentry", "message"),
    [
        ({"message": "user %s paid %d of %5d", "params": ["ada", 3]}, "user ada paid 3 of %5d"),
        ({"message": "%(who)s has 100%% of %(what)s", "params": {"who": "ada"}}, "ada has 100% of %(what)s"),
        ({"message": "{} of {1}, {0} {name}", "params": ["a", "b"]}, "a of b, a {name}"),
        ({"message": "{who}", "params": {"who": "ada"}}, "ada"),
        ({"message": "%s", "params": [{"a": 1}]}, "%s"),
        ({"message": "%s", "params": "ada"}, "%s"),
        ({"message": "%s", "params": ["ada"], "formatted": "ada!"}, "ada!"),
        ({"message": "%s " * 12, "params": ["x" * 9_000] * 12}, ("x" * 1_000 + " ") * 9 + "x" * 991),
    ],
)
def test_a_message_with_parameters_is_shown_with_them(logentry: dict[str, Any], message: str) -> None:
    [event] = parse_envelope(envelope(("event", {"logentry": logentry}))).occurrences
    assert event.message == message
    assert (event.context or {})["template"] == logentry["message"].strip()[:10_000]


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b'{}\n{"type":"event","length":99}\n{}', {}, 400),
        (b'{}\n{"type":"event"}\nno json', {}, 400),
        (b"{}\nnonsense", {}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 400),
        (gzip.compress(b" " * 30_000_000), {"Content-Encoding": "gzip"}, 413),
        (b"x" * 20_000_001, {}, 413),
        (b'{}\n{"type":"event"}\n{"message":"' + b"x" * 1_000_000 + b'"}', {}, 413),
        (b'{}\n{"type":"attachment","length":3}\nabcX{"type":"event"}\n{"message":"m"}', {}, 400),
    ],
    ids=[
        "empty",
        "list",
        "short item",
        "bad item",
        "bad header",
        "no gzip",
        "brotli",
        "bomb",
        "large",
        "large event",
        "long item",
    ],
)
def test_what_is_no_envelope_is_refused_and_stores_nothing(
    client: TestClient, engine: Engine, body: bytes, headers: dict[str, str], code: int
) -> None:
    answer = client.post("/api/1/envelope/", content=body, headers=headers)
    assert (answer.status_code, stored(engine)) == (code, 0)
    assert answer.json()["detail"]


def test_beyond_loopback_a_key_is_needed(
    engine: Engine, inbox_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox_settings(accounts={"ada": hash_password("correct horse battery")})
    client = TestClient(build_app(engine, host="192.0.2.1"), base_url="http://192.0.2.1")
    body = envelope(("event", EVENT))
    assert client.post("/api/1/envelope/", content=body).status_code == 403
    monkeypatch.setattr(settings(), "errors", ErrorsSettings(sentry_key="right"))  # type: ignore[arg-type]
    for header, code in (
        ("Sentry sentry_version=7, sentry_key=wrong", 403),
        ("Sentry sentry_version=7, sentry_key=right", 200),
    ):
        assert (
            client.post("/api/1/envelope/", content=body, headers={"X-Sentry-Auth": header}).status_code
            == code
        )
    another = envelope(("event", EVENT))
    assert client.post("/api/1/envelope/?sentry_key=right", content=another).status_code == 200
    assert stored(engine) == 2


def test_while_the_database_is_away_the_sender_is_told_to_try_again(
    client: TestClient, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE error_occurrences RENAME TO away"))
    answer = client.post("/api/1/envelope/", content=envelope(("event", EVENT)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_what_many_send_at_once_is_stored_whole(served: str, engine: Engine) -> None:
    """Answered means stored."""

    def send() -> None:
        session = requests.Session()
        for _ in range(50):
            assert (
                session.post(
                    f"{served}/api/1/envelope/", data=envelope(("event", EVENT)), timeout=30
                ).status_code
                == 200
            )

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(engine) == 400


def raw(event: bytes) -> bytes:
    return b'{}\n{"type":"event","length":%d}\n%s\n' % (len(event), event)


POISON = {
    "nul": rb'{"transaction":"op\u0000","exception":{"values":[{"type":"E\u0000","value":"a\u0000b"}]},"extra":{"k\u0000":"v\u0000"}}',
    "half a pair": rb'{"exception":{"values":[{"type":"E","value":"\ud800"}]},"extra":{"a":"\udfff"},"event_id":"\ud800"}',
    "no number": b'{"message":"m","extra":{"a":NaN,"b":Infinity},"event_id":NaN}',
    "huge number": b'{"message":"m","extra":{"a":1e999,"b":' + b"9" * 4_000 + b"}}",
    "longer number": b'{"message":"m","extra":' + b"9" * 100_000 + b"}",
    "deep": b'{"message":"m","extra":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "deeper": b'{"message":"m","extra":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"message":"\xff\xfe","tags":{"a":"\xc3"}}',
    "lines": b'{"exception":{"values":[{"type":"E","value":"v","stacktrace":{"frames":['
    b'{"lineno":' + b"9" * 5_000 + b"},"
    b'{"lineno":-1,"function":"f"},{"lineno":true},{"lineno":1e400},{"lineno":[1]},{"lineno":"12","function":"g"}]}}]}}',
    "other types": b'{"message":{"formatted":{"a":1}},"level":{"a":1},"transaction":["a"],"contexts":{"trace":[1]},"tags":[["a","b"]]}',
    "wide": b'{"message":"m","extra":[' + b'"x",' * 200_000 + b"1]}",
    "long": b'{"transaction":" ","message":"' + b"x" * 900_000 + b'"}',
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
def test_what_no_database_can_hold_is_replaced_and_the_rest_of_the_event_stored(
    client: TestClient, engine: Engine, poison: bytes
) -> None:
    for path, body in (("envelope", raw(poison)), ("store", poison)):
        assert client.post(f"/api/1/{path}/", content=body).status_code == 200
    assert stored(engine) == 2
    assert error_analysis.analyze(engine).occurrences == 2
    with engine.connect() as connection:
        [group] = error_records.find(connection)
        shown = error_records.show(connection, group["id"])
        size = connection.scalar(text("SELECT max(length(context::text)) FROM error_occurrences"))
    assert shown["operation"]
    assert (size or 0) <= 130_000


def test_a_poisoned_event_takes_no_event_of_others_with_it(served: str, engine: Engine) -> None:
    """A constraint of the database stands for what no parser can know: the batch is refused."""
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE error_occurrences ADD CONSTRAINT poison CHECK (message <> 'poison')")
        )
    codes: dict[str, list[int]] = {"good": [], "poison": [], "mixed": []}
    items: dict[str, list[tuple[str, object]]] = {
        "good": [("event", EVENT)],
        "poison": [("event", {"message": "poison"})],
        "mixed": [("event", {"message": "poison"}), ("event", EVENT), ("transaction", {})],
    }

    def send(kind: str) -> None:
        session = requests.Session()
        for _ in range(20):
            answer = session.post(f"{served}/api/1/envelope/", data=envelope(*items[kind]), timeout=30)
            codes[kind].append(answer.status_code)

    threads = [
        threading.Thread(target=send, args=(kind,)) for kind in (*["good"] * 4, "poison", "poison", "mixed")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {kind: set(answers) for kind, answers in codes.items()} == {
        "good": {200},
        "poison": {400},
        "mixed": {200},
    }
    assert stored(engine) == 80 + 20
    with engine.connect() as connection:
        assert rate(connection, "sentry").total == 20


def test_an_item_that_cannot_be_read_costs_only_itself(client: TestClient, engine: Engine) -> None:
    for broken in (
        b'{"type":"event","length":2}\n[]\n',
        b'{"type":"event","length":3}\n{"a\n',
        b'{"type":"event","length":true}\n{}',
        b'{"type":"event","length":-1}\n{}',
        b"nonsense",
        b'{"type":"event"}\n{"message":"' + b"x" * 1_000_000 + b'"}\n',
    ):
        assert client.post("/api/1/envelope/", content=envelope(("event", EVENT)) + broken).status_code == 200
        assert client.post("/api/1/envelope/", content=b"{}\n" + broken).status_code in (400, 413)
    assert stored(engine) == 6


@pytest.mark.parametrize(
    "items", [b'{"type":"event","length":2}\n{}\n' * 60_000, b'{"type":"session"}\n{}\n' * 5_000]
)
def test_an_envelope_of_more_than_the_allowed_items_is_refused_before_they_are_read(
    client: TestClient, engine: Engine, items: bytes
) -> None:
    answer = client.post("/api/1/envelope/", content=b"{}\n" + items)
    assert (answer.status_code, stored(engine)) == (413, 0)


def test_numbers_of_lines_are_read_where_they_are_some_and_frames_that_say_nothing_left_out(
    client: TestClient, engine: Engine
) -> None:
    client.post("/api/1/envelope/", content=raw(POISON["lines"]))
    with engine.connect() as connection:
        stack = connection.scalar(text("SELECT stack FROM error_occurrences")) or ""
    assert [line.rsplit("line ", 1)[1] for line in stack.splitlines()] == [
        "0, in f",
        "12, in g",
    ]


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with contextlib.suppress(InvalidEnvelopeError):
        parse_envelope(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "exception",
                    "values",
                    "type",
                    "value",
                    "stacktrace",
                    "frames",
                    "lineno",
                    "filename",
                    "logentry",
                    "message",
                    "contexts",
                    "trace",
                    "transaction",
                    "level",
                    "threads",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    event=st.dictionaries(
        st.sampled_from(
            ["exception", "logentry", "message", "contexts", "transaction", "level", "threads", "tags"]
        ),
        JSON,
    )
)
def test_events_of_any_shape_are_taken(event: dict[str, object]) -> None:
    parsed = parse_envelope(envelope(("event", event), ("transaction", event)))
    assert len(parsed.occurrences) == 1
    assert parsed.occurrences[0].operation


def test_a_large_attachment_does_not_lose_the_event(client: TestClient, engine: Engine) -> None:
    attachment = b"\0" * 3_000_000
    header = json.dumps({"type": "attachment", "length": len(attachment)}).encode()
    body = envelope(("event", EVENT)) + header + b"\n" + attachment + b"\n"
    assert client.post("/api/1/envelope/", content=body).status_code == 200
    assert stored(engine) == 1


def test_messages_of_level_info_are_no_errors_of_their_operation(client: TestClient, engine: Engine) -> None:
    event = {"message": "user signed up", "level": "info", "transaction": "signup"}
    for _ in range(12):
        client.post("/api/1/envelope/", content=envelope(("event", event)))
    analysis = error_analysis.analyze(engine)
    assert (analysis.occurrences, analysis.alerts) == (12, [])
    with engine.connect() as connection:
        assert rate(connection, "signup").total == 0


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("critical", "critical"),
        ("Warning", "warning"),
        ("WARN", "warning"),
        (30, "warning"),
        ("40", "error"),
        (10, "debug"),
        ("log", "info"),
        ("", "error"),
        (True, "error"),
        ({"a": 1}, "error"),
    ],
)
def test_a_level_is_a_name_in_any_case_or_a_number_of_python(level: object, severity: str) -> None:
    [event] = parse_envelope(envelope(("event", {"message": "m", "level": level}))).occurrences
    assert event.severity == severity


def test_an_event_that_is_dated_ahead_is_of_the_time_it_was_sent_and_keeps_its_date() -> None:
    ahead, sent = datetime.now(UTC) + timedelta(days=2), datetime.now(UTC) + timedelta(days=3)
    item = json.dumps({"message": "m", "timestamp": ahead.isoformat()}).encode()
    for header, age, dated in (
        (b"{}", 0.0, ahead.isoformat()),
        (b'{"sent_at":"%s"}' % sent.isoformat().encode(), 86_400.0, None),
    ):
        [event] = parse_envelope(header + b'\n{"type":"event"}\n' + item).occurrences
        assert event.age == pytest.approx(age, abs=1)
        assert (event.context or {}).get("dated_ahead") == dated


def test_an_event_is_of_the_time_it_says(client: TestClient, engine: Engine) -> None:
    now = datetime.now(UTC)
    for hours in (3, -24 * 365):
        at = (now - timedelta(hours=hours)).isoformat()
        for n in range(12):
            event = {**EVENT, "event_id": f"{n:032x}", "timestamp": at}
            client.post("/api/1/envelope/", content=envelope(("event", event)))
    with engine.connect() as connection:
        late = "SELECT count(*) FROM error_occurrences WHERE at < statement_timestamp() - interval '2 hours'"
        assert connection.scalar(text(late)) == 12
        assert connection.scalar(text("SELECT max(at) <= clock_timestamp() FROM error_occurrences"))


def test_an_event_without_an_id_of_its_own_has_that_of_its_envelope(
    client: TestClient, engine: Engine
) -> None:
    body = envelope(("event", EVENT))
    for _ in range(2):
        assert client.post("/api/1/envelope/", content=body).status_code == 200
    assert stored(engine) == 1


def test_an_event_that_is_sent_again_counts_once_and_is_found_by_its_id(
    client: TestClient, engine: Engine
) -> None:
    """As SDKs do when no response reached them, also within one envelope; ids are written with or without dashes."""
    id_ = "0f8c2a1e4b7d4c3e9a1b2c3d4e5f6071"
    dashed = "0f8c2a1e-4b7d-4c3e-9a1b-2c3d4e5f6071"
    transaction = {"transaction": "shop.pay", "type": "transaction", "event_id": "7" * 32}
    for sent in (id_, id_, dashed):
        event = {**EVENT, "event_id": sent}
        body = envelope(("event", event), ("event", event), ("transaction", transaction))
        assert client.post("/api/1/envelope/", content=body).status_code == 200
    assert stored(engine) == 1
    with engine.connect() as connection:
        assert rate(connection, "shop.pay").total == 2
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
        assert error_records.resolve_id(connection, id_) == group["id"]
        assert error_records.resolve_id(connection, dashed) == group["id"]


@pytest.mark.parametrize(
    ("sample_rate", "calls"), [("0.25", 4), ("1.0", 1), ("0", 1), ("nan", 1), ("2", 1), (0.1, 10), (None, 1)]
)
def test_a_sampled_transaction_stands_for_those_left_out(
    client: TestClient, engine: Engine, sample_rate: object, calls: int
) -> None:
    header = {"event_id": "7" * 32, "trace": {"sample_rate": sample_rate, "transaction": "shop.pay"}}
    item = {"transaction": "shop.pay", "type": "transaction"}
    body = b"\n".join(json.dumps(part).encode() for part in (header, {"type": "transaction"}, item))
    assert client.post("/api/1/envelope/", content=body).status_code == 200
    with engine.connect() as connection:
        assert rate(connection, "shop.pay").total == calls


def test_threads_are_stored_without_secrets_and_shown(client: TestClient, engine: Engine) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    threads = [
        {
            "id": number,
            "name": f"worker {secret}",
            "stacktrace": {"frames": [{"function": f"wait_for_{number}", "filename": "w.c"}]},
        }
        for number in range(2)
    ]
    event = {"exception": {"values": [{"type": "SIGABRT", "value": "aborted"}]}, "threads": threads}
    assert client.post("/api/1/store/", json=event).status_code == 200
    [group] = error_analysis.analyze(engine).new_groups
    with engine.connect() as connection:
        row = connection.execute(text("SELECT o::text FROM error_occurrences o")).scalar_one()
    assert secret not in row
    page = client.get(f"/errors/{group}", headers={"Accept": "text/html"}).text
    assert "wait_for_0" in page
    assert "wait_for_1" in page
