"""Which packages the manifests of one revision require that those of another one do not, or in other versions.

Belongs here: the manifests that changed, read at both revisions. Does not belong here: the formats of manifests
(`manifests`), what else changed (`revision_answers`), the manifests of the snapshot (`configuration_answers`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from qflow_dagster.ingestion import classify, git
from qflow_dagster.knowledge import manifests, revisions
from qflow_dagster.knowledge.configuration_answers import NOT_READ, line_of_package
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, listed, of_commit
from qflow_dagster.knowledge.manifests import Definition, Requirement

# A repository of more packages has its manifests changed by each release.
MAX_MANIFESTS = 20
_MANIFEST = re.compile(manifests.MANIFESTS, re.IGNORECASE)


class _Change(NamedTuple):
    """A package that a manifest requires before or after, None if it does not, and its line there."""

    path: str
    before: Requirement | None
    after: Requirement | None
    line: int
    text: str

    @property
    def package(self) -> str:
        """Return the package, as the manifest has it."""
        return (self.after or self.before or Requirement("")).package

    def __str__(self) -> str:
        """Return the package and what became of it."""
        entry = self.after or self.before
        words = str(entry)
        if self.before and self.after:
            words = f"{self.package} {self.before.constraint or 'any'} -> {self.after.constraint or 'any'}"
            if self.before.development != self.after.development:
                words += ", now at run time" if self.before.development else ", now for development"
        elif entry and entry.development:
            words += ", for development or builds"
        return f"{words} ({self.path}:{self.line})"


def between(
    context: QuestionContext, first: str, last: str, files: Sequence[revisions.FileLines]
) -> tuple[str, list[Evidence]]:
    """Say which packages manifests require after some files changed and not before, no more, or in other versions.

    Nothing if no manifest changed, or what they require did not.
    """
    try:
        return _between(context, first, last, files)
    except git.GitError as error:
        # Of a partial clone, older manifests cannot be read.
        context.limit(f"whether packages changed is not known: {error}")
        return "", []


def _between(
    context: QuestionContext, first: str, last: str, files: Sequence[revisions.FileLines]
) -> tuple[str, list[Evidence]]:
    paths = [file.path for file in files if _is_manifest(file.path)]
    if paths[MAX_MANIFESTS:]:
        context.limit(f"packages of {len(paths) - MAX_MANIFESTS} more manifests were not looked at")
    paths = paths[:MAX_MANIFESTS]
    texts = [revisions.texts(context.objects(), oid, paths) for oid in (first, last)]
    changes = _changes(context, *texts)
    groups = {
        "added": [each for each in changes if each.before is None],
        "no longer required": [each for each in changes if each.after is None],
        "with another constraint": [each for each in changes if each.before and each.after],
    }
    said = "; ".join(f"{how}: {listed(list(map(str, group)))}" for how, group in groups.items() if group)
    evidence = []
    for each in [each for group in groups.values() for each in group[:MAX_ROWS]]:
        oid = last if each.after else first
        evidence.append(Evidence(oid, each.path, each.line, each.text))
        if not (each.before and each.after):
            commits = revisions.commits_changing(context.objects(), first, last, each.path, each.package)
            evidence += [of_commit(row, each.path) for row in commits]
    return f"packages {said}" if said else "", evidence


def _is_manifest(path: str) -> bool:
    """Return whether a file is a manifest of the project: not of a test, and not of what it has a copy of."""
    flags = classify.classify(path)
    return bool(_MANIFEST.search(path.rpartition("/")[2])) and not (flags.test or flags.vendored)


def _changes(context: QuestionContext, before: dict[str, str], after: dict[str, str]) -> list[_Change]:
    """Return what the manifests of two revisions require differently, as far as they can be read."""
    paths = list(dict.fromkeys([*after, *before]))
    required = [_required(texts) for texts in (before, after)]
    if unread := [path for path in paths if any(path in unread for _, unread in required)]:
        context.limit(f"manifests that are not written as those of their kind are: {listed(unread)}")
    (old, _), (new, _) = required
    everywhere = [{name for entries in each.values() for name in entries} for each in (old, new)]
    found = []
    for path in (path for path in paths if path not in unread):
        for name in dict.fromkeys([*new.get(path, {}), *old.get(path, {})]):
            was, now = old.get(path, {}).get(name), new.get(path, {}).get(name)
            # What another manifest had before, or has now, is neither new nor gone.
            if was == now or (not was and name in everywhere[0]) or (not now and name in everywhere[1]):
                continue
            content = (after if now else before)[path]
            line = line_of_package(content, name)
            found.append(_Change(path, was, now, line, content.splitlines()[line - 1].strip()))
    return found


def _required(texts: dict[str, str]) -> tuple[dict[str, dict[str, Requirement]], set[str]]:
    """Return what each manifest requires, by the names of the packages, and the paths of those that are not read."""
    others: dict[str, Definition] = {}
    found: dict[str, dict[str, Requirement]] = {}
    unread: set[str] = set()
    for path, content in texts.items():
        try:
            others = manifests.shared(path, content) | others
        except NOT_READ:
            unread.add(path)
    for path, content in texts.items():
        try:
            entries = manifests.read(path, content, others)
        except NOT_READ:
            unread.add(path)
            continue
        # At run time before development.
        found[path] = {entry.package: entry for entry in reversed(entries)}
    return found, unread
