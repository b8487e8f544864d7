"""What is one error, what kind it is, and that nothing variable gets into its fingerprint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.infrastructure.classification import classify
from qflow_dagster.infrastructure.fingerprints import fingerprint, innermost
from qflow_dagster.infrastructure.message_parameters import normalise
from qflow_dagster.infrastructure.stacks import Frame, chain_of


def frames_of(stack: str) -> list[Frame]:
    return [frame for raised in chain_of("", "", stack) for frame in raised.frames]


def key(kind: str, message: str, stack: str | None = None) -> bytes:
    return fingerprint(chain_of(kind, message, stack))


PYTHON = """Traceback (most recent call last):
  File "/srv/app/shop/cart.py", line 12, in pay
    total(items)
  File "/usr/lib/python3.11/site-packages/requests/api.py", line 59, in request
    return session.request()
TimeoutError: no answer
"""
JAVA = """java.lang.IllegalStateException: no stock
\tat com.shop.Stock.take(Stock.java:41)
\tat com.shop.Cart.pay(Cart.java:17)
"""
NODE = """TypeError: x is undefined
    at pay (/srv/app/shop/cart.js:12:5)
    at async /srv/app/index.js:3:1
"""
RUBY = """shop/cart.rb:12:in 'pay': no stock (RuntimeError)
\tfrom shop/app.rb:3:in 'run'
"""
GO = """goroutine 1 [running]:
main.pay(0x1)
\t/srv/app/cart.go:12 +0x1d
main.main()
\t/srv/app/main.go:5 +0x20
"""
FIREFOX = """pay@https://shop.example/static/cart.js:12:5
@https://shop.example/:3:1
"""
ELIXIR = """** (RuntimeError) no stock
    (shop 0.1.0) lib/shop/cart.ex:12: Shop.Cart.pay/1
    (elixir 1.15.0) lib/enum.ex:984: Enum.map/2
"""
PHP = """PHP Fatal error:  Uncaught Exception: no stock
#0 /srv/app/cart.php(12): Cart->pay(1)
#1 /srv/app/index.php(3): main()
#2 {main}
"""
RUST = """thread 'main' panicked at src/cart.rs:12:5:
   0: shop::cart::pay
             at src/cart.rs:12:5
   1: shop::main
             at src/main.rs:3:1
"""
GDB = """#0  pay (n=1) at /src/cart.c:12
#1  0x00005555 in main (argc=1) at /src/main.c:3
"""
MACOS = """0   Shop    0x0000000104f8a1b4 pay(int) + 20
1   Shop    0x0000000104f8a2c0 main + 120
"""
NET = """System.TimeoutException: no answer
   at Shop.Cart.Pay(Int32 n) in C:\\src\\in\\Cart.cs:line 12
   at Shop.App.Main() in C:\\src\\App.cs:line 3
"""


@pytest.mark.parametrize(
    ("stack", "innermost_call"),
    [
        (PYTHON, ("/usr/lib/python3.11/site-packages/requests/api.py", 59, "", "request")),
        (JAVA, ("Stock.java", 41, "com.shop.Stock", "take")),
        (NODE, ("/srv/app/shop/cart.js", 12, "", "pay")),
        (FIREFOX, ("https://shop.example/static/cart.js", 12, "", "pay")),
        (RUBY, ("shop/cart.rb", 12, "", "pay")),
        (ELIXIR, ("lib/shop/cart.ex", 12, "", "Shop.Cart.pay/1")),
        (PHP, ("/srv/app/cart.php", 12, "", "Cart->pay")),
        (GO, ("/srv/app/cart.go", 12, "", "main.pay")),
        (NET, ("C:\\src\\in\\Cart.cs", 12, "", "Shop.Cart.Pay(Int32 n)")),
        (RUST, ("src/cart.rs", 12, "", "shop::cart::pay")),
        (GDB, ("/src/cart.c", 12, "", "pay")),
        (MACOS, ("", 0, "", "pay(int)")),
    ],
)
def test_the_innermost_call_of_a_trace_is_found_in_each_language(
    stack: str, innermost_call: tuple[str, int, str, str]
) -> None:
    frame = frames_of(stack)[-1]
    assert (frame.file, frame.line, frame.module, frame.function) == innermost_call
    assert len(frames_of(stack)) == 2


def test_causes_of_a_printed_trace_are_exceptions_of_its_chain() -> None:
    python = f"""Traceback (most recent call last):
  File "/srv/app/db.py", line 3, in load
    row = rows[0]
IndexError: list index out of range

The above exception was the direct cause of the following exception:

