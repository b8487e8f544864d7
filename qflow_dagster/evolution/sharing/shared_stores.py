"""Shared places, where signed files lie: a folder, a git repository, or one behind a URL.

Belongs here: reading and writing files there, whatever else lies there. Does not belong here:
what is in a file (`rule_packages`).

A place is written by others. Links are not followed, what is no ordinary file or too large is
named and left alone, names are only shown, and a name of ours is put together from checked parts. In git,
files lie on a branch of their own that nobody checks out; it is written with an index of its
own, and moved only from the commit that was read.
"""

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy import Engine

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution.sharing.rule_packages import LARGEST
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.ingestion import git, remotes, trees
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.safety.folders import open_folder
from qflow_dagster.safety.redaction import redact_text

BRANCH = "qflow-rules"
SUFFIX = ".json"
# Others may write there as much as they like; this much of it is looked at.
MAX_FILES = 10_000
MAX_DEPTH = 12
TRIES = 3
IDENTITY = {
    "GIT_AUTHOR_NAME": "qflow",
    "GIT_AUTHOR_EMAIL": "qflow@localhost",
    "GIT_COMMITTER_NAME": "qflow",
    "GIT_COMMITTER_EMAIL": "qflow@localhost",
}


class File(NamedTuple):
    """A file as found: its name, to be shown only, and its content, or why that was not read."""

    name: str
    content: bytes
    problem: str = ""


class Place(Protocol):
    """Where signed files lie. Names are relative, with slashes."""

    def read(self) -> Iterator[File]:
        """All files there that could be ours."""
        ...

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of those of `names` (our own) that are there."""
        ...

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write each file whole or not at all; why some could not be written, by name."""
        ...


