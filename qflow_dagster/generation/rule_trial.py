"""Trying rules out on a commit: every match, and what the fix would make of it; nothing is stored.

Does not belong here: rules against their own examples (`evolution.examples`), proposing changes (`orchestrator`).
"""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.fixed_text import fix_text
from qflow_dagster.ingestion import git, languages, trees
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.settings import settings

BATCH_FILES = 50
# Larger files are data.
MAX_FILE_BYTES = 1_000_000


class TrialResult(NamedTuple):
    """What one rule finds in one file: (line, message) of each match, and the diff of its fix ('' without one)."""

    path: str
    rule: str
    matches: list[tuple[int, str]]
    diff: str
    problem: str = ""


def try_rules(objects: Path, commit: str, rules: Sequence[Rule], under: str = ".") -> Iterator[TrialResult]:
    """Yield what each rule finds in each file of a commit, and changes; in worker processes, the code is untrusted.

    `under`: a folder or file of the commit, to try it alone. Rules of measures (`metric`) need an ingested repository
    and find nothing here.

    Raises:
        UsageError: the commit has nothing there.
    """
    entries = [
        entry
        for entry in git.list_tree(objects, commit)
        if under in (".", ".git", entry.path) or entry.path.startswith(f"{under}/")
    ]
    if not entries and under != ".":
        raise UsageError(
            f"{under} is not in commit {commit[:10]} of {objects}: commit it, or give another path"
        )
    files = [
        (entry.path, entry.oid)
        for entry in entries
        if entry.kind == "blob" and entry.mode != "120000" and (entry.size or 0) <= MAX_FILE_BYTES
    ]
    batches = [files[start : start + BATCH_FILES] for start in range(0, len(files), BATCH_FILES)]
    processes = settings().ingestion.processes
    for results in in_processes(try_batch, (objects, list(rules)), batches, processes, lost=_lost):
        yield from results


def try_batch(context: tuple[Path, list[Rule]], batch: list[tuple[str, str]]) -> list[TrialResult]:
    """Return what rules find in a batch of files (path, object id); runs in a worker process."""
    objects, rules = context
    results = []
    for (path, _), data in zip(batch, trees.read_blobs(objects, [(oid, p) for p, oid in batch]), strict=True):
        text = matchers.decode(data)
        if text is None:
            continue
        language = matchers.rule_language(languages.detect(path, data[: languages.HEAD_BYTES]))
        for rule in rules:
            if rule.matcher.metric is not None or not matchers.applies(rule, language):
                continue
            found = matches_in(rule, text, path, language or "any")
            if found:
                after = fix_text(rule, text, path, language) if rule.fix is not None else text
                matches = [(match.line, match.message) for match in found if not match.suppressed]
                results.append(TrialResult(path, rule.id, matches, _diff(path, text, after)))
    return results


def _diff(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", n=1, lineterm=""
    )
    return "\n".join(lines)


def _lost(task: tuple[str, str], code: int | None) -> LostResult:
    problem = "it took too long" if code is None else f"it ended its process with code {code}"
    return LostResult(result=[TrialResult(task[0], "", [], "", problem)])
