"""The gate `format`: a file that the repository's own formatter leaves as it is, it leaves so after the change too.

A changed file that was clean before is formatted, and the formatted text becomes the candidate's. Belongs here:
which formatter, running it. Does not belong here: what else its configuration is for (`ruff_configuration`).
"""

import json
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster import sandbox
from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, worst
from qflow_dagster.generation.comments import CommentChange
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.repository_gates.ruff_configuration import (
    ConfigurationError,
    configuration_of,
    tools_of,
)
from qflow_dagster.generation.validation import Answer, Gate

NAME = "format"
# Seconds.
TIMEOUT = 60
# Ruff accepts no longer lines.
MAX_LINE_LENGTH = 320


class FormatterMissingError(Exception):
    """The formatter cannot be run here; the message is what is needed."""


class Formatter(NamedTuple):
    """A formatter of the repository: its name, and formatting a text of a path; None: it cannot read the text."""

    name: str
    format: Callable[[str, str], str | None]
    # The formatter that this one is used instead of: what it calls clean, both do; else nothing is known.
    instead_of: str | None = None


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Format the changed files that were clean before; return the result for each candidate."""
    results = {}
    with batch.checkout() as folder:
        for candidate in candidates:
            started = time.monotonic()
            verdict, evidence = _check(batch, folder, candidate)
            results[candidate.id] = Result(Gate(NAME, verdict, evidence, time.monotonic() - started))
    return results


def use_texts(batch: Batch, candidate: Candidate, texts: Mapping[str, str]) -> None:
    """Make these texts, by path, the candidate's; its locations stay the edits before formatting."""
    candidate.files = [
        file._replace(result=file.result._replace(after=texts.get(file.request.path, file.result.after)))
        for file in candidate.files
    ]
    contents = {path: text.encode() for path, text in candidate.after.items()}
    candidate.patch = patches.make(batch.objects, candidate.base, contents)


def _check(batch: Batch, folder: Path, candidate: Candidate) -> Answer:
    answers: list[Answer] = []
    texts: dict[str, str] = {}
    for file in candidate.files:
        path, after = file.request.path, file.result.after
        try:
            formatter = formatter_of(path, file.request.language, folder)
            if formatter is None:
                answers.append(("passed", "no formatter is configured"))
                continue
            answer, formatted = _format(formatter, file.request, after)
            answers.append(answer)
            texts |= {path: formatted} if formatted != after else {}
        except (FormatterMissingError, ConfigurationError, sandbox.NotIsolatedError) as error:
            answers.append(("skipped", str(error)))
    verdict = worst(verdict for verdict, _ in answers)
    if verdict != "failed" and texts:
        use_texts(batch, candidate, texts)
    evidence = sorted({evidence for answer, evidence in answers if answer == verdict})
    return verdict, "; ".join(evidence[:5])


def _format(formatter: Formatter, request: Request, after: str) -> tuple[Answer, str]:
    """Return the answer for a file, and its text after the change, formatted if it was clean before."""
    path = request.path
    before = formatter.format(path, request.text)
    if before is None:
        return ("skipped", f"{formatter.name} cannot read {path}"), after
    if before != request.text:
        if formatter.instead_of is not None:
            return ("skipped", f"needs {formatter.instead_of}"), after
        return ("passed", f"{path} was not formatted with {formatter.name} before"), after
    formatted = formatter.format(path, after)
    if formatted is None:
        return ("failed", f"{formatter.name} cannot read {path} after the change"), after
    change = CommentChange(request, formatted)
    if problem := change.suppressed_line() or change.lost_or_moved():
        return ("failed", f"formatted with {formatter.name}: {problem}"), after
    return ("passed", f"clean with {formatter.name}"), formatted


