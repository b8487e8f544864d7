"""Mined again and again, each time on what there was until then: nothing is known before its time."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import rolling_mining
from qflow_dagster.evolution.mining.mined_history import History, read_history
from qflow_dagster.evolution.mining.precision import Score
from qflow_dagster.evolution.mining.rule_miner import Minima, mine
from tests.evolution.mining.histories import history, module, new, old
from tests.ingestion.conftest import ANN, BOB, GitRepository

pytestmark = pytest.mark.usefixtures("no_workers")
HOUR = timedelta(hours=1)
# A few changes are enough.
FEW = Minima(precision=0.5)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """Four changes of a kind; then one more, one that is another; then one more, one that is taken back."""
    repository = GitRepository(tmp_path_factory.mktemp("rolling"))
    history(repository, [(i, new(i), (ANN, BOB)[i % 2]) for i in range(4)])
    repository.commit({"m4.py": module(new(4), "f4"), "m5.py": module("other(key)", "f5")})
    repository.commit({"m6.py": module(new(6), "f6")})
    repository.commit({"m0.py": module(old(0), "f0")}, "as it was")
    return repository


@pytest.fixture(scope="module")
def read(project: GitRepository, no_workers: None) -> History:
    return read_history(project.path, tip="HEAD", processes=1)


def scores(read: History, origins: list[datetime], **options) -> list[Score]:
    return [
        one.total
        for one in rolling_mining.evaluate(read, origins, processes=1, minima=FEW, **options).periods
    ]


def test_each_period_is_judged_by_the_rules_of_its_origin(read: History) -> None:
    times = [commit.at for commit in read.commits]
    result = rolling_mining.evaluate(read, [times[1], times[3], times[4]], processes=1, minima=FEW)
    # Two changes are too few.
    assert [len(one.rules) for one in result.periods] == [0, 1, 1]
    assert [one.total for one in result.periods] == [
        Score(),
        Score(right=1, wrong=1),
        Score(right=1, undone=1),
    ]
    assert result.total == Score(right=2, wrong=1, undone=1)
    # Of one commit, the first two.
    assert result.commits == [Score(right=1, wrong=1), Score(right=1), Score(undone=1)]


def test_an_only_origin_judges_all_that_comes_later(read: History) -> None:
    assert scores(read, [read.commits[3].at]) == [Score(right=2, wrong=1, undone=1)]


def test_rules_are_those_that_were_mined_that_day(project: GitRepository, read: History) -> None:
    at = read.commits[3].at
    [period] = rolling_mining.evaluate(read, [at], processes=1, minima=FEW).periods
    [one] = mine(project.path, tip="HEAD", until=at, processes=1, minima=FEW).rules
    [same] = period.rules
    assert (same.rule.id, same.rule.fix, same.support) == (one.rule.id, one.rule.fix, one.support)
    assert same.check == one.check._replace(open=0)
    # Nor does what comes later change them.
    cut = rolling_mining.evaluate(rolling_mining.between(read, None, at), [at], processes=1, minima=FEW)
    assert cut.periods[0].rules == period.rules


def test_what_is_before_the_window_is_forgotten(read: History) -> None:
    at = read.commits[3].at
    assert scores(read, [at], window=timedelta(days=1)) == scores(read, [at])
    assert scores(read, [at], window=HOUR) == [Score()]


def test_several_rules_that_say_the_same_of_a_place_are_one_suggestion(read: History) -> None:
    at = read.commits[3].at
    [period] = rolling_mining.evaluate(read, [at], processes=1, minima=FEW).periods
    record = rolling_mining.Record([rolling_mining.Verdict(0, "c", at + HOUR, "x.py", 1, 1, "right")] * 2, [])
    twice = rolling_mining.period_of(read, at, None, period.rules * 2, [record, record], Minima())
    assert twice.total == Score(right=2)


def test_origins_cut_what_is_after_the_share(read: History) -> None:
    times = [commit.at for commit in read.commits]
    assert rolling_mining.origins_of(read, 0.0, 7) == times
    assert rolling_mining.origins_of(read, 0.5, 2) == [times[3], times[5]]


def test_recall_is_of_what_was_repeated(tmp_path, no_workers: None) -> None:
    repository = GitRepository(tmp_path)
    history(repository, [(i, new(i), BOB) for i in range(4)])
    origin = datetime.fromtimestamp(1_700_000_000 + repository.hours * 3600, UTC)
    repository.commit({f"n{i}.py": f"v{i} = a.has_key(key)\nw{i} = old_name(1, {i})\n" for i in range(2)})
    repository.commit({"n0.py": "v0 = key in a\nw0 = new_name(1, 0)\n"})
    repository.commit({"n1.py": "v1 = key in a\nw1 = new_name(1, 1)\n"})
    # Done once, and never before.
    repository.commit({"m4.py": module("sorted(get(4))", "f4")})
    # Done once now, and four times before.
    repository.commit({"m5.py": module(new(5), "f5")})
    result = rolling_mining.evaluate(
        read_history(repository.path, tip="HEAD", processes=1), [origin], processes=1, minima=FEW
    )
    assert (result.repeated, result.periods[0].predicted, result.recall) == (5, 3, 0.6)
