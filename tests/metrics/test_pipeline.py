"""The metrics of a real repository with a known history, from ingestion to the tables."""

from collections.abc import Callable
from pathlib import Path

import pytest

import qflow_dagster
from benchmarks.metrics_agreement import Pair, compare, summary
from qflow_dagster.metrics import queries
from qflow_dagster.metrics.changes import compute_changes
from qflow_dagster.metrics.coupling import compute_coupling
from qflow_dagster.metrics.duplication import compute_duplication
from qflow_dagster.metrics.files import compute_files
from qflow_dagster.metrics.functions import compute_functions
from qflow_dagster.metrics.hotspots import compute_hotspots
from qflow_dagster.metrics.repository import compute_repository
from qflow_dagster.metrics.store import MetricResult, compute_once
from qflow_dagster.settings import settings
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested, ingested, make_repository, repository
from tests.ingestion.test_history import write_history

__all__ = ["ingested", "make_repository", "repository"]

STEPS = (
    compute_functions,
    compute_files,
    compute_changes,
    compute_coupling,
    compute_duplication,
    compute_hotspots,
    compute_repository,
)

BUSY = '''"""Busy."""
from app import util


def decide(a, b):
    """Decide."""
    if a:
        for x in b:
            if x and a:
                return util.f(x)
    return None
'''


@pytest.fixture
def measured(repository: GitRepository, ingested: Ingested) -> Ingested:
    """A small application with three authors' worth of history, measured."""
    repository.commit(
        {
            "app/__init__.py": "",
            "app/util.py": "from app import busy\n\n\ndef f(x):\n    return x\n",
            "app/busy.py": BUSY,
            "vendor/lib.py": BUSY,
            "README.md": "# App\n",
        },
        "start",
    )
    for n in range(6):
        repository.commit(
            {
                "app/busy.py": BUSY + f"X{n} = {n}\n",
                "app/util.py": f"from app import busy\n\n\ndef f(x):\n    return x + {n}\n",
            },
            "fix: bug" if n % 2 else "more",
            author=BOB,
        )
    repository.git("mv", "app/busy.py", "app/engine.py")
    repository.commit(
        {"app/util.py": "from app import engine\n\n\ndef f(x):\n    return x\n"}, "rename", author=ANN
    )
    measure(ingested, repository)
    return ingested


def measure(ingested: Ingested, repository: GitRepository, revision: str = "HEAD") -> int:
    snapshot = ingested(repository, revision).snapshot_id
    for step in STEPS:
        step(ingested.engine, snapshot)
    return snapshot


def one(ingested: Ingested, columns: str, table: str, path: str) -> tuple:
    [row] = ingested.rows(
        f"SELECT {columns} FROM {table} WHERE path = :path ORDER BY snapshot_id DESC LIMIT 1", path=path
    )
    return row


def test_files_sum_up_their_functions_and_know_their_place(measured: Ingested) -> None:
    assert one(
        measured,
        "functions, cyclomatic, cognitive, fan_in, fan_out, cycle_size",
        "file_metrics",
        "app/engine.py",
    ) == (1, 6, 7, 1, 1, 2)
    assert one(measured, "docstring_ratio, instability, vendored", "file_metrics", "app/engine.py") == (
        1.0,
        0.5,
        False,
    )
    assert one(measured, "vendored", "file_metrics", "vendor/lib.py") == (True,)


def test_history_follows_renames_and_counts_people(measured: Ingested) -> None:
    columns = "commits, bug_fixes, authors, main_author, bus_factor"
    assert one(measured, columns, "change_metrics", "app/engine.py") == (8, 3, 2, "Ann", 1)
    assert one(measured, "commits, commits_365", "change_metrics", "app/util.py") == (8, 8)


def test_files_that_change_together_are_coupled(measured: Ingested) -> None:
    rows = measured.rows("SELECT path_a, path_b, common_commits, degree FROM change_coupling")
    assert rows == [("app/engine.py", "app/util.py", 8, 1.0)]


