"""Rules on the repository itself that no other tool checks."""

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 430


def tracked() -> list[Path]:
    """The files git knows, or would once they are added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def lines(*suffixes: str) -> Iterator[tuple[Path, int, str]]:
    for path in tracked():
        if path.suffix in suffixes or path.name in ("Makefile", "run"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield path, number, line


def test_no_module_is_too_long_to_be_read_at_a_sitting() -> None:
    modules = [path for path in tracked() if path.suffix == ".py" and "tests" not in path.parts]
    assert [(p.name, n) for p in modules if (n := len(p.read_text().splitlines())) > LONGEST_FILE] == []


def test_every_module_says_what_belongs_in_it() -> None:
    # Files that changes are tried on are data.
    modules = [
        p for p in tracked() if p.suffix == ".py" and p.read_text().strip() and "changes" not in p.parts
    ]
    assert [p for p in modules if not p.read_text().startswith(('"""', "#!"))] == []


def test_no_address_of_a_registry_and_no_path_of_a_machine() -> None:
    own = Path(__file__)
    forbidden = re.compile(
        r"--(?:extra-)?index-url[ =]|pypi\.org|files\.pythonhosted|/home/\w+|/Users/\w+|/root/\w+"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, number, line in lines(".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".sh")
        if path != own and forbidden.search(line) and "--no-emit-index-url" not in line
    ]
    assert found == []


def test_dagster_modules_keep_their_annotations_as_values() -> None:
    """Dagster reads annotations of resources, configuration and contexts: they must not be text."""
    thin = ("assets", "checks", "jobs", "resources", "schedules", "sensors")
    for name in thin:
        for path in (ROOT / "qflow_dagster" / name).glob("*.py"):
            assert "from __future__ import annotations" not in path.read_text(), path


def test_what_worker_processes_import_needs_no_database() -> None:
    """A driver, and all that is declared with it, would cost each of them more than the work it gets."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "qflow_dagster").glob("*/workers.py"))
    ]
    assert len(modules) >= 4
    program = (
        f"import sys, {', '.join(modules)}; print('sqlalchemy' in sys.modules, 'psycopg' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_no_package_gives_another_thing_the_name_of_a_module_of_its_own() -> None:
    shadowed = []
    for module in pkgutil.walk_packages([str(ROOT / "qflow_dagster")], "qflow_dagster."):
        if module.ispkg and ".migrations" not in module.name:
            package = importlib.import_module(module.name)
            for submodule in pkgutil.iter_modules(package.__path__):
                value = getattr(package, submodule.name, None)
                if value is not None and not isinstance(value, ModuleType):
                    shadowed.append(f"{module.name}.{submodule.name}")
    assert shadowed == []


def test_the_table_of_contents_of_the_documentation_is_whole() -> None:
    linked = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "architecture.md").read_text()))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"architecture.md"}
