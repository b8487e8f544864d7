"""The repository's own tests: found out, run with and without a change, and bounded."""

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from qflow_dagster.generation import npm_tests, repository_tests, suite_gate
from qflow_dagster.generation.repository_tests import (
    PYTEST,
    Outcome,
    SuiteCommand,
    SuiteRun,
    configured,
    detect,
)
from qflow_dagster.settings import settings
from tests.generation.conftest import Project
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
        ({"a": "passed", "b": "failed"}, {}, {"a"}),
    ],
)
def test_what_a_change_broke_is_told_from_what_failed_before(before: dict, after: dict, broken: set) -> None:
    runs = [SuiteRun(True, "failed" not in tests.values(), tests) for tests in (before, after)]
    assert suite_gate.Suite._broken(*runs) == broken


def test_a_command_that_fails_after_its_tests_is_broken() -> None:
    tests: dict[str, Outcome] = {"a": "passed"}
    runs = [SuiteRun(True, succeeded, tests) for succeeded in (True, False)]
    assert suite_gate.Suite._broken(*runs) == {"the command"}


@pytest.mark.parametrize(
    ("script", "runner"),
    [
        ("mocha", "mocha"),
        ("npm run lint && nyc --reporter=lcov mocha --reporter spec test/", "mocha"),
        ("cross-env CI=1 ./node_modules/.bin/jest --coverage", "jest"),
        ("vitest", "vitest"),
        ("c8 node --test test/*.js", "node"),
        ("mocha && tsd", None),
        ("npm run test:unit", None),
        ("node test.js", None),
        ("echo 'not closed", None),
    ],
)
def test_the_runner_of_a_script_of_npm_is_recognised(script: str, runner: str | None) -> None:
    found = npm_tests.runner_of(script, "report.xml")
    assert (found and found.name) == runner
    assert found is None or "report.xml" in " ".join((*found.arguments, *found.variables))


NODE_PROJECT = {
    "package.json": '{"scripts": {"test": "node --test"}}',
    "shop.js": "exports.total = (items) => items.length;\n",
    "shop.test.js": (
        "const { describe, it } = require('node:test');\n"
        "const assert = require('node:assert');\nconst { total } = require('./shop');\n"
        "describe('shop', () => {\n"
        "  it('counts', () => assert.equal(total([1]), 1));\n"
        "  it('fails before', () => assert.equal(total([1]), 2));\n"
        "  it.skip('is skipped', () => {});\n});\n"
    ),
}


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_tests_of_a_script_of_npm_are_compared_by_name(loop: Loop) -> None:
    project = Project(loop, NODE_PROJECT)
    suite = suite_gate.Suite(loop.engine, project.objects, project.snapshot)
    base = suite.base()
    if not base.ran:
        pytest.skip(base.summary)
    assert base.tests == {
        "shop::counts": "passed",
        "shop::fails before": "failed",
        "shop::is skipped": "skipped",
    }
    good, bad, gone = (
        suite.check(project.candidate("shop.js", ("items.length", new)).patch)
        for new in ("(items).length", "items.length + 1", "(")
    )
    assert (good.verdict, good.evidence.partition(",")[0]) == ("passed", "npm test --silent: 3 tests")
    assert (bad.verdict, bad.evidence) == ("failed", "npm test --silent: 1 broken: shop::counts")
    assert gone.verdict == "failed"
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT command FROM suite_runs")) == "npm test --silent"


def test_a_report_of_jest_is_read(tmp_path: Path) -> None:
    report = tmp_path / repository_tests.REPORT
    tests = [{"fullName": f"cart {name}", "status": name} for name in ("passed", "failed", "pending", "todo")]
    files = [{"name": "/repository/a.test.js", "assertionResults": tests}]
    report.write_text(json.dumps({"testResults": files}))
    assert repository_tests._jest(report) == {
        "a.test.js::cart passed": "passed",
        "a.test.js::cart failed": "failed",
        "a.test.js::cart pending": "skipped",
        "a.test.js::cart todo": "skipped",
    }
    for hostile in ("[1]", "{", "[" * 100_000, '{"testResults": [{}]}', '{"testResults": 3}'):
        report.write_text(hostile)
        assert repository_tests._jest(report) == {}


@pytest.mark.parametrize(
    ("files", "paths", "command"),
    [
        ({"pyproject.toml": b"[tool.pytest.ini_options]\n"}, set(), PYTEST),
        ({}, {"tests/test_a.py"}, PYTEST),
        (
            {"package.json": b'{"scripts": {"test": "tap"}}'},
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
