"""Patches: made from contents, applied elsewhere than in the work tree, and refused when they reach too far."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qflow_dagster.generation import patches
from qflow_dagster.generation.patches import PatchRefusedError
from qflow_dagster.ingestion import checkouts
from tests.ingestion.conftest import GitRepository

LINES = st.lists(
    st.sampled_from(["a", "b", "-- a", "+++ b", "@@ -1 +1 @@", "", "é", "diff --git a/x b/x"]), max_size=12
)


def test_a_patch_made_is_applied_and_gives_the_same_contents(repository: GitRepository) -> None:
    base = repository.commit({"a.py": "x = 1\r\ny = 2", "é ü/b.py": "z = 3\n", "run.sh": "echo\n"})
    contents = {"a.py": b"x = 2\r\ny = 2", "\u00e9 \u00fc/b.py": b"z = 4\n"}
    patch = patches.make(repository.path, base, {"a.py": contents["a.py"]})
    assert (patch.paths, patch.lines) == (("a.py",), 2)
    with checkouts.scratch(repository.path) as store:
        tree = patches.apply(store, base, patch)
        assert patches.contents(store, tree, patch.paths) == {"a.py": contents["a.py"]}
    # Nothing of it is left in the repository.
    assert repository.git("count-objects").startswith(repository.git("count-objects").split()[0])
    assert repository.git("status", "--porcelain") == ""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=LINES, after=LINES, newline=st.booleans())
def test_any_change_of_lines_survives_being_a_patch(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str], newline: bool
) -> None:
    old, new = ("\n".join(lines) + ("\n" if newline else "") for lines in (before, after))
    if old == new:
        return
    repository = GitRepository(tmp_path_factory.mktemp("patch"))
    base = repository.commit({"f": old})
    patch = patches.make(repository.path, base, {"f": new.encode()})
    with checkouts.scratch(repository.path) as store:
        tree = patches.apply(store, base, patches.read(patch.text))
        assert patches.contents(store, tree, ("f",)) == {"f": new.encode()}


HEADER = "diff --git a/{0} b/{0}\nindex 1111111..2222222 100644\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        ".git/config",
        "a/.git/hooks/post-commit",
        ".GIT/config",
        ".git /config",
        "git~1/config",
        "./a",
        "a//b",
        "a\\b",
        ".gitmodules",
        "a/.git::$INDEX_ALLOCATION/x",
    ],
)
def test_a_path_that_is_not_plainly_inside_is_refused(path: str) -> None:
    with pytest.raises(PatchRefusedError):
        patches.read(HEADER.format(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of the kind",
        "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
        "diff --git a/x b/x\nnew file mode 100644\nindex 0000000..2222222\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n",
        "diff --git a/x b/x\ndeleted file mode 100644\nindex 1111111..0000000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n",
        "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n",
        "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n",
        "diff --git a/x b/x\nindex 1..2 160000\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\nGIT binary patch\nliteral 1\n",
        HEADER.format("x").replace("+++ b/x", "+++ b/../../x"),
        HEADER.format("x") + HEADER.format("x"),
        HEADER.format("x") + "and then some\n",
        "x" * (patches.MAX_PATCH_BYTES + 1),
    ],
)
def test_a_patch_that_does_more_than_change_lines_is_refused(text: str) -> None:
    with pytest.raises(PatchRefusedError):
        patches.read(text)


def test_links_submodules_and_untracked_files_are_refused(repository: GitRepository) -> None:
    (repository.path / "link").symlink_to("/etc/passwd")
    base = repository.commit({"a": "a\n"})
    for path in ("link", "missing", "a/b"):
        with pytest.raises(PatchRefusedError, match="may not be changed"):
            patches.make(repository.path, base, {path: b"x\n"})


def test_a_patch_for_another_commit_does_not_apply(repository: GitRepository) -> None:
    first = repository.commit({"a": "a\nb\nc\n"})
    patch = patches.make(repository.path, first, {"a": b"a\nB\nc\n"})
    second = repository.commit({"a": "entirely\nother\n"})
    with (
        checkouts.scratch(repository.path) as store,
        pytest.raises(PatchRefusedError, match="does not apply"),
    ):
        patches.apply(store, second, patch)


def test_a_checkout_runs_nothing_and_has_no_link_out_of_itself(
    repository: GitRepository, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    (repository.path / "out").symlink_to("/etc/passwd")
    (repository.path / "up").symlink_to("../../secret")
    (repository.path / "in").symlink_to("a.txt")
    base = repository.commit({"a.txt": "a\n", ".gitattributes": "*.txt filter=evil\n", "sub/b": "b\n"})
    repository.git("config", "filter.evil.smudge", f"touch {marker}")
    repository.git("config", "filter.evil.clean", f"touch {marker}")
    hook = repository.path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    folder = tmp_path / "checkout"
    folder.mkdir()
    with checkouts.scratch(repository.path) as store:
        checkouts.export(store, base, folder)
    patch = patches.make(repository.path, base, {"a.txt": b"b\n"})
    with checkouts.scratch(repository.path) as store:
        patches.apply(store, base, patch)
    assert not marker.exists()
    assert sorted(p.name for p in folder.iterdir()) == [".gitattributes", "a.txt", "in", "sub"]
    assert (folder / "in").read_text() == "a\n"


def test_the_lines_a_patch_changes_are_those_of_the_file_before() -> None:
    patch = (
        "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -3,4 +3,4 @@\n a\n--- b\n+c\n d\n e\n"
        "@@ -10,0 +11,2 @@\n+f\n+g\ndiff --git a/y.py b/y.py\n--- a/y.py\n+++ b/y.py\n@@ -1 +0,0 @@\n-h\n"
    )
    assert patches.changed_lines(patch) == {"x.py": [4, 4, 10, 10], "y.py": [1]}
