"""Type errors of TypeScript, and of JavaScript that a repository has checked for types, by its compiler.

`tsc` runs in the sandbox: that of the repository's packages, or an installed one. It checks whole projects, so also
the files that depend on the changed ones. Does not belong here: what happens in the sandbox (typescript_driver.cjs).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from qflow_dagster import sandbox
from qflow_dagster.generation.candidates import Candidate, worst
from qflow_dagster.generation.repository_gates.drivers import Driver, report_of
from qflow_dagster.generation.repository_gates.protocol import Batch, apart
from qflow_dagster.generation.type_checker import TypeProblem
from qflow_dagster.generation.validation import Answer
from qflow_dagster.settings import settings

TYPESCRIPT = (".ts", ".tsx", ".mts", ".cts")
JAVASCRIPT = (".js", ".jsx", ".mjs", ".cjs")
DRIVER = Driver(("node",), "typescript_driver.cjs", "node")
MAX_NAMED = 3
_CONFIGURATIONS = ("tsconfig.json", "jsconfig.json")
# What switches the check of JavaScript on: in a configuration, perhaps that of a package, or in the file.
_CHECKS_JAVASCRIPT = re.compile(r'"(?:checkJs|extends)"')
_CHECKED = re.compile(r"//\s*@ts-check\b")


class Checked(NamedTuple):
    """What the compiler says of a candidate: the verdict without errors, the evidence for it, and new errors."""

    answer: Answer
    new: list[TypeProblem]


def check(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Checked]:
    """Return what the compiler says of the candidates with files that it may check."""
    changed = {candidate.id: _files(batch, candidate) for candidate in candidates}
    chosen = [candidate for candidate in candidates if changed[candidate.id]]
    if not chosen:
        return {}
    position = {candidate.id: number for number, candidate in enumerate(chosen)}
    # Scripts of other files are checked as files of their own, which stand beside them.
    within = {
        file.request.code_path: file.request.text
        for candidate in chosen
        for file in candidate.files
        if file.request.code_path in changed[candidate.id] and file.request.embedded is not None
    }
    jobs = {
        "within": within,
        "candidates": [changed[candidate.id] for candidate in chosen],
        "groups": [[position[candidate.id] for candidate in group] for group in apart(chosen, changed)],
    }
    try:
        report = report_of(batch, DRIVER, jobs, settings().generation.test_timeout)
    except sandbox.NotIsolatedError as error:
        report = [{"reason": str(error)}] * len(chosen)
    packages = batch.environments.of(DRIVER.ecosystem).evidence
    results = report if isinstance(report, list) and len(report) == len(chosen) else [{}] * len(chosen)
    return {
        candidate.id: _checked(changed[candidate.id], result, packages)
        for candidate, result in zip(chosen, results, strict=True)
    }


def _files(batch: Batch, candidate: Candidate) -> dict[str, str]:
    """Return the new texts of a candidate's files that the compiler may check."""
    texts = {file.request.code_path: file.result.after for file in candidate.files}
    return {
        path: text
        for path, text in texts.items()
        if path.endswith(TYPESCRIPT)
        or (path.endswith(JAVASCRIPT) and _may_be_checked(batch.folder, path, text))
    }


def _may_be_checked(folder: Path, path: str, text: str) -> bool:
    configurations = (folder / parent / name for parent in Path(path).parents for name in _CONFIGURATIONS)
    nearest = next((file for file in configurations if file.is_file()), None)
    if nearest is None:
        return False
    return bool(_CHECKED.search(text) or _CHECKS_JAVASCRIPT.search(nearest.read_text(errors="replace")))


def _checked(files: Iterable[str], result: Mapping[str, Any], packages: str) -> Checked:
    """Return what the driver reports of a candidate as the compiler's answer."""
    if "new" not in result:
        reason = result.get("reason") or "tsc did not end in time"
        return Checked(("skipped", f"{reason} ({packages})"), [])
    new = [TypeProblem(error["path"], error["line"], "", error["message"]) for error in result["new"]]
    answers: list[Answer] = []
    for path in files:
        if path not in result["unchecked"]:
            answers.append(("passed", f"tsc has nothing new to say of {' and '.join(result['projects'])}"))
            continue
        configuration, error = result["unchecked"][path]
        if path.endswith(JAVASCRIPT) and not error:
            answers.append(("not applicable", "this JavaScript is not checked for types"))
        elif error:
            answers.append(("skipped", f"tsc checks nothing of {configuration}: {error} ({packages})"))
        elif configuration:
            answers.append(("skipped", f"tsc does not check {path}: it is excepted"))
        else:
            answers.append(("skipped", f"no tsconfig.json includes {path}"))
    verdict = worst(verdict for verdict, _ in answers)
    evidence = dict.fromkeys(evidence for answer, evidence in answers if answer == verdict)
    return Checked((verdict, "; ".join(list(evidence)[:MAX_NAMED])), new)
