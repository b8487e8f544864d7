"""Checkouts of commits into a folder, and scratch object stores, without a repository's work tree.

Belongs here: the scratch store and writing a tree out, without filters, hooks, or links that leave
the folder. Does not belong here: use of the folder (tests, a task's command).
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, stand_ins, trees
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.folders import empty, open_folder
from qflow_dagster.settings import settings

PIECE = 1 << 20
# Linux follows no longer path than this, and at most 40 links in it.
MAX_TARGET_LENGTH = 4_095
MAX_STEPS = 1_000


class Scratch:
    """A temporary object store and index with access to the repository's objects.

    `objects` is the repository; git runs in `stand_in`, without the repository's configuration.
    """

    def __init__(self, objects: Path, stand_in: Path) -> None:
        self.objects = objects
        self.stand_in = stand_in

    def git(self, *arguments: str, stdin: bytes = b"", max_output: int = git.MAX_OUTPUT) -> bytes:
        """Run git with this store and index."""
        return git.run(self.stand_in, *arguments, stdin=stdin, max_output=max_output)


@contextmanager
def scratch(objects: Path) -> Iterator[Scratch]:
    """Create a scratch store for the repository at `objects`, and delete it afterwards."""
    with stand_ins.stand_in(objects) as repository:
        yield Scratch(objects, repository)


def export(store: Scratch, tree: str, folder: Path, without: Collection[str] = ()) -> None:
    """Write a tree's files into an empty folder: no filters, no hooks, no submodules.

    A link that leads out of the folder, or in a circle, is left out, so that no file outside is
    accessible. If the tree is refused, the folder is emptied. The paths `without` are left out too, and not read.

    Raises:
        UnsafePathError: A path is not safe to write.
        TooLargeError: There are more paths or bytes than `settings().ingestion` allows.
        GitError: An object cannot be read.
        QflowError: Two entries have the same name, or the folder cannot be written to.
    """
    entries = [entry for entry in _listed(store, tree) if entry[0].path not in without]
    try:
        links = _write_files(store, tree, entries, folder)
        for path, target in links.items():
            if not _leads_out(path, links):
                with _parent(folder, path) as parent:
                    os.symlink(target, _name(path), dir_fd=parent)
    except OSError as error:
        with suppress(OSError):
            empty(folder)
        display_path = visible_line(os.fsdecode(error.filename or ""), 120)
        message = f"commit {tree} cannot be checked out: {display_path or folder}: {error.strerror}"
        if isinstance(error, FileExistsError | NotADirectoryError):
            message = (
                f"commit {tree} cannot be checked out: two of its entries have the name '{display_path}'"
            )
        raise QflowError(message) from None
    except BaseException:
        with suppress(OSError):
            empty(folder)
        raise


Entry = tuple[git.TreeEntry, bytes]


def _listed(store: Scratch, tree: str) -> list[Entry]:
    """Return the entries to write, without submodules; refuse too many before writing any."""
    maximum = settings().ingestion.checkout_bytes
    entries = []
    for entry, path in git.read_tree(store.stand_in, tree, written=True):
        if entry.kind == "blob":
            maximum -= entry.size or 0
            entries.append((entry, path))
        if maximum < 0:
            raise git.TooLargeError(
                f"commit {tree} has more than {settings().ingestion.checkout_bytes:,} bytes and is not checked "
                "out; if it is meant to have them, raise QFLOW_INGESTION_CHECKOUT_BYTES"
            )
    return entries


def _write_files(store: Scratch, tree: str, entries: Sequence[Entry], folder: Path) -> dict[bytes, bytes]:
    """Write all files in pieces; return the targets of links, by path."""
    links = {}
    stdin = "".join(f"{entry.oid}\n" for entry, _ in entries).encode()
    with git.stream(store.stand_in, "cat-file", "--batch", "--buffer", stdin=stdin) as blobs:
        for entry, path in entries:
            size = trees.blob_follows(blobs, entry.oid, entry.path, store.objects)
            if entry.mode == "120000":
                links[path] = blobs.read(min(size, MAX_TARGET_LENGTH + 1))
                _copy(blobs, None, size - len(links[path]))
            else:
                with _parent(folder, path) as parent, _new_file(_name(path), parent) as file:
                    _copy(blobs, file, size)
                    os.fchmod(file.fileno(), 0o755 if entry.mode == "100755" else 0o644)
            blobs.read(1)
    return links


def _copy(blobs: IO[bytes], file: IO[bytes] | None, size: int) -> None:
    while size > 0 and (piece := blobs.read(min(size, PIECE))):
        size -= len(piece)
        if file is not None:
            file.write(piece)


def _new_file(name: bytes, folder: int) -> IO[bytes]:
    # The file must not exist: it would be from another entry of the tree and could be a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb")


def _parent(folder: Path, path: bytes) -> AbstractContextManager[int]:
    return open_folder(folder, path.split(b"/")[:-1], make=True)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _leads_out(path: bytes, links: Mapping[bytes, bytes]) -> bool:
    """Return whether a link leads out of the tree, considering all its other links.

    After a link, `..` is the parent of the link's target, so the text of a target is not sufficient.
    A link that exceeds the system's limits is treated as leading out.
    """
    here: list[bytes] = []
    ahead = path.split(b"/")[::-1]
    for _ in range(MAX_STEPS):
        if not ahead:
            return False
        part = ahead.pop()
        if part == b"..":
            if not here:
                return True
            here.pop()
        elif part not in (b"", b"."):
            here.append(part)
            target = links.get(b"/".join(here))
            if target is not None:
                if (
                    not target
                    or target.startswith(b"/")
                    or b"\0" in target
                    or len(target) > MAX_TARGET_LENGTH
                ):
                    return True
                here.pop()
                ahead += target.split(b"/")[::-1]
    return True