def test_the_hotspot_is_the_busy_file_and_vendored_code_is_none(measured: Ingested) -> None:
    paths = [row[0] for row in measured.rows("SELECT path FROM hotspots ORDER BY rank")]
    assert paths == ["app/engine.py"]


def test_the_repository_is_summed_up_without_what_is_not_its_own(measured: Ingested) -> None:
    [row] = measured.rows(
        "SELECT files, functions, contributors, bus_factor, import_cycles FROM repository_metrics"
    )
    assert row == (4, 2, 2, 1, 1)
    [(commits, fixes)] = measured.rows("SELECT sum(commits), sum(bug_fixes) FROM repository_trend")
    assert (commits, fixes) == (8, 3)


def test_measuring_again_changes_nothing(measured: Ingested, repository: GitRepository) -> None:
    tables = (
        "function_metrics",
        "file_metrics",
        "change_metrics",
        "change_coupling",
        "clones",
        "duplication",
        "hotspots",
        "repository_metrics",
        "repository_trend",
    )
    before = {table: sorted(map(str, measured.rows(f"SELECT * FROM {table}"))) for table in tables}
    measure(measured, repository)
    assert {table: sorted(map(str, measured.rows(f"SELECT * FROM {table}"))) for table in tables} == before


def test_functions_are_measured_once_for_all_commits(measured: Ingested, repository: GitRepository) -> None:
    [(before,)] = measured.rows("SELECT count(*) FROM function_metrics")
    repository.commit({"app/new.py": "def g():\n    return 1\n"})
    measure(measured, repository)
    # A function and the file's top level.
    assert measured.rows("SELECT count(*) FROM function_metrics") == [(before + 2,)]


