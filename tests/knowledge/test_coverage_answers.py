"""Coverage files, and owners of files."""

import re

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.coverage_answers import CoveredLine, read_coverage
from qflow_dagster.knowledge.history_answers import owners_in
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

LCOV = "TN:test_a\nSF:src/a.js\nDA:1,3\nDA:2,0\nend_of_record\n"
GO = "mode: set\nexample.com/m/a.go:3.14,4.2 1 1\nexample.com/m/a.go:6.2,6.9 1 0\n"
COBERTURA = """<?xml version="1.0"?><!DOCTYPE coverage [<!ENTITY a "a">]>
<coverage><packages><package><classes><class name="a.py" filename="src/a.py" line-rate="0.5"><lines>
<line number="1" hits="2"/><line number="2" hits="0"/></lines></class></classes></package></packages></coverage>"""
COVERAGE_PY = '{"files": {"src/a.py": {"executed_lines": [1], "missing_lines": [2], "contexts": {"1": ["t.py::test_a|run", ""]}}}}'


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (LCOV, [("src/a.js", 1, 3, ("test_a",)), ("src/a.js", 2, 0, ("test_a",))]),
        (
            GO,
            [
                ("example.com/m/a.go", 3, 1, ()),
                ("example.com/m/a.go", 4, 1, ()),
                ("example.com/m/a.go", 6, 0, ()),
            ],
        ),
        (COBERTURA, [("src/a.py", 1, 2, ()), ("src/a.py", 2, 0, ())]),
        (COVERAGE_PY, [("src/a.py", 1, 1, ("t.py::test_a", "")), ("src/a.py", 2, 0, ())]),
        ("{}", []),
        ("SF:a\nDA:x,y", []),
        ("mode: set\nnonsense", []),
        ("\x00", []),
    ],
)
def test_formats_of_coverage(content: str, lines: list[tuple]) -> None:
    assert list(read_coverage(content)) == [CoveredLine(*line) for line in lines]


OWNERS = """# comment
*       @all
*.js    @js   # with a comment
/docs/  @docs
apps/   @apps
/src/*  @flat
**/logs @logs
a(b     @odd
src/deep/x.py
"""


@pytest.mark.parametrize(
    ("path", "line", "owners"),
    [
        ("a/b.js", 3, ["@js"]),
        ("docs/x.md", 4, ["@docs"]),
        ("x/docs/y", 2, ["@all"]),
        ("z/apps/k/y.py", 5, ["@apps"]),
        ("src/a.py", 6, ["@flat"]),
        ("src/d/a.py", 2, ["@all"]),
        ("build/logs/x", 7, ["@logs"]),
        ("a(b", 8, ["@odd"]),
        ("src/deep/x.py", 9, []),
    ],
)
def test_the_last_pattern_that_matches_names_the_owners(path: str, line: int, owners: list[str]) -> None:
    assert owners_in(OWNERS, path) == (line, owners)


# What is tested, and a test whose name is on line 3 and that calls it on line 4.
TESTS = {
    "tests/test_heat.py": (
        "heat.py",
        "def heat(): return 1\n",
        "import heat\n@skip\ndef test_heat():\n    heat.heat()\n",
    ),
    "src/lib.rs": (
        "src/main.rs",
        "fn main() {}\n",
        "pub fn heat() {}\n#[test]\nfn test_heat() {\n    heat();\n}\n",
    ),
    "src/test/HeatTest.java": (
        "src/Heat.java",
        "class Heat { static void heat() {} }\n",
        "class HeatTest {\n  @Test\n  void test_heat() {\n    Heat.heat();\n  }\n}\n",
    ),
    "test/HeatTest.kt": (
        "Heat.kt",
        "fun heat() {}\n",
        "class HeatTest {\n  @Test\n  fun test_heat() {\n    heat()\n  }\n}\n",
    ),
    "Heat.Tests/HeatTests.cs": (
        "Heat/Heat.cs",
        "class Heat { static void heat() {} }\n",
        "class HeatTests {\n  [Fact]\n  public void test_heat() {\n    Heat.heat();\n  }\n}\n",
    ),
    "tests/HeatTest.php": (
        "src/heat.php",
        "<?php\nfunction heat() {}\n",
        "<?php class HeatTest {\n  #[Test]\n  public function test_heat() {\n    heat();\n  }\n}\n",
    ),
    "Tests/HeatTests.swift": (
        "Sources/Heat.swift",
        "func heat() {}\n",
        "import Testing\n@Test\nfunc test_heat() {\n  heat()\n}\n",
    ),
    "heat_test.go": (
        "heat.go",
        "package m\nfunc heat() {}\n",
        "package m\n\nfunc test_heat() {\n\theat()\n}\n",
    ),
    "test/heat_test.rb": (
        "lib/heat.rb",
        "def heat = 1\n",
        "require 'heat'\n\ndef test_heat\n  heat()\nend\n",
    ),
}


