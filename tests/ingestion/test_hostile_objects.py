"""Objects that no git made: links that lead elsewhere, trees that multiply, blobs without end."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import checkouts, commit_log, git, trees
from tests.ingestion.conftest import GitRepository, HandMade, Ingested


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "kinds", [("120000", "40000"), ("100644", "40000"), ("120000", "100644"), ("40000", "40000")]
)
def test_two_entries_of_one_name_are_refused(
    made: HandMade, export: Callable[[HandMade, str], Path], tmp_path: Path, kinds: Sequence[str], first: int
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    oids = {
        "120000": made.put("blob", bytes(outside)),
        "100644": made.put("blob", b"x\n"),
        "40000": made.tree(("100644", b"written", made.put("blob", b"x\n"))),
    }
    entries = [(kind, b"d", oids[kind]) for kind in kinds]
    with pytest.raises(QflowError, match="two entries called 'd'"):
        export(made, made.commit(made.tree(*(entries[::-1] if first else entries))))
    assert not list(outside.iterdir())


LEAVING = {
    "absolute": ({"l": "/etc/passwd"}, {"l"}),
    "up": ({"l": "../x"}, {"l"}),
    "up from below": ({"d/l": "../../x"}, {"d/l"}),
    "a link in the middle": (
        {"d1/d2/d3/l": "../../../x", "esc": "d1/d2/d3/l/../../../../etc/shadow"},
        {"esc"},
    ),
    "a link to a link": ({"b": "a", "a": "../x", "c": "b"}, {"a", "b", "c"}),
    "through a folder that is a link": ({"d": ".", "esc": "d/d/d/../../x"}, {"esc"}),
    "itself": ({"l": "l"}, {"l"}),
    "a circle": ({"a": "b", "b": "c", "c": "a/x"}, {"a", "b", "c"}),
    "nowhere": ({"l": ""}, {"l"}),
    "with a NUL": ({"l": "a\0b"}, {"l"}),
    "longer than any path": ({"l": "a/" * 2_100}, {"l"}),
    "within": ({"l": "x/f", "d/up": "../x", "d/over": "up/../x/f", "dangling": "missing", "dot": "."}, set()),
}


@pytest.mark.parametrize("case", LEAVING)
@pytest.mark.parametrize("order", [1, -1])
def test_a_link_is_left_out_where_it_leads_out(
    made: HandMade, export: Callable[[HandMade, str], Path], case: str, order: int
) -> None:
    links, left_out = LEAVING[case]
    entries = [("100644", b"x/f", made.put("blob", b"f"))]
    entries += [
        ("120000", path.encode(), made.put("blob", target.encode())) for path, target in links.items()
    ]
    folder = export(made, made.commit(made.tree(*entries[::order])))
    there = {path for path in links if (folder / path).is_symlink()}
    assert there == links.keys() - left_out
    assert all(os.path.realpath(folder / path).startswith(os.path.realpath(folder)) for path in there)


@given(
    st.dictionaries(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
        st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=5).map("/".join),
        max_size=5,
    )
)
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_link_that_was_made_leads_out(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    outer = tmp_path_factory.mktemp("links")
    made = HandMade(outer / "made.git")
    entries = [("120000", path.encode(), made.put("blob", target.encode())) for path, target in links.items()]
    folder = outer / "work"
    folder.mkdir()
    with checkouts.scratch(made.path) as store:
        try:
            checkouts.export(store, made.commit(made.tree(*entries)), folder)
        except QflowError:
            # A link where another needs a folder.
            assert not list(folder.iterdir())
            return
    inside = os.path.realpath(folder)
    for path in folder.rglob("*"):
        real = os.path.realpath(path)
        assert real == inside or real.startswith(f"{inside}/")


@pytest.mark.parametrize("leaf", [True, False])
def test_a_tree_that_multiplies_is_refused_before_it_is_walked(
    made: HandMade, export: Callable[[HandMade, str], Path], limits: Callable[..., None], leaf: bool
) -> None:
    limits(tree_paths=5_000)
    base = made.commit_names(b"honest")
    commit = made.bomb(10, ("100644", b"", made.put("blob", b"x=1\n")) if leaf else None)
    for read in (lambda: git.list_tree(made.path, commit), lambda: export(made, commit)):
        with pytest.raises(
            git.TooLargeError, match=r"more than 5,000 paths .* raise QFLOW_INGESTION_TREE_PATHS"
        ):
            read()
    # Git collects a comparison before it prints any of it; its memory is bounded.
    limits(git_memory=256)
    with pytest.raises(QflowError):
        trees.changed_entries(made.path, base, commit)


def test_a_bomb_is_not_ingested_and_its_neighbours_in_history_are(
    made: HandMade, ingested: Ingested, limits: Callable[..., None]
) -> None:
    limits(git_memory=256, tree_paths=5_000)
    first = made.commit_names(b"first.py")
    bomb = made.bomb(8, ("100644", b"", made.put("blob", b"x=1\n")))
    bomb = made.commit(git.resolve(made.path, bomb).tree, first)
    with pytest.raises(git.TooLargeError):
        ingested(made.path)
    made.commit(made.tree(("100644", b"last.py", made.put("blob", b"z = 1\n"))), first)
    ingested(made.path)
    commits = [c for batch in commit_log.read_commits(made.path, [first, bomb], first, 1) for c in batch]
    assert [(c.oid, [change.path for change in c.changes]) for c in commits] == [
        (first, ["ok.py", "first.py"]),
        (bomb, []),
    ]


def test_a_checkout_has_no_more_bytes_than_allowed(
    repository: GitRepository,
    export: Callable[[GitRepository, str], Path],
    limits: Callable[..., None],
    tmp_path: Path,
) -> None:
    commit = repository.commit({"a": b"x" * 600, "b": b"y" * 600})
    limits(checkout_bytes=1_199)
    with pytest.raises(
        git.TooLargeError, match=r"more than 1,199 bytes .* raise QFLOW_INGESTION_CHECKOUT_BYTES"
    ):
        export(repository, commit)
    assert not list((tmp_path / "outer" / "work").iterdir())
    limits(checkout_bytes=1_200)
    (tmp_path / "outer" / "work").rmdir()
    (tmp_path / "outer").rmdir()
    assert (export(repository, commit) / "b").stat().st_size == 600


MEASURE = """
import resource, sys
from pathlib import Path
from qflow_dagster.ingestion import checkouts, git, trees
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with checkouts.scratch(Path(sys.argv[1])) as store:
    checkouts.export(store, git.resolve(sys.argv[1], "HEAD").oid, Path(sys.argv[2]))
