"""The gates `format` and `project_linter`: the repository's own tools, with its own configuration."""

import dataclasses
import shutil
from collections.abc import Mapping
from uuid import uuid4

import pytest
from sqlalchemy import text

from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, FileChange
from qflow_dagster.generation.repository_gates import Batch, RepositoryGate, formatting, project_linter
from qflow_dagster.generation.validation import FileResult, Gate
from qflow_dagster.ingestion import repositories
from tests.generation.conftest import request
from tests.improvement_loop import Loop

CLEAN = 'def f(a, b):\n    return not a in b, "text"\n'
LONG = CLEAN.replace(
    "not a in b", "a not in bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, a, a, a, a, a, a, a, a, a, a, a, a, a"
)


def formatted(
    loop: Loop,
    files: Mapping[str, str],
    path: str,
    after: str,
    language: str = "python",
    check: RepositoryGate = formatting.check,
) -> tuple[Gate, Candidate]:
    """Run the gate on a change of one file of a repository of these files."""
    loop.repository.commit(files)
    loop.ingested(loop.repository)
    snapshot = loop.snapshot()
    with loop.engine.connect() as connection:
        objects = repositories.find(connection, loop.name).objects
    asked = dataclasses.replace(
        request("python/not-in", files[path], path), language=language, findings=(), base=snapshot.commit_oid
    )
    file = FileChange(uuid4(), asked, FileResult(after, (), [], ()))
    patch = patches.make(objects, snapshot.commit_oid, {path: after.encode()})
    candidate = Candidate(snapshot.repository_id, loop.name, snapshot.commit_oid, patch, [file], ["rule-fix"])
    with Batch(loop.engine, objects, snapshot) as batch:
        return check(batch, [candidate])[candidate.id].gate, candidate


def test_a_clean_file_is_clean_after_the_change_too(loop: Loop) -> None:
    files = {"ruff.toml": "line-length = 60\n", "a.py": CLEAN}
    gate, candidate = formatted(loop, files, "a.py", LONG)
    assert (gate.verdict, gate.evidence) == ("passed", "clean with ruff format")
    assert max(map(len, candidate.after["a.py"].splitlines())) <= 60
    assert candidate.patch.text.count("\n+") > LONG.count("\n")


def test_its_configuration_decides_what_is_clean(loop: Loop) -> None:
    single = CLEAN.replace('"', "'")
    files = {"pyproject.toml": "[tool.ruff.format]\nquote-style = 'single'\n", "a.py": single}
    gate, candidate = formatted(loop, files, "a.py", single.replace("not a in b", "a not in b"))
    assert gate.evidence == "clean with ruff format"
    assert "'text'" in candidate.after["a.py"]


def test_a_file_that_was_not_formatted_keeps_its_form(loop: Loop) -> None:
    untidy = "def f(a,b):\n    return not a in b\n"
    after = untidy.replace("not a in b", "a not in b")
    gate, candidate = formatted(loop, {"a.py": untidy}, "a.py", after)
    assert (gate.verdict, gate.evidence) == (
        "not applicable",
        "a.py was not formatted with ruff format before",
    )
    assert candidate.after["a.py"] == after


def test_ruff_is_used_for_black_only_where_both_agree(loop: Loop) -> None:
    black = {"pyproject.toml": "[tool.black]\nline-length = 60\n"}
    gate, candidate = formatted(loop, {**black, "a.py": CLEAN}, "a.py", LONG)
    assert gate.verdict == "passed"
    assert max(map(len, candidate.after["a.py"].splitlines())) <= 60
    untidy = "def f(a,b):\n    return not a in b\n"
    gate, _ = formatted(loop, {**black, "a.py": untidy}, "a.py", untidy.replace("not a in b", "a not in b"))
    assert (gate.verdict, gate.evidence) == ("skipped", "needs black")


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({"ruff.toml": 'extend = "/etc/passwd"\n'}, "ruff.toml extends a file that is not in the repository"),
        ({"ruff.toml": 'extend = "../../etc/passwd"\n'}, "not in the repository"),
        ({"ruff.toml": 'extend = "~/.config/x.toml"\n'}, "that its text does not name"),
        (
            {"ruff.toml": 'extend = "b.toml"\n', "b.toml": 'extend = "/etc/hosts"\n'},
            "b.toml extends a file that is",
        ),
        ({"ruff.toml": 'extend = "ruff.toml"\n'}, "extends too many files"),
        ({"ruff.toml": "[[[\n"}, "ruff.toml is not valid TOML"),
        ({"pyproject.toml": "[tool.black]\nline-length = 'x'\n"}, "is no length of lines"),
    ],
)
def test_a_hostile_configuration_is_not_used(loop: Loop, configuration: dict[str, str], reason: str) -> None:
    gate, candidate = formatted(loop, {**configuration, "a.py": CLEAN}, "a.py", LONG)
    assert gate.verdict == "skipped"
    assert reason in gate.evidence
    assert "root:" not in gate.evidence
    assert candidate.after["a.py"] == LONG


