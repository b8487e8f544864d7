"""What a repository configures for itself changes nothing of what is read of it or made in it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qflow_dagster.agents import edit_commits
from qflow_dagster.generation import patches
from qflow_dagster.ingestion import checkouts, commit_log, git, trees
from tests.ingestion.conftest import GitRepository

EVIL = (
    "X: y\n\ndiff --git a/evil b/evil\nnew file mode 100644\n--- /dev/null\n+++ b/evil\n@@ -0,0 +1 @@\n+evil"
)
HOSTILE = {
    "apply.ignoreWhitespace": "change",
    "apply.whitespace": "fix",
    "blame.blankBoundary": "true",
    "color.diff": "always",
    "color.ui": "always",
    "column.ui": "always",
    "core.abbrev": "4",
    "core.autocrlf": "true",
    "core.bare": "false",
    "core.commentChar": "auto",
    "core.commitGraph": "true",
    "core.eol": "crlf",
    "core.ignoreCase": "true",
    "core.logAllRefUpdates": "always",
    "core.notesRef": "refs/heads/main",
    "core.precomposeUnicode": "true",
    "core.quotePath": "false",
    "core.sharedRepository": "0666",
    "core.sparseCheckout": "true",
    "core.symlinks": "false",
    "core.fileMode": "false",
    "core.useReplaceRefs": "true",
    "core.whitespace": "cr-at-eol",
    "core.worktree": "/etc",
    "diff.algorithm": "patience",
    "diff.colorMoved": "zebra",
    "diff.context": "0",
    "diff.dirstat": "lines",
    "diff.dstPrefix": "x/",
    "diff.ignoreSubmodules": "all",
    "diff.indentHeuristic": "false",
    "diff.interHunkContext": "100",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.orderFile": "/etc/passwd",
    "diff.relative": "true",
    "diff.renameLimit": "1",
    "diff.renames": "copies",
    "diff.statGraphWidth": "3",
    "diff.submodule": "log",
    "diff.suppressBlankEmpty": "true",
    "diff.wordRegex": ".",
    "diff.wsErrorHighlight": "all",
    "format.attach": "true",
    "format.cc": "evil@x",
    "format.coverLetter": "true",
    "format.encodeEmailHeaders": "false",
    "format.filenameMaxLength": "9",
    "format.forceInBodyFrom": "true",
    "format.from": "Evil <evil@x>",
    "format.headers": EVIL,
    "format.notes": "true",
    "format.numbered": "true",
    "format.pretty": "oneline",
    "format.signOff": "true",
    "format.signature": "evil",
    "format.subjectPrefix": "EVIL",
    "format.suffix": ".evil",
    "format.thread": "deep",
    "format.to": "evil@x",
    "format.useAutoBase": "whenAble",
    "gpg.format": "ssh",
    "i18n.commitEncoding": "UTF-16",
    "i18n.logOutputEncoding": "UTF-16",
    "log.date": "format:%Y",
    "log.decorate": "full",
    "log.diffMerges": "on",
    "log.follow": "true",
    "log.initialDecorationSet": "all",
    "log.mailmap": "false",
    "log.showRoot": "false",
    "log.showSignature": "true",
    "mailmap.blob": "HEAD:evil",
    "notes.displayRef": "refs/heads/*",
    "pretty.format": "oneline",
    "status.renames": "copies",
    "submodule.sub.ignore": "all",
    "submodule.recurse": "true",
    "tar.umask": "0777",
    "commit.gpgSign": "true",
    "author.name": "Evil",
    "committer.name": "Evil",
}
# Of these git takes no value at all: what reads them fails, every time.
BROKEN = {
    "diff.algorithm": "bogus",
    "diff.renames": "bogus",
    "diff.wsErrorHighlight": "bogus",
    "diff.colorMoved": "bogus",
    "log.date": "bogus",
    "format.thread": "bogus",
    "color.diff": "bogus",
    "format.attach": "",
    "diff.context": "bogus",
    "log.diffMerges": "bogus",
}
AT = datetime(2024, 1, 1, tzinfo=UTC)


def read(repository: GitRepository, commits: list[str], folder: Path) -> dict[str, object]:
    """All that is read of a repository or made in it."""
    path, [base, commit] = repository.path, commits
    folder.mkdir()
    with checkouts.scratch(path) as store:
        checkouts.export(store, commit, folder)
    patch = patches.make(path, base, {"a.py": b"x = 1\ny  =  4\nz = 3\n"})
    edit = edit_commits.make_commit(path, base, patch, "Edit", "ä", {"A": "b"}, AT)
    return {
        "log": [logged for batch in commit_log.read_commits(path, commits, commit, 1) for logged in batch],
        "resolved": git.resolve(path, commit),
        "tree": git.list_tree(path, commit),
        "changed": trees.changed_entries(path, base, commit),
        "files": {
            str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mode)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
        "patch": patch,
        "edit": edit,
        "revert": edit_commits.make_revert(path, edit, base, "because", {}, AT),
        "object": git.run(path, "cat-file", "commit", edit),
        "mail": edit_commits.format_patch(path, commit),
    }


@pytest.fixture
def commits(repository: GitRepository) -> list[str]:
    lines = "".join(f"line {number}\n" for number in range(40))
    base = repository.commit(
        {"a.py": "x = 1\ny = 2\nz = 3\n", "evil": "Ann <evil@x> <ann@example.com>\n", "m": lines}
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{base},sub")
    repository.git("commit", "--quiet", "-m", "sub")
    base = repository.git("rev-parse", "HEAD")
    repository.write({"ä.py": "x = 1\r\n", "n": lines, ".gitattributes": "*.py binary\n"})
    repository.write({".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = x\n\tignore = all\n'})
    (repository.path / "m").unlink()
    repository.git("add", ".")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    repository.git("commit", "--quiet", "-m", "Ünïcode\n\nCo-authored-by: Bob <b@c>")
    return [base, repository.git("rev-parse", "HEAD")]


def configure(repository: GitRepository, settings: dict[str, str]) -> None:
    with (repository.path / ".git" / "config").open("a") as file:
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            outer, _, inner = section.partition(".")
            escaped = value.replace("\n", "\\n")
            file.write(f'[{outer} "{inner}"]\n' if inner else f"[{outer}]\n")
            file.write(f'\t{key} = "{escaped}"\n')


def test_no_setting_of_a_repository_changes_what_is_read_or_made(
    repository: GitRepository, commits: list[str], tmp_path: Path
) -> None:
    before = read(repository, commits, tmp_path / "before")
    assert len(HOSTILE) >= 60
    configure(repository, HOSTILE)
    after = read(repository, commits, tmp_path / "after")
    for what, value in before.items():
        assert after[what] == value, what
    assert b"evil@x" not in before["mail"]  # type: ignore[operator]
    assert b"Subproject commit 1111" in before["mail"]  # type: ignore[operator]


@pytest.mark.parametrize(("name", "value"), BROKEN.items())
def test_a_setting_that_git_cannot_read_stops_nothing_that_prints(
    repository: GitRepository, commits: list[str], name: str, value: str
) -> None:
    configure(repository, {name: value})
    [logged] = next(iter(commit_log.read_commits(repository.path, commits[1:], commits[1], 1)))
    assert logged.subject == "Ünïcode"
    assert b"Subproject" in edit_commits.format_patch(repository.path, commits[1])


def test_grafts_attributes_and_replacements_beside_the_objects_change_nothing(
    repository: GitRepository, commits: list[str], tmp_path: Path
) -> None:
    before = read(repository, commits, tmp_path / "before")
    inside = repository.path / ".git" / "info"
    inside.mkdir(exist_ok=True)
    (inside / "grafts").write_text(f"{commits[1]}\n")
    (inside / "attributes").write_text("* binary -diff\n")
    (inside / "sparse-checkout").write_text("/nothing\n")
    repository.git("update-ref", f"refs/replace/{commits[1]}", commits[0])
    assert read(repository, commits, tmp_path / "after") == before
    assert commits[0] in git.run(repository.path, "rev-list", commits[1]).decode()


def test_a_log_that_tells_of_no_commit_is_an_error(
    repository: GitRepository, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_log, "FORMAT", "nothing")
    with pytest.raises(git.GitError, match="printed 0"):
        list(commit_log.read_commits(repository.path, commits, commits[1], 1))


def test_an_edit_of_a_repository_whose_path_has_a_line_break(
    make_repository: Callable[..., GitRepository],
) -> None:
    repository = make_repository('a\nb "#\\c')
    base = repository.commit({"a.py": "1\n"})
    patch = patches.make(repository.path, base, {"a.py": b"2\n"})
    edit = edit_commits.make_commit(repository.path, base, patch, "Edit", "", {}, AT)
    assert repository.git("show", f"{edit}:a.py") == "2"
