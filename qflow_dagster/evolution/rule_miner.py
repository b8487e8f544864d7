"""New rules from what people changed again and again in a repository's own history.

The idea is Getafix's (Bader et al. 2019): before/after pairs of small commits are grouped by what
they put in and took out, and generalised by anti-unification; what several commits did in
several files becomes a draft of a rule, with its support and with the share of later touches of
such code that did the same.

Belongs here: choosing. Does not belong here: reading commits (`small_commits`), cutting out edits
(`concrete_edits`), generalising (`anti_unification`), writing rules (`mined_rules`), what is right
(`precision`).
"""

import hashlib
import pickle
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers, mined_rules, precision, small_commits
from qflow_dagster.evolution.anti_unification import (
    Edit,
    concreteness,
    digest,
    hierarchy,
    holes,
    leaves,
    match_edit,
)
from qflow_dagster.evolution.concrete_edits import concrete_edits
from qflow_dagster.evolution.precision import Evaluation, Score, evaluate
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.small_commits import MinedCommit, Report
from qflow_dagster.processes import Lost, in_processes

__all__ = ["Evaluation", "Minima", "Mined", "Mining", "Score", "Support", "evaluate", "mine", "mine_all"]

PROCESSES = 2
STALL_SECONDS = 60.0
# Distinct edits of a group that are compared with each other; the work grows with the square.
MOST_DISTINCT = 40
# Templates of one group that are looked at, those with the most support.
MOST_TEMPLATES = 8
BATCH_TEMPLATES = 20


class Minima(NamedTuple):
    """What a template needs to become a rule."""

    edits: int = 3
    commits: int = 2
    files: int = 2
    # How much the left side says, by `anti_unification.concreteness`.
    concreteness: int = 3
    # How many commits for each one that did the opposite.
    opposite: int = 5
    # Of the places in files its commits touched, the share that was changed.
    fixed: float = 0.5
    # The precision on what was touched after it had this support.
    precision: float = 0.9


class Support(NamedTuple):
    """What a rule rests on: how many places, commits, authors and files; short ids, and when."""

    edits: int
    commits: int
    authors: int
    files: int
    oids: tuple[str, ...]
    first: datetime
    last: datetime


class Mined(NamedTuple):
    """A rule that was mined, the oftenest done first.

    `check` counts what happened to the rule's suggestions in the mined commits after the one that
    completed its support; `left` are its matches in files its commits touched.
    """

    rule: Rule
    support: Support
    check: Score
    left: int


class Mining(NamedTuple):
    """The rules, and what was read for them: commits, small ones among them, edits, templates."""

    rules: list[Mined]
    commits: int
    small: int
    edits: int
    templates: int


class Packed(NamedTuple):
    """An edit on its way from a worker: what it is grouped by, its identity, where it was, itself pickled."""

    group: bytes
    key: bytes
    oid: str
    path: str
    language: str
    changes: tuple[int, ...]
    edit: bytes


class _Template(NamedTuple):
    language: str
    edit: Edit
    # The distinct edits it was made of.
    instances: list[Edit]
    found: list[Packed]


