"""`make quick`: check what changed since `main`, in about a minute.

Ruff and pyright look at the changed files. Pytest runs the changed test files and those that import what
changed, the nearest first, until `SECONDS` are over; what is left over then is skipped and counted.
Does not belong here: whole runs (`make test`).
"""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("qflow_dagster", "tests")
# From the first test on. No test starts later; collecting, and the last tests, come on top.
SECONDS = 35
# Always run: they look at all files, and are quick.
ALWAYS = ("tests.test_repository_rules", "tests.test_settings")
# Last where a page changed: its commands take longer than everything else about a page.
COMMANDS_OF_PAGES = "tests.docs.test_console"


class TimeLimit:
    """Skips what would start too late."""

    def __init__(self) -> None:
        self.end: float | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self.end = self.end or time.monotonic() + SECONDS
        if time.monotonic() > self.end:
            pytest.skip("no time left for it in `make quick`")


def pytest_configure(config: pytest.Config) -> None:
    """Add the limit: this module is a plugin of the pytest that it starts."""
    config.pluginmanager.register(TimeLimit())


def changed_files() -> list[str]:
    """The files that differ from the last commit in common with `main`, those not yet added too."""
    base = "HEAD"
    for branch in ("main", "origin/main"):
        if common := _git("merge-base", "HEAD", branch):
            base = common[0]
            break
    tracked = _git("diff", "--name-only", "--diff-filter=d", base)
    return sorted({*tracked, *_git("ls-files", "--others", "--exclude-standard")})


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def tests_of(files: Iterable[str]) -> list[str]:
    """The test files that import any of `files`, the nearest first; end-to-end tests are left out.

    A conftest is taken to be imported by every test of its folder, and so is a file that is no module by
    the tests of its package, and a page by the tests of the documentation.
    """
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    tests = {name for name in graph.modules if name.rpartition(".")[2].startswith("test_")}
    distance = dict.fromkeys(ALWAYS, 0)
    nearest = {_module(file) for file in files} & graph.modules
    for file in files:
        if file.endswith(".md"):
            nearest |= {name for name in tests if name.startswith("tests.docs.")} - {COMMANDS_OF_PAGES}
        elif file.endswith("conftest.py") or (file.startswith("qflow_dagster/") and not file.endswith(".py")):
            folder = ".".join(["tests", *Path(file).parts[1:2]]).removesuffix(".conftest.py")
            nearest |= {name for name in tests if name.startswith(f"{folder}.")}
    steps = 0
    while nearest:
        distance |= dict.fromkeys(nearest, steps)
        steps += 1
        importers = (graph.find_modules_that_directly_import(name) for name in nearest)
        nearest = set().union(*importers) - distance.keys()
    if any(file.endswith(".md") for file in files):
        distance.setdefault(COMMANDS_OF_PAGES, steps)
    found = [name for name in distance if name in tests and not name.startswith("tests.e2e.")]
    return [f"{name.replace('.', '/')}.py" for name in sorted(found, key=lambda name: (distance[name], name))]


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def main() -> int:
    """Run all checks side by side; the number of those that failed."""
    files = changed_files()
    python = [file for file in files if file.endswith(".py")]
    typed = [file for file in python if file.startswith(("qflow_dagster/", "benchmarks/"))]
    tests = tests_of(files)
    print(f"{len(files)} files changed, {len(tests)} test files import them", flush=True)
    commands = [["ruff", "check", *python], ["ruff", "format", "--check", *python]] if python else []
    commands += [["pyright", *typed]] if typed else []
    commands += [
        ["pytest", "-n", "2", "--dist", "load", "-p", "tests.changed", "--durations=5", "-rs", *tests]
    ]
    programs = Path(sys.executable).parent
    running = [subprocess.Popen([programs / name, *arguments], cwd=ROOT) for name, *arguments in commands]
    failed = [command[0] for command, process in zip(commands, running, strict=True) if process.wait()]
    print(f"failed: {', '.join(failed)}" if failed else "all of it holds")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
