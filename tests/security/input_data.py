"""Attempts by data: envelopes, documents, packages, names, task graphs, texts that make a pattern slow."""

import base64
import concurrent.futures
import gzip
import json
import secrets
import time
import zlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from starlette.testclient import TestClient

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.sharing import rule_packages
from qflow_dagster.execution import task_policy
from qflow_dagster.infrastructure import error_analysis, message_parameters, stacks
from qflow_dagster.safety import documents, redaction, storable
from tests.security import ground
from tests.security.corpus import attempt


def event(raw: bytes) -> bytes:
    """An envelope with that text as its event."""
    return b'{"event_id":"%s"}\n{"type":"event","length":%d}\n%s\n' % (
        secrets.token_hex(16).encode(),
        len(raw),
        raw,
    )


DEEP = b"[" * 20_000 + b"]" * 20_000
EVENTS: dict[str, bytes] = {
    "NUL": b'{"exception":{"values":[{"type":"E\\u0000","value":"a\\u0000b"}]},"extra":{"k\\u0000":"v"}}',
    "lone surrogate": b'{"exception":{"values":[{"type":"E","value":"\\ud800"}]},"extra":{"a":"\\udfff"}}',
    "NaN": b'{"message":"m","extra":{"a":NaN,"b":-Infinity}}',
    "huge number": b'{"message":"m","extra":{"a":1e999,"b":' + b"9" * 50_000 + b"}}",
    "deep": b'{"message":"m","extra":' + DEEP + b"}",
    "line number": b'{"exception":{"values":[{"type":"E","value":"v","stacktrace":{"frames":[{"filename":"a.py","lineno":99999999999999999999,"function":"f"}]}}]}}',
    "line number that is none": b'{"exception":{"values":[{"type":"E","value":"v","stacktrace":{"frames":[{"filename":"a.py","lineno":true},{"lineno":"7"},{"lineno":-1},{"lineno":1.5}]}}]}}',
    "values that are none": b'{"exception":{"values":"x"},"message":7,"level":[],"transaction":{},"extra":[1],"contexts":3,"tags":null}',
    "time far away": b'{"message":"m","timestamp":1e30}',
    "operation of megabytes": b'{"message":"m","transaction":"' + b"x" * 1_000_000 + b'"}',
    "escapes": b'{"transaction":"op\\u001b[31m","exception":{"values":[{"type":"E\\u001b]0;t\\u0007","value":"x\\u202e"}]}}',
    "stack of one slow line": json.dumps(
        {
            "exception": {
                "values": [
                    {
                        "type": "E",
                        "value": "v",
                        "stacktrace": {
                            "frames": [{"filename": "x in " * 20_000, "function": "  at " * 20_000}]
                        },
                    }
                ]
            }
        }
    ).encode(),
    "not UTF-8": b'{"message":"\xff\xfe\x00"}',
}


@attempt("events", *EVENTS)
def event_that_takes_its_neighbours(_folder: Path, name: str) -> None:
    """It may be refused or cleaned; what others sent at the same moment is stored, and analyzed."""
    from qflow_dagster.web.app import build_app

    engine = ground.engine()
    good = f"good.{secrets.token_hex(6)}"
    honest = json.dumps(
        {"transaction": good, "exception": {"values": [{"type": "E", "value": "v"}]}}
    ).encode()
    with TestClient(build_app(engine, host="127.0.0.1"), base_url="http://127.0.0.1:3001") as client:
        bodies = [event(raw) for raw in [honest] * 6 + [EVENTS[name]] * 2 + [honest] * 6]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda body: client.post("/api/1/envelope/", content=body).status_code, bodies)
            )
    assert {*answers[:6], *answers[8:]} == {200}, answers
    assert {*answers[6:8]} <= {200, 400, 413}, f"a permanent fault called transient: {answers}"
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        grouped = text(
            "SELECT count(*) FROM error_occurrences WHERE operation = :name AND group_id IS NOT NULL"
        )
        assert connection.scalar(grouped, {"name": good}) == 12


