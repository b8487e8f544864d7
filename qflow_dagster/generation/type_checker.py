"""Types of Python expressions, and type errors, by pyrefly with our own configuration.

Pyrefly reads files only: it runs no code of the repository, asks no interpreter and loads no plug-in. Each
expression is wrapped in `reveal_type(...)` in a copy of its file. Does not belong here: which expressions
(`preconditions`).
"""

import json
import subprocess
import sysconfig
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.ruff_matcher import ruff_target

Span = tuple[int, int]
# Seconds for all files of a batch.
TIMEOUT = 120
_PREFIX = "revealed type: "
_CALL = "reveal_type("


class TypeProblem(NamedTuple):
    """An error that the type checker reports: where, its name, and a message of one line."""

    path: str
    line: int
    name: str
    message: str


def problems_in(folder: Path, paths: Sequence[str], target: str) -> list[TypeProblem]:
    """Return the type errors in these files of a checkout; `target` is as in `types_in`.

    Raises:
        QflowError: pyrefly could not be run.
    """
    return [
        TypeProblem(
            _relative(folder, error["path"]), error["line"], error["name"], error["concise_description"]
        )
        for error in _run(folder, list(paths), target)
        if error["severity"] == "error"
    ]


def types_in(
    folder: Path, texts: Mapping[str, str], spans: Mapping[str, Collection[Span]], target: str
) -> dict[str, dict[Span, str]]:
    """Return the types of expressions, by file and span; those that are not known are missing.

    `folder` is a checkout whose files may be replaced; `target` is the Python version as ruff names it (py311).

    Raises:
        QflowError: pyrefly could not be run.
    """
    locations: dict[str, dict[tuple[int, int], Span]] = {}
    for path, wanted in spans.items():
        text, calls = _wrapped(texts[path], wanted)
        locations[path] = {_location(text, offset): span for offset, span in calls.items()}
        (folder / path).write_bytes(text.encode())
    types: dict[str, dict[Span, str]] = {path: {} for path in spans}
    for error in _run(folder, sorted(spans), target):
        description = error["description"]
        path = _relative(folder, error["path"])
        span = locations.get(path, {}).get((error["line"], error["column"]))
        if span is not None and description.startswith(_PREFIX):
            types[path][span] = description.removeprefix(_PREFIX)
    return types


def _wrapped(text: str, spans: Collection[Span]) -> tuple[str, dict[int, Span]]:
    """Return the text with each span wrapped, and the spans by the offset of their parenthesis in it."""
    # At the same offset: what ends comes first, then the longer span.
    inserts = [(end, 0, start - end, ")", (start, end)) for start, end in set(spans)]
    inserts += [(start, 1, start - end, _CALL, (start, end)) for start, end in set(spans)]
    inserts = [
        (at, kind, -length if kind == 0 else length, new, span) for at, kind, length, new, span in inserts
    ]
    parts: list[str] = []
    calls: dict[int, Span] = {}
    before = length = 0
    for at, _, _, new, span in sorted(inserts):
        parts += [text[before:at], new]
        length += at - before + len(new)
        before = at
        if new == _CALL:
            calls[length - 1] = span
    return "".join([*parts, text[before:]]), calls


def _location(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _relative(folder: Path, path: str) -> str:
    return str(Path(folder, path).relative_to(folder))


def _run(folder: Path, paths: list[str], target: str) -> list[dict]:
    if not paths:
        return []
    with tempfile.TemporaryDirectory(prefix="qflow-types-") as own:
        config = Path(own, "pyrefly.toml")
        config.write_text("skip-interpreter-query = true\nsite-package-path = []\n")
        roots = [str(folder / name) for name in (".", "src") if (folder / name).is_dir()]
        version = f"3.{ruff_target(target).removeprefix('py3')}"
        command = [str(Path(sysconfig.get_path("scripts"), "pyrefly")), "check", "--config", str(config)]
        command += ["--python-version", version, "--output-format", "json"]
        command += [argument for root in roots for argument in ("--search-path", root)]
        try:
            process = subprocess.run(
                [*command, "--", *(str(folder / path) for path in paths)],
                cwd=folder,
                capture_output=True,
                timeout=TIMEOUT,
                env={},
                check=False,
            )
            return json.loads(process.stdout)["errors"]
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
            raise QflowError(f"pyrefly could not be run: {error}") from None
