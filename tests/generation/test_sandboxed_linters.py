"""The gate `project_linter` with linters that run in the sandbox: eslint, pylint, golangci-lint and clippy."""

import shutil

import pytest

from qflow_dagster import sandbox
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates import linter_driver, project_linter
from qflow_dagster.generation.repository_gates.protocol import Result
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

CONFIGURATION = """\
import fs from "node:fs";
fs.writeFileSync("made-by-configuration", "");
export default [
  { ignores: ["left-out.js"] },
  { files: ["**/*.js"], rules: { "no-var": "error", "no-magic-numbers": ["warn", { ignore: [1] }] } },
];
"""
SCRIPT = "const a = 1;\nvar old = 1;\nconst b = 1;\n"
CRATE = (
    '[package]\nname = "p"\nversion = "0.1.0"\nedition = "2021"\n[lints.clippy]\nredundant_clone = "allow"\n'
)
LIBRARY = "pub fn is(a: &[u8]) -> bool {\n    a.is_empty()\n}\n\npub fn all(b: &str) -> bool {\n    b.is_empty()\n}\n"


def checked(project: Project, *candidates: Candidate) -> list[Result]:
    with project.batch() as batch:
        results = project_linter.check(batch, candidates)
        assert not (batch.folder / "made-by-configuration").exists()
    return [results[candidate.id] for candidate in candidates]


@pytest.mark.usefixtures("node_tools")
def test_eslint_finds_nothing_new_with_the_configuration_of_the_repository(loop: Loop) -> None:
    files = {"eslint.config.mjs": CONFIGURATION, "a.js": SCRIPT, "left-out.js": SCRIPT, "a.html": "<p></p>"}
    project = Project(loop, files)
    good, bad, both, broken, outside = (
        project.candidate(path, *changes, language="javascript")
        for path, *changes in (
            ("a.js", ("a = 1", "a = -1")),
            ("a.js", ("const b", "var b")),
            ("a.js", ("a = 1", "a = 0 * 3"), ("b = 1", "b = a + 7")),
            ("a.js", ("a = 1", "a = (")),
            ("left-out.js", ("const b", "var b")),
        )
    )
    results = checked(project, good, bad, both, broken, outside)
    assert [result.gate.verdict for result in results] == [
        "passed",
        "failed",
        "failed",
        "failed",
        "not applicable",
    ]
    assert [result.gate.evidence for result in results] == [
        "eslint with the repository's configuration complains of nothing new",
        "a.js: no-var",
        "a.js: no-magic-numbers",
        "a.js: syntax error",
        "eslint leaves left-out.js out",
    ]
    assert results[1].blamed == {("a.js", 3): "project_linter: no-var"}
    assert set(results[2].blamed) == {("a.js", 1), ("a.js", 3)}


@pytest.mark.usefixtures("node_tools")
def test_an_eslint_that_does_not_run_proves_nothing(loop: Loop) -> None:
    files = {"eslint.config.mjs": "import 'missing';\n", "a.js": SCRIPT}
    project = Project(loop, files)
    [result] = checked(project, project.candidate("a.js", ("const b", "var b"), language="javascript"))
    assert result.gate.verdict == "skipped"
    assert result.gate.evidence.startswith("eslint does not run: Error")


def test_without_eslint_and_with_none_configured(loop: Loop) -> None:
    project = Project(loop, {"package.json": '{"eslintConfig": {}}', "a.js": SCRIPT})
    [result] = checked(project, project.candidate("a.js", ("const b", "var b"), language="javascript"))
    assert result.gate.verdict == "skipped"
    assert sandbox.available() == "none" or result.gate.evidence == (
        "needs eslint (QFLOW_GENERATION_FETCH_PACKAGES is off)"
    )
    project = Project(loop, {"package.json": "{}", "a.js": SCRIPT})
    [result] = checked(project, project.candidate("a.js", ("const b", "var b"), language="javascript"))
    assert (result.gate.verdict, result.gate.evidence) == ("not applicable", "no linter is configured")


def test_pylint_finds_nothing_new_with_the_configuration_of_the_repository(loop: Loop) -> None:
    files = {
        ".pylintrc": "[MESSAGES CONTROL]\ndisable=missing-docstring\n",
        "a.py": "def f(a):\n    return a\n",
    }
    project = Project(loop, files)
    good, bad = (
        project.candidate("a.py", ("return a", change), language="python")
        for change in ("return -a", "return 1")
    )
    results = checked(project, good, bad)
    if results[0].gate.evidence.startswith("needs pylint"):
        pytest.skip(results[0].gate.evidence)
    assert [(result.gate.verdict, result.gate.evidence) for result in results] == [
        ("passed", "pylint with the repository's configuration complains of nothing new"),
        ("failed", "a.py: unused-argument"),
    ]
    assert results[1].blamed == {}


