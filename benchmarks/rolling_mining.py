"""How good mining is where it runs: again and again, each time on what there was until then.

Belongs here: rules mined as of one day after the other, judged on the time until the next day, and
what of the repeated changes they would have suggested. Does not belong here: what is right at one
place (`verdicts`), mining (`rule_miner`).

A rolling origin: at each of the days t1 < t2 < .. rules are mined from what was committed until
then (of the last `window`, if that is given), and judged on what was committed after it, until the next.
No verdict, no edit and no count after an origin has a say in its rules. A suggestion is decided when
somebody touches its place; since periods do not overlap, it is counted once, by the rules of the day
before. Where several rules say the same of a place, that is one suggestion.

Recall is the share of the repeated changes in small commits of a period that a right suggestion
covers. A change is repeated if one of its edits has a template (`anti_unify`, as concrete as a rule's has to
be) with an edit of another commit of the same period, or of two commits before it (as far back as was
read). Each is compared with `MAX_DISTINCT` of its group, which misses some of the most frequent. Nobody asks
whether it is an idiom: `version = 2` for `version = 1`, again and again, is one of them, and no rule.
"""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from qflow_dagster.evolution.mining.anti_unification import Edit, anti_unify, concreteness, digest
from qflow_dagster.evolution.mining.edit_groups import (
    MAX_DISTINCT,
    Minima,
    PackedEdit,
    Template,
    TemplateCache,
    unpacked,
)
from qflow_dagster.evolution.mining.mined_history import PROCESSES, History
from qflow_dagster.evolution.mining.precision import Record, Score, score_of
from qflow_dagster.evolution.mining.rule_miner import (
    Candidate,
    MinedRule,
    choose,
    evaluate_alive,
    generalised,
    times,
    written,
)
from qflow_dagster.evolution.mining.verdicts import Verdict
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.progress import ReportProgress

# (commit, path, number of the change in the file)
Change = tuple[str, str, int]


class Period(NamedTuple):
    """From one origin to the next: the rules, what became of their suggestions, and how much was repeated.

    `commits` are those that decided a suggestion, with their own scores.
    """

    origin: datetime
    until: datetime | None
    rules: list[MinedRule]
    scores: list[Score]
    total: Score
    commits: dict[str, Score]
    repeated: int
    predicted: int


class Rolling(NamedTuple):
    """All periods, and the seconds it took."""

    periods: list[Period]
    seconds: float

    @property
    def total(self) -> Score:
        """Return the outcomes of the suggestions of all periods."""
        return Score(*map(sum, zip(*(one.total for one in self.periods), strict=True)))

    @property
    def commits(self) -> list[Score]:
        """The same of each commit that decided something: what one commit does in many places is one decision."""
        return [score for one in self.periods for score in one.commits.values()]

    @property
    def repeated(self) -> int:
        """Changes that were repeated."""
        return sum(one.repeated for one in self.periods)

    @property
    def recall(self) -> float | None:
        """The share of repeated changes that was predicted; None where nothing was repeated."""
        return sum(one.predicted for one in self.periods) / self.repeated if self.repeated else None