list(trees.read_heads(Path(sys.argv[1]), [entry.oid for entry in git.list_tree(sys.argv[1], "HEAD")]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_no_blob_is_in_memory_whole(made: HandMade, tmp_path: Path) -> None:
    made.commit_names(b"big", content=b"\0" * 60_000_000)
    made.commit_names(b"big", b"same", content=b"\0" * 60_000_000)
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, made.path, folder], capture_output=True, text=True, check=True
    )
    assert (folder / "big").stat().st_size == 60_000_000
    assert int(done.stdout) < 30


def test_a_damaged_object_leaves_nothing(
    made: HandMade, export: Callable[[HandMade, str], Path], tmp_path: Path
) -> None:
    blob = made.put("blob", b"lost\n")
    commit = made.commit(made.tree(("100644", b"a", made.put("blob", b"a")), ("100644", b"b", blob)))
    (made.path / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(git.GitError, match=f"object {blob} of b is missing or damaged"):
        export(made, commit)
    assert not list((tmp_path / "outer" / "work").iterdir())


def test_a_blob_that_is_too_large_to_hold_is_refused(made: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    oid = made.put("blob", b"x" * 1_000)
    monkeypatch.setattr(trees, "MAX_BLOB_BYTES", 999)
    with pytest.raises(git.TooLargeError, match=r"a\.py has 1,000 bytes, 999 are read at most"):
        list(trees.read_blobs(made.path, [(oid, "a.py")]))


def test_texts_that_are_held_at_once_are_bounded(made: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [(f"{n}/package.json", made.put("blob", b"%d" % n * 100)) for n in range(9)]
    monkeypatch.setattr(trees, "MAX_TEXTS_BYTES", 500)
    assert list(trees.read_texts(made.path, files)) == [path for path, _ in files[:5]]


def test_what_git_prints_is_bounded(repository: GitRepository) -> None:
    commit = repository.commit({"a": "x" * 1_000})
    assert len(git.run(repository.path, "cat-file", "blob", f"{commit}:a", max_output=1_000)) == 1_000
    with pytest.raises(git.GitError, match="git cat-file printed more than 999 bytes and was ended"):
        git.run(repository.path, "cat-file", "blob", f"{commit}:a", max_output=999)