def formatter_of(path: str, language: str, folder: Path) -> Formatter | None:
    """Return the formatter that a repository (a checkout in `folder`) uses for a file; None: none is configured.

    Raises:
        FormatterMissingError: It is not installed here.
        ConfigurationError: Its configuration is not used.
    """
    match language:
        case "python":
            return _python(path, folder)
        case "go":
            # It has no configuration, and Go code is expected to be formatted with it.
            program = _program("gofmt")
            return Formatter("gofmt", lambda path, text: _run([program], text, folder))
        case "rust":
            _program("rustfmt")
            return Formatter("rustfmt", lambda path, text: _rustfmt(path, text, folder))
        case "javascript" | "typescript" | "tsx" if _has_prettier(path, folder):
            raise FormatterMissingError("needs prettier")
    return None


def _python(path: str, folder: Path) -> Formatter | None:
    configuration = configuration_of(path, folder)
    pyproject = folder / "pyproject.toml"
    black = tools_of(pyproject).get("black") if pyproject.is_file() else None
    ruff = [str(find_ruff_bin()), "format", "--no-cache", "--force-exclude"]
    if isinstance(black, dict):
        length = black.get("line-length", 88)
        if not isinstance(length, int) or not 1 <= length <= MAX_LINE_LENGTH:
            raise ConfigurationError("pyproject.toml: tool.black.line-length is no length of lines")
        ruff += ["--isolated", "--line-length", str(length)]
        if black.get("skip-string-normalization"):
            ruff += ["--config", "format.quote-style='preserve'"]
    else:
        ruff += ["--isolated"] if configuration is None else ["--config", str(configuration)]
    # Without any configuration, a file that ruff leaves as it is counts as formatted too.
    return Formatter(
        "ruff format",
        lambda path, text: _run([*ruff, "--stdin-filename", str(folder / path), "-"], text, folder),
        "black" if isinstance(black, dict) else None,
    )


def _run(command: Sequence[str], text: str, folder: Path) -> str | None:
    """Run a formatter that only reads: it gets the text, and returns the formatted one."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=text.encode(),
            capture_output=True,
            timeout=TIMEOUT,
            env={},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _rustfmt(path: str, text: str, folder: Path) -> str | None:
    """Run rustfmt in the sandbox: the repository's configuration decides what it reads."""
    # In the file's folder, so that its configuration applies; on a text alone, so that modules stay out of it.
    parent = folder / Path(path).parent
    before, after = parent / "qflow-before.rs", parent / "qflow-after.rs"
    before.write_bytes(text.encode())
    script = 'cd "$1" && exec rustfmt --edition "$2" < qflow-before.rs > qflow-after.rs'
    command = ["sh", "-c", script, "sh", str(Path(path).parent), _edition(path, folder)]
    try:
        ran = sandbox.run(command, folder)
        if ran.code in (126, 127) or "is not installed" in ran.output:
            raise FormatterMissingError("needs rustfmt")
        if ran.code != 0 or after.is_symlink():
            return None
        return after.read_text(encoding="utf-8")
    finally:
        before.unlink(missing_ok=True)
        after.unlink(missing_ok=True)


def _edition(path: str, folder: Path) -> str:
    for parent in Path(path).parents:
        manifest = folder / parent / "Cargo.toml"
        if manifest.is_file():
            try:
                edition = tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]["edition"]
            except (ValueError, KeyError, TypeError):
                continue
            if edition in ("2015", "2018", "2021", "2024"):
                return edition
    return "2021"


def _has_prettier(path: str, folder: Path) -> bool:
    for parent in Path(path).parents:
        if any((folder / parent).glob(".prettierrc*")) or any((folder / parent).glob("prettier.config.*")):
            return True
        manifest = folder / parent / "package.json"
        if manifest.is_file():
            try:
                package = json.loads(manifest.read_text(encoding="utf-8"))
            except ValueError:
                continue
            if isinstance(package, dict) and (
                "prettier" in package or "prettier" in (package.get("devDependencies") or {})
            ):
                return True
    return False


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise FormatterMissingError(f"needs {name}")
    return program
