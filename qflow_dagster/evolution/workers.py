"""Evaluating rules on batches of blobs, in worker processes.

`rule_engine` selects the blobs and stores the results. Imports no database driver: a worker
process starts three times faster without one.
"""

from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import embedded, matchers, ruff_matcher
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import trees
from qflow_dagster.processes import LostResult


class Task(NamedTuple):
    """A blob to evaluate, and the rules (positions in the list) that were not evaluated on it.

    `language` is named as rules do; of a file with code of another language it is the name as detected.
    """

    blob_id: int
    oid: str
    language: str
    path: str
    size: int
    rules: tuple[int, ...]


class BlobResult(NamedTuple):
    """The matches in one blob, or the problem that prevented its evaluation."""

    task: Task
    matches: list[matchers.Match]
    problem: str | None = None


def evaluate_batch(context: tuple[Path, list[Rule], str], batch: list[Task]) -> list[BlobResult]:
    """Evaluate rules on a batch of blobs; runs in a worker process."""
    objects, rules, target = context
    results: list[BlobResult] = []
    python: list[tuple[int, matchers.Source]] = []
    chosen = [rule if position in batch[0].rules else None for position, rule in enumerate(rules)]
    for task, data in zip(batch, trees.read_blobs(objects, [(t.oid, t.path) for t in batch]), strict=True):
        content = matchers.decode(data)
        if content is None:
            results.append(BlobResult(task, [], "it is not UTF-8"))
            continue
        source, language, own = matchers.Source(content, task.path), task.language, chosen
        found: list[matchers.Match] = []
        if language in embedded.LANGUAGES:
            # Rules for any language look at the whole file, all others at its code.
            found = matchers.find(source, "", chosen)
            own = [None if rule is None or matchers.applies(rule, "") else rule for rule in chosen]
            inner = embedded.read(language, content)
            if inner is not None:
                source, language = matchers.Source(inner.code.text, task.path), inner.code.language
        results.append(BlobResult(task, found + matchers.find(source, language, own)))
        if language == "python":
            python.append((len(results) - 1, source))
    for position, match in ruff_matcher.find_with_ruff([source for _, source in python], chosen, target):
        results[python[position][0]].matches.append(match)
    return results


def lost(task: Task, code: int | None) -> LostResult:
    """Return the result for a blob whose evaluation ended the worker process: no matches."""
    return LostResult(result=[BlobResult(task, [], f"the parser ended with code {code} on it")])
