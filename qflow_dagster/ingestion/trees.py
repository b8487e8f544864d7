"""Trees of commits, and small reads of their blobs: changes, first bytes, links, manifests.

Belongs here: reading by the pipeline itself, before or after the worker processes.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from qflow_dagster.ingestion import git, languages
from qflow_dagster.ingestion.paths import check_path, quote_path

KINDS = {
    "100644": "file",
    "100755": "executable",
    "120000": "symlink",
    "160000": "submodule",
}
FOLDER = "040000"
MAX_LINK_BYTES = 4096
# Larger blobs are not loaded: they are listed as binary, with their size.
MAX_BLOB_BYTES = 50 * 1024**2
MAX_TEXT_BYTES = 1_000_000
# Maximum bytes of all texts in memory.
MAX_TEXTS_BYTES = 256_000_000


def changed_entries(objects: Path, base: str, commit: str) -> tuple[list[git.TreeEntry], list[str]]:
    """Return (entries added or changed, paths removed) from commit `base` to `commit`; renames are in both.

    Raises:
        UnsafePathError: Git itself would refuse a path.
        TooLargeError: More than `settings().ingestion.tree_paths` are changed.
        GitError: One of the commits no longer exists.
    """
    changed: list[tuple[str, str, str]] = []
    removed: list[str] = []
    arguments = (
        "diff-tree",
        "-r",
        "-t",
        "-z",
        "--no-renames",
        "--ignore-submodules=none",
        "--end-of-options",
        base,
        commit,
    )
    with git.stream(objects, *arguments, timeout=git.TIMEOUT) as output:
        fields = git.records(output, commit, per_path=2)
        # What git was ended in the middle of has no path; leaving the block says so.
        for header, path in zip(fields, fields, strict=False):
            before, mode, _, oid, status = header.decode().removeprefix(":").split(" ")
            check_path(path, commit, link="120000" in (before, mode))
            if status == "D" and before != FOLDER:
                removed.append(quote_path(path))
            elif status != "D" and mode != FOLDER:
                changed.append((mode, oid, quote_path(path)))
    sizes = blob_sizes(objects, [oid for mode, oid, _ in changed if mode != "160000"])
    entries = [
        git.TreeEntry(mode, "commit" if mode == "160000" else "blob", oid, sizes.get(oid), path)
        for mode, oid, path in changed
    ]
    return entries, removed


def blob_sizes(objects: Path, oids: Sequence[str]) -> dict[str, int]:
    """Return the size in bytes of each blob."""
    if not oids:
        return {}
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    with git.stream(objects, "cat-file", "--batch-check", "--buffer", stdin=stdin) as output:
        rows = [line.split() for line in output]
    return {row[0].decode(): int(row[2]) for row in rows if len(row) == 3}


def read_heads(objects: Path, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (object id, the beginning) of each existing blob, as much as a language is detected by."""
    return _read(objects, oids, languages.HEAD_BYTES)


def read_links(objects: Path, entries: Sequence[git.TreeEntry]) -> dict[str, str]:
    """Return the target of each symbolic link, by object id, as `paths.quote_path` writes it.

    Targets longer than any system supports (4 KB) are truncated.
    """
    targets = _read(objects, [entry.oid for entry in entries], MAX_LINK_BYTES)
    return {oid: quote_path(data) for oid, data in targets}


def read_texts(objects: Path, files: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """Return the content of small files, by path; `files` are (path, object id).

    Files over 1 MB are left out, and so are the last ones if the total exceeds 256 MB.
    """
    sizes = blob_sizes(objects, list(dict.fromkeys(oid for _, oid in files)))
    capacity = MAX_TEXTS_BYTES
    small = []
    for oid, size in sizes.items():
        if size <= min(MAX_TEXT_BYTES, capacity):
            capacity -= size
            small.append(oid)
    contents = dict(_read(objects, small, MAX_TEXT_BYTES))
    return {path: contents[oid] for path, oid in files if oid in contents}


def read_blobs(objects: Path, blobs: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """Yield the content of each blob; `blobs` are (object id, a path of it), the path for the message.

    Raises:
        GitError: A blob cannot be read.
        TooLargeError: A blob has more than 50 MB.
    """
    stdin = "".join(f"{oid}\n" for oid, _ in blobs).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=stdin) as output:
        for oid, path in blobs:
            size = blob_follows(output, oid, path, objects)
            if size > MAX_BLOB_BYTES:
                raise git.TooLargeError(f"{path} has {size:,} bytes, {MAX_BLOB_BYTES:,} are read at most")
            yield output.read(size)
            output.read(1)


def blob_follows(output: IO[bytes], oid: str, path: str, objects: Path) -> int:
    """Read the size in bytes of the next blob from `git cat-file --batch`.

    Raises:
        GitError: The blob is missing or damaged.
    """
    header = output.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        raise git.GitError(
            f"object {oid} of {path} is missing or damaged: see git -C {objects} fsck; "
            "in a partial clone, git fetch --refetch brings it"
        )
    return int(header[2])


def _read(objects: Path, oids: Iterable[str], maximum: int) -> Iterator[tuple[str, bytes]]:
    """Yield (object id, the first `most` bytes) of each existing blob."""
    distinct = list(dict.fromkeys(oids))
    if not distinct:
        return
    stdin = "".join(f"{oid}\n" for oid in distinct).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=stdin) as output:
        for _ in distinct:
            header = output.readline().split()
            if len(header) == 3:
                rest = int(header[2])
                contents = output.read(min(rest, maximum))
                yield header[0].decode(), contents
                rest -= len(contents)
                while rest > 0 and (passed := len(output.read(min(rest, 1 << 20)))):
                    rest -= passed
                output.read(1)