@contextmanager
def open_place(location: str | Path, engine: Engine) -> Iterator[Place]:
    """The place at `location`: a folder, a local git repository, its URL, or one file to read.

    A folder inside a work tree is a folder: what is written there is for its owner to commit.

    Raises:
        UsageError: there is nothing there, or the URL is not allowed.
        GitError: the repository cannot be read.
        CircuitOpenError: the URL failed too often.
    """
    if remotes.url_protocol(str(location)) is not None:
        with tempfile.TemporaryDirectory(prefix="qflow-place-") as folder:
            yield RemotePlace(str(location), Path(folder, "place.git"), engine)
        return
    path = Path(location)
    if path.exists() and not os.access(path, os.R_OK):
        raise UsageError(f"{path} may not be read by this user")
    if path.is_file():
        yield FilePlace(path)
    elif not path.is_dir():
        raise UsageError(f"{path} does not exist; give a folder, a git repository or its URL")
    elif (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        yield GitPlace(git.find_repository(path))
    else:
        yield FolderPlace(path)


class FilePlace:
    """One file, to import from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Iterator[File]:
        """That file."""
        with self.path.open("rb") as file:
            yield _of_size(quote_path(os.fsencode(self.path.name)), file.read(LARGEST + 1))

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Nothing: it has no place for files of ours."""
        return {}

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Nothing can be written into one file."""
        return dict.fromkeys(files, f"{self.path} is a file; give a folder or a git repository")


class FolderPlace:
    """A folder that others write to as well."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def read(self) -> Iterator[File]:
        """All files ending in .json, in the order of their names; hidden ones are being written."""
        found = 0
        for folder, subfolders, names, descriptor in os.fwalk(self.path, follow_symlinks=False):
            inside = Path(folder).relative_to(self.path)
            hidden = [name for name in subfolders if name.startswith(".")]
            subfolders[:] = sorted(set(subfolders) - set(hidden)) if len(inside.parts) < MAX_DEPTH else []
            for name in sorted(names):
                if name.endswith(SUFFIX) and not name.startswith("."):
                    found += 1
                    shown = quote_path(os.fsencode(inside / name))
                    if found > MAX_FILES:
                        yield File(
                            shown, b"", f"more than {MAX_FILES:,} files are there; the rest was not read"
                        )
                        return
                    yield _read_file(shown, name, descriptor)

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of those that are there."""
        found = {}
        for name in names:
            with suppress(OSError), open_folder(self.path, os.fsencode(name).split(b"/")[:-1]) as descriptor:
                file = _read_file(name, name.rsplit("/", 1)[-1], descriptor)
                if not file.problem:
                    found[name] = file.content
        return found

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Each file is written beside its place and renamed into it."""
        problems = {}
        for name, content in files.items():
            try:
                with open_folder(self.path, os.fsencode(name).split(b"/")[:-1], make=True) as descriptor:
                    _write_file(name.rsplit("/", 1)[-1], content, descriptor)
            except OSError as error:
                problems[name] = f"{self.path / name} cannot be written: {error.strerror}"
        return problems


class GitPlace:
    """The branch `qflow-rules` of a repository on this machine; its work tree is not looked at."""

    def __init__(self, objects: Path) -> None:
        self.objects = objects
        self.head = self._head()

    def read(self) -> Iterator[File]:
        """All files of the branch ending in .json."""
        entries = git.list_tree(self.objects, self.head) if self.head else []
        entries = [entry for entry in entries if entry.path.strip('"').endswith(SUFFIX)]
        for entry in entries[:MAX_FILES]:
            if entry.mode not in ("100644", "100755"):
                yield File(entry.path, b"", "it is no ordinary file")
            elif entry.size is None or entry.size > LARGEST:
                yield _too_large(entry.path)
            else:
                for content in trees.read_blobs(self.objects, [(entry.oid, entry.path)]):
                    yield File(entry.path, content)
        if len(entries) > MAX_FILES:
            shown = entries[MAX_FILES].path
            yield File(shown, b"", f"more than {MAX_FILES:,} files are there; the rest was not read")

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of those that are there."""
        if not self.head or not names:
            return {}
        listing = git.run(self.objects, "ls-tree", "-r", "-z", self.head, "--", *names)
        files = []
        for record in listing.decode("utf-8", "replace").split("\0")[:-1]:
            header, _, path = record.partition("\t")
            if header.startswith("100"):
                files.append((path, header.split()[2]))
        return trees.read_texts(self.objects, files)

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """One commit with all of the files; on a branch that moved meanwhile, another one."""
        reason = ""
        for _ in range(TRIES):
            try:
                self._commit(files)
                self._publish()
                return {}
            except git.GitError as error:
                reason = str(error)
                self._refresh()
        return dict.fromkeys(files, reason)

    def _commit(self, files: Mapping[str, bytes]) -> None:
        lines = []
        for name, content in files.items():
            stored = git.run(self.objects, "hash-object", "-w", "--stdin", "--no-filters", stdin=content)
            lines.append(f"100644 {stored.decode().strip()}\t{name}\0")
        with tempfile.TemporaryDirectory(prefix="qflow-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            if self.head:
                git.run(self.objects, "read-tree", self.head, variables=index)
            git.run(
                self.objects,
                "update-index",
                "--add",
                "--replace",
                "-z",
                "--index-info",
                stdin="".join(lines).encode(),
                variables=index,
            )
            tree = git.run(self.objects, "write-tree", variables=index).decode().strip()
        parent = ("-p", self.head) if self.head else ()
        words = f"{len(files)} file{'s' if len(files) > 1 else ''} of {next(iter(files)).split('/')[0]}\n"
        made = (
            git.run(
                self.objects,
                "commit-tree",
                "--no-gpg-sign",
                *parent,
                "-F",
                "-",
                tree,
                stdin=words.encode(),
                variables=IDENTITY,
            )
            .decode()
            .strip()
        )
        # Only from where it was read: of two that write at once, one tries again.
        before = self.head or "0" * len(made)
        git.run(self.objects, "update-ref", "--no-deref", f"refs/heads/{BRANCH}", made, before)
        self.head = made

    def _publish(self) -> None:
        """A local branch is published by moving it."""

    def _refresh(self) -> None:
        self.head = self._head()

    def _head(self) -> str | None:
        listing = git.run(self.objects, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")
        return listing.decode().strip() or None


class RemotePlace(GitPlace):
    """The same behind a URL: only that branch is fetched, into a folder for the occasion."""

    def __init__(self, url: str, objects: Path, engine: Engine) -> None:
        self.url, self.engine = url, engine
        git.run(None, "init", "--quiet", "--bare", "--", str(objects))
        self.objects = objects
        self._fetch()
        super().__init__(objects)

    def _publish(self) -> None:
        with self._guarded():
            remotes.push(self.objects, self.url, BRANCH)

    def _refresh(self) -> None:
        self._fetch()
        super()._refresh()

    def _fetch(self) -> None:
        protocol = remotes.url_protocol(self.url) or ""
        branch = f"refs/heads/{BRANCH}"
        with self._guarded(), remotes.readable(self.url) as source:
            there = git.run(None, "ls-remote", "--", source, branch, protocol=protocol)
            if there:
                git.run(
                    self.objects,
                    "fetch",
                    "--quiet",
                    "--depth=1",
                    "--force",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--",
                    source,
                    f"+{branch}:{branch}",
                    protocol=protocol,
                )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with through_breaker(self.engine, f"git_remote:{redact_text(self.url)}"):
            yield


def _of_size(name: str, content: bytes) -> File:
    return File(name, content) if len(content) <= LARGEST else _too_large(name)


def _too_large(name: str) -> File:
    return File(name, b"", f"it is larger than {LARGEST:,} bytes")


def _read_file(shown: str, name: str, folder: int) -> File:
    try:
        # Without waiting: a named pipe would wait for its writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return File(shown, b"", "it is no ordinary file, or may not be read")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return File(shown, b"", "it is no ordinary file")
        return _of_size(shown, file.read(LARGEST + 1))


def _write_file(name: str, content: bytes, folder: int) -> None:
    fresh = f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise
