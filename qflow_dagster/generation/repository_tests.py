"""The repository's own test command: detected, run in the sandbox, its result read.

Belongs here: which command, and the outcome of each test. Does not belong here: isolation
(`sandbox`), comparing two results (`suite_gate`).
"""

import json
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.parsers import expat

from qflow_dagster import sandbox
from qflow_dagster.generation import npm_tests

Outcome = Literal["passed", "failed", "skipped"]
REPORT = ".qflow-junit.xml"
MAX_REPORT_BYTES = 5_000_000
_CARGO = re.compile(r"^test (?P<name>\S+)(?: - [^.]*)? \.\.\. (?P<outcome>ok|FAILED|ignored)", re.M)
_GO = re.compile(r"^[ \t]*+--- (?P<outcome>PASS|FAIL|SKIP): (?P<name>\S+)", re.M)
_JEST: dict[str, Outcome] = {"passed": "passed", "failed": "failed"}
NPM = ("npm", "test", "--silent")
# Exit codes that mean nothing was tested: pytest's usage error, no tests; not found, not executable.
NOT_RUN = {"pytest": {2, 3, 4, 5}}
NEVER_STARTED = {126, 127}


@dataclass(frozen=True)
class SuiteCommand:
    """A test command, and the tool that determines how its output is read.

    `plain` is the command as the repository has it, where `arguments` make it write a report in addition.
    """

    tool: str
    arguments: tuple[str, ...]
    plain: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.plain or self.arguments)


@dataclass(frozen=True)
class SuiteRun:
    """The result of a run: whether it ran and succeeded, each test's outcome if the tool reports it, and a summary."""

    ran: bool
    succeeded: bool
    tests: Mapping[str, Outcome] = field(default_factory=dict)
    summary: str = ""
    seconds: float = 0.0
    isolation: str = ""

    @property
    def failed(self) -> set[str]:
        """Return the names of the tests that failed."""
        return {name for name, outcome in self.tests.items() if outcome == "failed"}


PYTEST = SuiteCommand(
    "pytest", ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={REPORT}")
)


def configured(command: str) -> SuiteCommand:
    """Return the command that a person configured; the tool is recognised by its name."""
    arguments = tuple(shlex.split(command))
    if any(Path(argument).name in ("pytest", "py.test") for argument in arguments[:3]):
        return SuiteCommand("pytest", (*arguments, f"--junitxml={REPORT}"))
    for tool in ("cargo", "go"):
        if arguments and Path(arguments[0]).name == tool:
            return SuiteCommand(tool, arguments)
    return SuiteCommand("command", arguments)


def detect(files: Mapping[str, bytes], paths: set[str]) -> SuiteCommand | None:
    """Return the test command according to a repository's manifests, or None.

    `files`: contents of manifests in the root folder, by name; `paths`: all paths.
    """
    pyproject = _toml(files.get("pyproject.toml"))
    tested = any(re.search(r"(^|/)(test_[^/]*|[^/]*_test)\.py$", path) for path in paths)
    if (
        "pytest" in pyproject.get("tool", {})
        or "pytest.ini" in paths
        or b"[tool:pytest]" in files.get("setup.cfg", b"")
        or b"[pytest]" in files.get("tox.ini", b"")
        or ("conftest.py" in paths or tested)
    ):
        return PYTEST
    if "tox.ini" in paths:
        return SuiteCommand("command", ("tox", "-q"))
    if "Cargo.toml" in paths:
        return SuiteCommand("cargo", ("cargo", "test", "--offline", "--no-fail-fast"))
    if "go.mod" in paths:
        return SuiteCommand("go", ("go", "test", "-v", "./..."))
    if "pom.xml" in paths:
        return SuiteCommand("command", ("mvn", "--offline", "--batch-mode", "--quiet", "test"))
    if "mix.exs" in paths:
        return SuiteCommand("command", ("mix", "test"))
    script = _json(files.get("package.json")).get("scripts", {}).get("test")
    if isinstance(script, str):
        return _npm(script)
    if re.search(rb"^(test|check):", files.get("Makefile", b""), re.M):
        target = "test" if re.search(rb"^test:", files["Makefile"], re.M) else "check"
        return SuiteCommand("command", ("make", target))
    return None


def _npm(script: str) -> SuiteCommand:
    runner = npm_tests.runner_of(script, REPORT)
    if runner is None:
        return SuiteCommand("command", NPM)
    environment = ("env", *runner.variables) if runner.variables else ()
    return SuiteCommand(runner.name, (*environment, *NPM, "--", *runner.arguments), NPM)