ENVELOPES: dict[str, tuple[bytes, dict[str, str]]] = {
    "empty": (b"", {}),
    "no JSON": (b"\x00\xff", {}),
    "no length": (b'{}\n{"type":"event"}\n', {}),
    "negative length": (b'{}\n{"type":"event","length":-1}\n{}', {}),
    "true length": (b'{}\n{"type":"event","length":true}\n{}', {}),
    "length beyond the end": (b'{}\n{"type":"event","length":99999}\n{}', {}),
    "sixty thousand events": (b"{}\n" + b'{"type":"event","length":2}\n{}\n' * 60_000, {}),
    "bomb of gzip": (gzip.compress(b"x" * 50_000_000), {"Content-Encoding": "gzip"}),
    "bomb of deflate": (zlib.compress(b"x" * 50_000_000), {"Content-Encoding": "deflate"}),
    "truncated gzip": (gzip.compress(event(b"{}"))[:-9], {"Content-Encoding": "gzip"}),
    "unknown encoding": (event(b"{}"), {"Content-Encoding": "zstd, gzip, snappy"}),
    "larger than the limit": (b"x" * 3_000_000, {}),
}


@attempt("envelopes", *ENVELOPES)
def envelope(_folder: Path, name: str) -> None:
    from qflow_dagster.web.app import build_app

    body, headers = ENVELOPES[name]
    engine = ground.engine()
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT count(*) FROM error_occurrences"))
    with TestClient(build_app(engine, host="127.0.0.1"), base_url="http://127.0.0.1:3001") as client:
        answer = client.post("/api/1/envelope/", content=body, headers=headers)
    with engine.connect() as connection:
        added = connection.scalar(text("SELECT count(*) FROM error_occurrences")) - before
    assert answer.status_code < 500, answer.text
    # Other attempts add theirs meanwhile.
    assert added < 5_000, f"{added} occurrences by one request"


DOCUMENTS = {
    "date that is none": "a: 2001-99-99",
    "integer of 5,000 digits": "a: " + "9" * 5_000,
    "infinity": "a: .inf",
    "tag of Python": "a: !!python/object/apply:os.system ['touch pwned']",
    "binary": "a: !!binary '***'",
    "billion laughs": "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)),
    "alias of itself": "a: &a [*a]",
    "nested deeply": "[" * 100_000,
    "key that is a list": "? [a]\n: b",
    "key twice": "a: 1\na: 2",
    "merge of no mapping": "a: {<<: 3}",
    "tabulator": "a:\n\t- b",
    "NUL": "a: \x00",
    "unknown tag": "a: !x y",
    "hexadecimal of megabytes": "a: 0x" + "f" * 1_000_000,
    "sexagesimal": "a: " + "59:" * 10_000 + "59",
    "time zone": "a: 2001-01-01T00:00:00+99:99",
    "set": "!!set {a, b}",
    "omap": "!!omap [a]",
    "no UTF-8": "\udcff",
    "byte order marks": "\ufeff\ufeffa: 1",
    "two documents": "a: 1\n---\nb: 2",
    "directive": "%YAML 9.9\n---\na: 1",
}


@attempt("documents", *DOCUMENTS)
def document(folder: Path, name: str) -> None:
    file = folder / "g.yaml"
    file.write_bytes(DOCUMENTS[name].encode("utf-8", "surrogateescape"))
    started = time.process_time()
    try:
        data = documents.read(file).data
        json.dumps(data, allow_nan=False, default=str)
    finally:
        assert time.process_time() - started < 5
        assert not (folder / "pwned").exists()
        assert not Path("pwned").exists()


