"""New rules from what people changed again and again in a repository's own history.

The idea is Getafix's (Bader et al. 2019): before/after pairs of small commits are grouped by what
they put in and took out, and generalised by anti-unification; what several commits did in
several files becomes a draft of a rule, if what became of such places speaks for it (`Minima`).

Belongs here: choosing. Does not belong here: reading commits (`small_commits`), cutting out edits
(`concrete_edits`), generalising (`anti_unification`), writing rules (`mined_rules`), what is right
(`precision`).
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
    Known,
    Minima,
    Packed,
    Template,
    places,
    smallest,
    templates,
)
from qflow_dagster.evolution.mining.mined_history import PROCESSES, STALL_SECONDS, History, read_history
from qflow_dagster.evolution.mining.mined_rules import write_batch
from qflow_dagster.evolution.mining.precision import Record, Score
from qflow_dagster.evolution.mining.small_commits import MinedCommit
from qflow_dagster.evolution.mining.verdicts import Verdict
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.progress import ReportProgress

BATCH_TEMPLATES = 20
INSTANT = timedelta(microseconds=1)


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
    """A rule that was mined.

    `check` counts what happened to the rule's suggestions in the mined commits after the one that
    completed its support; `left` are the matches that commits which did it left in their files.
    """

    rule: Rule
    support: Support
    check: Score
    left: int


class Candidate(NamedTuple):
    """A template that became a rule."""

    template: Template
    rule: Rule


class Mining(NamedTuple):
    """The rules, and what was read for them."""

    rules: list[Mined]
    history: History
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
    progress: ReportProgress | None = None,
) -> list[Mined]:
    """The rules that the history of `tip` up to `until` suggests, ranked by authors, files and commits.

    `objects` is a repository on this machine; the newest `most_commits` commits are read. Rules are
    drafts: they find nothing before somebody makes them active.

    Raises:
        GitError: the history cannot be read.
        UsageError: a language has no rules.
    """
    return mine_all(
        objects,
        tip=tip,
        until=until,
        languages=languages,
        most_commits=most_commits,
        minima=minima,
        processes=processes,
        progress=progress,
    ).rules


def mine_all(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    languages: Sequence[str] = tuple(matchers.LANGUAGES),
    most_commits: int = 20_000,
    minima: Minima = Minima(),  # noqa: B008 (it cannot be changed)
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> Mining:
    """The same, with what was read."""
    history = read_history(
        objects,
        tip=tip,
        until=until,
        languages=languages,
        most_commits=most_commits,
        processes=processes,
        progress=progress,
    )
    found = generalised(history, minima)
    candidates = [one for rules in written(found, processes) for one in rules]
    rules = [(one.rule, times(history, one.template)[0]) for one in candidates]
    when = [{history.commits[-1].at} for _ in rules] if history.commits else []
    records = judge_living(history, rules, when, minima, processes, progress)
    chosen = choose(history, candidates, records, minima)
    left = precision.count_open(
        objects,
        [one.rule for one in chosen],
        precision.tip_at(objects, tip, until),
        processes=processes,
        progress=progress,
    )
    return Mining(
        [_stated(one, sum(counts.values())) for one, counts in zip(chosen, left, strict=True)],
        history,
        len(found),
    )


def generalised(history: History, minima: Minima, known: Known | None = None) -> list[Template]:
    """What the edits of a history have in common, where it has support."""
    return smallest(templates(history.edits, minima, known))


def written(templates: Sequence[Template], processes: int) -> list[list[Candidate]]:
    """Each template as rules (the general one first), made and held to its examples in worker processes."""
    tasks = [(i, one.language, one.edit, one.instances, len(one.found)) for i, one in enumerate(templates)]
    batches = [tasks[start : start + BATCH_TEMPLATES] for start in range(0, len(tasks), BATCH_TEMPLATES)]
    candidates: list[list[Candidate]] = [[] for _ in templates]
    results = in_processes(
        write_batch, None, batches, processes, lost=lambda task, code: Lost(result=[]), stall=STALL_SECONDS
    )
    for batch in results:
        for position, rules in batch:
            candidates[position] = [Candidate(templates[position], rule) for rule in rules]
    return candidates


def judge_living(
    history: History,
    rules: Sequence[tuple[Rule, datetime]],
    when: Sequence[Set[datetime]],
    minima: Minima,
    processes: int,
    progress: ReportProgress | None = None,
) -> list[Record]:
    """What the history says of each rule that is alive at one of its moments (`when`), nothing of the others.

    Which are, the commits shortly before say. Few are, and only of those is everything worth reading that was ever
    done. Rules come with the day they are from.
    """
    moments = sorted(set().union(*when))
    days = timedelta(days=minima.days)
    near = [one for one in history.commits if any(at - days < one.at <= at for at in moments)]
    lately = precision.judge(history.objects, rules, near, processes=processes, progress=progress)
    living = [
        i
        for i, record in enumerate(lately)
        if any(_alive(record.decided(at - days, at), at, minima) for at in when[i])
    ]
    judged = precision.judge(
        history.objects, [rules[i] for i in living], history.commits, processes=processes, progress=progress
    )
    records = [Record([], []) for _ in rules]
    for i, record in zip(living, judged, strict=True):
        records[i] = record
    return records


def choose(
    history: History, candidates: Sequence[Candidate], records: Sequence[Record], minima: Minima
) -> list[Mined]:
    """The candidates that hold, the best of those that say the same, with ids of their own.

    `records` are what is known of each; what they say of the time after `history` is not looked at.
    """
    if not history.commits:
        return []
    until = history.commits[-1].at
    held = []
    for (template, rule), record in zip(candidates, records, strict=True):
        if not record.verdicts:
            continue
        support = _support(template.found, history.by_oid)
        # From the second commit on there is support; what came later is evidence of another kind.
        check = record.score(times(history, template)[1], until)
        mined = Mined(rule, support, check, record.left(until))
        decided = record.decided(support.first - INSTANT, until)
        believed = _believed(decided, minima)
        if believed >= minima.believed and _holds(mined, decided, until, minima):
            held.append((-believed, mined, places(template.found)))
    held.sort(key=lambda one: (one[0], _order(one[1])))
    chosen: list[Mined] = []
    covered: set[tuple[str, str, int]] = set()
    for _, mined, where in held:
        # Larger and smaller pieces of the same change, more and less general ones: one is enough.
        if 2 * len(where - covered) > len(where):
            covered |= where
            chosen.append(mined)
    chosen.sort(key=lambda m: (-m.support.authors, -m.support.files, -m.support.commits, m.rule.id))
    names: Counter[str] = Counter()
    unique = []
    for one in chosen:
        names[one.rule.id] += 1
        number = names[one.rule.id]
        named = one.rule if number == 1 else one.rule.model_copy(update={"id": f"{one.rule.id}-{number}"})
        unique.append(one._replace(rule=named))
    return unique


def _order(mined: Mined) -> tuple[int, int, int, str]:
    return (-mined.support.edits, -mined.check.right, len(str(mined.rule.fix)), mined.rule.id)


def _believed(decided: Sequence[Verdict], minima: Minima) -> float:
    """What the share of a rule's suggestions that are right is at least, nine in ten.

    By the posterior of a rule nobody knows, Beta(1, 1), after what was `decided`. What one commit does in many
    places is one decision, told often: it counts no more than `minima.of_commit`.
    """
    told = Counter(one.commit for one in decided)
    weights = [min(1.0, minima.of_commit / told[one.commit]) for one in decided]
    right = sum(weight for one, weight in zip(decided, weights, strict=True) if one.outcome == "right")
    return BetaEstimate(1 + right, 1 + sum(weights) - right).lower


def _holds(mined: Mined, decided: Sequence[Verdict], until: datetime, minima: Minima) -> bool:
    """Whether it was done where it could be, confirmed after it had support, and is alive."""
    share = mined.support.edits / (mined.support.edits + mined.left)
    confirmed = mined.check.right >= minima.confirmed
    return share >= minima.fixed and confirmed and _alive(decided, until, minima)


def _alive(decided: Sequence[Verdict], until: datetime, minima: Minima) -> bool:
    """Whether it was done within so many days, and nobody who came by such a place since did otherwise.

    What is left when a change is through was left with reason.
    """
    last = max((one.at for one in decided if one.outcome == "right"), default=None)
    return (
        last is not None
        and until - last < timedelta(days=minima.days)
        and not any(one.at > last for one in decided)
    )


def times(history: History, template: Template) -> list[datetime]:
    """When the commits were made that a template is of, the oldest first."""
    oids = {one.oid for one in template.found}
    return sorted(history.by_oid[oid].at for oid in oids)


def _support(found: Sequence[Packed], commits: Mapping[str, MinedCommit]) -> Support:
    given = sorted({one.oid for one in found}, key=lambda oid: (commits[oid].at, oid))
    return Support(
        len(places(found)),
        len(given),
        len({commits[oid].author for oid in given}),
        len({one.path for one in found}),
        tuple(oid[:12] for oid in given),
        commits[given[0]].at,
        commits[given[-1]].at,
    )


def _stated(mined: Mined, left: int) -> Mined:
    """The rule with the facts it rests on; `left` is how often it still matches."""
    support, score = mined.support, mined.check._replace(open=left)
    facts = (
        f"{support.commits} commits of {support.authors} author{'s' * (support.authors > 1)} made this change in "
        f"{support.edits} places of {support.files} files, from {support.first:%Y-%m-%d} to {support.last:%Y-%m-%d}. "
        f"Of {score.decided} such places that were touched after the second of them, {score.right} became this. "
        f"{score.open} are left."
    )
    shown = ", ".join(support.oids[:10]) + (", .." if support.commits > 10 else "")
    # The rule of succession: a few cases make nobody sure.
    confidence = round((score.right + 1) / (score.decided + 2), 3)
    rule = mined.rule.model_copy(
        update={"rationale": facts, "source": f"commits {shown}", "confidence": confidence}
    )
    return mined._replace(rule=rule, check=score)
