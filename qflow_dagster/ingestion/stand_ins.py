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


@contextmanager
def stand_in(objects: Path) -> Iterator[Path]:
    """Create a bare repository with the objects of another, without its configuration and branches.

    It is deleted afterwards; `keep` copies a commit from it.
    """
    with tempfile.TemporaryDirectory(prefix="qflow-stand-in-") as folder:
        repository = Path(folder, "repository.git")
        kind = f"--object-format={git.object_format(objects)}"
        git.run(None, "init", "--quiet", "--bare", "--template=", kind, "--", str(repository))
        (repository / "objects" / "info").mkdir(exist_ok=True)
        store = _quoted(os.fsencode(inner_path(objects, "objects")))
        (repository / "objects" / "info" / "alternates").write_bytes(store + b"\n")
        # The boundary of a shallow history is not stored in the objects.
        shallow = inner_path(objects, "shallow")
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


def _quoted(path: bytes) -> bytes:
    """Quote a path for git's list of alternates, where a line break ends a path and `#` starts a comment."""
    escaped = path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")
    return b'"' + escaped + b'"'
