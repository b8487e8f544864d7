"""A history for mining: its commits, and the edits of the small ones, read once.

Reading is the expensive part: to mine the same history as of several days, read it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import mined_commits
from qflow_dagster.evolution.mining.edit_groups import PackedEdit, extract_batch
from qflow_dagster.evolution.mining.mined_commits import MinedCommit, batches_of
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.progress import ReportProgress

PROCESSES = 2
STALL_SECONDS = 60.0


@dataclass(frozen=True)
class History:
    """The commits that changed code, oldest first, and the edits of the small ones."""

    objects: Path
    commits: list[MinedCommit]
    edits: list[PackedEdit]

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
    max_commits: int = 20_000,
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> History:
    """Read the newest `max_commits` ancestors of `tip` that were committed by `until`, without merges.

    Raises:
        GitError: The history cannot be read.
        UsageError: A language has no rules.
    """
    if unknown := set(languages) - set(matchers.LANGUAGES):
        raise UsageError(
            f"no rules are mined of {unknown.pop()!r}; there are {', '.join(matchers.LANGUAGES)}"
        )
    commits = mined_commits.read_commits(
        objects,
        tip=tip,
        until=until,
        rule_languages=languages,
        max_commits=max_commits,
        processes=processes,
        progress=progress,
    )
    small = [commit for commit in commits if commit.small]
    edits: list[PackedEdit] = []
    results = in_processes(
        extract_batch,
        objects,
        batches_of(small),
        processes,
        lost=lambda task, code: LostResult(result=(1, [])),
        stall=STALL_SECONDS,
    )
    processed = 0
    for count, batch_edits in results:
        edits += batch_edits
        processed += count
        if progress:
            progress("reading edits", processed, len(small))
    # Sorted, because batches arrive in any order.
    return History(objects, commits, sorted(edits))
