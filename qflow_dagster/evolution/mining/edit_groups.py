"""Grouping edits by the tokens they add and remove, and computing templates of groups with enough support.

Edits are extracted from commits in worker processes. A template is dropped if its opposite was done, too.
`rule_miner` selects among templates.
"""

import hashlib
import pickle
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution.mining.anti_unification import (
    Edit,
    concreteness,
    digest,
    hierarchy,
    holes,
    leaves,
    match_edit,
    written,
)
from qflow_dagster.evolution.mining.concrete_edits import concrete_edits
from qflow_dagster.evolution.mining.mined_commits import MinedCommit, read_texts

_OCTAL = re.compile(r"0[0-7]+")
# Distinct edits of a group that are compared with each other; the work grows quadratically.
MAX_DISTINCT = 40
# Templates considered of one group, those with the most support.
MAX_TEMPLATES = 8


class Minima(NamedTuple):
    """The minimum support a template needs to become a rule."""

    edits: int = 3
    commits: int = 2
    files: int = 2
    # The concreteness of the left side, by `anti_unification.concreteness`.
    concreteness: int = 2
    # The number of commits for each one that did the opposite.
    opposite: int = 5
    # The share of its locations that was changed, in files its commits touched.
    fixed: float = 0.8
    # The number of suggestions that were right after it had this support.
    confirmed: int = 1
    # The lower bound of the share of its suggestions that are right, and the maximum weight of one commit in it.
    precision: float = 0.75
    of_commit: float = 2
    # Days after the last such change until the rule is considered outdated.
    days: int = 14


class PackedEdit(NamedTuple):
    """An edit sent by a worker: its group, its identity, its location, and the pickled edit."""

    group: bytes
    key: bytes
    oid: str
    path: str
    line: int
    end_line: int
    language: str
    changes: tuple[int, ...]
    edit: bytes


class Template(NamedTuple):
    """The common template of edits of a group, and all edits that are instances of it."""

    language: str
    edit: Edit
    # The distinct edits it was made of.
    instances: list[Edit]
    members: list[PackedEdit]


def extract_batch(objects: Path, batch: Sequence[MinedCommit]) -> tuple[int, list[PackedEdit]]:
    """Return the number of commits, and their edits; runs in a worker process."""
    packed = []
    for commit, pairs in read_texts(objects, batch):
        for pair in pairs:
            language = pair.file.language
            try:
                edits = concrete_edits(pair.before, pair.after, language)
            except RecursionError:
                continue
            packed += [
                PackedEdit(
                    _group(concrete.edit, language),
                    digest(concrete.edit),
                    commit.oid,
                    pair.file.path,
                    concrete.line,
                    concrete.end_line,
                    language,
                    concrete.changes,
                    zlib.compress(pickle.dumps(concrete.edit), 1),
                )
                for concrete in edits
            ]
    return len(batch), packed


def _group(edit: Edit, language: str) -> bytes:
    """Return the key of a group: edits that add and remove the same tokens in the same kind of node."""
    old, new = (Counter(leaf.text for leaf in leaves(side)) for side in edit)
    key = (
        language,
        edit.left.kind,
        edit.right.kind,
        sorted((old - new).items()),
        sorted((new - old).items()),
    )  # type: ignore[union-attr]
    return hashlib.blake2b(repr(key).encode(errors="replace"), digest_size=12).digest()


def unpacked(packed: PackedEdit) -> Edit:
    """Return the edit of a packed edit."""
    return pickle.loads(zlib.decompress(packed.edit))  # noqa: S301 (our own workers made it)


def changes_of(edits: Iterable[PackedEdit]) -> set[tuple[str, str, int]]:
    """Return the distinct changes of edits: (commit, path, number); nested edits share their changes."""
    return {(edit.oid, edit.path, change) for edit in edits for change in edit.changes}


def _has_support(edits: Sequence[PackedEdit], minima: Minima) -> bool:
    return (
        len(edits) >= minima.edits
        and len({edit.oid for edit in edits}) >= minima.commits
        and len({edit.path for edit in edits}) >= minima.files
        and len(changes_of(edits)) >= minima.edits
    )


