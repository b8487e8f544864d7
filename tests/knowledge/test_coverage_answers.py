"""Coverage files, and owners of files."""

import pytest

from qflow_dagster.knowledge.coverage_answers import CoveredLine, read_coverage
from qflow_dagster.knowledge.history_answers import owners_in

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
