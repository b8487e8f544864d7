"""Tests that are added for what no test runs: in the style of their file, and none that proves nothing."""

from dataclasses import replace

import pytest

from qflow_dagster.agents import edit_verification
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import goal_rules
from qflow_dagster.execution import sparc_strategies
from qflow_dagster.generation import coverage_tests
from qflow_dagster.generation.characterisation import Case
from qflow_dagster.generation.generators.protocol import RecordedTests, Request
from qflow_dagster.generation.repository_gates import recorded_tests
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.settings import settings
from tests.agents.test_sparc import begin, shown, work
from tests.improvement_loop import Loop

LIMITED = '''
def limited(value: int, low: int = 0, high: int = 10) -> int:
    """Return a value within bounds."""
    if low > high:
        raise ValueError("no bounds")
    if value < low:
        return low
    if value > high:
        return high
    return value
'''
OTHERS = """
import random


def drawn(value: int) -> int:
    if value > 3:
        return random.randint(0, 10_000)
    return value


class Counter:
    def __init__(self, step: int = 1) -> None:
        self.step = step

    def after(self, count: int) -> int:
        if count < 0:
            return -1
        return count * self.step


def opened(path: str) -> bytes:
    if path:
        return open(path, "rb").read()
    return b""
"""
TESTS = (
    "import pytest\n\nfrom app.a import limited\nfrom app.others import Counter, drawn, opened\n\n\ndef test_it():\n"
    "    assert limited(5) == 5\n    assert drawn(1) == 1\n    assert opened('') == b''\n"
    "    assert Counter().after(1) == 1\n    assert Counter().after(-2) == -1\n"
)


@pytest.fixture
def committed(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Loop:
    monkeypatch.setattr(settings().generation, "behaviour_seconds", 20)
    files = {"app/__init__.py": "", "app/a.py": LIMITED, "app/others.py": OTHERS, "tests/test_a.py": TESTS}
    loop.repository.commit(files)
    loop.find()
    return loop


def test_a_goal_on_coverage_adds_tests_that_notice_changes(committed: Loop) -> None:
    goal = begin(committed, repository="project", description="raise the coverage of limited")
    work(committed)
    found = {one["phase"]: one for one in shown(committed.engine, goal)["phases"]}
    assert found["refinement"]["verdict"] == "accepted", found["refinement"]["artifact"]
    assert found["refinement"]["author"] == "raise-coverage"
    patch = found["refinement"]["data"]["patch"]
    assert "+def test_limited_recorded_1():\n+    assert limited(" in patch
    assert "+    with pytest.raises(ValueError):\n+        limited(" in patch
    [measured] = found["refinement"]["data"]["measured"]
    assert measured == (
        "coverage of limited: 57% before, 100% after (4 and 7 of 7 statements); 3 tests pass twice, and notice "
        "3 of 3 small changes"
    )
    assert f"- {measured}" in found["completion"]["artifact"]
    [suggestion] = committed.waiting()
    committed.approve(suggestion)
    committed.apply()
    [verified] = edit_verification.verify_applied(committed.engine)
    assert verified.good
    work(committed)
    assert shown(committed.engine, goal)["state"] in ("tracking", "met")


def test_tests_are_recorded_for_what_no_test_runs_alone(committed: Loop) -> None:
    """What draws or reads files gets none, nor what is covered; tests that notice nothing or fail are refused."""
    objects, snapshot = committed.repository.path, committed.snapshot()
    request = Request(
        repository="project",
        base=snapshot.commit_oid,
        path="tests/test_a.py",
        language="python",
        text=TESTS,
        rule=goal_rules.of_id(goal_rules.COVERAGE),  # type: ignore[arg-type]
        target="py311",
        findings=(),
    )
    with Batch(committed.engine, objects, snapshot) as batch:

        def recorded(path: str, function: str) -> RecordedTests:
            return coverage_tests.recorded(batch, replace(request, covers=(path, function)))

        assert "it uses random" in recorded("app/others.py", "drawn").evidence
        assert "the tests run all 3 statements already" in recorded("app/others.py", "Counter.after").evidence
        assert "missing is no function" in recorded("app/others.py", "missing").evidence
        tests = recorded("app/a.py", "limited")
        assert (len(tests.names), tests.evidence, len(tests.statements - tests.covered)) == (3, "", 3)
        text = TESTS + tests.text
        same = tests._replace(mutants=(LIMITED + "\n",))
        problem, _ = recorded_tests.checked(batch, same, request.path, text)
        assert problem == "the tests notice none of 1 small changes of limited"
        problem, _ = recorded_tests.checked(
            batch, tests, request.path, text.replace("_1():\n", "_1():\n    assert False\n")
        )
        assert "test_limited_recorded_1" in problem
        assert "do not pass on the code as it is" in problem


@pytest.mark.parametrize(
    ("head", "imports", "expected"),
    [
        (
            "from pkg.mod import f\n\n\ndef test_it():\n    f(1)\n",
            (),
            "\n\ndef test_f_recorded_1():\n    assert f(2) == 3\n",
        ),
        (
            "import pkg.mod as m\n\n\ndef test_f_recorded_1():\n    m.f(1)\n",
            (),
            "\n\ndef test_f_recorded_2():\n    assert m.f(2) == 3\n",
        ),
        (
            "from unittest import TestCase\nfrom pkg import mod\n\n\nclass FTest(TestCase):\n    def test_it(self): ...\n",
            (),
            "\n\nclass RecordedTest(TestCase):\n    def test_f_recorded_1(self):\n        self.assertEqual(mod.f(2), 3)\n",
        ),
        (
            "def f(): ...\n",
            ("import pkg.mod",),
            "\n\ndef test_f_recorded_1():\n    assert pkg.mod.f(2) == 3\n",
        ),
        ("", ("from pkg.mod import f",), "\n\ndef test_f_recorded_1():\n    assert f(2) == 3\n"),
    ],
)
def test_a_test_is_written_as_its_file_is(head: str, imports: tuple[str, ...], expected: str) -> None:
    function = CallPlan("f", "function", (1,), ())
    case = Case("((), (2,), {})", {"returned": 3, "lines": [2]})
    names, needed, text = coverage_tests.tests_of(head, function, "pkg.mod", [case])
    assert (needed, text) == (imports, expected)
    assert names[0] in text


def test_a_goal_on_coverage_needs_a_function_and_a_test_file_that_exists(loop: Loop) -> None:
    loop.repository.commit({"app/__init__.py": "", "app/a.py": LIMITED, "tests/test_all.py": "import app\n"})
    loop.find()
    with pytest.raises(UsageError, match=r"app/a.py is none; name a function"):
        begin(loop, repository="project", description="raise coverage of app/a.py")
    with pytest.raises(QflowError, match=r"such as test_a.py; test files that import it: none"):
        begin(loop, repository="project", description="raise coverage of limited")
    names = [strategy.name for strategy in sparc_strategies.matching("text", "Python", "coverage")]
    assert "raise-coverage" in names
    assert "raise-coverage" not in [one.name for one in sparc_strategies.matching("text", "Python", "")]
