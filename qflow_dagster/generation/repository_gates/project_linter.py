"""The gate `project_linter`: the repository's own ruff, with its configuration, complains of nothing new.

Belongs here: running it on the changed files. Does not belong here: which configuration applies
(`ruff_configuration`), our own choice of ruff's rules (`validation.linter`).
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster.generation.candidates import Candidate, worst
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.repository_gates.ruff_configuration import (
    ConfigurationError,
    configuration_of,
    tools_of,
)
from qflow_dagster.generation.validation import Answer, Gate

NAME = "project_linter"
# Seconds.
TIMEOUT = 60


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Compare the complaints of each candidate's files before and after the change."""
    results = {}
    with batch.checkout() as folder:
        for candidate in candidates:
            started = time.monotonic()
            answers = [
                _compared(folder, file.request.path, file.request.text, file.result.after)
                for file in candidate.files
                if file.request.language == "python"
            ] or [("skipped", "linters of other languages than Python are not run")]
            verdict = worst(verdict for verdict, _ in answers)
            evidence = "; ".join(sorted({evidence for answer, evidence in answers if answer == verdict})[:5])
            results[candidate.id] = Result(Gate(NAME, verdict, evidence, time.monotonic() - started))
    return results


def _compared(folder: Path, path: str, before: str, after: str) -> Answer:
    try:
        configuration = configuration_of(path, folder)
        if configuration is None:
            other = _other_linter(folder)
            return ("skipped", f"needs {other}") if other else ("passed", "no linter is configured")
        old, new = (_complaints(folder, configuration, path, text) for text in (before, after))
    except ConfigurationError as error:
        return "skipped", str(error)
    if worse := sorted(new - old):
        return "failed", f"{path}: {', '.join(worse)}"
    return "passed", "ruff with the repository's configuration complains of nothing new"


def _other_linter(folder: Path) -> str | None:
    """Return the linter of Python that a repository without ruff configures."""
    if any((folder / name).is_file() for name in (".pylintrc", "pylintrc")):
        return "pylint"
    if any(
        (folder / name).is_file() and "[flake8]" in (folder / name).read_text(errors="replace")
        for name in (".flake8", "setup.cfg", "tox.ini")
    ):
        return "flake8"
    pyproject = folder / "pyproject.toml"
    return "pylint" if pyproject.is_file() and "pylint" in tools_of(pyproject) else None


def _complaints(folder: Path, configuration: Path, path: str, text: str) -> Counter[str]:
    command = [str(find_ruff_bin()), "check", "--no-cache", "--no-fix", "--force-exclude", "--exit-zero"]
    command += ["--config", str(configuration), "--output-format", "json"]
    command += ["--stdin-filename", str(folder / path), "-"]
    try:
        done = subprocess.run(
            command, cwd=folder, input=text.encode(), capture_output=True, timeout=TIMEOUT, env={}, check=True
        )
        return Counter(str(problem["code"]) for problem in json.loads(done.stdout or b"[]"))
    except (OSError, subprocess.SubprocessError, ValueError):
        # Its message may quote what the configuration names.
        raise ConfigurationError("ruff does not accept the repository's configuration") from None
