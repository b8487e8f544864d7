"""What a function does today as a pytest module: it passes on the code as it is, and fails where behaviour changes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qflow_dagster.generation import characterisation
from qflow_dagster.generation.characterisation import Characterisation
from qflow_dagster.settings import settings
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

CODE = '''"""A shop."""
import functools
import os
import random
import time


class Refused(Exception):
    pass


class Cart:
    def __init__(self, rate: int):
        self.rate = rate

    def price(self, count: int, member: bool = False) -> int:
        """What it costs."""
        if count < 0:
            raise Refused(count)
        if member:
            return count * self.rate - 1
        return count * self.rate


def level(age: int) -> str:
    if age < 0:
        raise ValueError(age)
    if age < 18:
        return "young"
    return "old"


def empty(values: list[int]) -> None:
    values.clear()


def late(count: int) -> float:
    return time.time() + count


def drawn(count: int) -> int:
    return count if count < 5 else random.randint(0, count)


def home(name: str) -> str:
    return os.path.join(os.getcwd(), name)


def user(name: str) -> str:
    return os.environ.get("USER", name)


def made(count: int) -> object:
    return object()


def removed(name: str) -> bool:
    if os.path.exists(name):
        os.remove(name)
        return True
    return False


def written(name: str) -> int:
    with open("/tmp/of-a-test", "w") as file:
        return file.write(name)


SEEN = []


def counted(name: str) -> int:
    SEEN.append(name)
    return len(SEEN)


def ends(name: str) -> int:
    raise SystemExit(3)


def address(name: str) -> int:
    return id(name)


def hashed(name: str) -> int:
    return hash(name)


def ordered(names: set[str]) -> str:
    return ",".join(names)


async def later(count: int) -> int:
    return count


def deep(things: dict[str, list[int]]) -> dict[str, int]:
    return {name: sum(values) for name, values in things.items()}
'''


@pytest.fixture(autouse=True)
def calls(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().generation, "behaviour_seconds", 20)


@pytest.fixture
def project(loop: Loop) -> Project:
    return Project(loop, {"src/shop/__init__.py": "", "src/shop/cart.py": CODE})


def recorded(project: Project, name: str) -> Characterisation:
    line = next(n for n, row in enumerate(CODE.splitlines(), 1) if f"def {name}(" in row)
    return characterisation.characterise(
        project.loop.engine, project.objects, project.snapshot, "src/shop/cart.py", line
    )


def run(folder: Path, module: str, code: str) -> str:
    package = folder / "shop"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "cart.py").write_text(code)
    (folder / "test_it.py").write_text(module)
    ran = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("name", "statement", "old", "new"),
    [
        ("level", 'assert level(0) == "young"'.replace('"', "'"), "age < 18", "age <= 18"),
        ("level", "with pytest.raises(ValueError):", "raise ValueError(age)", "raise KeyError(age)"),
        ("price", "Cart(0).price(", "* self.rate - 1", "* self.rate - 2"),
        ("price", 'assert raised.typename == "Refused"', "count < 0", "count < -5"),
        ("empty", "assert (arguments, keywords) == (([],), {})", "values.clear()", "values.append(1)"),
        ("deep", "assert deep({}) == {}", "sum(values)", "len(values)"),
    ],
)
def test_the_tests_pass_today_and_fail_where_a_function_does_something_else(
    project: Project, tmp_path: Path, name: str, statement: str, old: str, new: str
) -> None:
    found = recorded(project, name)
    assert statement in found.module
    assert 0 < found.tests <= characterisation.MAX_CASES
    assert f"{found.tests} passed" in run(tmp_path, found.module, CODE)
    assert "failed" in run(tmp_path, found.module, CODE.replace(old, new))
    checks = {**found._asdict()}
    arguments = (project.loop.engine, project.objects, project.snapshot, checks)
    assert characterisation.check(*arguments, {}).verdict == "passed"
    broken = characterisation.check(*arguments, {"src/shop/cart.py": CODE.replace(old, new)})
    assert broken.verdict == "failed"
    assert f"of {found.tests} recorded calls do as before; not test_" in broken.evidence


def test_every_branch_that_an_input_reaches_is_recorded(project: Project) -> None:
    found = recorded(project, "price")
    assert found.evidence == f"{found.tests} calls, which run 5 of 5 statements"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("late", "it uses time.time"),
        ("home", "it uses posix.getcwd"),
        ("user", "it uses os"),
        ("made", "its result is no plain value, or a long one"),
        ("removed", "it uses posix.stat"),
        ("written", "it uses io.open"),
        ("counted", "one call changes what the next one does"),
        ("ends", "its result is no plain value, or a long one"),
        # The order of a set is another in the next process: that a few inputs agree in two is chance.
        ("hashed", "its results vary"),
        ("ordered", "its results vary"),
        ("address", "it uses builtins.id"),
        ("__init__", "it cannot be called: it makes objects"),
    ],
)
def test_what_is_not_the_same_everywhere_is_not_recorded(project: Project, name: str, reason: str) -> None:
    found = recorded(project, name)
    # The module of open has another name in some versions of Python.
    evidence = found.evidence.replace("_io.", "io.")
    assert (found.module, found.tests, evidence) == ("", 0, f"nothing is recorded: {reason}")


def test_inputs_that_need_no_chance_are_recorded(project: Project, tmp_path: Path) -> None:
    found = recorded(project, "drawn")
    assert f"{found.tests} passed" in run(tmp_path, found.module, CODE)
    assert all(int(number) < 5 for number in re.findall(r"drawn\((-?\d+)\)", found.module))


def test_a_module_that_has_no_name_of_python_is_not_recorded(loop: Loop) -> None:
    project = Project(loop, {"a-b.py": "def f(x: int) -> int:\n    return x\n"})
    found = characterisation.characterise(loop.engine, project.objects, project.snapshot, "a-b.py", 1)
    assert found.evidence == "nothing is recorded: the name of its module is no identifier"


def test_a_report_of_hostile_code_is_data(loop: Loop) -> None:
    code = (
        "import json, sys\n\n\ndef f(x: int) -> int:\n"
        '    class Evil(int):\n        def __repr__(self):\n            return \'__import__("os").system("id")\'\n'
        "    return Evil(x)\n"
    )
    project = Project(loop, {"a.py": code})
    found = characterisation.characterise(loop.engine, project.objects, project.snapshot, "a.py", 4)
    assert found.evidence == "nothing is recorded: its result is no plain value, or a long one"
    for text in ('{"lines": [], "raised": "A):\\n    import os"}', '{"lines": [], "returned": "f()"}'):
        with pytest.raises(ValueError, match=r".*"):
            characterisation._outcome(text)
