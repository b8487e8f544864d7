"""Verify edits after they are applied, and revert those that made things worse.

Belongs here: the measures before and after, suspicion by new errors, the revert. Does not belong here: applying
(`edits`), what becomes of an edit on its target branch (`edit_lifecycle`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select, text, update

from qflow_dagster.agents import edit_commits, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES
from qflow_dagster.agents.tables import edits
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import embedded, goal_rules, matchers, rule_set
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution.tables import work_items
from qflow_dagster.generation import candidate_records, patches, remaining, validation
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.ingestion import git, repositories, trees
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.quantumflow import transition
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.safety import logs

ACTOR = self_improvement.ACTOR
logger = logs.logger(__name__)

_UNVERIFIED = text("""
SELECT e.*, s.rule_id, s.work_items, r.name AS repository, c.language, c.rule_digest
FROM edits e JOIN suggestions s ON s.id = e.id JOIN repositories r ON r.id = e.repository_id
JOIN candidates c ON c.id = s.candidate_id JOIN workflows w ON w.id = e.id
WHERE e.verified_at IS NULL AND e.ended_at IS NULL AND w.status = 'applied' ORDER BY e.applied_at LIMIT :limit
""")


# New errors whose suspected cause is the edit's commit, while the edit is monitored.
_SUSPECTED_EDITS = text("""
SELECT e.id, a.requested_by, g.operation, g.message, extract(epoch FROM g.last_seen - e.applied_at)::float AS after,
       extract(epoch FROM clock_timestamp() - e.applied_at)::float AS age