{PYTHON}"""
    java = (
        JAVA
        + "Caused by: java.sql.SQLException: gone\n\tat com.shop.Database.read(Database.java:7)\n\t... 2 more\n"
    )
    assert [
        (raised.kind, len(raised.frames)) for raised in chain_of("TimeoutError", "no answer", python)
    ] == [
        ("IndexError", 1),
        ("TimeoutError", 2),
    ]
    assert [
        (raised.kind, raised.message) for raised in chain_of("IllegalStateException", "no stock", java)
    ] == [
        ("java.sql.SQLException", "gone"),
        ("IllegalStateException", "no stock"),
    ]
    assert key("TimeoutError", "", python) != key(
        "TimeoutError", "", python.replace("IndexError", "KeyError")
    )


def test_frames_of_libraries_count_only_where_there_are_no_own() -> None:
    def functions(stack: str) -> list[str]:
        return [frame.function for frame in innermost(chain_of("E", "m", stack))]

    assert functions(PYTHON) == ["pay"]
    assert functions('  File "/x/site-packages/a.py", line 1, in f\n') == ["f"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 17 not found", "user 4711 not found"),
        ("no answer from 10.0.0.1:5432", "no answer from 10.0.0.2:6432"),
        ("cannot open /srv/a/b.txt", "cannot open /opt/c/d.log"),
        (
            "row 550e8400-e29b-41d4-a716-446655440000 is gone",
            "row 550e8400-e29b-41d4-a716-446655440001 is gone",
        ),
        ("object at 0x7f3a", "object at 0xdead"),
        ("GET https://example.org/a failed", "GET http://example.com/b?c=1 failed"),
        ("commit 3f2a9c1 is missing", "commit 9b1d04e77 is missing"),
        ("mail to ada@example.org bounced", "mail to bob@example.com bounced"),
        ("since Mon, 02 Jan 2006 15:04:05 GMT", "since Tue, 03 Feb 2026 01:02:03 -0700"),
        ("until Jan 18, 2019", "until 2026-05-04 10:11:12.5Z"),
        ("at Mon Jan 02 2006 14:04:05 GMT+0000 (UTC) it ended", "at 20060102T150405+0100 it ended"),
        ("opens at 9:08", "opens at 11:21 PM"),
        ("cannot resolve dogsaregreat.com", "cannot resolve db.catsarefine.net"),
        ("no route to ::", "no route to 2012:d157::cbe:908:2013"),
        ("handle 9af8 is closed", "handle 35e1 is closed"),
        ("handle deadbeef is closed", "handle 0xBABBCDBA is closed"),
        ("in tx274a77a8975c4a66aeb24-0052d95365", "in tx974b77a8975c4a66aeb24-9952d95365-cluster01"),
        ("offset -23 is too small", "offset 23 is too small"),
        ("took 10ms", "took 1.234s"),
        ("pod shop-7d9c6b5f4-x2x9z is away", "pod shop-5c44f7b68-vgkqt is away"),
        ("name='alice' is taken", 'name="bob o" is taken'),
        ("flag=True was refused", "flag=false was refused"),
    ],
)
def test_messages_that_differ_in_numbers_ids_paths_and_addresses_are_one(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert key("E", one) == key("E", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Option::unwrap() on None", "Option::expect() on None"),
        ("a cafe is closed", "a face is closed"),
        ("cart.py is missing", "total.py is missing"),
        ("name 'alice' is not defined", "name 'bob' is not defined"),
        ("it is true", "it is false"),
        ("load a.b.c", "load a.b.d"),
        ("step my-sync-flow failed", "step my-other-flow failed"),
    ],
)
def test_messages_that_differ_in_words_of_the_program_are_two(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_another_type_place_or_message_is_another_error() -> None:
    prints = {
        key("E", "m"),
        key("F", "m"),
        key("E", "n"),
        key("E", "m", PYTHON),
        key("E", "m", PYTHON.replace("in pay", "in refund")),
        key("E", "m", PYTHON.replace("total(items)", "total(things)")),
    }
    assert len(prints) == 6


def test_with_a_stack_neither_message_nor_line_nor_folder_matters() -> None:
    moved = PYTHON.replace("/srv/app", "/opt/v2").replace("line 12", "line 19")
    assert key("E", "no answer", PYTHON) == key("E", "other words", moved)


@pytest.mark.parametrize(
    ("kind", "message", "name", "retryable"),
    [
        ("TimeoutError", "", "timeout", True),
        ("Error", "deadline exceeded", "timeout", True),
        ("ConnectionRefusedError", "", "external", True),
        ("Error", "503 Service Unavailable", "external", True),
        ("IntegrityError", "duplicate key value", "conflict", True),
        ("FileNotFoundError", "", "not_found", False),
        ("PermissionError", "", "authorization", False),
        ("Error", "401 Unauthorized", "authentication", False),
        ("ValueError", "", "validation", False),
        ("ImproperlyConfigured", "", "configuration", False),
        ("MemoryError", "", "system", True),
        ("Oops", "something", "internal", False),
    ],
)
def test_errors_are_classified_by_type_then_message(
    kind: str, message: str, name: str, retryable: bool
) -> None:
    found = classify(kind, message)
    assert (found.name, found.retryable) == (name, retryable)
    assert found.advice


@given(st.text(max_size=2_000), st.text(max_size=2_000))
def test_no_text_from_outside_breaks_them(message: str, stack: str) -> None:
    assert len(key(message[:50], message, stack)) == 32
    assert classify(message, stack).name
    assert normalise(normalise(message)) == normalise(message) or message


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 50_000,
        "/a" * 25_000,
        "1." * 25_000,
        "at (" * 10_000,
        " at x" * 10_000,
        "0x" * 20_000,
        "x in " * 20_000,
        "x in a:line " * 20_000,
        "a@" * 20_000,
        "/ " * 20_000,
        "violates " * 20_000,
    ],
)
def test_no_text_makes_them_slow(hostile: str) -> None:
    """A pattern that backtracks would take minutes."""
    normalise(hostile)
    classify(hostile, hostile)
    for line in (
        hostile,
        f"    at {hostile}",
        f"#0 0x1 in {hostile}",
        f"0  A 0x1 {hostile}",
        f"/a({hostile}",
    ):
        key("E", hostile, f"{line}\n{line}")
