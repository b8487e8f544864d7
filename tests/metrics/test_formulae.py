"""Formulae against published worked examples, and what must hold for any numbers."""

import inspect
import shlex
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.ingestion.extraction import extract, tokens
from qflow_dagster.metrics import coupling, duplication, formulae, functions
from qflow_dagster.metrics.files import import_cycles
from qflow_dagster.metrics.hotspots import rank

COUNTS = st.integers(0, 10_000)


def test_cyclomatic_is_decisions_and_one() -> None:
    """McCabe 1976: a straight line has 1, each predicate adds 1."""
    assert [formulae.cyclomatic(n) for n in (0, 1, 10)] == [1, 2, 11]


def test_halstead_of_a_worked_example() -> None:
    """The example of the Wikipedia article on Halstead complexity measures (a C program, average of
    three numbers): n1 = 12, n2 = 7, N1 = 27, N2 = 15: volume 178.4, difficulty 12.85, effort 2292.44."""
    volume = formulae.halstead_volume(27, 15, 12 + 7)
    difficulty = formulae.halstead_difficulty(12, 15, 7)
    assert volume == pytest.approx(178.4, abs=0.1)
    assert difficulty == pytest.approx(12.85, abs=0.01)
    assert formulae.halstead_effort(difficulty, volume) == pytest.approx(2292.44, rel=1e-3)


def test_maintainability_of_a_worked_example_and_at_its_ends() -> None:
    """171 - 5.2 ln 1000 - 0.23 * 10 - 16.2 ln 100 = 58.18 of 171."""
    assert formulae.maintainability(1000, 10, 100) == pytest.approx(58.176 * 100 / 171, abs=0.01)
    assert formulae.maintainability(1, 0, 1) == 100
    assert formulae.maintainability(1e9, 500, 1e5) == 0


def test_maintainability_is_what_radon_computes() -> None:
    from radon.metrics import mi_compute

    for volume, complexity, lines in ((120.5, 3, 12), (4_000.0, 25, 300), (10.0, 1, 2)):
        theirs = mi_compute(volume, complexity, lines, 0)
        assert formulae.maintainability(volume, complexity, lines) == pytest.approx(theirs, abs=1e-6)


def test_instability_of_martin() -> None:
    """Martin 1994: 0 where others only depend on it, 1 where it only depends on others."""
    values = formulae.instability(np.array([3, 0, 3, 0]), np.array([0, 3, 1, 0]))
    assert values[:3].tolist() == [0.0, 1.0, 0.25]
    assert np.isnan(values[3])


def test_coupling_degree() -> None:
    """Tornhill: of 10 and 30 commits 8 are common: 8 / 20."""
    assert formulae.coupling_degree(8, 10, 30) == 0.4


def test_percentile_ranks() -> None:
    assert formulae.percentile_rank(np.array([10, 20, 20, 40])).tolist() == [0, 0.5, 0.5, 1]
    assert formulae.percentile_rank(np.array([7])).tolist() == [1]
    assert formulae.percentile_rank(np.array([])).tolist() == []


@pytest.mark.parametrize(
    ("shares", "factor"),
    [([100], 1), ([50, 50], 1), ([40, 35, 25], 2), ([1] * 10, 5), ([], 0), ([0, 0], 0)],
)
def test_bus_factor(shares: list[float], factor: int) -> None:
    assert formulae.fewest_holding_half(np.array(shares)) == factor


@given(COUNTS, COUNTS, COUNTS)
def test_maintainability_is_from_0_to_100_and_falls_with_each_argument(v: int, g: int, lines: int) -> None:
    value = formulae.maintainability(v, g, lines)
    assert 0 <= value <= 100
    for more in ((v + 100, g, lines), (v, g + 10, lines), (v, g, lines + 10)):
        assert formulae.maintainability(*more) <= value


@given(st.lists(st.integers(-50, 50), max_size=40))
def test_percentile_ranks_keep_the_order_and_lie_between_0_and_1(values: list[int]) -> None:
    ranks = formulae.percentile_rank(np.array(values))
    for a, rank_a in zip(values, ranks, strict=True):
        assert 0 <= rank_a <= 1
        for b, rank_b in zip(values, ranks, strict=True):
            assert (a < b) == (rank_a < rank_b)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30))
def test_cycles_are_the_strongly_connected_components(pairs: list[tuple[int, int]]) -> None:
    edges = [(str(a), str(b)) for a, b in pairs if a != b]
    reach = {node: {node} for edge in edges for node in edge}
    for _ in reach:
        for a, b in edges:
            reach[a] |= reach[b]
    expected = {tuple(sorted(b for b in reach if b in reach[a] and a in reach[b])) for a in reach}
    found = import_cycles(edges)
    assert {tuple(members) for members in found} == {members for members in expected if len(members) > 1}
    assert [len(members) for members in found] == sorted((len(m) for m in found), reverse=True)


