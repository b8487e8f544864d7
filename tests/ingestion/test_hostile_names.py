"""Names that no git would write: refused as git itself refuses them, on every system."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, trees
from qflow_dagster.ingestion.paths import UnsafePathError, broken_rule
from tests.ingestion.conftest import HandMade, Ingested

REFUSED = [
    b"../pwned",
    b"../../../../../../tmp/pwned",
    b"/tmp/pwned",
    b"a/../../pwned",
    b"..",
    b".",
    b"a//b",
    b"a/",
    b"/",
    b"./a",
    b"a/./b",
    b".git",
    b".GIT",
    b".Git/hooks/post-checkout",
    b"a/.git/config",
    b".git ",
    b".git.",
    b".git . .",
    b".git::$INDEX_ALLOCATION",
    b".git:stream",
    b"git~1",
    b"GIT~1/config",
    b"git~1 .",
    ".g\u200cit".encode(),
    ".\ufeffgit/config".encode(),
    "\u202e.gi\u206ft".encode(),
    b".git\xff",
    b".git\xffa",
    b"a\\.git\\config",
    b"x" * 256,
    b"a/" * 2_050 + b"b",
]


# Linux could hold them, so they are stored as text; other systems read them otherwise.
UNPORTABLE = [b"a\\b", b"..\\..\\pwned", b"a\nb", b"a\x1b[31m", b"\x7f", "\x9b".encode(), b"Icon\r"]
ALLOWED = [
    b"a",
    b"...",
    b"..a",
    b".gitignore",
    b".github/x",
    b"git~2",
    b"a.git",
    b".gitmodules",
    b"digit~1",
    b"-rf",
    b"x" * 255,
    b"a/" * 500 + b"b",
    "ü.py".encode(),
    b"\xff.py",
    b"a b",
    b'q"uote',
    b"C:x",
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_git_would_refuse_is_refused_by_all_who_read(
    made: HandMade, export: Callable[[HandMade, str], Path], tmp_path: Path, name: bytes
) -> None:
    base = made.commit_names(b"honest")
    commit = made.commit_names(name)
    for read in (
        lambda: git.list_tree(made.path, commit),
        lambda: trees.changed_entries(made.path, base, commit),
        lambda: export(made, commit),
    ):
        with pytest.raises(UnsafePathError, match=f"commit {commit} has the path .* is refused: ") as refused:
            read()
        assert "\n" not in str(refused.value)
        assert str(refused.value).isprintable()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name in ("work", "pwned", "ok.py")) == [
        "work"
    ]
    assert not list((tmp_path / "outer" / "work").iterdir())
    assert not Path("/tmp/pwned").exists()


@pytest.mark.parametrize("name", UNPORTABLE)
def test_a_name_that_other_systems_read_otherwise_is_listed_but_not_written(
    made: HandMade, export: Callable[[HandMade, str], Path], name: bytes
) -> None:
    commit = made.commit_names(name)
    assert len(git.list_tree(made.path, commit)) == 2
    with pytest.raises(UnsafePathError, match="a backslash or a control character"):
        export(made, commit)


@pytest.mark.parametrize("name", ALLOWED)
def test_an_honest_name_is_written(
    made: HandMade, export: Callable[[HandMade, str], Path], name: bytes
) -> None:
    # Folders in a name are no folders of a tree, but are listed alike.
    folder = export(made, made.commit_names(name))
    assert (folder / os.fsdecode(name)).read_text() == "x\n"


@pytest.mark.parametrize(
    "name", [b".gitmodules", b".GitModules", b"a/gitmod~1", b"gi7eba~1", ".git\u200dmodules".encode()]
)
def test_a_link_may_not_pass_for_gitmodules(made: HandMade, name: bytes) -> None:
    git.list_tree(made.path, made.commit_names(name))
    with pytest.raises(UnsafePathError, match=r"a link may not be \.gitmodules"):
        git.list_tree(made.path, made.commit_names(name, mode="120000"))


PIECES = st.sampled_from(
    [
        b"a",
        b".",
        b"..",
        b"/",
        b".git",
        b".GIT",
        b"git",
        b"~1",
        b"~2",
        b"~",
        b"1",
        b"4",
        b" ",
        b":",
        b"\\",
        b"modules",
        b"mod~1",
        b"gi7eba~1",
        b"gi7e~123",
        b"~1000000",
        "\u200c".encode(),
        "\u2069".encode(),
        "\ufeff".encode(),
        b"\xff",
        b"\xe2\x80",
        b"\t",
        b"g",
        b"i",
        b"t",
    ]
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], bool]:
    """Whether git itself takes a path into an index, with what it refuses on macOS and Windows refused too."""
    folder = tmp_path_factory.mktemp("index")
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    blob = subprocess.run(
        ["git", "-C", folder, "hash-object", "-w", "--stdin"], input=b"", capture_output=True, check=True
    )
    oid = blob.stdout.strip()

    def takes(path: bytes, mode: str) -> bool:
        (folder / "index").unlink(missing_ok=True)
        done = subprocess.run(
            [
                b"git",
                b"-C",
                os.fsencode(folder),
                b"-c",
                b"core.protectHFS=true",
                b"-c",
                b"core.protectNTFS=true",
                b"update-index",
                b"--add",
                b"--cacheinfo",
                b",".join((mode.encode(), oid, path)),
            ],
            capture_output=True,
        )
        return done.returncode == 0

    return takes


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, min_size=1, max_size=6), link=st.booleans())
def test_what_git_refuses_is_refused(
    index: Callable[[bytes, str], bool], pieces: list[bytes], link: bool
) -> None:
    path = b"".join(pieces)
    if not broken_rule(path, link=link):
        assert index(path, "120000" if link else "100644")


@given(
    st.lists(st.sampled_from(["a", "b.py", "src", ".github", "x-1", "é", "..."]), min_size=1, max_size=6).map(
        "/".join
    )
)
def test_honest_paths_are_not_refused(path: str) -> None:
    assert not broken_rule(path.encode(), link=True, written=True)


def test_a_hostile_repository_is_not_ingested_and_says_why(made: HandMade, ingested: Ingested) -> None:
    commit = made.commit_names(b"../\x1b[2Jpwned")
    with pytest.raises(
        QflowError, match=f"commit {commit} has the path '../<U\\+001B>\\[2Jpwned', which is refused"
    ):
        ingested(made.path)


def test_history_leaves_out_paths_that_no_checkout_ever_had(made: HandMade, ingested: Ingested) -> None:
    bad = made.commit_names(b"../pwned", b"/etc/passwd", b"kept.py")
    made.commit(made.tree(("100644", b"a.py", made.put("blob", b"z = 1\n"))), bad)
    ingested(made.path)
    assert {row[0] for row in ingested.rows("SELECT path FROM file_changes")} == {"a.py", "ok.py", "kept.py"}