# RFC 8032 and Chalkias et al., "Taming the many EdDSAs" (2020): points of order 1, 2, 4 and 8, and their other spellings.
SMALL_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@attempt("signatures", *SMALL_ORDER)
def signature_that_holds_for_any_text(_folder: Path, name: str) -> None:
    key = base64.b64encode(bytes.fromhex(name)).decode()
    for signature in (bytes.fromhex(SMALL_ORDER[0]) + bytes(32), bytes.fromhex(name) + bytes(32)):
        data = {"format": "qflow-rule/1", "instance": {"name": "mallory", "key": key}}
        data["signature"] = base64.b64encode(signature).decode()  # type: ignore[assignment]
        try:
            rule_packages.opened(rule_packages.canonical(data))
        except rule_packages.PackageRefusedError:
            continue
        raise AssertionError("a signature that nobody made holds")
    raise QflowError("refused")


def _signed(change: Any) -> bytes:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    data = {"format": "qflow-rule/1", "instance": {"name": "mallory", "key": public}, "text": "fine"}
    whole = {**data, "signature": base64.b64encode(key.sign(rule_packages.canonical(data))).decode()}
    return change(whole)


TAMPERED = {
    "a letter": lambda data: rule_packages.canonical({**data, "text": "fime"}),
    "another name": lambda data: rule_packages.canonical(
        {**data, "instance": {**data["instance"], "name": "ada"}}
    ),
    "a field more": lambda data: rule_packages.canonical({**data, "more": 1}),
    "white space": lambda data: json.dumps(data).encode(),
    "a key twice": lambda data: rule_packages.canonical(data)[:-1] + b',"text":"fine"}',
    "no signature": lambda data: rule_packages.canonical({k: v for k, v in data.items() if k != "signature"}),
    "empty signature": lambda data: rule_packages.canonical({**data, "signature": ""}),
    # The last letter before the padding has four bits that say nothing.
    "signature in another base64": lambda data: rule_packages.canonical(
        {**data, "signature": data["signature"][:-3] + chr(ord(data["signature"][-3]) + 1) + "=="}
    ),
    "hidden characters": lambda data: rule_packages.canonical({**data, "text": "fi\u202ene"}),
    "deep": lambda _data: b'{"a":' + DEEP + b"}",
    "large": lambda _data: b'{"a":"' + b"x" * 2_000_000 + b'"}',
}


@attempt("packages", *TAMPERED)
def package(_folder: Path, name: str) -> None:
    rule_packages.opened(_signed(TAMPERED[name]))
    raise AssertionError("it was opened")


NAMES = {
    "Cyrillic": "c\u043ede-quality",
    "Greek": "\u03bfwner",
    "zero width": "ow\u200bner",
    "direction": "own\u202eer",
    "filler": "a\u3164b",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31m",
    "full width": "\uff41gent",
    "empty": "",
    "space": " ",
    "long": "x" * 10_000,
    "combining": "a\u0301\u0301\u0301\u0301\u0301",
    "surrogate": "a\ud800",
    "path": "../../etc/passwd",
    "option": "--help",
}


@attempt("names of agents", *NAMES)
def name_of_an_agent(_folder: Path, name: str) -> None:
    from qflow_dagster.agents import coordination
    from qflow_dagster.agents.coordination import Capability

    with ground.engine().begin() as connection:
        coordination.register(connection, Capability(name="honest-agent.1"))
        coordination.register(connection, Capability(name=NAMES[name]))
    raise AssertionError("it was registered")


SLOW = {
    "stack of .NET": "  at " + "x in " * 20_000,
    "stack of Java": "\tat " + "a." * 50_000 + "b(",
    "stack of Python": '  File "' * 20_000,
    "stack of Node": "    at " + "(" * 100_000,
    "spaces": " " * 1_000_000,
    "numbers": "1" * 1_000_000,
    "quotes": '"' * 300_000,
    "brackets": "[" * 300_000,
    "secrets": "password=" * 100_000,
    "addresses": "a://" * 250_000,
    "begins of keys": "-----BEGIN " * 50_000,
    "tokens": "eyJ" + "A" * 500_000 + "." * 500_000,
    "escapes": "\\" * 500_000,
    "letters": "x" * 1_000_000,
    "mixed": "a1.:/-_@" * 125_000,
    "lines": "\n" * 500_000,
    "hex": "0x" + "f" * 1_000_000,
    "emails": "a@" * 300_000,
}


