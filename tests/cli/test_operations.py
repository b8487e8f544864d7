"""Approvals, errors, breakers, health and notifications as a person or a script works them."""

import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from tests.cli.conftest import QFLOW
from tests.cli.test_commands import ok
from tests.http_server import local_server

Run = Callable[..., subprocess.CompletedProcess[str]]
PATCH = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


def refused(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error:")
    assert words in line


def test_an_approval_from_request_to_use(qflow: Run, home: Path) -> None:
    patch = home / "change.patch"
    patch.write_text(PATCH)
    asked = ok(
        qflow(
            "approvals", "request", "edit", "a.py", "--reason", "x was wrong", "-c", str(patch), actor="bot"
        )
    )
    id_ = asked.strip()
    assert "x was wrong" in ok(qflow("approvals", "list"))
    shown = ok(qflow("approvals", "show", id_[:20]))
    assert "+x = 2" in shown
    digest = json.loads(ok(qflow("approvals", "show", id_, "--json")))["digest"]
    approve = ("approvals", "approve", id_, "--digest", digest)
    refused(qflow(*approve, actor="bot"), 1, "somebody else has to decide it")
    refused(qflow("approvals", "approve", id_, actor="ada"), 2, "give --digest")
    refused(qflow("approvals", "approve", id_, "--digest", "0" * 64, actor="ada"), 1, "look again")
    approved = json.loads(ok(qflow(*approve, "-m", "fine", "--json", actor="ada")))
    token = approved["token"]
    assert approved["status"] == "approved"

    use = ("approvals", "use", "edit", "a.py", "-c", str(patch))
    refused(qflow(*use), 2, "QFLOW_APPROVAL_TOKEN")
    patch.write_text(PATCH.replace("x = 2", "x = 3"))
    refused(qflow(*use, QFLOW_APPROVAL_TOKEN=token), 1, "the approval was refused")
    patch.write_text(PATCH)
    assert "may be done" in ok(qflow(*use, actor="deployer", QFLOW_APPROVAL_TOKEN=token))
    refused(qflow(*use, QFLOW_APPROVAL_TOKEN=token), 1, "the approval was refused")

    history = [entry["event"] for entry in json.loads(ok(qflow("approvals", "history", id_, "--json")))]
    assert history == [
        "created",
        "requested",
        "approve",
        "refused: mismatch",
        "consumed",
        "refused: already_used",
    ]
    exported = json.loads(ok(qflow("approvals", "export")))
    assert (exported[0]["status"], len(exported[0]["history"])) == ("consumed", 6)
    rows = list(csv.DictReader(io.StringIO(ok(qflow("approvals", "export", "--format", "csv")))))
    assert [row["event"] for row in rows] == history
    assert {row["event_run_id"] for row in rows} == {""}
    assert token not in json.dumps(exported)


def at_a_terminal(environment: dict[str, str], answer: str, *arguments: str) -> tuple[int, str]:
    """Run `qflow` at a terminal of 200 columns and type an answer when it asks; (exit code, what was shown)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    process = subprocess.Popen(
        [QFLOW, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65_536):
            shown += part
            if b"[y/N]" in shown and answer:
                os.write(ours, answer.encode())
                answer = ""
    os.close(ours)
    return process.wait(60), shown.decode()


def test_at_a_terminal_a_decision_shows_everything_and_asks(
    qflow: Run, environment: dict[str, str], home: Path
) -> None:
    """What would hide, erase or come beside the patch is there to be read before the question."""
    content = {"patch": PATCH.replace("x = 2", "x = 2\x1b[1A\x1b[2K\u3164"), "also_run": "rm -rf /"}
    ask = ("approvals", "request", "edit", "a.py", "--reason", "harmless \x1b[31mred\n\ndigest  0000")
    id_ = ok(qflow(*ask, stdin=json.dumps(content), actor="bot")).strip()
    plain = {**environment, "TERM": "dumb"}
    code, shown = at_a_terminal(plain, "n\n", "approvals", "approve", id_)
    assert code == 1
    assert "nothing was decided" in shown
    code, shown = at_a_terminal(plain, "y\n", "approvals", "approve", id_)
    assert code == 0, shown
    assert "is approved (1 of 1 approvals)" in shown
    for words in (
        "x = 2<U+001B>[1A<U+001B>[2K<U+3164>",
        '"also_run": "rm -rf /"',
        "harmless <U+001B>[31mred",
    ):
        assert words in shown, shown
    assert "\x1b[1A" not in shown
    # A reason of several lines is set in: it cannot pose as a field.
    assert not any(line.startswith("digest  0000") for line in shown.splitlines())


def test_several_requests_are_decided_each_by_itself(
    qflow: Run, environment: dict[str, str], home: Path
) -> None:
    def ask(target: str, by: str = "bot") -> tuple[str, str]:
        asked = ("approvals", "request", "edit", target, "--reason", f"about {target}", "--json")
        id_ = json.loads(ok(qflow(*asked, stdin='{"threshold": 3}', actor=by)))["id"]
        return id_, json.loads(ok(qflow("approvals", "show", id_, "--json")))["digest"]

    (first, one), (own, two), (third, _) = ask("a"), ask("b", by="ada"), ask("c")
    ids = ("approvals", "approve", first, "01234567", own, third)
    refused(qflow(*ids, actor="ada"), 2, "give --digest")
    refused(qflow(*ids, "--digest", one, actor="ada"), 2, "1 digests for 4 ids")
    digests = [part for digest in (one, "0", two, "0" * 64) for part in ("--digest", digest)]
    done = qflow(*ids, *digests, "-m", "all", "--json", actor="ada")
    refused(done, 1, "3 of 4 were not decided")
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert list(rows) == [first, "01234567", own, third]
    assert rows[first] == {"id": first, "status": "approved", "approvals": "1 of 1", "problem": None}
    for id_, words in (("01234567", "no approval"), (own, "somebody else"), (third, "look again")):
        assert words in rows[id_]["problem"], rows[id_]
    approved = json.loads(ok(qflow("approvals", "list", "--status", "approved", "--json")))
    assert [row["id"] for row in approved] == [first]

    plain = {**environment, "TERM": "dumb"}
    code, shown = at_a_terminal(plain, "y\n", "approvals", "deny", own, third)
    assert code == 0, shown
    assert "deny all 2 of them?" in shown
    assert shown.index("2 requests") > shown.index('"threshold": 3')
    assert shown.count("denied") == 2


def test_denying_revoking_and_what_the_policy_would_say(qflow: Run) -> None:
    ids = []
    for n in range(2):
        asked = ("approvals", "request", "edit", f"r{n}", "--reason", "r", "--json")
        ids.append(json.loads(ok(qflow(*asked, stdin='{"threshold": 3}', actor="bot")))["id"])
    digests = [json.loads(ok(qflow("approvals", "show", id_, "--json")))["digest"] for id_ in ids]
    ok(qflow("approvals", "deny", ids[0], "--digest", digests[0], actor="ada"))
    revoke = ("approvals", "revoke", ids[1], "--reason", "changed my mind", "--digest")
    refused(qflow(*revoke, digests[0], actor="bot"), 1, "look again")
    ok(qflow(*revoke, digests[1], actor="bot"))
    listed = json.loads(ok(qflow("approvals", "list", "--status", "all", "--json")))
    assert {row["status"] for row in listed} == {"denied", "revoked"}
    judged = json.loads(
        ok(qflow("approvals", "policy", ids[0], "--json", QFLOW_APPROVALS_POLICY_KINDS='["edit"]'))
    )
    assert judged["would_grant"] is False
    assert "its content is not a patch, so its extent is unknown" in judged["against"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("approvals", "show", "zzz"), 2, "matches no approval"),
        (("approvals", "list", "--status", "lost"), 2, "'lost' is no status of approvals"),
        (("approvals", "request", "party", "x", "--reason", "r", "-c", "/nowhere"), 2, "/nowhere"),
        (("approvals", "export", "--format", "xml"), 2, "json or csv"),
        (("errors", "show", "123"), 2, "matches no error"),
        (("errors", "list", "--state", "lost"), 2, "not a state of an error"),
        (("errors", "track", "op", "m", "--severity", "huge"), 2, "not a severity"),
        (("breakers", "show", "none"), 2, "there is no circuit breaker 'none'"),
        (("notify", "add", "a", "q", "nowhere"), 2, "of no known form"),
        (("notify", "add", "a", "no queue", "https://example.org"), 2, "cannot name a queue"),
        (("notify", "test", "none"), 2, "there is no endpoint 'none'"),
        (("health", "services", "add", "a", "ftp://x"), 2, "not an address of a service"),
        (("inbox", "--host", "0.0.0.0"), 2, "would let everybody decide"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_that_says_what_to_do(
    qflow: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused(qflow(*arguments), code, words)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QFLOW_APPROVALS_TTL", "0"),
        ("QFLOW_APPROVALS_DECIDERS", "ada"),
        ("QFLOW_ERRORS_ALERT_RATE", "2"),
        ("QFLOW_INBOX_ACCOUNTS", "planted-secret"),
    ],
)
def test_a_wrong_setting_is_named(qflow: Run, variable: str, value: str) -> None:
    done = qflow("approvals", "list", **{variable: value})
    refused(done, 2, variable)
    assert "planted-secret" not in done.stderr


def test_errors_from_a_script_are_grouped_and_settled(qflow: Run, engine: Engine) -> None:
    ok(qflow("errors", "track", "billing.send", "no answer from 10.0.0.9", "--kind", "TimeoutError"))
    with engine.begin() as connection:
        track_errors(
            connection,
            [
                Occurrence(
                    operation="billing.send", kind="TimeoutError", message=f"no answer from 10.0.0.{n}"
                )
                for n in range(4)
            ],
        )
    trace = 'Traceback (most recent call last):\n  File "bill.py", line 3, in send\nValueError: no total\n'
    ok(qflow("errors", "track", "billing.total", "-", stdin=trace))
    listed = json.loads(ok(qflow("errors", "list", "--json")))
    assert sorted((row["operation"], row["count"]) for row in listed) == [
        ("billing.send", 5),
        ("billing.total", 1),
    ]
    [timeout] = [row for row in listed if row["operation"] == "billing.send"]
    assert "Retry with backoff" in ok(qflow("errors", "show", timeout["id"]))
    assert "billing.send" in ok(qflow("errors", "rates"))
    for verb, state in (
        ("ack", "acknowledged"),
        ("mute", "muted"),
        ("reopen", "open"),
        ("resolve", "resolved"),
    ):
        ok(qflow("errors", verb, timeout["id"], "--reason", "r"))
        assert json.loads(ok(qflow("errors", "show", timeout["id"], "--json")))["state"] == state
    assert "open" in ok(qflow("breakers", "list"))
    ok(qflow("breakers", "reset", "billing.send"))
    ok(qflow("breakers", "open", "billing.send", "--reason", "maintenance"))
    shown = json.loads(ok(qflow("breakers", "show", "billing.send", "--json")))
    assert [event["to"] for event in shown["history"]] == ["closed", "open", "closed", "open"]


def test_an_error_of_an_sdk_is_shown_with_its_source_and_grouped_by_hand(qflow: Run, engine: Engine) -> None:
    frame = {
        "path": "/srv/shop/cart.py",
        "line": 12,
        "function": "pay",
        "own": True,
        "before": ["def pay(card):"],
        "source": "    card.charge(total)",
        "after": ["    return receipt"],
    }
    library = {
        "path": "/usr/lib/python3/site-packages/bank.py",
        "line": 3,
        "function": "charge",
        "own": False,
    }
    occurrence = Occurrence(
        operation="GET /pay",
        kind="RefusedError",
        message="card \x1b[31m refused",
        exceptions=[{"type": "RefusedError", "value": "card refused", "frames": [frame, library]}],
        context={"release": "shop@1.2.0", "user": "1f2e", "breadcrumbs": [{"message": "card entered"}]},
        source="sentry",
    )
    with engine.begin() as connection:
        track_errors(connection, [occurrence, Occurrence(operation="GET /pay", message="card declined")])
    listed = {row["kind"]: row["id"] for row in json.loads(ok(qflow("errors", "list", "--json")))}
    shown = ok(qflow("errors", "show", listed["RefusedError"]))
    for part in (
        "/srv/shop/cart.py:12 in pay",
        "     11  def pay(card):",
        ">    12      card.charge(total)",
        "     13      return receipt",
        "(1 more frames)",
        "shop@1.2.0",
        "card entered",
    ):
        assert part in shown
    assert "bank.py" not in shown
    assert "\x1b" not in shown
    ok(qflow("errors", "resolve", listed["RefusedError"], "--in-release", "shop@1.3.0"))
    ok(qflow("errors", "merge", listed["Error"], "--into", listed["RefusedError"], "--reason", "one bank"))
    assert json.loads(ok(qflow("errors", "show", listed["Error"], "--json")))["merged"] == [listed["Error"]]
    ok(qflow("errors", "split", listed["Error"]))
    ok(qflow("errors", "rule", "cards", "--match", "message=card *", "--match", "operation=GET *"))
    assert json.loads(ok(qflow("errors", "rules", "--json")))[0]["fingerprint"] == ["cards"]
    ok(qflow("errors", "unrule", "1"))
    assert "There is no grouping rule" in ok(qflow("errors", "rules"))


def test_health_says_how_it_is_by_words_json_and_exit_code(qflow: Run) -> None:
    done = qflow("health", "--json", "--deep")
    found = json.loads(done.stdout)
    checks = {check["check"]: check["status"] for check in found["checks"]}
    assert checks["database"] == checks["history"] == "healthy"
    # No daemon has ever run here.
    assert (checks["daemon"], done.returncode) == ("unknown", 1)
    with local_server() as server:
        ok(qflow("health", "services", "add", "shop", server.url))
        server.status = 500
        assert "unhealthy" in qflow("health").stdout
        qflow("health")
        ok(qflow("health", "services", "list"))
        ok(qflow("health", "services", "remove", "shop"))
    assert "service:shop" in ok(qflow("health", "incidents"))


def test_an_endpoint_is_added_tried_listed_and_served_by_a_worker(
    qflow: Run, environment: dict[str, str], engine: Engine
) -> None:
    with local_server() as webhook:
        ok(
            qflow(
                "notify",
                "add",
                "ops",
                "approval_notifications",
                webhook.url,
                "--only",
                "to=denied",
                QFLOW_WEBHOOK_KEY="k",
            )
        )
        ok(qflow("notify", "test", "ops"))
        assert json.loads(webhook.received[0].body)["title"] == "test of qflow"
        [listed] = json.loads(ok(qflow("notify", "list", "--json")))
        assert listed == {
            "name": "ops",
            "queue": "approval_notifications",
            "address": "http://...",
            "signed": True,
            "filters": {"to": ["denied"]},
            "options": {},
        }
        worker = subprocess.Popen([QFLOW, "notify", "work"], env=environment)
        try:
            ask = ("approvals", "request", "edit", "a.py", "--reason", "r")
            id_ = ok(qflow(*ask, stdin="{}", actor="bot")).strip()
            digest = json.loads(ok(qflow("approvals", "show", id_, "--json")))["digest"]
            ok(qflow("approvals", "deny", id_, "--digest", digest, actor="ada"))
            end = time.monotonic() + 120
            while len(webhook.received) < 2:
                assert time.monotonic() < end, "nothing was delivered"
                time.sleep(0.05)
        finally:
            worker.send_signal(signal.SIGINT)
            assert worker.wait(90) == 0
        assert json.loads(webhook.received[1].body)["title"] == "denied: edit a.py: r"
        ok(qflow("notify", "remove", "ops"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM notification_endpoints")) == 0


def test_the_inbox_is_served_until_it_is_interrupted(qflow: Run, environment: dict[str, str]) -> None:
    import requests

    from tests.e2e.test_dagster import free_port

    port = free_port()
    served = subprocess.Popen(
        [QFLOW, "inbox", "--port", str(port)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                assert requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).status_code == 200
                break
            # It is not there yet, or too busy to answer at once.
            except (requests.ConnectionError, requests.Timeout):
                assert time.monotonic() < end, "it does not answer"
                time.sleep(0.1)
        refused(qflow("inbox", "--port", str(port)), 2, "choose another port with --port")
    finally:
        served.send_signal(signal.SIGINT)
        assert served.wait(90) == 0


def test_a_password_becomes_the_entry_of_an_account(qflow: Run) -> None:
    made = ok(qflow("inbox", "password", "ada", stdin="correct horse battery\n"))
    entry = json.loads(made)
    assert list(entry) == ["ada"]
    assert "correct" not in made
    shown = ok(qflow("config", "--json", QFLOW_INBOX_ACCOUNTS=made))
    assert entry["ada"] not in shown
    refused(qflow("inbox", "password", "ada", stdin="short\n"), 2, "at least 12 characters")
