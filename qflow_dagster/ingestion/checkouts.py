"""A commit's files in a folder, and a store for objects beside a repository's own; no work tree is involved.

Belongs here: the scratch store and writing a tree out, without filters, hooks, or links that leave
the folder. Does not belong here: what is done in the folder (tests, a task's command).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qflow_dagster.ingestion import git


class Scratch:
    """A place for objects and an index of its own, that sees the repository's objects."""

    def __init__(self, objects: Path, folder: Path) -> None:
        self.objects = objects
        store = git.run(objects, "rev-parse", "--git-path", "objects").decode().strip()
        own = folder / "objects"
        own.mkdir()
        # The path is relative to the git directory where it is not absolute.
        absolute = Path(store) if Path(store).is_absolute() else _git_directory(objects) / store
        self.variables = {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(own),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(absolute),
        }

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run git with this store and index."""
        return git.run(self.objects, *arguments, stdin=stdin, variables=self.variables)


@contextmanager
def scratch(objects: Path) -> Iterator[Scratch]:
    """A scratch store for the repository whose objects are there; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="qflow-patch-") as folder:
        yield Scratch(objects, Path(folder))


def export(store: Scratch, tree: str, folder: Path) -> None:
    """Write a tree's files into an empty folder: no filters, no hooks, no submodules.

    A link whose target leaves the folder is left out: nothing outside is reached through one.
    """
    listing = store.git("ls-tree", "-r", "-z", "--full-tree", tree)
    entries = []
    for line in listing.split(b"\0")[:-1]:
        header, raw = line.split(b"\t", 1)
        mode, _, oid = header.decode().split()
        entries.append((mode, oid, raw))
    wanted = [(mode, oid, raw) for mode, oid, raw in entries if mode != "160000"]
    stdin = "".join(f"{oid}\n" for _, oid, _ in wanted).encode()
    links = []
    with tempfile.TemporaryFile() as packed:
        packed.write(store.git("cat-file", "--batch", "--buffer", stdin=stdin))
        packed.seek(0)
        for mode, _, raw in wanted:
            size = int(packed.readline().split()[2])
            data = packed.read(size)
            packed.read(1)
            path = folder / os.fsdecode(raw)
            path.parent.mkdir(parents=True, exist_ok=True)
            if mode == "120000":
                links.append((path, os.fsdecode(data)))
                continue
            path.write_bytes(data)
            path.chmod(0o755 if mode == "100755" else 0o644)
    # After all files, so that none is written through a link.
    for path, target in links:
        inside = os.path.normpath(path.parent / target)
        if not Path(target).is_absolute() and inside.startswith(f"{folder}{os.sep}"):
            path.symlink_to(target)


def _git_directory(objects: Path) -> Path:
    return Path(git.run(objects, "rev-parse", "--absolute-git-dir").decode().strip())