@attempt("slow patterns", *SLOW)
def text_that_makes_a_pattern_slow(_folder: Path, name: str) -> None:
    hostile = SLOW[name]
    for reader in (
        redaction.redact_text,
        lambda hostile: stacks.chain_of("E", "", hostile),
        message_parameters.normalise,
    ):
        started = time.process_time()
        reader(hostile)
        assert time.process_time() - started < 5, f"{reader}: {time.process_time() - started:.1f} s"


TASKS: dict[str, dict[str, Any]] = {
    "command that is not allowed": {
        "role": "coder",
        "adapter": "shell",
        "arguments": {"command": ["rm", "-rf", "/"]},
    },
    "command by its path": {"role": "coder", "adapter": "shell", "arguments": {"command": ["/bin/rm"]}},
    "command in disguise": {"role": "coder", "adapter": "shell", "arguments": {"command": ["git\0rm"]}},
    "host that looks alike": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "https://github.com.evil.com/"},
    },
    "host behind a name": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "https://github.com@evil.com/"},
    },
    "host in capitals": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "https://EVIL.com/?github.com"},
    },
    "file address": {"role": "researcher", "adapter": "http", "arguments": {"url": "file:///etc/passwd"}},
    "metadata service": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "http://169.254.169.254/"},
    },
    "path above": {
        "role": "critic",
        "adapter": "files",
        "arguments": {"repository": "r", "paths": ["../etc/passwd"]},
    },
    "absolute path": {
        "role": "critic",
        "adapter": "files",
        "arguments": {"repository": "r", "paths": ["/etc/passwd"]},
    },
    "adapter of another role": {"role": "critic", "adapter": "shell", "arguments": {"command": ["ls"]}},
    "unknown role": {"role": "root", "adapter": "shell", "arguments": {"command": ["ls"]}},
    "backslash host": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "https://evil.com\\@github.com/"},
    },
    "host with a tab": {
        "role": "researcher",
        "adapter": "http",
        "arguments": {"url": "https://github.com\t.evil.com/"},
    },
}


@attempt("tasks beyond their role", *TASKS)
def task(_folder: Path, name: str) -> None:
    wanted = TASKS[name]
    task_policy.check(wanted["role"], wanted["adapter"], wanted["arguments"], None, filled=True)
    raise AssertionError("it was let through")


UNSTORABLE = {
    "NaN": '{"a": NaN}',
    "NUL": '{"a": "\\u0000"}',
    "surrogate": '{"\\ud800": "\\udfff"}',
    "deep": '{"a": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "large integer": '{"a": ' + "9" * 100_000 + "}",
    "overflow": '{"a": 1e999}',
    "nested text": '["' + "\\u0000" * 1_000 + '"]',
}


@attempt("values that cannot be stored", *UNSTORABLE)
def value(_folder: Path, name: str) -> None:
    kept = storable.read_json(UNSTORABLE[name])
    with ground.engine().connect() as connection:
        stored = connection.scalar(
            text("SELECT CAST(:value AS jsonb)"), {"value": json.dumps(kept, allow_nan=False)}
        )
    assert stored == kept


@attempt("values that cannot be stored", "workflow", "error", "message")
def value_by_another_way(_folder: Path, name: str) -> None:
    from qflow_dagster import quantumflow
    from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors

    hostile = {"k\0": float("nan"), "s": "\ud800", "i": 10**5_000}
    with ground.engine().begin() as connection:
        if name == "error":
            track_errors(
                connection, [Occurrence(operation="a\0b", kind="\ud800", message="m\0", context=hostile)]
            )
        elif name == "message":
            quantumflow.send_with_notify(connection, "corpus", [hostile])
        else:
            id_ = quantumflow.create_workflow(connection, "notification", hostile, actor="a\0b")
            assert quantumflow.get(connection, id_) is not None