# (the edits of a group, those that did the opposite) -> the group's templates.
TemplateCache = dict[tuple[tuple[PackedEdit, ...], tuple[PackedEdit, ...]], list[Template]]


def templates(
    edits: Sequence[PackedEdit], minima: Minima, cache: TemplateCache | None = None
) -> Iterator[Template]:
    """Yield the templates of groups of edits that have support and are not contradicted.

    A `cache` avoids computing groups again that did not change while a history grew.
    """
    groups: dict[bytes, list[PackedEdit]] = defaultdict(list)
    for edit in edits:
        groups[edit.group].append(edit)
    for members in groups.values():
        if not _has_support(members, minima):
            continue
        first = unpacked(members[0])
        if _is_value_change(first):
            continue
        opposite = groups.get(_group(Edit(first.right, first.left), members[0].language), [])
        key = tuple(members), tuple(opposite)
        if cache is None:
            yield from _templates_of(members, opposite, minima)
        else:
            if key not in cache:
                cache[key] = _templates_of(members, opposite, minima)
            yield from cache[key]


def _is_value_change(edit: Edit) -> bool:
    """Return whether only numbers or booleans got other values; `0777` and `0o777` are the same value."""
    old, new = (Counter(leaf.text for leaf in leaves(side)) for side in edit)
    sides = [[_value(text) for text in (one - other).elements()] for one, other in ((old, new), (new, old))]
    values = [value for side in sides for value in side]
    return all(sides) and None not in values and sorted(map(str, sides[0])) != sorted(map(str, sides[1]))


def _value(text: str) -> float | None:
    """Return the value of a number or boolean literal; None for other texts."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    for kind in (lambda: int(text, 0), lambda: float(text)):
        try:
            return kind()
        except ValueError:
            continue
    return None


def _templates_of(
    members: Sequence[PackedEdit], opposite: Sequence[PackedEdit], minima: Minima
) -> list[Template]:
    """Return the templates of a group, those with the most instances first."""
    distinct: dict[bytes, list[PackedEdit]] = defaultdict(list)
    for member in members:
        distinct[member.key].append(member)
    frequent = sorted(distinct, key=lambda key: (-len({member.oid for member in distinct[key]}), key))[
        :MAX_DISTINCT
    ]
    trees = [unpacked(distinct[key][0]) for key in frequent]
    result: list[Template] = []
    for cluster in hierarchy(trees, minima.concreteness):
        covered = [member for i in sorted(cluster.members) for member in distinct[frequent[i]]]
        says = concreteness(cluster.template.left) >= minima.concreteness
        if (
            says
            and _has_support(covered, minima)
            and not _contradicted(cluster.template, covered, opposite, minima)
        ):
            instances = [trees[i] for i in sorted(cluster.members)]
            result.append(Template(members[0].language, cluster.template, instances, covered))
    return sorted(result, key=lambda template: -len(template.members))[:MAX_TEMPLATES]


def smallest(templates: Iterable[Template]) -> list[Template]:
    """Return the smallest of templates with the same changes and concreteness: a call, not its statement."""
    best: dict[tuple[frozenset, int], Template] = {}
    for template in templates:
        key = frozenset(changes_of(template.members)), concreteness(template.edit.left)
        if key not in best or len(written(template.edit.left)) < len(written(best[key].edit.left)):
            best[key] = template
    return list(best.values())


def _contradicted(
    template: Edit, members: Sequence[PackedEdit], opposite: Sequence[PackedEdit], minima: Minima
) -> bool:
    """Return whether the opposite was done, too, by more commits than `minima.opposite` allows."""
    if not opposite or {h.name for h in holes(template.left)} - {h.name for h in holes(template.right)}:
        against = opposite
    else:
        back = Edit(template.right, template.left)
        against = [edit for edit in opposite if match_edit(back, unpacked(edit)) is not None]
    commits = len({edit.oid for edit in members})
    return len({edit.oid for edit in against}) * minima.opposite > commits