def mine(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    languages: Sequence[str] = tuple(matchers.LANGUAGES),
    most_commits: int = 20_000,
    minima: Minima = Minima(),  # noqa: B008 (it cannot be changed)
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> list[Mined]:
    """The rules that the history of `tip` up to `until` suggests, ranked by authors, files and commits.

    `objects` is a repository on this machine; the newest `most_commits` commits are read. Rules are
    drafts: they find nothing before somebody makes them active.

    Raises:
        GitError: the history cannot be read.
        UsageError: a language has no rules.
    """
    return mine_all(
        objects, tip=tip, until=until, languages=languages, most_commits=most_commits, minima=minima,
        processes=processes, progress=progress,
    ).rules  # fmt: skip


def mine_all(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    languages: Sequence[str] = tuple(matchers.LANGUAGES),
    most_commits: int = 20_000,
    minima: Minima = Minima(),  # noqa: B008 (it cannot be changed)
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> Mining:
    """The same, with what was read."""
    if unknown := set(languages) - set(matchers.LANGUAGES):
        raise UsageError(f"no rules are mined of {unknown.pop()!r}; there are {', '.join(matchers.LANGUAGES)}")
    read, commits = small_commits.read_commits(
        objects, tip=tip, until=until, chosen=languages, most_commits=most_commits, processes=processes,
        progress=progress,
    )  # fmt: skip
    small = {commit.oid: commit for commit in commits if commit.small}
    edits = _edits(objects, list(small.values()), processes, progress)
    templates = list(_templates(edits, small, minima))
    rules = _rules(templates, processes)
    candidates = [(template, rule) for template, rule in zip(templates, rules, strict=True) if rule]
    checked = _checked(objects, candidates, commits, small, precision.tip_at(objects, tip, until), processes, progress)
    return Mining(_chosen(checked, minima), read, len(small), len(edits), len(templates))


def _edits(
    objects: Path, commits: Sequence[MinedCommit], processes: int, progress: Report | None
) -> list[Packed]:
    found: list[Packed] = []
    batches = small_commits.batches_of(commits)
    results = in_processes(
        extract_batch, objects, batches, processes, lost=lambda task, code: Lost(result=(1, [])), stall=STALL_SECONDS
    )
    done = 0
    for count, edits in results:
        found += edits
        done += count
        if progress:
            progress("reading edits", done, len(commits))
    # Batches come as they are done; what is made of them must not depend on that.
    return sorted(found)


def extract_batch(objects: Path, batch: Sequence[MinedCommit]) -> tuple[int, list[Packed]]:
    """In a worker process: the number of commits, and their edits."""
    found = []
    for commit, pairs in small_commits.read_texts(objects, batch):
        for pair in pairs:
            language = pair.file.language
            try:
                edits = concrete_edits(pair.before, pair.after, language)
            except RecursionError:
                continue
            found += [
                Packed(
                    _group(one.edit, language), digest(one.edit), commit.oid, pair.file.path, language,
                    one.changes, zlib.compress(pickle.dumps(one.edit), 1),
                )
                for one in edits
            ]  # fmt: skip
    return len(batch), found


def _group(edit: Edit, language: str) -> bytes:
    """Edits that put in and took out the same tokens, in the same kind of node, are compared."""
    old, new = (Counter(leaf.text for leaf in leaves(side)) for side in edit)
    said = (language, edit.left.kind, edit.right.kind, sorted((old - new).items()), sorted((new - old).items()))  # type: ignore[union-attr]
    return hashlib.blake2b(repr(said).encode(errors="replace"), digest_size=12).digest()


def _unpacked(packed: Packed) -> Edit:
    return pickle.loads(zlib.decompress(packed.edit))  # noqa: S301 (our own workers made it)


def _places(found: Iterable[Packed]) -> set[tuple[str, str, int]]:
    return {(one.oid, one.path, change) for one in found for change in one.changes}


def _enough(found: Sequence[Packed], minima: Minima) -> bool:
    return (
        len(found) >= minima.edits
        and len({one.oid for one in found}) >= minima.commits
        and len({one.path for one in found}) >= minima.files
        and len(_places(found)) >= minima.edits
    )


def _templates(edits: Sequence[Packed], commits: Mapping[str, MinedCommit], minima: Minima) -> Iterator[_Template]:
    """What groups of edits have in common, where it has support and is not contradicted."""
    groups: dict[bytes, list[Packed]] = defaultdict(list)
    for one in edits:
        groups[one.group].append(one)
    for found in groups.values():
        if not _enough(found, minima):
            continue
        distinct: dict[bytes, list[Packed]] = defaultdict(list)
        for one in found:
            distinct[one.key].append(one)
        often = sorted(distinct, key=lambda key: (-len({one.oid for one in distinct[key]}), key))[:MOST_DISTINCT]
        unpacked = [_unpacked(distinct[key][0]) for key in often]
        opposite = groups.get(_group(Edit(unpacked[0].right, unpacked[0].left), found[0].language), [])
        chosen: list[_Template] = []
        for cluster in hierarchy(unpacked, minima.concreteness):
            covered = [one for i in sorted(cluster.members) for one in distinct[often[i]]]
            says = concreteness(cluster.template.left) >= minima.concreteness
            if says and _enough(covered, minima) and not _contradicted(cluster.template, covered, opposite, minima):
                instances = [unpacked[i] for i in sorted(cluster.members)]
                chosen.append(_Template(found[0].language, cluster.template, instances, covered))
        yield from sorted(chosen, key=lambda template: -len(template.found))[:MOST_TEMPLATES]


def _contradicted(template: Edit, found: Sequence[Packed], opposite: Sequence[Packed], minima: Minima) -> bool:
    """Whether the opposite was done too, by more than a few commits."""
    if not opposite or {h.name for h in holes(template.left)} - {h.name for h in holes(template.right)}:
        against = opposite
    else:
        back = Edit(template.right, template.left)
        against = [one for one in opposite if match_edit(back, _unpacked(one)) is not None]
    commits = len({one.oid for one in found})
    return len({one.oid for one in against}) * minima.opposite > commits


def _rules(templates: Sequence[_Template], processes: int) -> list[Rule | None]:
    """Each template as a rule, made and held to its examples in worker processes."""
    tasks = [(i, one.language, one.edit, one.instances) for i, one in enumerate(templates)]
    batches = [tasks[start : start + BATCH_TEMPLATES] for start in range(0, len(tasks), BATCH_TEMPLATES)]
    rules: list[Rule | None] = [None] * len(templates)
    results = in_processes(
        write_batch, None, batches, processes, lost=lambda task, code: Lost(result=[]), stall=STALL_SECONDS
    )
    for batch in results:
        for position, rule in batch:
            rules[position] = rule
    return rules


def write_batch(context: None, batch: list[tuple[int, str, Edit, list[Edit]]]) -> list[tuple[int, Rule | None]]:
    """In a worker process: templates as rules."""
    return [(i, mined_rules.rule_of(language, edit, instances)) for i, language, edit, instances in batch]


class _Checked(NamedTuple):
    mined: Mined
    places: frozenset[tuple[str, str, int]]


def _checked(
    objects: Path,
    candidates: Sequence[tuple[_Template, Rule]],
    commits: Sequence[MinedCommit],
    small: Mapping[str, MinedCommit],
    tip: str,
    processes: int,
    progress: Report | None,
) -> list[_Checked]:
    """The rules with what speaks for and against them in the commits they were mined from."""
    rules = [rule for _, rule in candidates]
    born = [_born([small[one.oid] for one in template.found]) for template, _ in candidates]
    judged = precision.judge(objects, rules, commits, processes=processes, progress=progress)
    later = [v for one in judged for v in one.verdicts if v.at > born[v.rule]]
    scores = precision.scores_of(later, len(rules))
    left = precision.count_open(objects, rules, tip, processes=processes, progress=progress)
    checked = []
    for (template, rule), score, counts in zip(candidates, scores, left, strict=True):
        support = _support(template.found, small)
        paths = {one.path for one in template.found}
        there = sum(count for path, count in counts.items() if path in paths)
        score = score._replace(open=sum(counts.values()))
        checked.append(
            _Checked(Mined(_stated(rule, support, score), support, score, there), frozenset(_places(template.found)))
        )
    return checked


def _born(commits: Sequence[MinedCommit]) -> datetime:
    """When there was support enough: at the second commit; what came later is evidence."""
    times = sorted({commit.oid: commit.at for commit in commits}.values())
    return times[1]


def _support(found: Sequence[Packed], commits: Mapping[str, MinedCommit]) -> Support:
    given = sorted({one.oid for one in found}, key=lambda oid: (commits[oid].at, oid))
    return Support(
        len(_places(found)), len(given), len({commits[oid].author for oid in given}),
        len({one.path for one in found}), tuple(oid[:12] for oid in given), commits[given[0]].at, commits[given[-1]].at,
    )  # fmt: skip


def _stated(rule: Rule, support: Support, score: Score) -> Rule:
    """The rule with the facts it rests on."""
    facts = (
        f"{support.commits} commits of {support.authors} author{'s' * (support.authors > 1)} made this change in "
        f"{support.edits} places of {support.files} files, from {support.first:%Y-%m-%d} to {support.last:%Y-%m-%d}. "
        f"Of {score.decided} such places that were touched after the second of them, {score.right} became this. "
        f"{score.open} are left."
    )
    shown = ", ".join(support.oids[:10]) + (", .." if support.commits > 10 else "")
    # The rule of succession: a few cases make nobody sure.
    confidence = round((score.right + 1) / (score.decided + 2), 3)
    return rule.model_copy(update={"rationale": facts, "source": f"commits {shown}", "confidence": confidence})


def _chosen(checked: Sequence[_Checked], minima: Minima) -> list[Mined]:
    """The rules that hold, the best of those that say the same, with ids of their own."""
    held = [one for one in checked if _holds(one.mined, minima)]
    held.sort(key=lambda one: (-one.mined.support.edits, -len(str(one.mined.rule.fix)), one.mined.rule.id))
    chosen: list[Mined] = []
    covered: set[tuple[str, str, int]] = set()
    for one in held:
        # Larger and smaller pieces of the same change, more and less general ones: one is enough.
        if 2 * len(one.places - covered) > len(one.places):
            covered |= one.places
            chosen.append(one.mined)
    chosen.sort(key=lambda m: (-m.support.authors, -m.support.files, -m.support.commits, m.rule.id))
    names: Counter[str] = Counter()
    unique = []
    for one in chosen:
        names[one.rule.id] += 1
        number = names[one.rule.id]
        unique.append(one if number == 1 else one._replace(rule=_named(one.rule, f"{one.rule.id}-{number}")))
    return unique


def _named(rule: Rule, id_: str) -> Rule:
    return rule.model_copy(update={"id": id_})


def _holds(mined: Mined, minima: Minima) -> bool:
    share = mined.support.edits / (mined.support.edits + mined.left)
    known: Any = mined.check.precision
    return share >= minima.fixed and known is not None and known >= minima.precision