def test_a_suppression_that_formatting_would_move_fails_the_change(loop: Loop) -> None:
    before = "x = f(aaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb)\ny = not a in b  # noqa: E713\n"
    files = {"ruff.toml": "line-length = 60\n", "a.py": before}
    after = before.replace("not a in b", "f(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbb)")
    gate, _ = formatted(loop, files, "a.py", after)
    assert gate.verdict == "failed"
    assert "noqa" in gate.evidence


def test_what_is_missing_is_named(loop: Loop) -> None:
    script = "const a = not;\n"
    gate, _ = formatted(
        loop, {".prettierrc": "{}", "a.js": script}, "a.js", "const a = 1;\n", language="javascript"
    )
    assert (gate.verdict, gate.evidence) == ("skipped", "needs prettier")
    gate, _ = formatted(loop, {"a.go": "package p\n"}, "a.go", "package q\n", language="go")
    assert gate.evidence == ("clean with gofmt" if shutil.which("gofmt") else "needs gofmt")


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_go_is_formatted_where_it_was_before(loop: Loop) -> None:
    before = 'package p\n\nimport (\n\t"errors"\n\t"math/rand"\n)\n\nvar b = errors.New\n'
    after = before.replace("math", "crypto")
    gate, candidate = formatted(loop, {"a.go": before}, "a.go", after, language="go")
    assert (gate.verdict, gate.evidence) == ("passed", "clean with gofmt")
    assert '\t"crypto/rand"\n\t"errors"\n' in candidate.after["a.go"]
    untidy = before.replace("var b =", "var b=")
    gate, _ = formatted(loop, {"a.go": untidy}, "a.go", untidy.replace("New", "Is"), language="go")
    assert gate.evidence == "a.go was not formatted with gofmt before"
    gate, _ = formatted(loop, {"a.go": before}, "a.go", before + "func {\n", language="go")
    assert (gate.verdict, gate.evidence) == ("failed", "gofmt cannot read a.go after the change")


@pytest.mark.skipif(shutil.which("rustfmt") is None, reason="needs rustfmt")
def test_rust_is_formatted_in_the_sandbox(loop: Loop) -> None:
    before = "mod other;\n\nfn f() -> bool {\n    a.len() == 0\n}\n"
    files = {"Cargo.toml": '[package]\nname = "p"\nedition = "2021"\n', "src/lib.rs": before}
    gate, candidate = formatted(
        loop, files, "src/lib.rs", before.replace("a.len() == 0", "a.is_empty( )"), language="rust"
    )
    if gate.verdict == "skipped":
        pytest.skip(gate.evidence)
    assert (gate.verdict, gate.evidence) == ("passed", "clean with rustfmt")
    assert candidate.after["src/lib.rs"] == before.replace("a.len() == 0", "a.is_empty()")


def test_it_is_part_of_the_gates_of_a_change(loop: Loop) -> None:
    loop.repository.commit({"ruff.toml": "line-length = 60\n", "a.py": CLEAN})
    loop.improve()
    with loop.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT verdict, evidence FROM gate_results WHERE gate = 'format'")
        ).all()
    assert [tuple(row) for row in rows] == [("passed", "clean with ruff format")]


def test_its_linter_finds_nothing_new(loop: Loop) -> None:
    files = {"ruff.toml": "line-length = 40\nlint.select = ['E', 'S105']\n", "a.py": CLEAN}
    for after, verdict, evidence in [
        (CLEAN.replace("not a in b", "a not in b"), "passed", "complains of nothing new"),
        (LONG, "failed", "a.py: E501"),
        ("import os\n" + CLEAN, "passed", "complains of nothing new"),
    ]:
        gate, _ = formatted(loop, files, "a.py", after, check=project_linter.check)
        assert (gate.verdict, evidence in gate.evidence) == (verdict, True), gate
    for configuration in ('extend = "/etc/passwd"\n', "line-length = 'x'\n"):
        files = {"ruff.toml": configuration, "a.py": CLEAN + "\n" * len(configuration)}
        gate, _ = formatted(loop, files, "a.py", LONG, check=project_linter.check)
        assert gate.verdict == "skipped"
    files = {"setup.cfg": "[flake8]\nmax-line-length = 40\n", "a.py": CLEAN}
    loop.repository.git("rm", "--quiet", "ruff.toml")
    gate, _ = formatted(loop, files, "a.py", LONG, check=project_linter.check)
    assert (gate.verdict, gate.evidence) == ("failed", "a.py: E501, F821")
