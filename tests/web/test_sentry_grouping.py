"""Which events of SDKs are one error, by Sentry's published rules: the fingerprint that was set, then frames, then words."""

import json
from typing import Any

import pytest

from qflow_dagster.infrastructure.fingerprints import fingerprint
from qflow_dagster.infrastructure.stacks import chain_from, chain_of
from qflow_dagster.web.sentry_events import occurrence_from, parse_envelope

Event = dict[str, Any]


def key(event: Event) -> bytes:
    """The fingerprint of an event, as the analysis of errors computes it."""
    found = occurrence_from(event, {})
    context: Any = found.context or {}
    chain = (
        chain_from(found.exceptions)  # type: ignore[arg-type]
        if found.exceptions
        else chain_of(found.kind, found.message, found.stack)
    )
    return fingerprint(chain, tuple(context.get("fingerprint", ())), {"transaction": found.operation})


def error(*frames: Event, kind: str = "E", value: str = "m", **event: Any) -> Event:
    return {
        "exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": list(frames)}}]},
        **event,
    }


def frame(function: str, file: str | None = "app/a.py", **more: Any) -> Event:
    return {"function": function, **({"filename": file} if file else {}), "lineno": 1, **more}


def chain(*kinds: str) -> Event:
    return {
        "exception": {"values": [{"type": kind, "stacktrace": {"frames": [frame("f")]}} for kind in kinds]}
    }


LIBRARY, OTHER = frame("get", "lib/x.py", in_app=False), frame("post", "lib/y.py", in_app=False)
SAME = [
    ("message differs", error(frame("f")), error(frame("f"), value="n")),
    (
        "fingerprint joins",
        error(frame("f"), fingerprint=["x"]),
        error(frame("g"), kind="F", fingerprint=["x"]),
    ),
    ("variable", error(frame("f"), fingerprint=["{{ type }}"]), error(frame("g"), fingerprint=["{{type}}"])),
    ("library frames", error(frame("f", in_app=True), LIBRARY), error(frame("f", in_app=True), OTHER)),
    ("host", error(server_name="web-1"), error(server_name="web-2")),
    ("operation", error(frame("f"), transaction="a"), error(frame("f"), transaction="b")),
    ("recursion", error(frame("f"), frame("f")), error(*[frame("f")] * 9)),
    ("no files", error(frame("f", None, package="libc")), error(frame("f", None, package="libc"), value="n")),
    ("rust hash", error(frame("a::b::h0123456789abcdef")), error(frame("a::b::hfedcba9876543210"))),
    ("java lambda", error(frame("lambda$main$0", "A.java")), error(frame("lambda$main$7", "A.java"))),
    (
        "java class",
        error(frame("A$$Lambda$12/0x00a1.run", "A.java")),
        error(frame("A$$Lambda$9/0x00b2.run", "A.java")),
    ),
    (
        "accessor",
        error(frame("GeneratedMethodAccessor12.invoke")),
        error(frame("GeneratedMethodAccessor3.invoke")),
    ),
    (
        "erb",
        error(frame("_app_views_x_erb___123_456", "x.erb")),
        error(frame("_app_views_x_erb___9_8", "x.erb")),
    ),
    ("php", error(frame("class@anonymous\0/a.php:3$0")), error(frame("class@anonymous\0/b.php:9$1"))),
    ("js object", error(frame("Object.save", "a.js")), error(frame("save", "a.js"))),
    ("js anonymous", error(frame("<anonymous>", "a.js")), error(frame("?", "a.js"))),
    ("js bundle", error(frame("f", "/js/app.3f2a9c1b.js")), error(frame("f", "/js/app.9b1d04e7.js?v=2"))),
    ("c++ arguments", error(frame("run(int, char**)", "a.cc")), error(frame("run(long)", "a.cc"))),
    (
        "C# state machine",
        error(frame("MoveNext", platform="csharp", module="Shop.Cart+<PayAsync>d__12")),
        error(frame("MoveNext", platform="csharp", module="Shop.Cart+<PayAsync>d__9")),
    ),
    (
        "C# closure",
        error(frame("<Pay>b__0", platform="csharp", module="Shop.Cart+<>c__DisplayClass5_0")),
        error(frame("<Pay>b__1", platform="csharp", module="Shop.Cart+<>c__DisplayClass7_2")),
    ),
    (
        "C# local function",
        error(frame("<Pay>g__check|5_0", platform="csharp", module="Cart")),
        error(frame("<Pay>g__check|12_1", platform="csharp", module="Cart")),
    ),
    (
        "Mono's build",
        error(frame("Pay", "<0123456789abcdef0123456789abcdef>", platform="csharp")),
        error(frame("Pay", "<ffff456789abcdef0123456789abcdef>", platform="csharp")),
    ),
    (
        "Elixir function",
        error(frame('Cart."-pay/2-fun-0-"/1', platform="elixir")),
        error(frame('Cart."-pay/2-fun-3-"/1', platform="elixir")),
    ),
    (
        "Android lambda",
        error(frame("$r8$lambda$abcDEF1", module="a.M$$ExternalSyntheticLambda4", platform="java")),
        error(frame("$r8$lambda$xyzQWE9", module="a.M$$ExternalSyntheticLambda7", platform="java")),
    ),
    (
        "Go generics",
        error(frame("Map[...]", module="shop", platform="go")),
        error(frame("Map[go.shape.int]", module="shop", platform="go")),
    ),
    (
        "PHP eval",
        error(frame("run", "/app/View.php(12) : eval()'d code", platform="php")),
        error(frame("run", "/app/View.php(88) : eval()'d code", platform="php")),
    ),
    (
        "Ruby 3.4",
        error(frame("pay", platform="ruby")),
        error(frame("Shop::Cart#pay", platform="ruby")),
    ),
    ("bare object", error(frame("f")), {"exception": error(frame("f"))["exception"]["values"][0]}),
    ("old name", error(frame("f")), {"sentry.interfaces.Exception": error(frame("f"))["exception"]}),
    ("old message", {"message": "hello 1"}, {"sentry.interfaces.Message": {"message": "hello 2"}}),
]
DIFFERENT = [
    ("fingerprint splits", error(frame("f"), fingerprint=["x"]), error(frame("f"), fingerprint=["y"])),
    ("default and more", error(frame("f")), error(frame("f"), fingerprint=["{{ default }}", "x"])),
    ("type", error(frame("f")), error(frame("f"), kind="F")),
    ("function", error(frame("f")), error(frame("g"))),
    ("cause", chain("A", "C"), chain("B", "C")),
    ("caused or not", chain("C"), chain("A", "C")),
    ("module", error(frame("f", "A.java", module="com.a.A")), error(frame("f", "A.java", module="com.b.A"))),
    ("no files", error(frame("f", None)), error(frame("g", None))),
    (
        "C# methods",
        error(frame("MoveNext", platform="csharp", module="Shop.Cart+<PayAsync>d__12")),
        error(frame("MoveNext", platform="csharp", module="Shop.Cart+<SendAsync>d__12")),
    ),
    (
        "Java anonymous classes",
        error(frame("run", module="a.Main$1", platform="java")),
        error(frame("run", module="a.Main$2", platform="java")),
    ),
    ("Go closures", error(frame("pay.func1", platform="go")), error(frame("pay.func2", platform="go"))),
    ("Ruby operators", error(frame("Cart#==", platform="ruby")), error(frame("Cart#[]", platform="ruby"))),
    (
        "program frames",
        error(frame("f", in_app=True), *[LIBRARY] * 9),
        error(frame("g", in_app=True), *[LIBRARY] * 9),
    ),
    (
        "stack of a message",
        {"message": "m", "stacktrace": {"frames": [frame("f")]}},
        {"message": "m", "stacktrace": {"frames": [frame("g")]}},
    ),
    (
        "crashed thread",
        {
            "threads": {
                "values": [
                    {"stacktrace": {"frames": [frame("a")]}},
                    {"crashed": True, "stacktrace": {"frames": [frame("f")]}},
                ]
            }
        },
        {
            "threads": {
                "values": [
                    {"stacktrace": {"frames": [frame("a")]}},
                    {"crashed": True, "stacktrace": {"frames": [frame("g")]}},
                ]
            }
        },
    ),
]


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_they_are_one_error(one: Event, other: Event) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT]
)
def test_they_are_two_errors(one: Event, other: Event) -> None:
    assert key(one) != key(other)


