"""Suppression comments and annotations of every tool: which lines they apply to, and to which rules."""

import time

import pytest

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import load_rules

RULES = {rule.id: rule for rule in load_rules()}


def suppressed(rule: str, code: str, path: str, language: str) -> list[bool]:
    """Return for each match of a rule in a code whether it is suppressed."""
    matches = matches_in(RULES[rule], code, path, language)
    assert matches, "the code is not an example of the rule"
    return [match.suppressed for match in matches]


PYTHON = [
    ("x = datetime.utcnow()  # noqa", [True]),
    ("x = datetime.utcnow()  # NOQA : DTZ003", [True]),
    ("x = datetime.utcnow()  # noqa: E501, DTZ003", [True]),
    # Flake8 takes a prefix.
    ("x = datetime.utcnow()  # noqa: DTZ", [True]),
    ("x = datetime.utcnow()  # noqa: E501", [False]),
    ("x = datetime.utcnow()  # pylint: disable=deprecated-method", [True]),
    ("x = datetime.utcnow()  # pylint: disable=W4902, line-too-long", [True]),
    ("x = datetime.utcnow()  # pylint: disable=all", [True]),
    ("x = datetime.utcnow()  # pylint: disable=line-too-long", [False]),
    ("# pylint: disable-next=deprecated-method\nx = datetime.utcnow()\ny = datetime.utcnow()", [True, False]),
    ("# pylint: disable=deprecated-method\nx = datetime.utcnow()\ny = datetime.utcnow()", [True, True]),
    ("# pylint: skip-file\nx = datetime.utcnow()", [True]),
    ("# ruff: noqa\nx = datetime.utcnow()", [True]),
    ("# flake8: noqa: DTZ003\nx = datetime.utcnow()", [True]),
    ("# flake8: noqa: E501\nx = datetime.utcnow()", [False]),
    ("x = datetime.utcnow()  # ruff: ignore[DTZ003]", [True]),
    ("x = datetime.utcnow()  # ruff: ignore[E501]", [False]),
    ("# ruff: ignore[call-datetime-utcnow]\nx = datetime.utcnow()\ny = datetime.utcnow()", [True, False]),
    (
        "# ruff: disable[DTZ003]\nx = datetime.utcnow()\n# ruff: enable[DTZ003]\ny = datetime.utcnow()",
        [True, False],
    ),
    ("x = datetime.utcnow()  # nosec", [False]),
    ("x = datetime.utcnow()  # qflow: ignore[python/utcnow]", [True]),
    (
        "def a():  # pylint: disable=deprecated-method\n    return datetime.utcnow()\n\n"
        "def b():\n    return datetime.utcnow()\n",
        [True, False],
    ),
    (
        "def a():\n    # pylint: disable=deprecated-method\n    x = datetime.utcnow()\n\n    return x\n\n"
        "def b():\n    return datetime.utcnow()\n",
        [True, False],
    ),
]


@pytest.mark.parametrize(("code", "expected"), PYTHON)
def test_python(code: str, expected: list[bool]) -> None:
    code = f"from datetime import datetime\n{code}\n"
    assert suppressed("python/utcnow", code, "a.py", "python") == expected


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("nosec", True),
        ("nosec B602", True),
        ("nosec: B602,B101", True),
        ("nosec B101", False),
        ("noqa: E501", False),
    ],
)
def test_nosec_is_about_security(comment: str, expected: bool) -> None:
    code = f"import subprocess\n\ndef run(c):\n    subprocess.run(f'ls {{c}}', shell=True)  # {comment}\n"
    assert suppressed("python/shell-true", code, "a.py", "python") == [expected]


