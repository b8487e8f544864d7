"""The repository's own test command: found out, run in the sandbox, its result read.

Belongs here: which command, and what it says test by test. Does not belong here: isolation
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

Outcome = Literal["passed", "failed", "skipped"]
REPORT = ".qflow-junit.xml"
MAX_REPORT_BYTES = 5_000_000
_CARGO = re.compile(r"^test (?P<name>\S+)(?: - [^.]*)? \.\.\. (?P<outcome>ok|FAILED|ignored)", re.M)
_GO = re.compile(r"^[ \t]*+--- (?P<outcome>PASS|FAIL|SKIP): (?P<name>\S+)", re.M)
# Codes that say that nothing was tested: pytest's usage error, no tests; not found, not executable.
NOT_RUN = {"pytest": {2, 3, 4, 5}}
NEVER_STARTED = {126, 127}


@dataclass(frozen=True)
class SuiteCommand:
    """A command, and the tool that tells how to read its result."""

    tool: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.arguments)


@dataclass(frozen=True)
class SuiteRun:
    """What a run said: each test's outcome where the tool tells, whether it ran, and why not."""

    ran: bool
    succeeded: bool
    tests: Mapping[str, Outcome] = field(default_factory=dict)
    words: str = ""
    seconds: float = 0.0
    isolation: str = ""

    @property
    def failed(self) -> set[str]:
        """The names of the tests that failed."""
        return {name for name, outcome in self.tests.items() if outcome == "failed"}


PYTEST = SuiteCommand(
    "pytest", ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={REPORT}")
)


def configured(command: str) -> SuiteCommand:
    """A command that a person named; the tool is known by its words."""
    arguments = tuple(shlex.split(command))
    if any(Path(argument).name in ("pytest", "py.test") for argument in arguments[:3]):
        return SuiteCommand("pytest", (*arguments, f"--junitxml={REPORT}"))
    for tool in ("cargo", "go"):
        if arguments and Path(arguments[0]).name == tool:
            return SuiteCommand(tool, arguments)
    return SuiteCommand("command", arguments)


def detect(files: Mapping[str, bytes], paths: set[str]) -> SuiteCommand | None:
    """The command a repository's manifests ask for; None where nothing says how it is tested.

    `files`: contents of manifests at the top; `paths`: all paths.
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
    if "mix.exs" in paths:
        return SuiteCommand("command", ("mix", "test"))
    if isinstance(_json(files.get("package.json")).get("scripts", {}).get("test"), str):
        return SuiteCommand("command", ("npm", "test", "--silent"))
    if re.search(rb"^(test|check):", files.get("Makefile", b""), re.M):
        target = "test" if re.search(rb"^test:", files["Makefile"], re.M) else "check"
        return SuiteCommand("command", ("make", target))
    return None


def run(command: SuiteCommand, folder: Path) -> SuiteRun:
    """Run the tests of the checkout in `folder`.

    Raises:
        NotIsolatedError: nothing isolates them here.
    """
    done = sandbox.run(command.arguments, folder)
    tail = " ".join(done.output[-400:].split())
    if done.timed_out:
        return SuiteRun(
            False, False, words="it took too long", seconds=done.seconds, isolation=done.isolation
        )
    if done.code in NEVER_STARTED or done.code in NOT_RUN.get(command.tool, ()):
        return SuiteRun(
            False,
            False,
            words=f"it does not run here (exit {done.code}): {tail}",
            seconds=done.seconds,
            isolation=done.isolation,
        )
    tests = _outcomes(command.tool, done.output, folder)
    if command.tool == "pytest" and not tests:
        # A program without pytest says so with the code that pytest has for failed tests.
        return SuiteRun(
            False,
            False,
            words=f"it does not run here: {tail}",
            seconds=done.seconds,
            isolation=done.isolation,
        )
    words = f"{len(tests)} tests" if tests else f"exit {done.code}"
    return SuiteRun(True, done.code == 0, tests, words, done.seconds, done.isolation)


def _outcomes(tool: str, output: str, folder: Path) -> dict[str, Outcome]:
    words: dict[str, Outcome] = {
        "ok": "passed",
        "FAILED": "failed",
        "ignored": "skipped",
        "PASS": "passed",
        "FAIL": "failed",
        "SKIP": "skipped",
    }
    if tool in ("cargo", "go"):
        pattern = _CARGO if tool == "cargo" else _GO
        return {found["name"]: words[found["outcome"]] for found in pattern.finditer(output)}
    return _junit(folder / REPORT) if tool == "pytest" else {}


def _junit(path: Path) -> dict[str, Outcome]:
    # What the command left there is as hostile as the command: a link, a device, entities.
    try:
        with open(path, "rb", opener=_open_itself) as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_REPORT_BYTES + 1) if is_file else b""
    except OSError:
        return {}
    if len(content) > MAX_REPORT_BYTES or b"\0" in content:
        # With NUL it is no UTF-8 that XML may be written in, and the parser could take it for UTF-16.
        return {}
    report = _Report()
    try:
        report.read(content)
    except (expat.ExpatError, _RefusedError):
        return {}
    return report.found


def _open_itself(path: str, flags: int) -> int:
    """Open what is there and nothing that it leads to, without waiting for anybody."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class _RefusedError(Exception):
    """The report has what no report of tests needs."""


class _Report:
    """The outcomes in a JUnit report, taken as it is read: no tree of it is held."""

    def __init__(self) -> None:
        self.found: dict[str, Outcome] = {}
        self._name: str | None = None
        self._outcome: Outcome = "passed"

    def read(self, content: bytes) -> None:
        # UTF-8, whatever it says of itself.
        parser = expat.ParserCreate("utf-8")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(content, True)

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            self._name = f"{attributes.get('classname', '')}::{attributes.get('name', '')}"
            self._outcome = "passed"
        elif tag in ("failure", "error"):
            self._outcome = "failed"
        elif tag == "skipped" and self._outcome == "passed":
            self._outcome = "skipped"

    def _end(self, tag: str) -> None:
        if tag == "testcase" and self._name is not None:
            # A test that fails in one phase has a second entry for another.
            if self._outcome == "failed":
                self.found[self._name] = "failed"
            else:
                self.found.setdefault(self._name, self._outcome)
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
