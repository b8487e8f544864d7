"""The gate `types`: a change adds no type error to its file, or to the files that import it."""

import pytest

from qflow_dagster.generation.repository_gates import type_errors
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

LIBRARY = (
    "def size(items: list[int]) -> int:\n    return len(items)\n\n\ndef name() -> str:\n    return 'a'\n"
)
USER = "from app.library import size\n\nTOTAL: int = size([1])\nold: int = 'wrong'\n"
FILES = {
    "app/__init__.py": "",
    "app/library.py": LIBRARY,
    "app/user.py": USER,
    "app/other.py": "x: int = 1\n",
}


@pytest.fixture
def project(loop: Loop) -> Project:
    return Project(loop, FILES)


def test_a_new_error_fails_the_change_and_blames_its_location(project: Project) -> None:
    changed = project.candidate("app/library.py", ("len(items)", "str(items)"), ("'a'", "'b'"))
    with project.batch() as batch:
        result = type_errors.check(batch, [changed])[changed.id]
    assert result.gate.verdict == "failed"
    assert result.gate.evidence.startswith("new: app/library.py:2: Returned type `str`")
    assert list(result.blamed) == [("app/library.py", 2)]


def test_a_new_error_in_a_file_that_imports_it_fails_the_change(project: Project) -> None:
    changed = project.candidate("app/library.py", ("-> int:\n    return len", "-> str:\n    return str"))
    with project.batch() as batch:
        result = type_errors.check(batch, [changed])[changed.id]
    assert "app/user.py:3: `str` is not assignable to `int`" in result.gate.evidence
    assert result.blamed == {}


def test_errors_that_were_there_before_do_not_count_wherever_they_move(project: Project) -> None:
    changed = project.candidate("app/user.py", ("\n\n", "\n\n\n# more\n"))
    with project.batch() as batch:
        gate = type_errors.check(batch, [changed])[changed.id].gate
    assert (gate.verdict, gate.evidence) == ("passed", "pyrefly has nothing new to say of 1 files")


def test_the_same_error_in_another_function_is_new(loop: Loop) -> None:
    bad = "def f() -> int:\n    return 'a'\n\n\ndef g() -> int:\n    return 1\n"
    project = Project(loop, {"a.py": bad})
    changed = project.candidate("a.py", ("'a'", "1"), ("return 1\n", "return 'a'\n"))
    with project.batch() as batch:
        result = type_errors.check(batch, [changed])[changed.id]
    assert list(result.blamed) == [("a.py", 6)]


def test_each_candidate_is_judged_by_itself(project: Project) -> None:
    good = project.candidate("app/library.py", ("'a'", "'b'"))
    bad = project.candidate("app/library.py", ("len(items)", "str(items)"))
    other = project.candidate("app/other.py", ("= 1", "= 'a'"))
    user = project.candidate("app/user.py", ("[1]", "[2]"))
    script = project.candidate("app/other.py", ("= 1", "= 2"), language="javascript")
    with project.batch() as batch:
        results = type_errors.check(batch, [good, bad, other, user, script])
        assert {path: (batch.folder / path).read_text() for path in FILES} == FILES
    verdicts = [results[c.id].gate.verdict for c in (good, bad, other, user, script)]
    assert verdicts == ["passed", "failed", "failed", "passed", "not applicable"]


def test_how_many_files_were_not_checked_is_said(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_errors, "MAX_DEPENDENTS", 1)
    users = {f"app/user{number}.py": USER for number in range(3)}
    project = Project(loop, {"app/__init__.py": "", "app/library.py": LIBRARY, **users})
    changed = project.candidate("app/library.py", ("'a'", "'b'"))
    with project.batch() as batch:
        gate = type_errors.check(batch, [changed])[changed.id].gate
    assert gate.evidence == (
        "pyrefly has nothing new to say of 2 files; 2 more files import them and were not checked"
    )
