"""Answers on the history of the repository: what was removed, what changed between revisions, who works on what.

Belongs here: one function per kind of question. Does not belong here: the history of what exists
(`history_answers`), git (`git_facts`).
"""

import posixpath
import re
from collections import Counter
from datetime import timedelta

from qflow_dagster.knowledge import git_facts, history_lookups, lookups
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
)
from qflow_dagster.knowledge.history_answers import file_commits, release_of, say_boundary

# Who committed in this time works on the repository now.
ACTIVE = timedelta(days=90)
_RELEASED = ("first release without it:", "no release without it yet")


def removed(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Say when, by whom and in which commit a file or name was removed or renamed."""
    subject = context.subject
    say_boundary(context)
    if path := context.file():
        return f"{path} was not removed: it exists at this commit", [context.at(path, 1, path)]
    symbols = lookups.symbols(context.connection, context.snapshot, subject)
    if symbols:
        places = [f"{symbol.path}:{symbol.line}" for symbol in symbols]
        return f"{subject} was not removed: it is defined in {listed(places)}", [
            context.at(symbol.path, symbol.line, symbol.signature) for symbol in symbols[:MAX_ROWS]
        ]
    rows = history_lookups.removals(context.connection, context.snapshot, subject)
    if rows:
        commits = file_commits(context, rows, subject)
        last, path = commits[0]
        verb = "was removed" if rows[0].kind == "deleted" else f"was renamed to {rows[0].new_path}"
        sentence = f"{path} {verb} on {last.date} by {last.author}: {last.subject} ({last.oid[:10]})"
        return sentence + release_of(context, last.oid, *_RELEASED), [
            Evidence(row.oid, then, None, f"{row.date} {row.author}: {row.subject}") for row, then in commits
        ]
    if "/" in subject or re.search(r"\.\w{1,4}$", subject):
        raise UnansweredError(f"no commit of the ingested history removed a file {subject!r}")
    return _removed_name(context)


def _removed_name(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Find the last commit after which no code has a name that nothing defines."""
    name = context.subject.rpartition(".")[2]
    row = git_facts.last_with(context.objects(), context.snapshot.commit_oid, name)
    if row is None:
        raise UnansweredError(f"no commit of the history added or removed the name {name!r}")
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    code = lookups.code_paths(context.connection, context.snapshot, [line.path for line in rows])
    lines = [line for line in rows if line.path in code]
    if lines:
        raise UnansweredError(
            f"nothing defines {name!r}, but code still has the name: {lines[0].path}:{lines[0].line}"
        )
    sentence = (
        f"the last code with {name} was removed on {row.date} by {row.author}: {row.subject} ({row.oid[:10]})"
    )
    return sentence + release_of(context, row.oid, *_RELEASED), [
        Evidence(row.oid, None, None, f"{row.date} {row.author}: {row.subject}")
    ]


def between(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Summarize what changed between two revisions: commits, people, files with most changed lines; code first."""
    first, _, last = context.subject.partition("..")
    objects = context.objects()
    say_boundary(context)
    if not first:
        # What is new in a release: since the release before it.
        before = git_facts.tag_before(objects, last)
        if before is None:
            raise UnansweredError(f"the repository has no release {last!r} with a release before it")
        first = before
    oids = [
        git_facts.resolve(objects, revision) if revision else context.snapshot.commit_oid
        for revision in (first, last)
    ]
    for revision, oid in zip((first, last), oids, strict=True):
        if oid is None:
            near = git_facts.tags_like(objects, revision)
            raise UnansweredError(
                f"the repository has no revision {revision!r}"
                + (f"; near it: {listed(near)}" if near else "")
            )
    changes = git_facts.changes_between(objects, str(oids[0]), str(oids[1]), context.other)
    if not changes.commits:
        raise UnansweredError(f"{last or 'the snapshot'} has no commit that {first} does not have")
    code = lookups.code_paths(context.connection, context.snapshot, [file.path for file in changes.files])
    files = sorted(changes.files, key=lambda file: (file.path not in code, -file.added - file.deleted))
    people = Counter(row.author for row in changes.commits)
    sentence = (
        f"between {first} and {last or 'this commit'}"
        + (f", in {context.other}" if context.other else "")
        + f": {count(len(changes.commits), 'commit')} by "
        + listed([f"{name} ({number})" for name, number in people.most_common()])
        + f"; {count(len(files), 'file')} changed: "
        + listed([f"{file.path} (+{file.added} -{file.deleted})" for file in files])
    )
    evidence = [
        Evidence(row.oid, None, None, f"{row.date} {row.author}: {row.subject}")
        for row in changes.commits[:MAX_ROWS]
    ]
    return sentence, evidence


def active(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name who committed in the last 90 days, and the folders and files that each changed most."""
    rows = history_lookups.recent_changes(context.connection, context.snapshot, ACTIVE, context.subject)
    if not rows:
        where = f" to {context.subject}" if context.subject else ""
        raise UnansweredError(f"nobody committed{where} in the 90 days before the newest commit")
    commits: dict[str, dict[str, tuple[str, str]]] = {}
    folders: dict[str, Counter[str]] = {}
    for row in rows:
        commits.setdefault(row.author_name, {})[row.oid] = (f"{row.authored_at:%Y-%m-%d}", row.subject)
        folders.setdefault(row.author_name, Counter())[posixpath.dirname(row.path) or row.path] += 1
    people = sorted(commits, key=lambda name: -len(commits[name]))
    items = [
        f"{name} ({count(len(commits[name]), 'commit')}, mostly "
        f"{', '.join(folder for folder, _ in folders[name].most_common(3))})"
        for name in people
    ]
    newest = max(row.authored_at for row in rows)
    evidence = [
        Evidence(oid, None, None, f"{date} {name}: {subject}")
        for name in people[:MAX_ROWS]
        for oid, (date, subject) in list(commits[name].items())[:1]
    ]
    return f"in the 90 days before {newest:%Y-%m-%d}: {listed(items)}", evidence