def test_the_chain_and_what_helps_are_kept() -> None:
    event = {
        "exception": {
            "values": [
                {"type": "Cause", "value": "root", "stacktrace": {"frames": [frame("inner", in_app=True)]}},
                {"type": "Effect", "value": "top", "stacktrace": {"frames": [frame("outer", in_app=False)]}},
            ]
        },
        "tags": [["session_token", "s3cr3t"]],
        "user": {"id": "17", "email": "ada@example.com"},
        "breadcrumbs": {"values": [{"message": f"step {n}", "data": {"x": 1}} for n in range(50)]},
        "request": {"method": "GET", "url": "https://example.com/a", "cookies": "c"},
        "event_id": "a" * 32,
    }
    found = occurrence_from(event, {"trace": {"transaction": "GET /a"}})
    assert (found.operation, found.kind, found.message) == ("GET /a", "Effect", "top")
    assert found.stack is not None
    assert found.stack.index("in inner") < found.stack.index("Cause: root") < found.stack.index("in outer")
    assert isinstance(found.context, dict)
    assert [(raised["type"], raised["value"]) for raised in found.exceptions] == [  # type: ignore[index, union-attr]
        ("Cause", "root"),
        ("Effect", "top"),
    ]
    assert found.context["tags"] == {"session_token": "s3cr3t"}
    assert found.context["request"] == {"method": "GET", "url": "https://example.com/a"}
    assert [crumb["message"] for crumb in found.context["breadcrumbs"]] == [
        f"step {n}" for n in range(30, 50)
    ]  # type: ignore[index, union-attr]
    assert "ada" not in str(found.context)