FROM edits e JOIN suggestions s ON s.id = e.id JOIN approvals a ON a.id = s.approval_id
JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid AND g.last_seen >= e.applied_at
WHERE e.ended_at IS NULL AND e.applied_at > clock_timestamp() - make_interval(secs => :window)
ORDER BY e.id, g.operation, g.id
""")


class VerifyResult(NamedTuple):
    """An edit that was verified (`good`) or reverted, and the reason."""

    edit_id: UUID
    good: bool
    reason: str


def verify_all(engine: Engine) -> list[VerifyResult]:
    """Verify edits that were not verified yet, and revert those that are suspected of new errors."""
    return [*verify_applied(engine), *revert_suspected(engine)]


def has_unverified(connection: Connection) -> bool:
    """Return whether an edit was left unverified (its run was killed, or failed) or is suspected of new errors."""
    query = text("""
        SELECT EXISTS (SELECT FROM edits e JOIN workflows w ON w.id = e.id
                       WHERE e.verified_at IS NULL AND e.ended_at IS NULL AND w.status = 'applied'
                         AND e.applied_at < clock_timestamp() - interval '30 s')
            OR EXISTS (SELECT FROM edits e JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid
                       WHERE e.ended_at IS NULL AND e.applied_at > clock_timestamp() - interval '10 min'
                         AND g.last_seen >= e.applied_at)
    """)
    return bool(connection.scalar(query))


def verify_applied(engine: Engine, *, limit: int = 50) -> list[VerifyResult]:
    """Verify every edit not verified yet by tests, findings and metrics; revert those that made things worse."""
    with engine.connect() as connection:
        rows = connection.execute(_UNVERIFIED, {"limit": limit}).all()
    results = []
    for row in rows:
        try:
            results.append(_verify(engine, row))
        except QflowError as error:
            logger.warning("edit %s could not be verified: %s", row.id, error)
    return results


def revert_suspected(engine: Engine) -> list[VerifyResult]:
    """Revert edits that are suspected of new errors, according to their agent's safety profile.

    An error counts if it occurred within the profile's window, and its operation fails at least at the rate of
    the profile's threshold.
    """
    window = max(profile.window for profile in PROFILES.values())
    suspected: dict[UUID, list[str]] = {}
    with engine.connect() as connection:
        for row in connection.execute(_SUSPECTED_EDITS, {"window": window}).all():
            profile = PROFILES.get(row.requested_by.removeprefix("agent:"), PROFILES["default"])
            if not profile.automatic_revert or row.after >= profile.window:
                continue
            error_rate = rate(connection, row.operation, window=max(row.age, 1.0))
            if error_rate.rate >= profile.error_threshold:
                error = f"{row.operation}: {row.message} ({error_rate.errors} of {error_rate.total} failed)"
                suspected.setdefault(row.id, []).append(error)
    results = []
    for id_, errors in suspected.items():
        reason = f"{len(errors)} new errors are attributed to it, for example {errors[0]}"[:500]
        try:
            revert(engine, id_, actor=ACTOR, reason=reason)
        except QflowError as error:
            logger.warning("edit %s could not be reverted: %s", id_, error)
            continue
        results.append(VerifyResult(id_, False, reason))
    return results


def _verify(engine: Engine, row: Any) -> VerifyResult:
    with engine.connect() as connection:
        objects = repositories.find(connection, row.repository).objects
        snapshot = current_snapshot(connection, row.repository)
        rule = rule_of(connection, row)
    if edit_commits.read_branch(objects, row.branch) is None:
        raise QflowError(f"branch {row.branch} is gone; nothing is left to verify")
    patch = edit_commits.patch_of(objects, row.base_commit, row.commit_oid)
    before, after = (
        measure(objects, commit, patch.paths, row.language, rule)
        for commit in (row.base_commit, row.commit_oid)
    )
    before.pop("left")
    left = after.pop("left")
    gate = Suite(engine, objects, _at(snapshot, row.base_commit)).check(patch)
    problems = []
    if gate.verdict == "failed":
        problems.append(gate.evidence)
    # A rule that was retired in the meantime does not count, nor one whose findings the changed files do not show.
    if rule is not None and not remaining.needs_repository(rule) and after["findings"] >= before["findings"]:
        problems.append(f"{row.rule_id} has {after['findings']} findings, {before['findings']} before")
    if after["parse_errors"] > before["parse_errors"]:
        problems.append("it has new syntax errors")
    if after["cognitive"] > validation.max_complexity(before["cognitive"], before["findings"]):
        problems.append(f"cognitive complexity is {after['cognitive']}, {before['cognitive']} before")
    outcome = {"before": before, "after": after, "tests": f"{gate.verdict}: {gate.evidence}"}
    if problems:
        reason = "; ".join(problems)
        revert(engine, row.id, actor=ACTOR, reason=reason, outcome=outcome)
        return VerifyResult(row.id, False, reason)
    with engine.begin() as connection:
        updated = connection.execute(
            update(edits)
            .where(
                edits.c.id == row.id,
                edits.c.verified_at.is_(None),
                edits.c.ended_at.is_(None),
                # It may have been rebased in the meantime.
                edits.c.commit_oid == row.commit_oid,
            )
            .values(verified_at=func.clock_timestamp(), outcome=to_jsonb(outcome, "the outcome"))
        )
        if updated.rowcount:
            transition(connection, [row.id], "verified", actor=ACTOR, data=outcome)
            done, partial = _by_completion(connection, row.work_items, left)
            self_improvement.release(connection, done, f"edit {row.id} is verified", to="done")
            reason = f"edit {row.id} is verified; {row.rule_id} has findings left in the file"
            self_improvement.release(connection, partial, reason)
    return VerifyResult(row.id, True, outcome["tests"])


def revert(
    engine: Engine, edit_id: UUID, *, actor: str, reason: str, outcome: Mapping[str, Any] | None = None
) -> str:
    """Revert an edit by a commit on its branch; return that commit.

    Raises:
        QflowError: there is no such edit, it has ended, or its branch has moved.
    """
    with engine.begin() as connection:
        query = text("""
            SELECT e.*, r.name AS repository, s.work_items, s.candidate_id, s.target, w.status FROM edits e
            JOIN repositories r ON r.id = e.repository_id JOIN suggestions s ON s.id = e.id
            JOIN workflows w ON w.id = e.id WHERE e.id = :id FOR UPDATE OF e, w
        """)
        row = connection.execute(query, {"id": edit_id}).one_or_none()
        if row is None:
            raise QflowError(f"there is no edit {edit_id}")
        if row.reverted_at is not None:
            raise QflowError(f"edit {edit_id} was reverted before, by {row.ended_by}")
        if row.ended_as is not None:
            raise QflowError(
                f"edit {edit_id} is {row.ended_as}, and its branch has ended: revert it in {row.target}"
            )
        objects = repositories.find(connection, row.repository).objects
        trailers = {"Qflow-Suggestion": str(row.id), "Qflow-Reverted-By": actor}
        at: datetime = connection.execute(select(func.now())).scalar_one()
        commit = edit_commits.make_revert(objects, row.commit_oid, row.base_commit, reason, trailers, at)
        new_outcome = {**(outcome or row.outcome or {}), "reverted": reason}
        connection.execute(
            update(edits)
            .where(edits.c.id == edit_id)
            .values(
                reverted_at=func.clock_timestamp(),
                revert_oid=commit,
                ended_at=func.clock_timestamp(),
                ended_as="reverted",
                ended_by=commit,
                end_reason=reason,
                outcome=to_jsonb(new_outcome, "the outcome"),
            )
        )
        transition(connection, [edit_id], "reverted", actor=actor, data={"reason": reason, "commit": commit})
        candidate_records.record_outcome(connection, row.candidate_id, "reverted")
        self_improvement.release(
            connection,
            row.work_items,
            f"edit {edit_id} was reverted: {reason}",
            of=("in_progress", "done"),
        )
        edit_commits.set_branch(objects, row.branch, commit, row.commit_oid)
    return commit


def rule_of(connection: Connection, row: Any) -> Rule | None:
    """Return the version of the rule that an edit is for; None if it is not in force any more."""
    return goal_rules.of_id(row.rule_id) or next(
        (rule for rule in rule_set.current(connection) if rule.digest == bytes(row.rule_digest)), None
    )


def measure(
    git_dir: Path, tree: str, paths: Sequence[str], language: str, rule: Rule | None
) -> dict[str, Any]:
    """Count findings of the rule, cognitive complexity, code lines and syntax errors of files of a commit or tree.

    A file that is not there counts nothing. `left` are the files in which the rule still finds something.
    """
    # Imported late: commands that only read need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    total: dict[str, Any] = {"findings": 0, "cognitive": 0, "code_lines": 0, "parse_errors": 0, "left": []}
    # Without paths git would list all there are.
    listing = git.run(git_dir, "ls-tree", "-z", "--full-tree", tree, "--", *paths) if paths else b""
    for entry in listing.decode("utf-8", "replace").split("\0")[:-1]:
        header, _, path = entry.partition("\t")
        mode, _, oid = header.split()
        if mode not in patches.FILE_MODES:
            continue
        data = git.run(git_dir, "cat-file", "blob", oid, max_output=trees.MAX_BLOB_BYTES)
        content = matchers.decode(data)
        inner = embedded.of_file(path, content) if content is not None else None
        if inner is not None:
            content = inner.code.text
            data = content.encode()
        facts = extract(data, matchers.LANGUAGES.get(language, ""))
        if rule is not None and content is not None:
            count = remaining.count_findings(rule, content, path, language, facts)
            total["findings"] += count
            total["left"] += [path] if count else []
        total["cognitive"] += sum(symbol.cognitive or 0 for symbol in facts.symbols)
        total["code_lines"] += facts.code_lines
        total["parse_errors"] += facts.parse_error_count
    return total


def _by_completion(
    connection: Connection, items: Sequence[UUID], left: Sequence[str]
) -> tuple[list[UUID], list[UUID]]:
    """Return the work items of files in which nothing is left, and the others."""
    columns = work_items.c
    paths = connection.execute(select(columns.id, columns.path).where(columns.id.in_(items))).all()
    return [row.id for row in paths if row.path not in left], [row.id for row in paths if row.path in left]


def _at(snapshot: Snapshot, commit: str) -> Snapshot:
    return replace(snapshot, commit_oid=commit)