def test_a_cycle_of_ten_thousand_files_needs_no_recursion() -> None:
    [cycle] = import_cycles((f"{n}", f"{(n + 1) % 10_000}") for n in range(10_000))
    assert len(cycle) == 10_000


@given(
    st.lists(st.sets(st.sampled_from("abcdef"), min_size=1, max_size=5), max_size=25),
    st.integers(1, 4),
    st.integers(2, 5),
)
def test_coupled_pairs_are_those_of_counting_one_by_one(
    commits: list[set[str]], support: int, most: int
) -> None:
    changes = pd.DataFrame(
        [(n, path) for n, paths in enumerate(commits) for path in sorted(paths)],
        columns=["commit_id", "path"],
    )
    counted = [paths for paths in commits if 2 <= len(paths) <= most]
    commits_of = {p: sum(p in paths for paths in commits) for p in "abcdef"}
    expected = {
        (a, b, common, commits_of[a], commits_of[b])
        for a in "abcdef"
        for b in "abcdef"
        if a < b and (common := sum({a, b} <= paths for paths in counted)) >= support
    }
    frame = coupling.count_pairs(changes, support, most)
    columns = ["path_a", "path_b", "common_commits", "commits_a", "commits_b"]
    assert set(frame[columns].itertuples(index=False, name=None)) == expected


def test_function_metrics_of_a_source_are_its_counts_put_into_the_formulae() -> None:
    [_, symbol] = extract(b"def f(a, b):\n    if a and b:\n        return a + b\n", "Python").symbols
    frame = functions.measure(
        pd.DataFrame([{"symbol_id": 1, **symbol._asdict()}]).drop(
            columns=[
                "parent_seq",
                "kind",
                "name",
                "qualified_name",
                "signature",
                "docstring",
                "calls",
                "call_receivers",
                "call_counts",
                "call_lines",
            ]
        )
    )
    [row] = frame.to_dict("records")
    assert (row["cyclomatic"], row["cognitive"], row["nesting"], row["parameters"], row["code_lines"]) == (
        3,
        2,
        1,
        2,
        3,
    )
    # def ( , : if and : return + are operators (brackets counted as pairs); f a b a b a b are operands.
    assert (symbol.operands, symbol.distinct_operands) == (7, 3)
    assert row["halstead_volume"] == pytest.approx(
        (symbol.operators + 7) * np.log2(symbol.distinct_operators + 3)
    )


def clones_of(*sources: str, shortest: int = 60) -> pd.DataFrame:
    parts = []
    for number, source in enumerate(sources):
        found = extract(source.encode(), "Python").fingerprints
        if found:
            hashes = np.frombuffer(found.hashes, "<u8")
            parts.append(
                (
                    np.full(len(hashes), number),
                    hashes,
                    np.frombuffer(found.positions, "<u4").astype(np.int64),
                    np.frombuffer(found.spans, "<u4").astype(np.int64).reshape(-1, 2),
                )
            )
    return duplication.match(*(np.concatenate(column) for column in zip(*parts, strict=True)), shortest)


def code(function: object, name: str = "self") -> str:
    """Real code, with its `self` called otherwise."""
    return textwrap.dedent(inspect.getsource(function)).replace("self", name)  # type: ignore[arg-type]


WRAP, TOKEN = textwrap.TextWrapper._wrap_chunks, shlex.shlex.read_token


def test_a_copy_with_other_names_is_a_clone_with_its_places() -> None:
    one = code(WRAP)
    two = f"import b\n\n\nclass X:\n    y = 1\n\n\n{code(WRAP, 'that')}"
    longest = clones_of(one, two).iloc[0]
    lines = one.count("\n")
    assert (longest["file_a"], longest["file_b"]) == (0, 1)
    assert longest["start_a"] <= 20
    assert longest["end_a"] >= lines - 15
    assert longest["start_b"] - longest["start_a"] == 7
    assert longest["tokens"] > 200


def test_a_copy_with_other_names_is_covered_to_its_ends() -> None:
    one, two = code(WRAP), code(WRAP, "that")
    longest = clones_of(one, two).iloc[0]
    comments_before = next(n for n, line in enumerate(one.splitlines()) if not line.startswith("#"))
    assert (longest["start_a"], longest["end_a"]) == (comments_before + 1, one.count("\n"))


def test_files_with_the_same_content_are_clones_as_a_whole() -> None:
    source = f"# What it is.\n\n{code(WRAP)}\n# The end.\n"
    lines = source.count("\n")
    found = duplication.whole_files(
        clones_of(source, source, f"x = 1\n{source}"),
        *map(np.array, ([7, 7, 8], [lines, lines, lines + 1], [9, 9, 9])),
    )
    same = found[(found["file_a"] == 0) & (found["file_b"] == 1)]
    assert same.drop(columns=["file_a", "file_b"]).to_dict("records") == [
        {"start_a": 1, "end_a": lines, "start_b": 1, "end_b": lines, "tokens": 9}
    ]
    shares = duplication.duplicated_lines(
        found.assign(path_a=found["file_a"], path_b=found["file_b"]), pd.Series([lines, lines, lines + 1])
    )
    assert shares["ratio"].tolist()[:2] == [1.0, 1.0]


