"""Linters that run code of the repository, in the sandbox: eslint and pylint, whose configurations may be code, clippy
and golangci-lint, which build what they look at.

Their programs are those of the repository's packages, or installed ones. Belongs here: which of them looks at a
file, and how it is called. Does not belong here: reading what it prints (`linter_driver`), the verdict
(`project_linter`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster import sandbox
from qflow_dagster.evolution.project_linters import clippy, eslint, golangci
from qflow_dagster.evolution.project_linters.ruff_configuration import ConfigurationError, tools_of
from qflow_dagster.generation.repository_gates.drivers import Driver, report_of
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

MAX_REASON = 300
_ESLINT = ("eslint", "--format", "json", "--no-error-on-unmatched-pattern", "--")
_CLIPPY = ("cargo", "clippy", "--offline", "--all-targets", "--quiet", "--message-format", "json")
_PYLINT = ("python3", "-m", "pylint", "--output-format=json", "--score=n", "--persistent=n", "--")
_PYLINT_FILES = (".pylintrc", "pylintrc", ".pylintrc.toml", "pylintrc.toml")
_GOLANGCI = (
    "golangci-lint",
    "run",
    "--issues-exit-code=0",
    "--max-issues-per-linter=0",
    "--max-same-issues=0",
)
# How its two main versions, which have configurations of their own, are told to print JSON.
_GOLANGCI_1 = ("--out-format=json",)
_GOLANGCI_2 = ("--output.json.path=stdout", "--show-stats=false", "--path-mode=abs")
_CLIPPY_FILES = ("clippy.toml", ".clippy.toml", "Cargo.toml", *clippy.CRATE_ROOTS)
_WORKFLOWS = ".github/workflows/*.y*ml"


class SandboxedLinter(NamedTuple):
    """A linter of some files: its name, the folder it runs in, its command, and whether that names the files."""

    name: str
    folder: str
    command: tuple[str, ...]
    names_files: bool
    format: str
    ecosystem: str


def linter_of(path: str, language: str, folder: Path) -> SandboxedLinter | None:
    """Return the linter that a repository (a checkout in `folder`) configures for a file; None: it configures none."""
    parents = [str(parent) for parent in Path(path).parents]
    if language in ("javascript", "typescript", "tsx"):
        names = (*eslint.NAMES, *eslint.CODE)
        configured = any((folder / parent / name).is_file() for parent in parents for name in names)
        if configured or "eslintConfig" in _read(folder / "package.json"):
            return SandboxedLinter("eslint", ".", _ESLINT, True, "eslint", "node")
    if language == "go":
        configuration = next(
            (
                file
                for parent in parents
                for name in golangci.NAMES
                if (file := folder / parent / name).is_file()
            ),
            None,
        )
        if configuration is not None:
            second = (
                re.search(r"""^"?version"?\s*[:=]\s*['"]?2""", _read(configuration), re.MULTILINE) is not None
            )
            command = (*_GOLANGCI, *(_GOLANGCI_2 if second else _GOLANGCI_1), ".")
            return SandboxedLinter("golangci-lint", parents[0], command, False, "golangci", "go")
    if language == "python" and _uses_pylint(folder):
        return SandboxedLinter("pylint", ".", _PYLINT, True, "pylint", "python")
    if language == "rust":
        crate = next((parent for parent in parents if (folder / parent / "Cargo.toml").is_file()), None)
        if crate is not None and _uses_clippy(folder, crate, parents):
            return SandboxedLinter("clippy", crate, _CLIPPY, False, "cargo", "rust")
    return None


def compare(
    batch: Batch,
    linter: SandboxedLinter,
    candidates: Sequence[Mapping[str, str]],
    groups: Sequence[Sequence[int]],
) -> list[dict[str, list[tuple[str, str, int]]]] | str:
    """Return the complaints (path, code, line) of each candidate `before` and `after`; a text: why there are none.

    A candidate is its new files by path; those of a group change different files. A code of '' says that the linter
    leaves the file out.
    """
    jobs = {
        "name": linter.name,
        "folder": linter.folder,
        "command": linter.command,
        "names_files": linter.names_files,
        "format": linter.format,
        "candidates": candidates,
        "groups": groups,
    }
    driver = Driver(("python3", "-B"), "linter_driver.py", linter.ecosystem)
    packages = batch.environments.of(linter.ecosystem).evidence
    try:
        report = report_of(batch, driver, jobs, settings().generation.test_timeout)
    except sandbox.NotIsolatedError as error:
        return str(error)
    if isinstance(report, str):
        return f"{visible_line(report, MAX_REASON)} ({packages})"
    if not isinstance(report, list) or len(report) != len(candidates):
        return f"{linter.name} did not end in time"
    return [_checked(result) for result in report]


def _checked(result: Any) -> dict[str, list[tuple[str, str, int]]]:
    """Return a result of the driver, which ran beside code of the repository, in the form that is expected."""
    found = result if isinstance(result, dict) else {}
    return {
        name: [
            (str(row[0]), visible_line(str(row[1]), 100), int(row[2]))
            for row in found.get(name, [])
            if isinstance(row, list) and len(row) == 3 and isinstance(row[2], int)
        ]
        for name in ("before", "after")
    }


def _uses_pylint(folder: Path) -> bool:
    """Return whether a repository configures pylint, and neither ruff nor flake8."""
    if any((folder / name).is_file() for name in _PYLINT_FILES):
        return True
    pyproject = folder / "pyproject.toml"
    try:
        return pyproject.is_file() and "pylint" in tools_of(pyproject)
    except ConfigurationError:
        return False


def _uses_clippy(folder: Path, crate: str, parents: Sequence[str]) -> bool:
    above = parents[parents.index(crate) :]
    files = [folder / crate / name for name in clippy.CRATE_ROOTS]
    files += [folder / parent / name for parent in above for name in _CLIPPY_FILES[:3]]
    files += folder.glob(_WORKFLOWS)
    return any(
        file.name.endswith("clippy.toml") or re.search(r"\bclippy\b", _read(file))
        for file in files
        if file.is_file()
    )


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