@pytest.mark.skipif(shutil.which("golangci-lint") is not None, reason="it is installed")
@pytest.mark.parametrize("configuration", ['version: "2"\n', "linters: {}\n"])
def test_without_golangci_lint(loop: Loop, configuration: str) -> None:
    project = Project(
        loop, {".golangci.yml": configuration, "go.mod": "module p\n", "p/a.go": "package p\n\nvar A = 1\n"}
    )
    [result] = checked(project, project.candidate("p/a.go", ("A = 1", "A = 2"), language="go"))
    assert result.gate.verdict == "skipped"
    assert sandbox.available() == "none" or result.gate.evidence.startswith("needs golangci-lint")


@pytest.mark.skipif(shutil.which("golangci-lint") is None, reason="needs golangci-lint")
def test_golangci_lint_finds_nothing_new(loop: Loop) -> None:
    # Linters that need no types: an old program reads no types of a new Go.
    files = {
        ".golangci.yml": "linters: {disable-all: true, enable: [misspell, lll]}\nlinters-settings: {lll: {line-length: 40}}\n",
        "go.mod": "module p\n\ngo 1.17\n",
        "p/a.go": "package p\n\n// A is received.\nvar A = 1\n\n// B is recieved.\nvar B = 1\n",
    }
    project = Project(loop, files)
    changes = [("A = 1", "A = 2"), ("A is received", "A is recieved"), ("B = 1", f"B = 1 // {'b' * 40}")]
    results = checked(project, *(project.candidate("p/a.go", change, language="go") for change in changes))
    if results[0].gate.verdict == "skipped":
        pytest.skip(results[0].gate.evidence)
    assert [(result.gate.verdict, result.gate.evidence) for result in results] == [
        ("passed", "golangci-lint with the repository's configuration complains of nothing new"),
        ("failed", "p/a.go: misspell"),
        ("failed", "p/a.go: lll"),
    ]
    assert [list(result.blamed) for result in results] == [[], [("p/a.go", 3)], [("p/a.go", 7)]]


REPORTS = {
    "pylint": (
        '[{"type": "warning", "path": "a.py", "line": 3, "symbol": "unused-argument", "message-id": "W0613"}]',
        [("a.py", "unused-argument", 3)],
    ),
    "golangci": (
        '{"Issues": [{"FromLinter": "staticcheck", "Text": "S1002", "Pos": {"Filename": "p/a.go", "Line": 7}}], "Report": {}}',
        [("p/a.go", "staticcheck", 7)],
    ),
}


@pytest.mark.parametrize("linter", REPORTS)
def test_reports_are_read(linter: str) -> None:
    output, complaints = REPORTS[linter]
    assert list(linter_driver.READERS[linter](output)) == complaints


def test_a_report_without_issues() -> None:
    assert list(linter_driver.golangci('{"Issues": null}')) == []


@pytest.mark.skipif(shutil.which("cargo-clippy") is None, reason="needs clippy")
def test_clippy_finds_nothing_new(loop: Loop) -> None:
    project = Project(loop, {"Cargo.toml": CRATE, "src/lib.rs": LIBRARY})
    good, bad = (
        project.candidate("src/lib.rs", change, language="rust")
        for change in (("a.is_empty()", "(a).is_empty()"), ("b.is_empty()", "b.len() == 0"))
    )
    results = checked(project, good, bad)
    if results[0].gate.verdict == "skipped":
        pytest.skip(results[0].gate.evidence)
    assert results[0].gate.verdict == "passed"
    assert (results[1].gate.verdict, results[1].gate.evidence) == ("failed", "src/lib.rs: clippy::len_zero")
    assert list(results[1].blamed) == [("src/lib.rs", 6)]


def test_a_crate_that_does_not_mention_clippy_has_no_linter(loop: Loop) -> None:
    project = Project(loop, {"Cargo.toml": CRATE.partition("[lints")[0], "src/lib.rs": LIBRARY})
    [result] = checked(project, project.candidate("src/lib.rs", ("b.is", "(b).is"), language="rust"))
    assert (result.gate.verdict, result.gate.evidence) == ("not applicable", "no linter is configured")
