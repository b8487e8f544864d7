"""Trees of commits, and small reads of their blobs: what changed, heads, links, manifests.

Belongs here: reading that the pipeline does itself, before or after the worker processes.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qflow_dagster.ingestion import git

KINDS = {
    "100644": "file",
    "100755": "executable",
    "120000": "symlink",
    "160000": "submodule",
}
HEAD_BYTES = 4096
LARGEST_TEXT = 1_000_000


def changed_entries(objects: Path, base: str, commit: str) -> tuple[list[git.TreeEntry], list[str]]:
    """(entries added or changed, paths removed) from commit `base` to `commit`; renames are both.

    Raises:
        GitError: one of the commits is no longer there.
    """
    output = git.run(objects, "diff-tree", "-r", "-z", "--no-renames", "--end-of-options", base, commit,
                     timeout=600)  # fmt: skip
    fields = output.split(b"\0")[:-1]
    changed: list[tuple[str, str, str]] = []
    removed: list[str] = []
    for header, raw_path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, status = header.decode().split(" ")
        path = git.quote_path(raw_path)
        if status == "D":
            removed.append(path)
        else:
            changed.append((mode, oid, path))
    sizes = blob_sizes(objects, [oid for mode, oid, _ in changed if mode != "160000"])
    entries = [
        git.TreeEntry(mode, "commit" if mode == "160000" else "blob", oid, sizes.get(oid), path)
        for mode, oid, path in changed
    ]
    return entries, removed


def blob_sizes(objects: Path, oids: Sequence[str]) -> dict[str, int]:
    """The size in bytes of each blob."""
    if not oids:
        return {}
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    with git.stream(objects, "cat-file", "--batch-check", "--buffer", stdin=stdin) as output:
        rows = [line.split() for line in output]
    return {row[0].decode(): int(row[2]) for row in rows if len(row) == 3}


def read_heads(objects: Path, entries: Sequence[git.TreeEntry]) -> dict[str, bytes]:
    """The first 4 KB of each blob, by object id."""
    wanted = [entry.oid for entry in entries if entry.size]
    return {oid: data[:HEAD_BYTES] for oid, data in _read(objects, wanted)}


def read_links(objects: Path, entries: Sequence[git.TreeEntry]) -> dict[str, str]:
    """Where each symbolic link points, by object id, as `git.quote_path` writes it."""
    return {oid: git.quote_path(data) for oid, data in _read(objects, [entry.oid for entry in entries])}


def read_texts(objects: Path, files: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """The content of small files, by path; `files` are (path, object id). Those over 1 MB are left out."""
    sizes = blob_sizes(objects, [oid for _, oid in files])
    small = [(path, oid) for path, oid in files if sizes.get(oid, LARGEST_TEXT + 1) <= LARGEST_TEXT]
    contents = dict(_read(objects, [oid for _, oid in small]))
    return {path: contents[oid] for path, oid in small if oid in contents}


def read_blobs(objects: Path, blobs: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """The content of each blob; `blobs` are (object id, a path of it), the path for the message.

    Raises:
        GitError: one cannot be read.
    """
    stdin = "".join(f"{oid}\n" for oid, _ in blobs).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=stdin) as output:
        for oid, path in blobs:
            header = output.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                raise git.GitError(
                    f"object {oid} of {path} is missing or damaged; see git -C {objects} fsck "
                    "(in a partial clone: git fetch --refetch)"
                )
            yield output.read(int(header[2]))
            output.read(1)


def _read(objects: Path, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """(object id, content) of each blob that is there."""
    distinct = list(dict.fromkeys(oids))
    if not distinct:
        return
    stdin = "".join(f"{oid}\n" for oid in distinct).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=stdin) as output:
        for _ in distinct:
            header = output.readline().split()
            if len(header) == 3:
                yield header[0].decode(), output.read(int(header[2]))
                output.read(1)
