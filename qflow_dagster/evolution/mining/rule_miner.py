"""The rule miner: selects new rules from changes that people made repeatedly in a repository's history.

After Getafix (Bader et al. 2019): before/after pairs of small commits are grouped by the tokens they add and
remove, and generalised by anti-unification. What several commits did in several files becomes the
draft of a rule if later commits confirm it (`edit_groups.Minima`).

Commits are read by `mined_commits`, edits extracted by `concrete_edits` and generalised by
`anti_unification`, rules written by `mined_rules` and evaluated by `precision`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.confidence import BetaEstimate
from qflow_dagster.evolution.mining import precision
from qflow_dagster.evolution.mining.edit_groups import (
    Minima,
    PackedEdit,
    Template,
    TemplateCache,
    changes_of,
    smallest,
    templates,
)
from qflow_dagster.evolution.mining.mined_commits import MinedCommit
from qflow_dagster.evolution.mining.mined_history import PROCESSES, STALL_SECONDS, History, read_history
from qflow_dagster.evolution.mining.mined_rules import write_batch
from qflow_dagster.evolution.mining.precision import Record, Score
from qflow_dagster.evolution.mining.verdicts import Verdict
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.progress import ReportProgress

BATCH_TEMPLATES = 20
INSTANT = timedelta(microseconds=1)


class Support(NamedTuple):
    """The support of a rule: numbers of changes, commits, authors and files; commit ids; first and last time."""

    edits: int
    commits: int
    authors: int
    files: int
    oids: tuple[str, ...]
    first: datetime
    last: datetime


class MinedRule(NamedTuple):
    """A rule that was mined.

    `check` counts the verdicts on the rule's suggestions in commits after the one that completed its support;
    `remaining` are the matches that remained in files where the change was made.
    """

    rule: Rule
    support: Support
    check: Score
    remaining: int


class Candidate(NamedTuple):
    """A template that became a rule."""

    template: Template
    rule: Rule


class MiningResult(NamedTuple):
    """The mined rules, the history that was read, and the number of templates."""

    rules: list[MinedRule]
    history: History
    templates: int


def mine(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    languages: Sequence[str] = tuple(matchers.LANGUAGES),
    max_commits: int = 20_000,
    minima: Minima = Minima(),  # noqa: B008 (it cannot be changed)
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> MiningResult:
    """Mine rules from the history of `tip` up to `until`, ranked by authors, files and commits.

    `objects` is the path of a local repository; the newest `max_commits` commits are read. The rules are
    drafts: they are not evaluated before they are put on trial.

    Raises:
        GitError: The history cannot be read.
        UsageError: A language has no rules.
    """
    history = read_history(
        objects,
        tip=tip,
        until=until,
        languages=languages,
        max_commits=max_commits,
        processes=processes,
        progress=progress,
    )
    templates = generalised(history, minima)
    candidates = [candidate for rules in written(templates, processes) for candidate in rules]
    rules = [(candidate.rule, times(history, candidate.template)[0]) for candidate in candidates]
    moments = [{history.commits[-1].at} for _ in rules] if history.commits else []
    records = evaluate_alive(history, rules, moments, minima, processes, progress)
    selected = choose(history, candidates, records, minima)
    open_counts = precision.count_open(
        objects,
        [candidate.rule for candidate in selected],
        precision.tip_at(objects, tip, until),
        processes=processes,
        progress=progress,
    )
    return MiningResult(
        [
            _stated(candidate, sum(counts.values()))
            for candidate, counts in zip(selected, open_counts, strict=True)
        ],
        history,
        len(templates),
    )


def generalised(history: History, minima: Minima, cache: TemplateCache | None = None) -> list[Template]:
    """Return the templates of a history's edits that have support."""
    return smallest(templates(history.edits, minima, cache))


def written(templates: Sequence[Template], processes: int) -> list[list[Candidate]]:
    """Write each template as rules (the general one first), checked by their examples in worker processes."""
    tasks = [
        (i, template.language, template.edit, template.instances, len(template.members))
        for i, template in enumerate(templates)
    ]
    batches = [tasks[start : start + BATCH_TEMPLATES] for start in range(0, len(tasks), BATCH_TEMPLATES)]
    candidates: list[list[Candidate]] = [[] for _ in templates]
    results = in_processes(
        write_batch,
        None,
        batches,
        processes,
        lost=lambda task, code: LostResult(result=[]),
        stall=STALL_SECONDS,
    )
    for batch in results:
        for position, rules in batch:
            candidates[position] = [Candidate(templates[position], rule) for rule in rules]
    return candidates


def evaluate_alive(
    history: History,
    rules: Sequence[tuple[Rule, datetime]],
    moments: Sequence[Set[datetime]],
    minima: Minima,
    processes: int,
    progress: ReportProgress | None = None,
) -> list[Record]:
    """Return the complete record of each rule that is alive at one of its `moments`, empty ones of the others.

    Whether a rule is alive is decided by the commits shortly before a moment. Few are, and only for those
    the complete history is evaluated. Rules come with the time of their first commit.
    """
    all_moments = sorted(set().union(*moments))
    days = timedelta(days=minima.days)
    near = [commit for commit in history.commits if any(at - days < commit.at <= at for at in all_moments)]
    recent_records = precision.judge(history.objects, rules, near, processes=processes, progress=progress)
    alive = [
        i
        for i, record in enumerate(recent_records)
        if any(_alive(record.decided(at - days, at), at, minima) for at in moments[i])
    ]
    full_records = precision.judge(
        history.objects, [rules[i] for i in alive], history.commits, processes=processes, progress=progress
    )
    records = [Record([], []) for _ in rules]
    for i, record in zip(alive, full_records, strict=True):
        records[i] = record
    return records


