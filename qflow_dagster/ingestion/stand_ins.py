"""Stand-ins: temporary bare repositories that use the objects of another repository.

Git reads the configuration, grafts and attributes of the repository it runs in, and some of them
change its output. Commands with output or new objects (``log``, ``format-patch``, ``apply``,
``commit-tree``, ``push``, ...) therefore run in a stand-in. Does not belong here: these commands.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qflow_dagster.ingestion import git

_CONFIGURATION = {
    "sha1": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
    "sha256": "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n",
}


@contextmanager
def stand_in(objects: Path) -> Iterator[Path]:
    """Create a bare repository with the objects of another, without its configuration and branches.

    It is deleted afterwards; `keep` copies a commit from it.
    """
    with tempfile.TemporaryDirectory(prefix="qflow-stand-in-") as folder:
        repository = Path(folder, "repository.git")
        (repository / "objects" / "info").mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "HEAD").write_text("ref: refs/heads/main\n")
        # One process, and none to create it: questions about the history need a stand-in each.
        options = ("--path-format=absolute", "--show-object-format", "--git-common-dir")
        object_format, _, folder_of = git.run(objects, "rev-parse", *options).partition(b"\n")
        common = Path(os.fsdecode(folder_of.removesuffix(b"\n")))
        (repository / "config").write_text(_CONFIGURATION[object_format.decode()])
        store = quoted(os.fsencode(common / "objects"))
        (repository / "objects" / "info" / "alternates").write_bytes(store + b"\n")
        # The boundary of a shallow history is not stored in the objects.
        shallow = common / "shallow"
        if shallow.is_file():
            shallow_oids = [
                oid for oid in shallow.read_text(errors="replace").split() if git.OBJECT_ID.fullmatch(oid)
            ]
            (repository / "shallow").write_text("".join(f"{oid}\n" for oid in shallow_oids))
        yield repository


def keep(repository: Path, commit: str, objects: Path) -> None:
    """Copy a commit from the stand-in to the repository, with the objects that its parents lack.

    Objects are content-addressed, so the repository's configuration cannot change them.
    """
    revisions = f"{commit}\n^{commit}^@\n".encode()
    pack = git.run(repository, "pack-objects", "--revs", "--stdout", "--quiet", stdin=revisions)
    git.run(objects, "unpack-objects", "-q", stdin=pack)


def inner_path(repository: Path | str, name: str) -> Path:
    """Return the path of `name` (objects, shallow) of the repository, which its work trees share."""
    path = git.run(repository, "rev-parse", "--path-format=absolute", "--git-path", name)
    return Path(os.fsdecode(path).removesuffix("\n"))


def quoted(path: bytes) -> bytes:
    """Quote a path for git's list of alternates, where a line break ends a path and `#` starts a comment."""
    escaped = path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")
    return b'"' + escaped + b'"'
