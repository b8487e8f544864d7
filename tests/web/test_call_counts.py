"""An error and a success of one request are one call of one operation, however they arrive."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import error_analysis
from qflow_dagster.infrastructure.error_rate_tracker import rate
from tests.web.test_otlp import TRACES, span, traces
from tests.web.test_sdks import NODE_MODULES, needs, run
from tests.web.test_sentry import envelope

TRACE = "4c79f60c11214eb38604f4ae0781bfb2"


def item(kind: str, trace: str = TRACE, **more: Any) -> tuple[str, dict[str, Any]]:
    event = {"transaction": "POST /pay", "contexts": {"trace": {"trace_id": trace, "status": "ok"}}}
    return kind, {**event, **({"message": "no stock"} if kind == "event" else {}), **more}


def send(client: TestClient, *items: tuple[str, dict[str, Any]]) -> None:
    assert client.post("/api/1/envelope/", content=envelope(*items)).status_code == 200


def counted(engine: Engine, operation: str = "POST /pay") -> tuple[int, int]:
    with engine.connect() as connection:
        found = rate(connection, operation)
    return found.errors, found.total


ERROR, DONE = item("event"), item("transaction")


@pytest.mark.parametrize(
    ("items", "counts"),
    [
        pytest.param([ERROR, DONE], (1, 1), id="the error first"),
        pytest.param([DONE, ERROR], (1, 1), id="the transaction first"),
        pytest.param([DONE, item("event", trace="1" * 32)], (1, 2), id="of two requests"),
        pytest.param([DONE, item("event", level="info")], (0, 1), id="a message is no error"),
        pytest.param([ERROR, *[DONE] * 9], (1, 9), id="ten calls within one trace"),
        pytest.param([*[DONE] * 4, ERROR, *[DONE] * 4, ERROR], (2, 8), id="two of them fail"),
        pytest.param([ERROR, ERROR, ERROR, DONE], (3, 3), id="one call with three errors counts by these"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_call_is_an_error_or_a_success(
    client: TestClient, engine: Engine, items: list[Any], counts: tuple[int, int], together: bool
) -> None:
    for some in [items] if together else [[entry] for entry in items]:
        send(client, *some)
    assert counted(engine) == counts
    error_analysis.analyze(engine)
    assert counted(engine) == counts


def test_what_was_stored_at_the_same_time_is_counted_once_by_the_analysis(
    client: TestClient, engine: Engine
) -> None:
    send(client, ERROR, DONE)
    with engine.begin() as connection:
        # As two writers leave it that do not see each other's rows.
        connection.execute(text("UPDATE operation_successes SET count = 1, failed = 0"))
    assert counted(engine) == (1, 2)
    error_analysis.analyze(engine)
    assert counted(engine) == (1, 1)


def test_a_sampled_transaction_stands_for_the_calls_that_did_not_fail(
    client: TestClient, engine: Engine
) -> None:
    header, _, rest = envelope(DONE).partition(b"\n")
    sampled = header[:-1] + b', "trace": {"sample_rate": "0.1"}}'
    assert client.post("/api/1/envelope/", content=sampled + b"\n" + rest).status_code == 200
    send(client, ERROR)
    assert counted(engine) == (1, 10)


def test_a_request_of_a_real_sdk_that_reports_an_error_is_one_call(served: str, engine: Engine) -> None:
    client = sentry_sdk.Client(
        dsn=served.replace("http://", "http://anything@") + "/1",
        traces_sample_rate=1.0,
        default_integrations=False,
    )
    with sentry_sdk.new_scope() as scope, sentry_sdk.isolation_scope() as isolated:
        scope.set_client(client)
        isolated.set_client(client)
        for n in range(4):
            with sentry_sdk.start_transaction(name="POST /pay", op="http.server"):
                if n == 0:
                    sentry_sdk.capture_exception(ValueError("no stock"))
    client.close(timeout=20)
    assert counted(engine) == (1, 4)


NOW = "the time of the test"


def streamed(**fields: Any) -> tuple[str, dict[str, Any]]:
    """An item of spans as newer SDKs send it instead of a transaction."""
    ids = {"trace_id": TRACE, "span_id": "8b198165bea09c2c", "end_timestamp": NOW}
    return "span", {
        "version": 2,
        "items": [{"name": "POST /pay", "is_segment": True, "status": "ok", **ids, **fields}],
    }


@pytest.mark.parametrize(
    ("items", "counts"),
    [
        ([streamed()], (0, 1)),
        ([streamed(), streamed()], (0, 1)),
        ([streamed(), ERROR], (1, 1)),
        ([ERROR, streamed()], (1, 1)),
        ([streamed(), streamed(span_id="1" * 16)], (0, 2)),
        ([streamed(is_segment=False)], (0, 0)),
        ([streamed(status="error")], (0, 0)),
        ([streamed(attributes={"sentry.sample_rate": {"value": 0.1, "type": "double"}})], (0, 10)),
        ([streamed(attributes={"sentry.op": {"value": "ui.webvital.lcp", "type": "string"}})], (0, 0)),
        ([streamed(attributes={"sentry.sample_rate": "all", "sentry.op": [1]})], (0, 1)),
        ([("span", {"is_segment": True, "op": "ui.interaction.click", "timestamp": NOW})], (0, 0)),
        (
            [
                (
                    "span",
                    {"items": [1, {"is_segment": 1}, {"is_segment": True, "name": {}, "end_timestamp": "x"}]},
                )
            ],
            (0, 0),
        ),
    ],
)
def test_streamed_spans_are_calls_like_transactions(
    client: TestClient, engine: Engine, items: list[Any], counts: tuple[int, int]
) -> None:
    # The items were written when the tests were collected.
    written = json.dumps(items).replace(f'"{NOW}"', str(time.time()))
    send(client, *json.loads(written))
    assert counted(engine) == counts


NODE = """
const Sentry = require(MODULES + "/@sentry/node");
Sentry.init({dsn: DSN, tracesSampleRate: 1});
for (let n = 0; n < 4; n++)
  Sentry.startSpan({name: "POST /pay", op: "http.server", forceTransaction: true}, () => {
    if (n === 0) Sentry.captureException(new Error("no stock"));
  });
Sentry.flush(10000).then(() => process.exit(0));
"""


def test_requests_of_the_sdk_for_node_are_calls(served: str, engine: Engine, tmp_path: Path) -> None:
    needs(shutil.which("node"), "node")
    needs((NODE_MODULES / "@sentry/node").is_dir(), "@sentry/node (make setup-dev installs it)")
    dsn = served.replace("//", "//key@") + "/1"
    code = NODE.replace("DSN", json.dumps(dsn)).replace("MODULES", json.dumps(str(NODE_MODULES)))
    (tmp_path / "shop.js").write_text(code)
    run(["node", "shop.js"], tmp_path)
    assert counted(engine) == (1, 4)


def test_an_error_and_the_span_of_its_request_may_come_in_different_batches(
    client: TestClient, engine: Engine
) -> None:
    failed, request = span("GET /", error="no"), span("GET /")
    for body in (traces(failed), traces(request), traces(request)):
        assert client.post(TRACES, json=body).status_code == 200
    assert counted(engine, "GET /") == (1, 1)


def test_a_trace_is_stored_without_secrets_and_with_what_the_database_can_hold(
    client: TestClient, engine: Engine
) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    trace = f"a\0b {secret}"
    send(client, item("transaction", trace=trace), item("event", trace=trace))
    with engine.connect() as connection:
        row = connection.execute(text("SELECT s::text FROM operation_successes s")).scalar_one()
    assert secret not in row
    assert counted(engine) == (1, 1)