def choose(
    history: History, candidates: Sequence[Candidate], records: Sequence[Record], minima: Minima
) -> list[MinedRule]:
    """Select the candidates with enough precision, the best of those with the same changes, with unique ids.

    `records` are their records; verdicts after the end of `history` are ignored.
    """
    if not history.commits:
        return []
    until = history.commits[-1].at
    accepted = []
    for (template, rule), record in zip(candidates, records, strict=True):
        if not record.verdicts:
            continue
        support = _support(template.members, history.by_oid)
        # The rule has support from the second commit on; later commits are independent evidence.
        check = record.score(times(history, template)[1], until)
        mined = MinedRule(rule, support, check, record.remaining(until))
        decided = record.decided(support.first - INSTANT, until)
        precision_bound = _precision_bound(decided, minima)
        if precision_bound >= minima.precision and _holds(mined, decided, until, minima):
            accepted.append((-precision_bound, mined, changes_of(template.members)))
    accepted.sort(key=lambda mined: (mined[0], _order(mined[1])))
    selected: list[MinedRule] = []
    covered: set[tuple[str, str, int]] = set()
    for _, mined, changes in accepted:
        # Of larger and smaller, more and less general templates of the same change one suffices.
        if 2 * len(changes - covered) > len(changes):
            covered |= changes
            selected.append(mined)
    selected.sort(key=lambda m: (-m.support.authors, -m.support.files, -m.support.commits, m.rule.id))
    names: Counter[str] = Counter()
    unique = []
    for mined in selected:
        names[mined.rule.id] += 1
        number = names[mined.rule.id]
        named = (
            mined.rule if number == 1 else mined.rule.model_copy(update={"id": f"{mined.rule.id}-{number}"})
        )
        unique.append(mined._replace(rule=named))
    return unique


def _order(mined: MinedRule) -> tuple[int, int, int, str]:
    return (-mined.support.edits, -mined.check.right, len(str(mined.rule.fix)), mined.rule.id)


def _precision_bound(decided: Sequence[Verdict], minima: Minima) -> float:
    """Return the lower bound (90 %) of the share of a rule's suggestions that are right.

    By the posterior after the verdicts `decided`, from the uniform prior Beta(1, 1). Many equal changes in one
    commit are one decision: they count no more than `minima.of_commit`.
    """
    per_commit = Counter(one.commit for one in decided)
    weights = [min(1.0, minima.of_commit / per_commit[one.commit]) for one in decided]
    right = sum(weight for one, weight in zip(decided, weights, strict=True) if one.outcome == "right")
    return BetaEstimate(1 + right, 1 + sum(weights) - right).lower


def _holds(mined: MinedRule, decided: Sequence[Verdict], until: datetime, minima: Minima) -> bool:
    """Return whether the change was made at enough locations, confirmed after it had support, and is alive."""
    share = mined.support.edits / (mined.support.edits + mined.remaining)
    confirmed = mined.check.right >= minima.confirmed
    return share >= minima.fixed and confirmed and _alive(decided, until, minima)


def _alive(decided: Sequence[Verdict], until: datetime, minima: Minima) -> bool:
    """Return whether the change was made within `minima.days`, and not contradicted since.

    After a change is complete, the remaining matches were kept on purpose.
    """
    last = max((verdict.at for verdict in decided if verdict.outcome == "right"), default=None)
    return (
        last is not None
        and until - last < timedelta(days=minima.days)
        and not any(verdict.at > last for verdict in decided)
    )


def times(history: History, template: Template) -> list[datetime]:
    """Return the times of the commits of a template, oldest first."""
    oids = {edit.oid for edit in template.members}
    return sorted(history.by_oid[oid].at for oid in oids)


def _support(edits: Sequence[PackedEdit], commits: Mapping[str, MinedCommit]) -> Support:
    oids = sorted({edit.oid for edit in edits}, key=lambda oid: (commits[oid].at, oid))
    return Support(
        len(changes_of(edits)),
        len(oids),
        len({commits[oid].author for oid in oids}),
        len({edit.path for edit in edits}),
        tuple(oid[:12] for oid in oids),
        commits[oids[0]].at,
        commits[oids[-1]].at,
    )


def _stated(mined: MinedRule, remaining: int) -> MinedRule:
    """Return the rule with its support as rationale; `remaining` is the number of its open matches."""
    support, score = mined.support, mined.check._replace(open=remaining)
    facts = (
        f"{support.commits} commits of {support.authors} author{'s' * (support.authors > 1)} made this change in "
        f"{support.edits} places of {support.files} files, from {support.first:%Y-%m-%d} to {support.last:%Y-%m-%d}. "
        f"Of {score.decided} such places that were touched after the second of them, {score.right} became this. "
        f"{score.open} are left."
    )
    oids = ", ".join(support.oids[:10]) + (", .." if support.commits > 10 else "")
    # The rule of succession: few cases give little confidence.
    confidence = round((score.right + 1) / (score.decided + 2), 3)
    rule = mined.rule.model_copy(
        update={"rationale": facts, "source": f"commits {oids}", "confidence": confidence}
    )
    return mined._replace(rule=rule, check=score)
