"""The repository's own tests: found out, run with and without a change, and bounded."""

import pytest
from sqlalchemy import text

from qflow_dagster.generation import suite_gate
from qflow_dagster.generation.repository_tests import PYTEST, SuiteCommand, SuiteRun, configured, detect
from qflow_dagster.settings import settings
from tests.improvement_loop import MUTABLE, NONE, Loop

PROJECT = {
    "shop.py": "def total(prices, found=[]):\n    return sum(prices) + len(found)\n",
    "check.py": "import shop, sys\nsys.exit(shop.total([1, 2]) != 3)\n",
}


def with_command(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(settings().generation, "test_commands", {"project": command})


def test_the_repositorys_tests_are_run_on_the_commit_and_on_the_change(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_command(monkeypatch, "python3 check.py")
    loop.repository.commit(PROJECT)
    [suggestion] = loop.improve()
    assert suggestion["risk"] == "low"
    with loop.engine.connect() as connection:
        gate = connection.execute(
            text("SELECT verdict, evidence FROM gate_results WHERE gate = 'tests'")
        ).one()
        assert connection.execute(text("SELECT ran, succeeded FROM suite_runs")).one() == (True, True)
    assert gate.verdict == "passed"
    assert "isolated by" in gate.evidence


def test_a_change_that_breaks_the_tests_never_reaches_a_person(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test insists on the very thing the rule objects to.
    with_command(monkeypatch, "python3 check.py")
    loop.repository.commit(
        {**PROJECT, "check.py": "import sys\nsys.exit('found=[]' not in open('shop.py').read())\n"}
    )
    assert loop.improve() == []
    with loop.engine.connect() as connection:
        evidence = connection.scalar(text("SELECT evidence FROM gate_results WHERE verdict = 'failed'"))
        assert connection.scalar(text("SELECT count(*) FROM approvals")) == 0
    assert evidence == "python3 check.py: 1 broken: the command"


def test_a_location_that_breaks_the_tests_is_left_out_of_the_change(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_command(monkeypatch, "python3 check.py")
    check = "import sys\nsys.exit('found=[]' not in open('odd.py').read())\n"
    loop.repository.commit({"shop.py": MUTABLE, "odd.py": MUTABLE, "check.py": check})
    [suggestion] = loop.improve()
    assert suggestion["paths"] == ["shop.py"]
    with loop.engine.connect() as connection:
        left_out = text("SELECT line, reason FROM withheld_locations WHERE path = 'odd.py'")
        assert connection.execute(left_out).all() == [
            (1, "with it alone, python3 check.py: 1 broken: the command")
        ]
        assert connection.scalar(text("SELECT verdict FROM gate_results WHERE gate = 'tests'")) == "passed"


def test_tests_that_fail_without_the_change_too_are_no_proof(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_command(monkeypatch, "false")
    loop.repository.commit(PROJECT)
    [suggestion] = loop.improve()
    assert suggestion["risk"] == "medium"
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT verdict FROM gate_results WHERE gate = 'tests'")) == "skipped"


def test_where_tests_are_required_a_change_without_them_is_refused(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().generation, "tests", "require")
    loop.repository.commit({"shop.py": MUTABLE})
    assert loop.improve() == []


def test_hostile_tests_are_ended_and_the_loop_goes_on(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().generation, "test_timeout", 2)
    with_command(monkeypatch, "sh evil.sh")
    evil = "mkdir -p a/b; chmod 000 a; ln -s /etc/passwd .qflow-junit.xml; touch /tmp/../../escaped\nwhile :; do :; done\n"
    loop.repository.commit({**PROJECT, "evil.sh": evil, "b.py": NONE})
    assert len(loop.improve()) == 2


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ({"a": "passed", "b": "failed"}, {"a": "passed", "b": "failed"}, set()),
        ({"a": "passed"}, {"a": "failed"}, {"a"}),
        ({"a": "passed", "b": "passed"}, {"a": "passed"}, {"b"}),
        ({"a": "failed"}, {"a": "passed", "b": "failed"}, {"b"}),
    ],
)
def test_what_a_change_broke_is_told_from_what_failed_before(before: dict, after: dict, broken: set) -> None:
    runs = [SuiteRun(True, "failed" not in tests.values(), tests) for tests in (before, after)]
    assert suite_gate.Suite._broken(*runs) == broken


@pytest.mark.parametrize(
    ("files", "paths", "command"),
    [
        ({"pyproject.toml": b"[tool.pytest.ini_options]\n"}, set(), PYTEST),
        ({}, {"tests/test_a.py"}, PYTEST),
        (
            {"package.json": b'{"scripts": {"test": "jest"}}'},
            {"package.json"},
            SuiteCommand("command", ("npm", "test", "--silent")),
        ),
        ({"package.json": b'{"scripts": 3}'}, {"package.json"}, None),
        ({}, {"Cargo.toml"}, SuiteCommand("cargo", ("cargo", "test", "--offline", "--no-fail-fast"))),
        ({}, {"go.mod"}, SuiteCommand("go", ("go", "test", "-v", "./..."))),
        (
            {},
            {"pom.xml"},
            SuiteCommand("command", ("mvn", "--offline", "--batch-mode", "--quiet", "test")),
        ),
        ({}, {"mix.exs"}, SuiteCommand("command", ("mix", "test"))),
        ({}, {"tox.ini"}, SuiteCommand("command", ("tox", "-q"))),
        (
            {"Makefile": b"all:\n\ntest: all\n\techo\n"},
            {"Makefile"},
            SuiteCommand("command", ("make", "test")),
        ),
        ({"Makefile": b"all:\n"}, {"Makefile", "README"}, None),
    ],
)
def test_the_test_command_is_found_out(files: dict, paths: set, command: SuiteCommand | None) -> None:
    assert detect(files, paths) == command


def test_a_configured_pytest_reports_test_by_test(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured("venv/bin/pytest -x").tool == "pytest"
    assert configured("make check") == SuiteCommand("command", ("make", "check"))
