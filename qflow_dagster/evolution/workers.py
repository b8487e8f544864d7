"""Evaluating rules on blobs, in worker processes.

Belongs here: what a worker does with a batch of blobs, and what becomes of a blob that it does not
survive. Does not belong here: which blobs, and storing what was found (`rule_engine`).

A worker imports this, and starts in a third of the time without a database driver.
"""

from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import trees
from qflow_dagster.processes import Lost


class Task(NamedTuple):
    """A blob to evaluate, and the rules (positions in the list) that have not looked at it."""

    blob_id: int
    oid: str
    language: str
    path: str
    size: int
    rules: tuple[int, ...]


class Evaluated(NamedTuple):
    """What the rules found in one blob, or the problem that kept them from looking."""

    task: Task
    matches: list[matchers.Match]
    problem: str | None = None


def evaluate_batch(context: tuple[Path, list[Rule], str], batch: list[Task]) -> list[Evaluated]:
    """In a worker process: what the rules find in a batch of blobs."""
    objects, rules, target = context
    results: list[Evaluated] = []
    python: list[tuple[int, matchers.Source]] = []
    chosen = [rule if position in batch[0].rules else None for position, rule in enumerate(rules)]
    for task, data in zip(batch, trees.read_blobs(objects, [(t.oid, t.path) for t in batch]), strict=True):
        content = matchers.decode(data)
        if content is None:
            results.append(Evaluated(task, [], "it is not UTF-8"))
            continue
        source = matchers.Source(content, task.path)
        results.append(Evaluated(task, matchers.find(source, task.language, chosen)))
        if task.language == "python":
            python.append((len(results) - 1, source))
    for position, match in matchers.find_with_ruff([source for _, source in python], chosen, target):
        results[python[position][0]].matches.append(match)
    return results


def lost(task: Task, code: int | None) -> Lost:
    """A blob that kills its reader has no matches."""
    return Lost(result=[Evaluated(task, [], f"the parser ended with code {code} on it")])