def test_a_name_that_cannot_be_compared_suppresses_its_line_and_no_block() -> None:
    rule = RULES["python/utcnow"].model_copy(update={"peers": {}})
    code = "from datetime import datetime\n# pylint: disable=some-name\nx = datetime.utcnow()\n"
    assert not matches_in(rule, code, "a.py", "python")[0].suppressed
    code = "from datetime import datetime\nx = datetime.utcnow()  # pylint: disable=some-name\n"
    assert matches_in(rule, code, "a.py", "python")[0].suppressed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("debugger; // eslint-disable-line", [True]),
        ("debugger; // eslint-disable-line no-debugger -- while we look", [True]),
        ("debugger; /* eslint-disable-line no-alert */", [False]),
        ("// eslint-disable-next-line no-alert, no-debugger\ndebugger;\ndebugger;", [True, False]),
        (
            "/* eslint-disable no-debugger */\ndebugger;\n/* eslint-enable no-debugger */\ndebugger;",
            [True, False],
        ),
        ("/* eslint-disable */\ndebugger;\ndebugger;", [True, True]),
        ("/* eslint-disable no-alert */\ndebugger;", [False]),
        ('/* eslint no-debugger: "off" */\ndebugger;', [True]),
        ("// biome-ignore lint/suspicious/noDebugger: while we look\ndebugger;", [True]),
        ("// biome-ignore lint/suspicious/noVar: old\ndebugger;", [False]),
        ("debugger; // qflow: ignore", [True]),
    ],
)
def test_javascript(code: str, expected: list[bool]) -> None:
    assert suppressed("javascript/no-debugger", f"{code}\n", "a.js", "javascript") == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("func f() { a.x = a.x } //nolint", [True]),
        ("func f() {\n\ta.x = a.x //nolint:staticcheck // on purpose\n}", [True]),
        ("func f() {\n\ta.x = a.x //nolint:gosec,govet\n}", [True]),
        ("func f() {\n\ta.x = a.x //nolint:gosec\n}", [False]),
        (
            "//nolint:staticcheck\nfunc f() {\n\tif a.x {\n\t\ta.x = a.x\n\t}\n}\nfunc g() { a.x = a.x }",
            [True, False],
        ),
        ("func f() {\n\t//lint:ignore SA4018 on purpose\n\ta.x = a.x\n}", [True]),
        ("func f() {\n\t//lint:ignore SA1000 on purpose\n\ta.x = a.x\n}", [False]),
        ("//lint:file-ignore SA4018 generated\n\nfunc f() {\n\ta.x = a.x\n}", [True]),
    ],
)
def test_go(code: str, expected: list[bool]) -> None:
    assert suppressed("go/self-assignment", f"package p\n\n{code}\n", "a.go", "go") == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("#[allow(clippy::dbg_macro)]\nfn f() { dbg!(1); }\nfn g() { dbg!(1); }", [True, False]),
        ("#[allow(dead_code, clippy::dbg_macro)]\n#[inline]\nfn f() { dbg!(1); }", [True]),
        ("#[allow(dead_code)]\nfn f() { dbg!(1); }", [False]),
        ('#[expect(clippy::all, reason = "debugging")]\nfn f() { dbg!(1); }', [True]),
        ("#![allow(clippy::dbg_macro)]\nfn f() { dbg!(1); }\nfn g() { dbg!(1); }", [True, True]),
        ("fn f() {\n    #[allow(clippy::dbg_macro)]\n    let x = dbg!(1);\n    dbg!(x);\n}", [True, False]),
    ],
)
def test_rust(code: str, expected: list[bool]) -> None:
    assert suppressed("rust/dbg-macro", f"{code}\n", "a.rs", "rust") == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('@SuppressWarnings("PMD.AvoidPrintStackTrace") void f() { e.printStackTrace(); }', [True]),
        ('@SuppressWarnings({"unchecked", "PMD"}) void f() { e.printStackTrace(); }', [True]),
        ('@SuppressWarnings("unchecked") void f() { e.printStackTrace(); }', [False]),
        (
            '@SuppressWarnings("all") void f() { e.printStackTrace(); }\n  void g() { e.printStackTrace(); }',
            [True, False],
        ),
        ("void f() { e.printStackTrace(); } // NOPMD - on purpose", [True]),
        ("void f() { e.printStackTrace(); } // NOSONAR the last resort", [True]),
        (
            "// CHECKSTYLE:OFF\nvoid f() { e.printStackTrace(); }\n// CHECKSTYLE:ON\nvoid g() { e.printStackTrace(); }",
            [True, False],
        ),
    ],
)
def test_java(code: str, expected: list[bool]) -> None:
    assert suppressed("java/print-stack-trace", f"class A {{\n  {code}\n}}\n", "A.java", "java") == expected


@pytest.mark.parametrize(
    "comment", ["# pylint: disable=a ", "# noqa: E501, ", "# nosec", "/* eslint-disable "]
)
def test_a_file_full_of_comments_takes_no_long_time(comment: str) -> None:
    for text in (comment * 20_000, f"{comment}\n" * 20_000):
        source = matchers.Source(text, "a.py")
        started = time.process_time()
        assert source.suppressions.covers(RULES["python/shell-true"], 1, 1) is True
        # Each of the comments looked at for all of the text would take twenty.
        assert time.process_time() - started < 6