def crash(*threads: Event, **raised: Any) -> Event:
    """An event of a native SDK: the exception has no frames, its thread has."""
    exception = {"type": "SIGSEGV", "value": "at 0x7f31", **raised}
    return {"platform": "native", "exception": {"values": [exception]}, "threads": {"values": list(threads)}}


def thread(number: int, *functions: str, **more: Any) -> Event:
    frames = [{"function": name, "package": "/srv/shop", "in_app": True} for name in functions]
    return {"id": number, "name": f"worker-{number}", "stacktrace": {"frames": frames}, **more}


def test_the_thread_that_crashed_tells_errors_apart() -> None:
    other = thread(2, "main", "wait")
    first = crash(other, thread(7, "main", "pay", crashed=True))
    assert key(first) == key(crash(thread(9, "main", "pay", crashed=True), thread(3, "idle"), value="at 0x1"))
    assert key(first) != key(crash(other, thread(7, "main", "ship", crashed=True)))
    # The exception names its thread.
    assert key(first) == key(crash(other, thread(7, "main", "pay"), thread_id=7))
    # A thread that only goes on says nothing about the exception.
    assert key(crash(other)) == key(crash(thread(2, "main", "sleep", current=True)))


def test_all_threads_are_kept_the_crashed_one_first() -> None:
    event = crash(
        *(thread(number, "main", f"wait_{number}") for number in range(40)),
        thread(77, "main", "pay", crashed=True, state="RUNNABLE"),
    )
    threads = (occurrence_from(event, {}).context or {})["threads"]  # type: ignore[call-overload,index]
    assert len(threads) == 30
    assert {name: threads[0][name] for name in ("id", "name", "is", "state")} == {
        "id": "77",
        "name": "worker-77",
        "is": "crashed",
        "state": "RUNNABLE",
    }
    assert threads[1]["stack"].splitlines()[-1] == '  File "/srv/shop", line 0, in wait_0'


def lines(*items: Event) -> bytes:
    """An envelope whose items end with their line, as the SDK for PHP writes it."""
    return b"\n".join(json.dumps(item).encode() for item in items)


def php(line: int, number: int) -> bytes:
    frames = [
        {"filename": "/shop.php", "lineno": line, "in_app": True, "abs_path": "/srv/shop.php"},
        {
            "filename": "/shop.php",
            "lineno": 7,
            "in_app": True,
            "abs_path": "/srv/shop.php",
            "function": "class@anonymous\0/srv/shop.php::pay",
            "raw_function": f"class@anonymous\0/srv/shop.php:7$%{number}::pay",
        },
    ]
    mechanism = {"type": "generic", "handled": True, "data": {"code": 0}}
    values = [
        {
            "type": "StockError",
            "value": f"no {number}",
            "stacktrace": {"frames": frames},
            "mechanism": mechanism,
        },
        {"type": "LogicException", "value": f"order {number}", "stacktrace": {"frames": frames[:1]}},
    ]
    event = {"timestamp": 1764500000.1, "platform": "php", "level": "error", "exception": {"values": values}}
    return lines({"event_id": f"{number:032x}"}, {"type": "event", "content_type": "application/json"}, event)


def java(thread_id: int, number: int) -> bytes:
    def call(function: str, **more: Any) -> Event:
        return {"filename": "Shop.java", "function": function, "module": "org.shop.Shop", "lineno": 5, **more}

    frames = [call("main", in_app=True), call("pay", in_app=True)]
    error = {
        "type": "StockError",
        "value": f"no {number}",
        "module": "org.shop",
        "thread_id": thread_id,
        "stacktrace": {"frames": frames},
    }
    threads = [
        {"id": thread_id, "name": "main", "state": "RUNNABLE", "crashed": True, "main": True},
        {"id": 10, "name": "Finalizer", "daemon": True, "stacktrace": {"frames": [call("run", native=True)]}},
    ]
    event = {
        "timestamp": "2026-11-30T05:12:00.123Z",
        "platform": "java",
        "exception": {"values": [error]},
        "threads": {"values": threads},
    }
    session = {
        "sid": "c" * 32,
        "status": "ok",
        "errors": 1,
        "seq": number,
        "attrs": {"release": "shop@1.2.0"},
    }
    return lines({"event_id": f"{number:032x}"}, {"type": "event"}, event, {"type": "session"}, session)


@pytest.mark.parametrize(("first", "second"), [(php(11, 17), php(12, 4711)), (java(1, 17), java(3, 4711))])
def test_envelopes_in_the_form_of_sdks_for_php_and_java(first: bytes, second: bytes) -> None:
    """The form is what sentry-php and sentry-java sent to a server that wrote it down."""
    one, other = parse_envelope(first), parse_envelope(second)
    keys = [
        fingerprint(chain_from(envelope.occurrences[0].exceptions))  # type: ignore[arg-type]
        for envelope in (one, other)
    ]
    assert keys[0] == keys[1]
    assert one.problems == other.problems == []
    assert one.occurrences[0].event_id == f"{17:032x}"
    assert [session.id for session in one.sessions] == [session.id for session in other.sessions]