def origins_of(history: History, share: float, number: int) -> list[datetime]:
    """Return `number` days that cut the commits after the first `share` of a history into equal parts."""
    commits = history.commits
    first = int(share * len(commits))
    return sorted({commits[first + i * (len(commits) - first) // number].at for i in range(number)})


def between(history: History, after: datetime | None, until: datetime | None) -> History:
    """Return the part of a history that was committed after `after` and not after `until`."""
    commits = [c for c in history.commits if (not after or c.at > after) and (not until or c.at <= until)]
    oids = {commit.oid for commit in commits}
    return History(history.objects, commits, [edit for edit in history.edits if edit.oid in oids])


def evaluate(
    history: History,
    origins: Sequence[datetime],
    *,
    window: timedelta | None = None,
    minima: Minima = Minima(),  # noqa: B008 (it cannot be changed)
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> Rolling:
    """Mine at each of the `origins` (in order), judge until the next; after the last, to the end.

    Raises:
        GitError: the history cannot be read.
    """
    started = time.monotonic()
    mined_from = [between(history, at - window if window else None, at) for at in origins]
    found = []
    known: TemplateCache = {}
    for number, part in enumerate(mined_from, 1):
        found.append(generalised(part, minima, known))
        if progress:
            progress("mining", number, len(origins))
    # Most templates are there at several origins: each is written once, and each rule judged once.
    distinct = {_identity(template): template for part in found for template in part}
    written_ = dict(zip(distinct, written(list(distinct.values()), processes), strict=True))
    rules: dict[tuple[str, ...], tuple[Rule, datetime]] = {}
    when: dict[tuple[str, ...], set[datetime]] = defaultdict(set)
    for origin, part in zip(origins, found, strict=True):
        for template in part:
            since = times(history, template)[0]
            for one in written_[_identity(template)]:
                rules[_says(one)] = one.rule, min(since, rules.get(_says(one), (one.rule, since))[1])
                when[_says(one)].add(origin)
    judged = evaluate_alive(
        history, list(rules.values()), [when[key] for key in rules], minima, processes, progress
    )
    records = dict(zip(rules, judged, strict=True))
    periods = []
    for origin, until, part, templates in zip(origins, [*origins[1:], None], mined_from, found, strict=True):
        candidates = [
            one._replace(template=template) for template in templates for one in written_[_identity(template)]
        ]
        chosen = choose(part, candidates, [records[_says(one)] for one in candidates], minima)
        periods.append(
            period_of(history, origin, until, chosen, [records[_says(one)] for one in chosen], minima)
        )
    return Rolling(periods, time.monotonic() - started)


def _identity(template: Template) -> bytes:
    """Return the changes that a rule is written from."""
    parts = [template.language.encode(), digest(template.edit), str(len(template.members)).encode()]
    parts += sorted(map(digest, template.instances))
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()


def _says(one: Candidate | MinedRule) -> tuple[str, ...]:
    """Return what a rule matches and changes."""
    return *one.rule.language, one.rule.matcher.model_dump_json(), str(one.rule.fix)


def period_of(
    history: History,
    origin: datetime,
    until: datetime | None,
    rules: list[MinedRule],
    records: Sequence[Record],
    minima: Minima,
) -> Period:
    """Return the results of `rules`, mined at `origin`, until `until`; `records` are of any time."""
    counted: Counter[tuple[str, str, int, int, str]] = Counter()
    verdicts: dict[tuple[str, str, int, int, str], Verdict] = {}
    for record in records:
        own: Counter[tuple[str, str, int, int, str]] = Counter()
        for one in record.between(origin, until):
            place = (one.commit, one.path, one.line, one.end_line, one.outcome)
            own[place] += 1
            verdicts[place] = one
        counted |= own
    repeated = repeated_changes(between(history, None, origin), between(history, origin, until), minima)
    right = [one for one in verdicts.values() if one.outcome == "right"]
    scores = [record.score(origin, until) for record in records]
    by_commit: dict[str, list[Verdict]] = defaultdict(list)
    for place in counted.elements():
        by_commit[place[0]].append(verdicts[place])
    commits = {oid: score for oid, found in by_commit.items() if (score := score_of(found)).decided}
    total = score_of(one for found in by_commit.values() for one in found)
    return Period(origin, until, rules, scores, total, commits, len(repeated), _covered(repeated, right))


def _covered(changes: dict[Change, tuple[int, int]], right: Iterable[Verdict]) -> int:
    """How many of the changes (with their lines) right suggestions meet."""
    lines: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for one in right:
        lines[one.commit, one.path].append((one.line, one.end_line))
    return sum(
        any(first <= end and last >= line for first, last in lines[oid, path])
        for (oid, path, _), (line, end) in changes.items()
    )


def repeated_changes(before: History, period: History, minima: Minima) -> dict[Change, tuple[int, int]]:
    """Return the repeated changes of a period, with the lines (before) they are in."""
    groups: dict[bytes, list[PackedEdit]] = defaultdict(list)
    for one in period.edits:
        groups[one.group].append(one)
    earlier: dict[bytes, list[PackedEdit]] = defaultdict(list)
    for one in before.edits:
        if one.group in groups:
            earlier[one.group].append(one)
    lines: dict[Change, tuple[int, int]] = {}
    for group, found in groups.items():
        for one in _repeated(found, earlier[group], minima.concreteness):
            for number in one.changes:
                change = one.oid, one.path, number
                first, last = lines.get(change, (one.line, one.end_line))
                # Of the nodes a change is in, the smallest.
                lines[change] = max(first, one.line), min(last, one.end_line)
    return lines


def _repeated(found: Sequence[PackedEdit], earlier: Sequence[PackedEdit], least: int) -> list[PackedEdit]:
    """Those of a group's edits that have a template with edits of enough other commits."""
    if len({one.oid for one in (*found, *earlier)}) < 2:
        return []
    commits: dict[bytes, set[str]] = defaultdict(set)
    first: dict[bytes, PackedEdit] = {}
    for one in (*found, *earlier):
        commits[one.key].add(one.oid)
        first.setdefault(one.key, one)
    inside, past = {one.oid for one in found}, {one.oid for one in earlier}
    # Comparing all with all would take the square of their number.
    known = {key: unpacked(first[key]) for key in list(first)[:MAX_DISTINCT]}
    same: dict[bytes, set[str]] = {}
    for key in {one.key for one in found}:
        edit = known.get(key) or unpacked(first[key])
        if concreteness(edit.left) >= least:
            alike = [other for other, tree in known.items() if _alike(edit, tree, least)]
            same[key] = set().union(commits[key], *(commits[other] for other in alike))
    return [
        one
        for one in found
        if one.key in same and ((same[one.key] & inside) - {one.oid} or len(same[one.key] & past) >= 2)
    ]


def _alike(one: Edit, other: Edit, least: int) -> bool:
    template = anti_unify(one, other)
    return template is not None and concreteness(template.left) >= least
