"""Edits grouped by what they put in and took out, and the templates of groups with support.

Belongs here: cutting edits out of commits in worker processes, grouping, what a template needs to be
looked at, and what speaks against it among the edits themselves. Does not belong here: what
speaks against it elsewhere (`precision`), choosing among templates (`rule_miner`).
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
from qflow_dagster.evolution.mining.small_commits import MinedCommit, read_texts

_OCTAL = re.compile(r"0[0-7]+")
# Distinct edits of a group that are compared with each other; the work grows with the square.
MAX_DISTINCT = 40
# Templates of one group that are looked at, those with the most support.
MAX_TEMPLATES = 8


class Minima(NamedTuple):
    """What a template needs to become a rule."""

    edits: int = 3
    commits: int = 2
    files: int = 2
    # How much the left side says, by `anti_unification.concreteness`.
    concreteness: int = 2
    # How many commits for each one that did the opposite.
    opposite: int = 5
    # Of the places in files its commits touched, the share that was changed.
    fixed: float = 0.8
    # How many suggestions were right after it had this support.
    confirmed: int = 1
    # The lower bound of the share of its suggestions that are right, and what one commit counts in it at most.
    believed: float = 0.75
    of_commit: float = 2
    # What nobody did for so long is over, or was given up.
    days: int = 14


class Packed(NamedTuple):
    """An edit on its way from a worker: what it is grouped by, its identity, where it was, itself pickled."""

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
    """What edits of a group have in common, and all those that have it."""

    language: str
    edit: Edit
    # The distinct edits it was made of.
    instances: list[Edit]
    found: list[Packed]


def extract_batch(objects: Path, batch: Sequence[MinedCommit]) -> tuple[int, list[Packed]]:
    """In a worker process: the number of commits, and their edits."""
    found = []
    for commit, pairs in read_texts(objects, batch):
        for pair in pairs:
            language = pair.file.language
            try:
                edits = concrete_edits(pair.before, pair.after, language)
            except RecursionError:
                continue
            found += [
                Packed(
                    _group(one.edit, language),
                    digest(one.edit),
                    commit.oid,
                    pair.file.path,
                    one.line,
                    one.end_line,
                    language,
                    one.changes,
                    zlib.compress(pickle.dumps(one.edit), 1),
                )
                for one in edits
            ]
    return len(batch), found


def _group(edit: Edit, language: str) -> bytes:
    """Edits that put in and took out the same tokens, in the same kind of node, are compared."""
    old, new = (Counter(leaf.text for leaf in leaves(side)) for side in edit)
    said = (
        language,
        edit.left.kind,
        edit.right.kind,
        sorted((old - new).items()),
        sorted((new - old).items()),
    )  # type: ignore[union-attr]
    return hashlib.blake2b(repr(said).encode(errors="replace"), digest_size=12).digest()


def unpacked(packed: Packed) -> Edit:
    """The edit itself."""
    return pickle.loads(zlib.decompress(packed.edit))  # noqa: S301 (our own workers made it)


def places(found: Iterable[Packed]) -> set[tuple[str, str, int]]:
    """The changes of edits, each once: (commit, path, number); an edit and the call it is in are one change."""
    return {(one.oid, one.path, change) for one in found for change in one.changes}


def _enough(found: Sequence[Packed], minima: Minima) -> bool:
    return (
        len(found) >= minima.edits
        and len({one.oid for one in found}) >= minima.commits
        and len({one.path for one in found}) >= minima.files
        and len(places(found)) >= minima.edits
    )


# What is known of groups: their edits, and those that did the opposite -> their templates.
Known = dict[tuple[tuple[Packed, ...], tuple[Packed, ...]], list[Template]]


def templates(edits: Sequence[Packed], minima: Minima, known: Known | None = None) -> Iterator[Template]:
    """What groups of edits have in common, where it has support and is not contradicted.

    Who asks again and again, as a history grows, hands in what is `known`: most groups stay as they are.
    """
    groups: dict[bytes, list[Packed]] = defaultdict(list)
    for one in edits:
        groups[one.group].append(one)
    for found in groups.values():
        if not _enough(found, minima):
            continue
        first = unpacked(found[0])
        if _another_value(first):
            continue
        opposite = groups.get(_group(Edit(first.right, first.left), found[0].language), [])
        key = tuple(found), tuple(opposite)
        if known is None:
            yield from _in_common(found, opposite, minima)
        else:
            if key not in known:
                known[key] = _in_common(found, opposite, minima)
            yield from known[key]


def _another_value(edit: Edit) -> bool:
    """Whether nothing changed but numbers and truths: what was decided, not how it is said (`0777` is `0o777`)."""
    old, new = (Counter(leaf.text for leaf in leaves(side)) for side in edit)
    sides = [[_value(text) for text in (one - other).elements()] for one, other in ((old, new), (new, old))]
    values = [value for side in sides for value in side]
    return all(sides) and None not in values and sorted(map(str, sides[0])) != sorted(map(str, sides[1]))


def _value(text: str) -> float | None:
    """What a number or a truth is; None of anything else."""
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


def _in_common(found: Sequence[Packed], opposite: Sequence[Packed], minima: Minima) -> list[Template]:
    """The templates of a group."""
    distinct: dict[bytes, list[Packed]] = defaultdict(list)
    for one in found:
        distinct[one.key].append(one)
    often = sorted(distinct, key=lambda key: (-len({one.oid for one in distinct[key]}), key))[:MAX_DISTINCT]
    trees = [unpacked(distinct[key][0]) for key in often]
    chosen: list[Template] = []
    for cluster in hierarchy(trees, minima.concreteness):
        covered = [one for i in sorted(cluster.members) for one in distinct[often[i]]]
        says = concreteness(cluster.template.left) >= minima.concreteness
        if (
            says
            and _enough(covered, minima)
            and not _contradicted(cluster.template, covered, opposite, minima)
        ):
            instances = [trees[i] for i in sorted(cluster.members)]
            chosen.append(Template(found[0].language, cluster.template, instances, covered))
    return sorted(chosen, key=lambda template: -len(template.found))[:MAX_TEMPLATES]


def smallest(templates: Iterable[Template]) -> list[Template]:
    """Of pieces of the same changes that say as much, the smallest: a call, not the statement it is."""
    best: dict[tuple[frozenset, int], Template] = {}
    for one in templates:
        key = frozenset(places(one.found)), concreteness(one.edit.left)
        if key not in best or len(written(one.edit.left)) < len(written(best[key].edit.left)):
            best[key] = one
    return list(best.values())


def _contradicted(
    template: Edit, found: Sequence[Packed], opposite: Sequence[Packed], minima: Minima
) -> bool:
    """Whether the opposite was done too, by more than a few commits."""
    if not opposite or {h.name for h in holes(template.left)} - {h.name for h in holes(template.right)}:
        against = opposite
    else:
        back = Edit(template.right, template.left)
        against = [one for one in opposite if match_edit(back, unpacked(one)) is not None]
    commits = len({one.oid for one in found})
    return len({one.oid for one in against}) * minima.opposite > commits
