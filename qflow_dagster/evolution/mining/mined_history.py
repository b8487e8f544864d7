"""A history as it is mined: its commits, and the edits of the small ones, read once.

Belongs here: reading both. Does not belong here: which commits are
read (`commit_selection`), cutting out edits (`concrete_edits`), what is made of them (`rule_miner`).

Reading is the dear part: whoever mines the same history as of several days reads it once and takes stretches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import commit_selection
from qflow_dagster.evolution.mining.edit_groups import Packed, extract_batch
from qflow_dagster.evolution.mining.small_commits import MinedCommit, batches_of
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.progress import ReportProgress

PROCESSES = 2
STALL_SECONDS = 60.0


@dataclass(frozen=True)
class History:
    """The commits that changed code, the oldest first, and the edits of those that are small."""

    objects: Path
    commits: list[MinedCommit]
    edits: list[Packed]

    @cached_property
    def by_oid(self) -> dict[str, MinedCommit]:
        """The commits by their ids."""
        return {commit.oid: commit for commit in self.commits}


def read_history(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    languages: Sequence[str] = tuple(matchers.LANGUAGES),
    most_commits: int = 20_000,
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> History:
    """The newest `most_commits` commits that lead to `tip`, merges excepted, and were committed by `until`.

    Raises:
        GitError: the history cannot be read.
        UsageError: a language has no rules.
    """
    if unknown := set(languages) - set(matchers.LANGUAGES):
        raise UsageError(
            f"no rules are mined of {unknown.pop()!r}; there are {', '.join(matchers.LANGUAGES)}"
        )
    commits = commit_selection.read_commits(
        objects,
        tip=tip,
        until=until,
        chosen=languages,
        most_commits=most_commits,
        processes=processes,
        progress=progress,
    )
    small = [commit for commit in commits if commit.small]
    edits: list[Packed] = []
    results = in_processes(
        extract_batch,
        objects,
        batches_of(small),
        processes,
        lost=lambda task, code: Lost(result=(1, [])),
        stall=STALL_SECONDS,
    )
    done = 0
    for count, found in results:
        edits += found
        done += count
        if progress:
            progress("reading edits", done, len(small))
    # Batches come as they are done; what is made of them must not depend on that.
    return History(objects, commits, sorted(edits))