def run(command: SuiteCommand, folder: Path, packages: sandbox.Packages = sandbox.NO_PACKAGES) -> SuiteRun:
    """Run the tests of the checkout in `folder`, which see `packages`.

    Raises:
        NotIsolatedError: no isolation is available on this machine.
    """
    process = sandbox.run(command.arguments, folder, packages=packages)
    tests = {} if process.timed_out else _outcomes(command.tool, process.output, folder)
    if command.plain and not tests and not process.timed_out:
        # Of another version, the runner may not know the arguments.
        process = sandbox.run(command.plain, folder, packages=packages)
    tail = " ".join(process.output[-400:].split())
    if process.timed_out:
        return SuiteRun(
            False, False, summary="it took too long", seconds=process.seconds, isolation=process.isolation
        )
    if process.code in NEVER_STARTED or process.code in NOT_RUN.get(command.tool, ()):
        return SuiteRun(
            False,
            False,
            summary=f"it does not run here (exit {process.code}): {tail}",
            seconds=process.seconds,
            isolation=process.isolation,
        )
    if command.tool == "pytest" and not tests:
        # Python without pytest exits with the same code as pytest with failed tests.
        return SuiteRun(
            False,
            False,
            summary=f"it does not run here: {tail}",
            seconds=process.seconds,
            isolation=process.isolation,
        )
    summary = f"{len(tests)} tests" if tests else f"exit {process.code}"
    return SuiteRun(True, process.code == 0, tests, summary, process.seconds, process.isolation)


def _outcomes(tool: str, output: str, folder: Path) -> dict[str, Outcome]:
    by_word: dict[str, Outcome] = {
        "ok": "passed",
        "FAILED": "failed",
        "ignored": "skipped",
        "PASS": "passed",
        "FAIL": "failed",
        "SKIP": "skipped",
    }
    if tool in ("cargo", "go"):
        pattern = _CARGO if tool == "cargo" else _GO
        return {match["name"]: by_word[match["outcome"]] for match in pattern.finditer(output)}
    if tool == "jest":
        return _jest(folder / REPORT)
    return {} if tool == "command" else _junit(folder / REPORT, with_suites=tool == "node")


def content_of(path: Path) -> bytes:
    """Return what a run left in a file; empty: nothing, or nothing that can be trusted to end."""
    # The file is as hostile as the command that wrote it: it may be a link, a device, or contain entities.
    try:
        with open(path, "rb", opener=_open_itself) as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_REPORT_BYTES + 1) if is_file else b""
    except OSError:
        return b""
    return b"" if len(content) > MAX_REPORT_BYTES else content


def _jest(path: Path) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    try:
        for file in json.loads(content_of(path) or b"{}")["testResults"]:
            for test in file["assertionResults"]:
                name = f"{Path(file['name']).name}::{test['fullName']}"
                outcome = _JEST.get(test["status"], "skipped")
                if outcomes.get(name) != "failed":
                    outcomes[name] = outcome
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return outcomes


def _junit(path: Path, *, with_suites: bool = False) -> dict[str, Outcome]:
    content = content_of(path)
    if b"\0" in content:
        # XML in UTF-8 contains no NUL; the parser could take such a file for UTF-16.
        return {}
    report = _Report(with_suites=with_suites)
    try:
        report.read(content)
    except (expat.ExpatError, _RefusedError):
        return {}
    return report.outcomes


def _open_itself(path: str, flags: int) -> int:
    """Open the file itself, never the target of a link, without blocking."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class _RefusedError(Exception):
    """The report contains something that no test report needs."""


class _Report:
    """Reads the outcomes of a JUnit report while parsing, without building a tree.

    With suites, the names of the suites around a test are part of its name: its class is not.
    """

    def __init__(self, *, with_suites: bool) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._with_suites = with_suites
        self._suites: list[str] = []
        self._name: str | None = None
        self._outcome: Outcome = "passed"

    def read(self, content: bytes) -> None:
        # UTF-8, whatever encoding it declares.
        parser = expat.ParserCreate("utf-8")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(content, True)

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testsuite":
            self._suites.append(attributes.get("name", ""))
        elif tag == "testcase":
            around = " ".join(self._suites) if self._with_suites else attributes.get("classname", "")
            self._name = f"{around}::{attributes.get('name', '')}"
            self._outcome = "passed"
        elif tag in ("failure", "error"):
            self._outcome = "failed"
        elif tag == "skipped" and self._outcome == "passed":
            self._outcome = "skipped"

    def _end(self, tag: str) -> None:
        if tag == "testsuite" and self._suites:
            self._suites.pop()
        elif tag == "testcase" and self._name is not None:
            # A test that fails in one phase (set-up, call, tear-down) may have a second entry.
            if self._outcome == "failed":
                self.outcomes[self._name] = "failed"
            else:
                self.outcomes.setdefault(self._name, self._outcome)
            self._name = None


def _toml(content: bytes | None) -> dict:
    try:
        return tomllib.loads((content or b"").decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        return {}


def _json(content: bytes | None) -> dict:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("scripts", {}), dict) else {}