@pytest.mark.parametrize("path", TESTS)
def test_a_test_is_at_the_line_of_its_name(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    tested, code, test = TESTS[path]
    repository.commit({tested: code, path: test})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "which tests cover heat?"
        )
    assert f"test_heat ({path}:3)" in answer.words
    assert [(evidence.path, evidence.line) for evidence in answer.evidence] == [(path, 3), (path, 4)]


# Tests that name `Hot` without calling it, on lines 3 and 4.
NAMING = {
    "test/test_hot.rb": (
        "lib/hot.rb",
        "class Hot\nend\n",
        "\ndef test\n  raise Shop::Hot.new(1)\n  raise Hot.new(2)\nend\n",
    ),
    "test/hot_test.cpp": (
        "src/hot.cpp",
        "class Hot {};\n",
        "\nTEST(A, B) {\n  EXPECT_THROW(f(), Hot);\n  EXPECT_THROW(g(), Hot);\n}\n",
    ),
    "tests/test_hot.py": (
        "hot.py",
        "class Hot(Exception): pass\n",
        "\ndef test_hot():\n    with raises(hot.Hot): f()\n    with raises(hot.Hot): g()\n",
    ),
}


@pytest.mark.parametrize("path", NAMING)
def test_each_line_of_tests_that_names_it_is_evidence(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    tested, code, test = NAMING[path]
    other = path.replace("test/", "test/z").replace("tests/", "tests/z")
    repository.commit({tested: code, path: test + "\n" * 3 + "# Hot\n" * 30, other: test})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.of(
            connection, current_snapshot(connection, "project"), ParsedQuestion("tests", "Hot")
        )
    assert re.search(rf"{path}:3(?: \(\w+\))?, {path}:4", answer.words)
    found = [(evidence.path, evidence.line) for evidence in answer.evidence]
    assert {(path, 3), (path, 4), (other, 3), (other, 4)} <= set(found)
    assert len(found) == 20


def test_tests_are_found_through_callers_and_helpers_of_tests(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "shop/oven.py": "class Oven:\n    def __init__(self):\n        self.heat = _warm(1)\n\n\n"
            "def _warm(degrees):\n    return _checked(degrees)\n\n\ndef _checked(degrees):\n    return degrees\n\n\n"
            "def _lonely():\n    return 1\n",
            "tests/test_oven.py": "from shop.oven import Oven\n\n\ndef made():\n    return Oven()\n\n\n"
            "def test_heat():\n    assert made().heat\n",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        checked = answers.of(connection, snapshot, ParsedQuestion("tests", "_checked"))
        lonely = answers.of(connection, snapshot, ParsedQuestion("tests", "_lonely"))
    assert {("tests/test_oven.py", 4), ("tests/test_oven.py", 8)} <= {
        (e.path, e.line) for e in checked.evidence
    }
    assert "made (tests/test_oven.py:4, by Oven)" in checked.words
    assert not checked.limits
    assert "through its callers" not in lonely.words
