"""The gate `format`: a file that the repository's own formatter leaves as it is, it leaves so after the change too.

A changed file that was clean before is formatted, and the formatted text becomes the candidate's: the gates after
this one look at it. Does not belong here: which formatter, and running it (`formatters`).
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from qflow_dagster.errors import QflowError
from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, FileChange, worst
from qflow_dagster.generation.comments import CommentChange
from qflow_dagster.generation.repository_gates.formatters import (
    Formatter,
    FormatterMissingError,
    formatters_of,
)
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.validation import Answer, Gate

NAME = "format"
MAX_NAMED = 5
# The texts before the change, formatted, by formatter and path: several candidates may change the same file.
Before = dict[tuple[str, str], str | None]


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Format the changed files that were clean before; return the result for each candidate."""
    results = {}
    before: Before = {}
    for candidate in candidates:
        started = time.monotonic()
        verdict, evidence = _check(batch, candidate, before)
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


def _check(batch: Batch, candidate: Candidate, before: Before) -> Answer:
    answers: list[Answer] = []
    texts: dict[str, str] = {}
    for file in candidate.files:
        path, after = file.request.path, file.request.file_with(file.result.after)
        changed = after
        try:
            formatters = [
                formatter
                for formatter in formatters_of(path, file.request.language, batch.folder)
                if formatter.concerns(file.request.file, after)
            ]
            if not formatters:
                answers.append(("not applicable", "no formatter is configured"))
            for formatter in formatters:
                if (formatter.name, path) not in before:
                    before[formatter.name, path] = formatter.format(path, file.request.file)
                answer, after = _format(formatter, file, before[formatter.name, path], after)
                answers.append(answer)
        except (FormatterMissingError, QflowError) as error:
            # Also a configuration that is not used, or no sandbox.
            answers.append(("skipped", str(error)))
        text = file.request.text_of(after)
        texts |= {path: text} if after != changed and text is not None else {}
    verdict = worst(verdict for verdict, _ in answers)
    if verdict != "failed" and texts:
        use_texts(batch, candidate, texts)
    evidence = sorted({evidence for answer, evidence in answers if answer == verdict})
    return verdict, "; ".join(evidence[:MAX_NAMED])


def _format(formatter: Formatter, file: FileChange, before: str | None, after: str) -> tuple[Answer, str]:
    """Return the answer for a file, and its content after the change, formatted if it was clean before."""
    path = file.request.path
    if before is None:
        return ("skipped", f"{formatter.name} cannot read {path}"), after
    if before != file.request.file:
        if formatter.instead_of is not None:
            return ("skipped", f"needs {formatter.instead_of}"), after
        return ("not applicable", f"{path} was not formatted with {formatter.name} before"), after
    formatted = formatter.format(path, after)
    if formatted is None:
        return ("failed", f"{formatter.name} cannot read {path} after the change"), after
    if formatted == file.request.file:
        return ("failed", f"{formatter.name} undoes the change of {path}"), after
    text = file.request.text_of(formatted)
    if text is None or file.request.file_with(text) != formatted:
        return ("failed", f"{formatter.name} changes {path} outside of its code"), after
    change = CommentChange(file.request, text)
    if problem := change.suppressed_line() or change.lost_or_moved():
        return ("failed", f"formatted with {formatter.name}: {problem}"), after
    return ("passed", f"clean with {formatter.name}"), formatted
