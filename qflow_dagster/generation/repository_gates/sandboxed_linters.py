"""Linters that run code of the repository, in the sandbox: eslint, whose configuration is code, and clippy.

Their programs are those of the repository's packages, or installed ones. Belongs here: which of them looks at a
file, and how it is called. Does not belong here: reading what it prints (`linter_driver`), the verdict
(`project_linter`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster import sandbox
from qflow_dagster.evolution.project_linters import clippy, eslint
from qflow_dagster.generation.repository_gates.drivers import Driver, report_of
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

MAX_REASON = 300
_ESLINT = ("eslint", "--format", "json", "--no-error-on-unmatched-pattern", "--")
_CLIPPY = ("cargo", "clippy", "--offline", "--all-targets", "--quiet", "--message-format", "json")
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