def test_old_snapshots_rows_go_with_the_setting(
    measured: Ingested, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qflow_dagster.settings import settings

    monkeypatch.setattr(settings().metrics, "snapshots", 2)
    for n in range(3):
        repository.commit({"app/util.py": f"x = {n}\n"})
        measure(measured, repository)
    assert measured.rows("SELECT count(DISTINCT snapshot_id) FROM file_metrics") == [(2,)]


def test_what_was_measured_is_not_measured_again_unless_something_it_depends_on_changed(
    measured: Ingested, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qflow_dagster.settings import settings

    calls: list[int] = []

    def compute(_engine: object, snapshot_id: int) -> MetricResult:
        calls.append(snapshot_id)
        return MetricResult(7, 0.0)

    snapshot = measured(repository).snapshot_id
    for _ in range(2):
        assert compute_once(measured.engine, snapshot, "m", compute).row_count == 7
    assert calls == [snapshot]
    monkeypatch.setattr(settings().metrics, "clone_tokens", 99)
    compute_once(measured.engine, snapshot, "m", compute)
    assert calls == [snapshot, snapshot]


@pytest.mark.parametrize("files", [{}, {"a.bin": b"\0"}, {"README.md": "hi\n"}, {"a.py": ""}])
def test_a_repository_with_next_to_nothing_is_measured(
    repository: GitRepository, ingested: Ingested, files: dict
) -> None:
    repository.commit(files)
    snapshot = measure(ingested, repository)
    with ingested.engine.connect() as connection:
        assert queries.out_of_range(connection, snapshot) == []
    assert ingested.rows("SELECT count(*) FROM repository_metrics") == [(1,)]


def test_numbers_lie_in_their_ranges_on_our_own_code(
    make_repository: Callable[..., GitRepository], ingested: Ingested
) -> None:
    """Not the checkout itself: what is tested may have been copied without its history."""
    own = make_repository("own")
    package = Path(qflow_dagster.__file__).parent
    own.commit({f"qflow_dagster/{p.relative_to(package)}": p.read_bytes() for p in package.rglob("*.py")})
    snapshot = measure(ingested, own)
    with ingested.engine.connect() as connection:
        assert queries.out_of_range(connection, snapshot) == []
        [(repository_id,)] = ingested.rows("SELECT id FROM repositories")
        [first, *_] = queries.hotspots(connection, repository_id, 5)
        assert queries.metrics_of(connection, repository_id, first["path"])["path"] == first["path"]


@pytest.fixture(scope="module")
def standard_library() -> list[Pair]:
    """Some modules of Python's own library, counted by us, radon and lizard."""
    import argparse
    import ast
    import difflib
    import json.decoder
    import tarfile
    import zipfile
    from pathlib import Path

    modules = (argparse, ast, difflib, json.decoder, tarfile, zipfile)
    return [pair for module in modules for pair in compare(Path(str(module.__file__)))]


def test_cyclomatic_complexity_is_radons(standard_library: list[Pair]) -> None:
    figures = summary(standard_library).set_index(["tool", "metric"])
    row = figures.loc[("radon", "cyclomatic")]
    assert row["functions"] > 400
    assert row["same %"] > 99


def test_parameters_and_code_lines_are_lizards(standard_library: list[Pair]) -> None:
    figures = summary(standard_library).set_index(["tool", "metric"])
    assert figures.loc[("lizard", "parameters")]["same %"] > 99
    assert figures.loc[("lizard", "code lines")]["rank correlation"] > 0.95


@pytest.mark.parametrize(
    ("dates", "misdated", "recent", "months"),
    [
        pytest.param([0, 1, 2, 3, -1_000], 1, 4, 2, id="the tip's clock is behind"),
        pytest.param([0, 1, 30_000, 2], 2, 4, 1, id="the future"),
        pytest.param([-25_000, 0, 1], 1, 2, 1, id="before 1970"),
    ],
)
def test_ancestry_and_not_dates_decides_on_the_history(
    repository: GitRepository,
    ingested: Ingested,
    dates: list[int],
    misdated: int,
    recent: int,
    months: int,
) -> None:
    """Dates in days around November 2023; the commit after one in the future is dated before its parent."""
    write_history(repository, [max(1_700_000_000 + days * 86_400, 0) for days in dates])
    measure(ingested, repository)
    assert one(ingested, "commits, commits_365", "change_metrics", "a.py") == (len(dates), recent)
    assert ingested.rows("SELECT misdated_commits FROM repository_metrics") == [(misdated,)]
    assert len(ingested.rows("SELECT month FROM repository_trend")) == months


def test_an_earlier_commit_has_the_history_it_had(repository: GitRepository, ingested: Ingested) -> None:
    write_history(repository, [1_700_000_000 + n for n in range(5)])
    early = ingested(repository, "HEAD~3").snapshot_id
    ingested(repository)
    compute_changes(ingested.engine, early)
    assert one(ingested, "commits", "change_metrics", "a.py") == (2,)


def test_coupling_is_relative_to_all_commits_of_both(repository: GitRepository, ingested: Ingested) -> None:
    for n in range(20):
        repository.commit({"a.py": f"x = {n}\n"} | ({"b.py": f"y = {n}\n"} if n < 5 else {}))
    measure(ingested, repository)
    assert ingested.rows("SELECT common_commits, commits_a, commits_b, degree FROM change_coupling") == [
        (5, 20, 5, 0.4)
    ]


def test_co_authors_share_a_commit_and_programs_own_nothing(
    repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    teams = {"core": ["@example.com"], "docs": ["cy@example.org"]}
    monkeypatch.setattr(settings().metrics, "teams", teams)
    repository.commit({"a.py": "x = 1\n" * 6}, "one\n\nCo-authored-by: Cy <CY@example.org>")
    repository.commit({"a.py": "x = 1\n" * 10}, "two", author=BOB)
    bot = ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com")
    repository.commit({"a.py": "x = 1\n" * 90, "lock.py": "y = 1\n"}, "Bump", author=bot)
    measure(ingested, repository)
    columns = "authors, main_author, ownership, main_team, team_ownership"
    assert one(ingested, columns, "change_metrics", "a.py") == (3, "Bob", 0.4, "core", 0.7)
    assert one(ingested, "commits, authors, main_author, bus_factor", "change_metrics", "lock.py") == (
        1,
        0,
        "",
        0,
    )
    assert ingested.rows("SELECT contributors, bus_factor FROM repository_metrics") == [(3, 1)]
