"""An approved change on the head of its target branch, which may have moved since the change was suggested.

Belongs here: bringing what is known of the code up to date, generating the change again, and whether it is still
what was approved. Does not belong here: commits (`edit_commits`), using the approval (`edits`).

What a person approved is lines at a location. So the approval holds for a patch with the same files and the same
hunks, whatever their line numbers.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import edit_verification, self_improvement
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import patches, single
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.patches import Patch
from qflow_dagster.ingestion import git, history, pipeline, repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.metrics.pipeline import compute_all

FINDING_GONE = "its finding is gone"
# Lines of the difference between two patches that a person is shown.
MAX_LINES = 400
_POSITIONS = re.compile(r"^@@ -[0-9,]+ \+[0-9,]+ @@.*$", re.M)
_BLOBS = re.compile(r"^index [0-9a-f]++\.\.[^\n]*+\n", re.M)


class Change(NamedTuple):
    """A change on the head of its target: the patch that may be committed there.

    `candidate` is set if the patch is not the one that was approved; if there is no patch, `problem` says why.
    """

    base: str
    patch: Patch | None
    candidate: Candidate | None = None
    problem: str = ""


class Targets:
    """The target branches of a batch of suggestions; each is read once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._heads: dict[tuple[str, str], str] = {}
        self._up_to_date: set[tuple[str, str]] = set()

    def change(self, row: Any) -> Change:
        """Return the change of an approved suggestion on the head of its target.

        If the target has moved, the change is generated again from its head, with all gates.

        Raises:
            QflowError: the repository cannot be reached, the branch is gone, or another process is reading it.
        """
        head, approved = self._head(row), patches.read(row.patch)
        if head == row.base_commit:
            return Change(head, approved)
        target = (row.repository, row.target)
        if target not in self._up_to_date:
            bring_up_to_date(self._engine, *target)
            self._up_to_date.add(target)
        with self._engine.connect() as connection:
            items = _items_with_findings(connection, row.work_items)
            if not items:
                return Change(head, None, problem=FINDING_GONE)
            if edit_verification.rule_of(connection, row) is None:
                return Change(head, None, problem="its rule has changed since")
        best = single.try_items(
            self._engine,
            items,
            lambda rule: frozenset(row.sources),
            self_improvement.limits_of,
            digest=bytes(row.rule_digest),
        ).best
        if best is None:
            return Change(head, None, problem="no change of the new code passes the gates")
        if identity(best.patch.text) == identity(approved.text):
            return Change(best.base, best.patch)
        return Change(best.base, best.patch, best)

    def _head(self, row: Any) -> str:
        target = (row.repository, row.target)
        if target not in self._heads:
            with self._engine.begin() as connection:
                repository = repositories.find(connection, row.repository)
                # Of a repository behind a URL, the branch as it is there.
                repositories.refresh(connection, repository)
            self._heads[target] = git.resolve(repository.objects, row.target).oid
        return self._heads[target]


def bring_up_to_date(engine: Engine, repository: str, revision: str) -> None:
    """Ingest a revision, and bring metrics, findings and plan of the repository up to date with it."""
    pipeline.ingest(engine, repository, revision)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, repository)
    history.ingest_history(engine, snapshot.repository_id, snapshot.commit_oid)
    compute_all(engine, snapshot.id)
    evaluation = rule_engine.evaluate(engine, repository)
    with engine.begin() as connection:
        findings.update(connection, snapshot, evaluation)
        safe_work_planner.plan(connection, snapshot)


def identity(patch: str) -> str:
    """Return a patch without what depends on its position: line numbers, and the ids of the contents.

    Unlike git's patch id it keeps white space, which has a meaning in some languages.
    """
    return _POSITIONS.sub("@@", _BLOBS.sub("", patch))


def difference(old: str, new: str) -> list[str]:
    """Return the lines in which two patches differ, as `git range-diff` shows them."""
    lines = list(
        difflib.unified_diff(
            identity(old).splitlines(), identity(new).splitlines(), "approved", "now", n=3, lineterm=""
        )
    )
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"({len(lines) - MAX_LINES} more lines)"]
    return lines


def _items_with_findings(connection: Connection, items: Sequence[UUID]) -> list[UUID]:
    """Return those work items whose rule still has findings in their file, in the same order.

    A goal's own bound has no rows of findings: its generator sees whether there is still something to do.
    """
    query = text("""
        SELECT i.id FROM unnest(CAST(:items AS uuid[])) WITH ORDINALITY AS listed(id, position)
        JOIN work_items i ON i.id = listed.id
        WHERE i.rule_id LIKE 'goal/%' OR EXISTS (
            SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id
            AND g.path = i.path AND g.state IN ('open', 'reopened'))
        ORDER BY listed.position
    """)
    return list(connection.scalars(query, {"items": list(items)}))
