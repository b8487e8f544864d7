"""Stand-ins: bare repositories of repository, for the moment, that borrow the objects of another.

Git reads the configuration, grafts and attributes of the repository it runs in, and some of them
decide what it prints or makes. What prints or makes anything for us (``log``, ``format-patch``,
``apply``, ``commit-tree``, ``push``, ...) therefore runs in a stand-in. Does not belong here: what
is done in one.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qflow_dagster.ingestion import git


@contextmanager
def stand_in(objects: Path) -> Iterator[Path]:
    """A bare repository with the objects of another, and nothing of its configuration and branches.

    What is written to it is gone afterwards; `keep` copies a commit from it.
    """
    with tempfile.TemporaryDirectory(prefix="qflow-stand-in-") as folder:
        repository = Path(folder, "repository.git")
        kind = f"--object-format={git.object_format(objects)}"
        git.run(None, "init", "--quiet", "--bare", "--template=", kind, "--", str(repository))
        (repository / "objects" / "info").mkdir(exist_ok=True)
        store = _quoted(os.fsencode(inner_path(objects, "objects")))
        (repository / "objects" / "info" / "alternates").write_bytes(store + b"\n")
        # Where its history was cut off is not in the objects.
        shallow = inner_path(objects, "shallow")
        if shallow.is_file():
            shallow_oids = [
                oid for oid in shallow.read_text(errors="replace").split() if git.OBJECT_ID.fullmatch(oid)
            ]
            (repository / "shallow").write_text("".join(f"{oid}\n" for oid in shallow_oids))
        yield repository


def keep(repository: Path, commit: str, objects: Path) -> None:
    """Copy a commit that was made in the stand-in, and what it adds to its parents, to the repository.

    Objects are named by what they hold: nothing that is configured there changes them.
    """
    revisions = f"{commit}\n^{commit}^@\n".encode()
    pack = git.run(repository, "pack-objects", "--revs", "--stdout", "--quiet", stdin=revisions)
    git.run(objects, "unpack-objects", "-q", stdin=pack)


def inner_path(repository: Path | str, name: str) -> Path:
    """Where `name` (objects, shallow) of the repository lies; work trees share most with their repository."""
    path = git.run(repository, "rev-parse", "--path-format=absolute", "--git-path", name)
    return Path(os.fsdecode(path).removesuffix("\n"))


def _quoted(path: bytes) -> bytes:
    """As git takes a path in its list of alternates, where a line break ends one and `#` is a comment."""
    escaped = path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")
    return b'"' + escaped + b'"'