def test_code_that_has_nothing_in_common_is_no_clone() -> None:
    assert clones_of(code(WRAP), code(TOKEN)).empty


def test_a_copy_within_one_file_is_found_and_does_not_overlap_itself() -> None:
    found = clones_of(f"{code(WRAP)}\n\nx = [1, 2]\n\n\n{code(WRAP, 'that')}")
    assert len(found) >= 1
    assert (found["end_a"] < found["start_b"]).all()


def test_what_is_shorter_than_the_setting_is_not_reported() -> None:
    sources = [code(WRAP), code(WRAP, "that")]
    assert not clones_of(*sources, shortest=60).empty
    assert clones_of(*sources, shortest=1_000).empty


def classes_of(found: pd.DataFrame) -> pd.DataFrame:
    return duplication.classes(found.rename(columns={"file_a": "path_a", "file_b": "path_b"}))


@pytest.mark.parametrize("copies", [3, 24, 25, 30, 200])
def test_equal_files_are_one_class_however_many_there_are(copies: int) -> None:
    found = classes_of(clones_of(*[code(WRAP)] * copies))
    assert set(found["clone_class"]) == {1}
    assert set(found["copies"]) == {copies}
    assert len(found) <= max(copies, 24 * 23 / 2)
    assert {*found["path_a"], *found["path_b"]} == set(range(copies))


@pytest.mark.parametrize("copies", [2, 20, 40])
def test_code_that_repeats_itself_is_compared_in_step(copies: int) -> None:
    source = "".join(f"total{n} = first{n}(a, {n}) + second{n}[b] * {n}\n" for n in range(60))
    found = clones_of(*[source] * copies)
    across = found[found["file_a"] != found["file_b"]]
    assert {*across["file_a"], *across["file_b"]} == set(range(copies))
    assert (across["end_a"] - across["start_a"]).max() >= 55
    within = found[found["file_a"] == found["file_b"]]
    assert (within["end_a"] < within["start_b"]).all()


def test_many_copies_in_one_file_are_found() -> None:
    found = classes_of(clones_of("\n\n".join(code(WRAP, f"that{n}") for n in range(40))))
    assert (found["end_a"] <= found["start_b"]).all()
    assert found["copies"].max() >= 39


def test_duplicated_lines_count_each_line_once() -> None:
    found = pd.DataFrame(
        [("a", 1, 10, "b", 1, 10, 99), ("a", 5, 20, "c", 1, 16, 99)],
        columns=duplication.CLONE_COLUMNS[:7],
    )
    shares = duplication.duplicated_lines(found, pd.Series({"a": 40, "b": 10, "c": 32}))
    assert shares.to_dict("records") == [
        {"path": "a", "clones": 2, "duplicated_lines": 20, "ratio": 0.5},
        {"path": "b", "clones": 1, "duplicated_lines": 10, "ratio": 1.0},
        {"path": "c", "clones": 1, "duplicated_lines": 16, "ratio": 0.5},
    ]


def test_fingerprints_are_made_and_matched_with_the_same_lengths() -> None:
    assert (duplication.GRAM, duplication.WINDOW) == (tokens.GRAM, tokens.WINDOW)


def candidates(*rows: tuple[str, int, int]) -> pd.DataFrame:
    """Files as (path, commits in a year, cognitive complexity)."""
    return pd.DataFrame(
        [
            {
                "path": p,
                "commits": max(c, 1),
                "commits_365": c,
                "cognitive": x,
                "cognitive_max": x,
                "code_lines": 1,
                "fan_in": 0,
                "authors": 1,
                "bus_factor": 1,
                "bug_fixes": 0,
                "knowledge_loss": 0.0,
                "duplicated": 0.0,
            }
            for p, c, x in rows
        ]
    )


def test_a_hotspot_is_both_changed_and_complex() -> None:
    ranked = rank(candidates(("both", 50, 50), ("changed", 60, 1), ("complex", 1, 60), ("quiet", 1, 1)))
    assert ranked["path"].tolist()[0] == "both"
    assert ranked["score"].iloc[0] == pytest.approx((2 / 3) ** 2)
    assert ranked["rank"].tolist() == list(range(1, len(ranked) + 1))
    assert "50 commits in a year, cognitive complexity 50" in ranked["reason"].iloc[0]


def test_what_never_changed_or_is_trivial_is_no_hotspot() -> None:
    ranked = rank(candidates(("a", 5, 9), ("unchanged", 0, 90), ("trivial", 90, 0)))
    assert ranked["path"].tolist() == ["a"]


def test_a_sleeping_repository_is_ranked_by_all_its_commits() -> None:
    assert rank(candidates(("a", 0, 9), ("b", 0, 1)))["path"].tolist() != []
