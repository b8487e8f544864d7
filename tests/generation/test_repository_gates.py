"""The gates of the repository's own tools together: one checkout, and formatting that stays."""

import shutil

import pytest

from qflow_dagster.generation import repository_gates
from qflow_dagster.generation.repository_gates import formatting, project_linter
from qflow_dagster.ingestion import checkouts
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

RUFF = "line-length = 40\nlint.select = ['E', 'F']\nlint.ignore = ['E501']\n"
CLEAN = "def f(a, b):\n    return not a in b\n\n\ndef g(c, d):\n    return not c in d\n"
LONG = 'call("aaaaaaaaaaaaaaa", "bbbbbbbbbbbbb")'


def test_what_is_left_after_a_later_gate_is_formatted_too(loop: Loop) -> None:
    project = Project(loop, {"ruff.toml": RUFF, "a.py": CLEAN.replace("f(a, b)", "f(a, b, call)")})
    changed = project.candidate("a.py", ("not a in b", LONG), ("not c in d", "c == None"))
    with project.batch() as batch:
        repository_gates.run(batch, [changed], [])
    gates = {gate.name: gate.verdict for gate in changed.gates}
    assert (gates["format"], gates["project_linter"]) == ("passed", "passed"), changed.gates
    assert [(row.line, row.reason) for row in changed.withheld] == [(6, "project_linter: E711")]
    after = changed.after["a.py"]
    assert "not c in d" in after
    assert max(map(len, after.splitlines())) <= 40


def test_the_commit_is_checked_out_once_and_only_if_there_is_anything_to_run(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = []
    export = checkouts.export
    monkeypatch.setattr(
        checkouts, "export", lambda *arguments: (exports.append(arguments), export(*arguments))
    )
    project = Project(loop, {"a.py": CLEAN, "b.txt": "a\n"})
    changed = project.candidate("a.py", ("not a in b", "a not in b"))
    with project.batch():
        pass
    assert len(exports) == 0
    with project.batch() as batch:
        folder = batch.folder
        repository_gates.run(batch, [changed], [])
    assert len(exports) == 1
    assert not folder.exists()


def test_a_change_that_the_formatter_undoes_is_none(loop: Loop) -> None:
    project = Project(loop, {"ruff.toml": RUFF, "a.py": CLEAN})
    changed = project.candidate("a.py", ("f(a, b)", "f(a,  b)"))
    with project.batch() as batch:
        gate = formatting.check(batch, [changed])[changed.id].gate
    assert (gate.verdict, gate.evidence) == ("failed", "ruff format undoes the change of a.py")


def test_imports_are_sorted_as_isort_is_configured(loop: Loop) -> None:
    text = "import abc\nimport json\n\nx = 1\n"
    isort = {"setup.cfg": "[isort]\nprofile = black\nforce_single_line = true\n"}
    project = Project(loop, {**isort, "a.py": text, "b.py": "import json\nimport abc\n\nx = 1\n"})
    sorted_before = project.candidate("a.py", ("import json\n", "import json\nimport enum\n"))
    not_sorted = project.candidate("b.py", ("import abc\n", "import abc\nimport enum\n"))
    no_import = project.candidate("b.py", ("x = 1", "x = 2"))
    with project.batch() as batch:
        results = formatting.check(batch, [sorted_before, not_sorted, no_import])
    assert sorted_before.after["a.py"] == "import abc\nimport enum\nimport json\n\nx = 1\n"
    assert results[not_sorted.id].gate[1:3] == ("skipped", "needs isort")
    assert results[no_import.id].gate.verdict == "passed"


def test_prettier_of_the_repository_runs_in_the_sandbox(loop: Loop) -> None:
    # A program that does what prettier does with its input: it reads the text, and the configuration beside it.
    prettier = "#!/bin/sh\nset -e\ntest -f .prettierrc\ntest ! -e README.md\nsed 's/ *;*$/;/'\n"
    files = {".prettierrc": "{}", "README.md": "", "src/a.js": "f();\ng();\n", ".gitignore": "x\n"}
    project = Project(loop, files)
    changed = project.candidate("src/a.js", ("g();", "h()  "), language="javascript")
    with project.batch() as batch:
        assert formatting.check(batch, [changed])[changed.id].gate[1:3] == ("skipped", "needs prettier")
        program = batch.folder / "node_modules/.bin/prettier"
        program.parent.mkdir(parents=True)
        program.write_text(prettier.replace("test -f .prettierrc", "test -f ../.prettierrc"))
        program.chmod(0o755)
        gate = formatting.check(batch, [changed])[changed.id].gate
    if gate.verdict == "skipped" and "isolat" in gate.evidence:
        pytest.skip(gate.evidence)
    assert (gate.verdict, gate.evidence) == ("passed", "clean with prettier")
    assert changed.after["src/a.js"] == "f();\nh();\n"


@pytest.mark.parametrize(
    ("files", "language", "verdict", "evidence"),
    [
        ({"a.js": ""}, "javascript", "not applicable", "no linter is configured"),
        ({"a.go": ""}, "go", "not applicable", "no linter is configured"),
        ({"a.py": ""}, "python", "not applicable", "no linter is configured"),
    ],
)
def test_which_linter_is_missing_is_said(
    loop: Loop, files: dict[str, str], language: str, verdict: str, evidence: str
) -> None:
    project = Project(loop, files)
    changed = project.candidate(next(iter(files)), ("", "x\n"), language=language)
    with project.batch() as batch:
        gate = project_linter.check(batch, [changed])[changed.id].gate
    assert (gate.verdict, gate.evidence) == (verdict, evidence)


@pytest.mark.skipif(shutil.which("google-java-format") is not None, reason="it is installed")
def test_google_java_format_is_asked_for_where_the_build_names_it(loop: Loop) -> None:
    files = {"A.java": "class A {}\n", "build.gradle": "spotless { java { googleJavaFormat() } }\n"}
    project = Project(loop, files)
    changed = project.candidate("A.java", ("{}", "{ }"), language="java")
    with project.batch() as batch:
        gate = formatting.check(batch, [changed])[changed.id].gate
    assert (gate.verdict, gate.evidence) == ("skipped", "needs google-java-format")
