"""What had another name before, or has one since: files by the ingested history, declarations by the lines of a commit.

Belongs here: finding renames, and how answers on history say them. Does not belong here: when something was introduced,
changed or removed (`history_answers`, `revision_answers`).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.knowledge import git_facts, history_lookups, lookups
from qflow_dagster.knowledge.declaring_lines import is_declaration
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext

# A file that was renamed more often is not followed further.
MAX_RENAMES = 6
MAX_BYTES = 20_000_000
# Nobody declares anything in a longer line by hand.
MAX_LINE = 1_000
_NAME = r"[\w$]+"


def of_file(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    """Return when a file got each of its names, oldest first, as the end of a sentence; '' if it had no other one."""
    rows = history_lookups.renames(context.connection, context.snapshot, path)[::-1]
    dates = git_facts.author_dates(context.objects(), [row.oid for row in rows])
    said, evidence = "", []
    for row in rows:
        words = f"renamed from {row.previous_path} to {row.path} on {dates[row.oid]} by {row.author_name}"
        said += f"; {words}: {row.subject} ({row.oid[:10]})"
        evidence.append(Evidence(row.oid, row.path, None, f"{words}: {row.subject}"))
    return said, evidence


def since(context: QuestionContext, path: str, commit: int) -> tuple[str, list[Evidence]]:
    """Return what became of a file that a commit renamed to `path`, as the end of a sentence.

    `commit` is the identity of that commit in the database.
    """
    said, evidence = "", []
    for _ in range(MAX_RENAMES):
        if lookups.object_ids(context.connection, context.snapshot, [path]):
            return said, evidence
        rows = history_lookups.removals(context.connection, context.snapshot, path)
        later = [row for row in rows if row.path == path and row.id > commit]
        if not later:
            break
        row = later[-1]
        verb = f"renamed to {row.new_path}" if row.new_path else "removed"
        date = git_facts.author_dates(context.objects(), [row.oid])[row.oid]
        words = f"{path} was {verb} on {date} by {row.author_name}"
        said += f"; {words}: {row.subject} ({row.oid[:10]})"
        evidence.append(Evidence(row.oid, path, None, f"{words}: {row.subject}"))
        if not row.new_path:
            break
        path, commit = row.new_path, row.id
    return said, evidence


def name_since(objects: Path, oid: str, name: str) -> str | None:
    """Return the name that a commit gave to the declaration of a name; None if it renamed none."""
    return next((after for before, after in _pairs(objects, oid, name, "-")), None)


def name_before(objects: Path, oid: str, name: str) -> str | None:
    """Return the name that a declaration had until a commit gave it this one; None if it renamed none."""
    return next((before for before, after in _pairs(objects, oid, name, "+")), None)


def _pairs(objects: Path, oid: str, name: str, sign: str) -> Iterator[tuple[str, str]]:
    """Yield the names before and after of declarations that a commit renamed from (`-`) or to (`+`) a name.

    One is renamed if the line that declares it is the same but for the name, and most of the lines that were changed
    with it are: else something new stands where something else did.
    """
    for removed, added in _hunks(objects, oid):
        own, other = (removed, added) if sign == "-" else (added, removed)
        if len(own) != len(other):
            continue
        for line, partner in zip(own, other, strict=True):
            if len(line) > MAX_LINE or not is_declaration(line.strip(), name):
                continue
            match = re.fullmatch(_with_another(line, name), partner)
            if match is None or match["name"] == name:
                continue
            renamed = [_replaced(text, name, match["name"]) for text in own]
            same = sum(before == after for before, after in zip(renamed, other, strict=True))
            if 2 * (same - 1) >= len(own) - 1:
                yield (name, match["name"]) if sign == "-" else (match["name"], name)


def _with_another(line: str, name: str) -> str:
    """Return a pattern of a line with any other name instead of one, the same in all places."""
    first, *rest = re.split(rf"(?<![\w$]){re.escape(name)}(?![\w$])", line)
    return re.escape(first) + rf"(?P<name>{_NAME})" + r"(?P=name)".join(map(re.escape, rest))


def _replaced(line: str, name: str, other: str) -> str:
    return re.sub(rf"(?<![\w$]){re.escape(name)}(?![\w$])", lambda _: other, line)


def _hunks(objects: Path, oid: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the removed and added lines of each place that a commit changed; nothing of one that git cannot show."""
    with history_of(objects) as history:
        command = ("diff-tree", "--no-commit-id", "-r", "-p", "-M", "-U0", "--no-color", oid)
        try:
            printed = history.run(*command, timeout=git_facts.TIMEOUT, max_output=MAX_BYTES)
        except GitError:
            return
    patch = printed.decode("utf-8", "replace")
    for hunk in re.split(r"^(?:@@ |diff --git )", patch, flags=re.MULTILINE):
        lines = hunk.split("\n")[1:]
        removed, added = ([line[1:] for line in lines if line[:1] == sign] for sign in "-+")
        if removed and added:
            yield removed, added
