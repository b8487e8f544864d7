"""New rules from what people changed again and again in a repository's own history.

The idea is Getafix's (Bader et al. 2019): before/after pairs of small commits are grouped by what
they put in and took out, and generalised by anti-unification; what several commits did in
several files becomes a draft of a rule, with its support and with the share of later touches of
such code that did the same.

Belongs here: choosing. Does not belong here: reading commits (`small_commits`), cutting out edits
(`concrete_edits`), generalising (`anti_unification`), writing rules (`mined_rules`), what is right
(`precision`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import commit_selection, precision
from qflow_dagster.evolution.mining.edit_groups import (
    Minima,
    Packed,
    Template,
    extract_batch,
    places,
    smallest,
    templates,
)
from qflow_dagster.evolution.mining.mined_rules import write_batch
from qflow_dagster.evolution.mining.precision import Evaluation, Score, evaluate
from qflow_dagster.evolution.mining.small_commits import MinedCommit, Report, batches_of
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.processes import Lost, in_processes

__all__ = ["Evaluation", "Mined", "Minima", "Mining", "Score", "Support", "evaluate", "mine", "mine_all"]

PROCESSES = 2
STALL_SECONDS = 60.0
BATCH_TEMPLATES = 20


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
        raise UsageError(
            f"no rules are mined of {unknown.pop()!r}; there are {', '.join(matchers.LANGUAGES)}"
        )
    read, commits = commit_selection.read_commits(
        objects, tip=tip, until=until, chosen=languages, most_commits=most_commits, processes=processes,
        progress=progress,
    )  # fmt: skip
    small = {commit.oid: commit for commit in commits if commit.small}
    edits = _edits(objects, list(small.values()), processes, progress)
    found = smallest(templates(edits, minima))
    rules = _rules(found, processes)
    candidates = [(template, rule) for template, rule in zip(found, rules, strict=True) if rule]
    checked = _checked(
        objects, candidates, commits, small, precision.tip_at(objects, tip, until), processes, progress
    )
    return Mining(_chosen(checked, minima), read, len(small), len(edits), len(found))


def _edits(
    objects: Path, commits: Sequence[MinedCommit], processes: int, progress: Report | None
) -> list[Packed]:
    found: list[Packed] = []
    batches = batches_of(commits)
    results = in_processes(
        extract_batch,
        objects,
        batches,
        processes,
        lost=lambda task, code: Lost(result=(1, [])),
        stall=STALL_SECONDS,
    )
    done = 0
    for count, edits in results:
        found += edits
        done += count
        if progress:
            progress("reading edits", done, len(commits))
    # Batches come as they are done; what is made of them must not depend on that.
    return sorted(found)


def _rules(templates: Sequence[Template], processes: int) -> list[Rule | None]:
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


class _Checked(NamedTuple):
    mined: Mined
    places: frozenset[tuple[str, str, int]]


def _checked(
    objects: Path,
    candidates: Sequence[tuple[Template, Rule]],
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
            _Checked(
                Mined(_stated(rule, support, score), support, score, there), frozenset(places(template.found))
            )
        )
    return checked


def _born(commits: Sequence[MinedCommit]) -> datetime:
    """When there was support enough: at the second commit; what came later is evidence."""
    times = sorted({commit.oid: commit.at for commit in commits}.values())
    return times[1]


def _support(found: Sequence[Packed], commits: Mapping[str, MinedCommit]) -> Support:
    given = sorted({one.oid for one in found}, key=lambda oid: (commits[oid].at, oid))
    return Support(
        len(places(found)), len(given), len({commits[oid].author for oid in given}),
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
    return rule.model_copy(
        update={"rationale": facts, "source": f"commits {shown}", "confidence": confidence}
    )


def _chosen(checked: Sequence[_Checked], minima: Minima) -> list[Mined]:
    """The rules that hold, the best of those that say the same, with ids of their own."""
    held = [one for one in checked if _holds(one.mined, minima)]
    held.sort(
        key=lambda one: (
            -one.mined.support.edits,
            -one.mined.check.right,
            len(str(one.mined.rule.fix)),
            one.mined.rule.id,
        )
    )
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
    known = mined.check.precision
    return share >= minima.fixed and known is not None and known >= minima.precision
