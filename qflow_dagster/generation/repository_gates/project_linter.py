"""The gate `project_linter`: the repository's own linter, with its configuration, complains of nothing new.

Ruff runs for itself, and for the rules of flake8 that it knows; linters that run code of the repository run in the
sandbox (`sandboxed_linters`). Does not belong here: how configurations are read (`evolution.project_linters`), our
own choice of ruff's rules (`validation.linter`).
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.embedded import notebooks
from qflow_dagster.evolution.project_linters.ruff import FLAKE8_FILES, flake8_as_ruff
from qflow_dagster.evolution.project_linters.ruff_configuration import (
    ConfigurationError,
    configuration_of,
)
from qflow_dagster.generation.candidates import Candidate, FileChange, worst
from qflow_dagster.generation.repository_gates import sandboxed_linters
from qflow_dagster.generation.repository_gates.protocol import Batch, Result, apart, fixes_at
from qflow_dagster.generation.repository_gates.sandboxed_linters import SandboxedLinter
from qflow_dagster.generation.validation import Answer, Gate

NAME = "project_linter"
# Seconds.
TIMEOUT = 120
MAX_NAMED = 5
NO_LINTER = "no linter is configured"
_NONE: Answer = ("not applicable", NO_LINTER)
# The configuration of flake8, written as one of ruff, lies beside the checkout.
FLAKE8_CONFIGURATION = "flake8-as-ruff.toml"


class Complaint(NamedTuple):
    """What a linter says of a line."""

    code: str
    line: int


class Linter(NamedTuple):
    """Ruff with a configuration file; `name` is the linter that the repository uses."""

    name: str
    configuration: Path
    # Paths in the configuration are relative to it.
    folder: Path

    def complaints(self, folder: Path, paths: Collection[str]) -> dict[str, list[Complaint]]:
        """Return what it says of files of a checkout.

        Raises:
            ConfigurationError: It does not accept its configuration.
        """
        command = [
            str(find_ruff_bin()),
            "check",
            "--no-cache",
            "--no-fix",
            "--force-exclude",
            "--exit-zero",
            "--quiet",
        ]
        command += ["--config", str(self.configuration), "--output-format", "json", "--"]
        command += [str(folder / path) for path in sorted(paths)]
        try:
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, timeout=TIMEOUT, env={}, check=True
            )
            problems = json.loads(done.stdout or b"[]")
        except (OSError, subprocess.SubprocessError, ValueError):
            # Its message may quote what the configuration names.
            raise ConfigurationError(
                f"ruff does not accept the repository's configuration of {self.name}"
            ) from None
        found: dict[str, list[Complaint]] = {path: [] for path in paths}
        for problem in problems:
            path = str(Path(problem["filename"]).relative_to(folder.resolve()))
            line = problem["location"]["row"]
            if path.endswith(notebooks.ENDING):
                cells = notebooks.lines_before((folder / path).read_text(encoding="utf-8"))
                line += cells.get(problem.get("cell"), 0)
            found.setdefault(path, []).append(Complaint(str(problem["code"]), line))
        return found


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Compare the complaints of each candidate's files before and after the change."""
    started = time.monotonic()
    languages = {
        file.request.path: file.request.language for candidate in candidates for file in candidate.files
    }
    linters: dict[str, Linter | SandboxedLinter] = {}
    answers: dict[str, Answer] = {}
    for path, language in languages.items():
        linter = _linter_of(path, language, batch.folder)
        if isinstance(linter, Linter | SandboxedLinter):
            linters[path] = linter
        else:
            answers[path] = linter
    own = {c.id: {file.request.path for file in c.files} for c in candidates}
    new: dict[UUID, dict[str, list[Complaint]]] = {candidate.id: {} for candidate in candidates}
    for linter in set(linters.values()):
        paths = {path for path in linters if linters[path] == linter}
        if isinstance(linter, SandboxedLinter):
            answers |= _in_sandbox(batch, linter, [c for c in candidates if own[c.id] & paths], paths, new)
            continue
        try:
            before = linter.complaints(batch.folder, paths)
            for together in apart([c for c in candidates if own[c.id] & paths], own):
                texts = {path: text for c in together for path, text in c.after.items() if path in paths}
                with batch.replaced(texts) as folder:
                    after = linter.complaints(folder, texts)
                for candidate in together:
                    for path in own[candidate.id] & paths:
                        new[candidate.id][path] = _added(before[path], after[path])
        except QflowError as error:
            answers |= dict.fromkeys(paths, ("skipped", str(error)))
    seconds = (time.monotonic() - started) / max(1, len(candidates))
    return {
        candidate.id: _result(candidate, new[candidate.id], linters, answers, seconds)
        for candidate in candidates
    }


def _in_sandbox(
    batch: Batch,
    linter: SandboxedLinter,
    candidates: Sequence[Candidate],
    paths: Collection[str],
    new: Mapping[UUID, dict[str, list[Complaint]]],
) -> dict[str, Answer]:
    """Fill in the new complaints of the candidates; return the answer for the paths of which there are none."""
    texts = {c.id: {path: text for path, text in c.after.items() if path in paths} for c in candidates}
    position = {candidate.id: number for number, candidate in enumerate(candidates)}
    groups = [[position[candidate.id] for candidate in group] for group in apart(candidates, texts)]
    report = sandboxed_linters.compare(batch, linter, list(texts.values()), groups)
    if isinstance(report, str):
        return dict.fromkeys(paths, ("skipped", report))
    answers: dict[str, Answer] = {}
    for candidate, result in zip(candidates, report, strict=True):
        for path in texts[candidate.id]:
            before, after = (
                [Complaint(code, line) for at, code, line in result[name] if at == path] for name in result
            )
            if any(complaint.code == "" for complaint in before):
                answers[path] = ("not applicable", f"{linter.name} leaves {path} out")
            new[candidate.id][path] = _added(before, after)
    return answers


def _added(before: Sequence[Complaint], after: Sequence[Complaint]) -> list[Complaint]:
    """Return the complaints of the codes of which there are more than before."""
    codes = Counter(complaint.code for complaint in after) - Counter(complaint.code for complaint in before)
    return [complaint for complaint in after if complaint.code in codes]


def _result(
    candidate: Candidate,
    new: Mapping[str, list[Complaint]],
    linters: Mapping[str, Linter | SandboxedLinter],
    answers: Mapping[str, Answer],
    seconds: float,
) -> Result:
    own: list[Answer] = []
    blamed: dict[tuple[str, int], str] = {}
    for file in candidate.files:
        path = file.request.path
        if path in answers:
            own.append(answers[path])
        elif new[path]:
            codes = sorted({complaint.code for complaint in new[path]})
            own.append(("failed", f"{path}: {', '.join(codes)}"))
            blamed |= _blamed(file, new[path])
        else:
            name = linters[path].name
            own.append(("passed", f"{name} with the repository's configuration complains of nothing new"))
    verdict = worst(verdict for verdict, _ in own)
    evidence = "; ".join(sorted({evidence for answer, evidence in own if answer == verdict})[:MAX_NAMED])
    return Result(Gate(NAME, verdict, evidence, seconds), blamed)


def _blamed(file: FileChange, complaints: Sequence[Complaint]) -> dict[tuple[str, int], str]:
    return {
        (file.request.path, fix.line): f"{NAME}: {complaint.code}"
        for complaint in complaints
        for fix in fixes_at(file, complaint.line)
    }


def _linter_of(path: str, language: str, folder: Path) -> Linter | SandboxedLinter | Answer:
    """Return the linter for a file of a checkout, or why there is none."""
    match language:
        case "python":
            try:
                configuration = configuration_of(path, folder)
                if configuration is not None:
                    return Linter("ruff", configuration, configuration.parent)
                return _flake8(folder) or sandboxed_linters.linter_of(path, language, folder) or _NONE
            except QflowError as error:
                return "skipped", str(error)
        case _:
            return sandboxed_linters.linter_of(path, language, folder) or _NONE


def _flake8(folder: Path) -> Linter | None:
    """Return flake8 if a repository without ruff configures it."""
    files = {name: (folder / name) for name in FLAKE8_FILES if (folder / name).is_file()}
    flake8 = flake8_as_ruff({name: file.read_text(errors="replace") for name, file in files.items()})
    if flake8 is None:
        return None
    configuration = folder.parent / FLAKE8_CONFIGURATION
    configuration.write_text(flake8, encoding="utf-8")
    return Linter("flake8", configuration, folder)
