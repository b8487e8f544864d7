"""Shared stores of signed files: a folder, a local git repository, or a git repository behind a URL.

A store is written by others. Links are not followed; what is not a regular file or is too large is
reported and not read. Names of other files are only displayed; names of our files are built from checked
parts. In git, files are on a separate branch that is never checked out; it is written with a separate
index, and updated only from the commit that was read. The content of files is in `rule_packages`.
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
from qflow_dagster.evolution.sharing.rule_packages import MAX_FILE_BYTES
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.ingestion import git, remotes, trees
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.safety.folders import open_folder
from qflow_dagster.safety.redaction import redact_text

BRANCH = "qflow-rules"
SUFFIX = ".json"
# Maximum amount that is read, since others may write any amount.
MAX_FILES = 10_000
MAX_DEPTH = 12
MAX_TRIES = 3
IDENTITY = {
    "GIT_AUTHOR_NAME": "qflow",
    "GIT_AUTHOR_EMAIL": "qflow@localhost",
    "GIT_COMMITTER_NAME": "qflow",
    "GIT_COMMITTER_EMAIL": "qflow@localhost",
}


class File(NamedTuple):
    """A file in a store: its name, for display only, and its content, or why it was not read."""

    name: str
    content: bytes
    problem: str = ""


class Store(Protocol):
    """A store of signed files. Names are relative, with slashes."""

    def read(self) -> Iterator[File]:
        """Yield all files that may be signed files."""
        ...

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those of `names` (our own) that exist."""
        ...

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write each file atomically; return the reasons of failures by name."""
        ...


@contextmanager
def open_store(location: str | Path, engine: Engine) -> Iterator[Store]:
    """Open the store at `location`: a folder, a local git repository, its URL, or one file to read.

    A folder inside a work tree is a folder store: its owner commits what is written there.

    Raises:
        UsageError: The location does not exist, or the URL is not allowed.
        GitError: The repository cannot be read.
        CircuitOpenError: The URL failed too often.
    """
    if remotes.url_protocol(str(location)) is not None:
        with tempfile.TemporaryDirectory(prefix="qflow-store-") as folder:
            yield RemoteStore(str(location), Path(folder, "store.git"), engine)
        return
    path = Path(location)
    if path.exists() and not os.access(path, os.R_OK):
        raise UsageError(f"{path} may not be read by this user")
    if path.is_file():
        yield FileStore(path)
    elif not path.is_dir():
        raise UsageError(f"{path} does not exist; give a folder, a git repository or its URL")
    elif (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        yield GitStore(git.find_repository(path))
    else:
        yield FolderStore(path)


class FileStore:
    """A store of a single file, to import from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Iterator[File]:
        """Yield that file."""
        with self.path.open("rb") as file:
            yield _of_size(quote_path(os.fsencode(self.path.name)), file.read(MAX_FILE_BYTES + 1))

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return nothing: the file is not ours."""
        return {}

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Refuse to write: a file cannot contain others."""
        return dict.fromkeys(files, f"{self.path} is a file; give a folder or a git repository")


class FolderStore:
    """A folder that others write to as well."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def read(self) -> Iterator[File]:
        """Yield all files ending in .json, in the order of their names; hidden ones are being written."""
        count = 0
        for folder, subfolders, names, descriptor in os.fwalk(self.path, follow_symlinks=False):
            inside = Path(folder).relative_to(self.path)
            hidden = [name for name in subfolders if name.startswith(".")]
            subfolders[:] = sorted(set(subfolders) - set(hidden)) if len(inside.parts) < MAX_DEPTH else []
            for name in sorted(names):
                if name.endswith(SUFFIX) and not name.startswith("."):
                    count += 1
                    display_name = quote_path(os.fsencode(inside / name))
                    if count > MAX_FILES:
                        yield File(
                            display_name,
                            b"",
                            f"more than {MAX_FILES:,} files are there; the rest was not read",
                        )
                        return
                    yield _read_file(display_name, name, descriptor)

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those that exist."""
        contents = {}
        for name in names:
            with suppress(OSError), open_folder(self.path, os.fsencode(name).split(b"/")[:-1]) as descriptor:
                file = _read_file(name, name.rsplit("/", 1)[-1], descriptor)
                if not file.problem:
                    contents[name] = file.content
        return contents

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write each file under a temporary name and rename it."""
        problems = {}
        for name, content in files.items():
            try:
                with open_folder(self.path, os.fsencode(name).split(b"/")[:-1], make=True) as descriptor:
                    _write_file(name.rsplit("/", 1)[-1], content, descriptor)
            except OSError as error:
                problems[name] = f"{self.path / name} cannot be written: {error.strerror}"
        return problems


class GitStore:
    """The branch `qflow-rules` of a repository on this machine; its work tree is not looked at."""

    def __init__(self, objects: Path) -> None:
        self.objects = objects
        self.head = self._head()

    def read(self) -> Iterator[File]:
        """Yield all files of the branch ending in .json."""
        entries = git.list_tree(self.objects, self.head) if self.head else []
        entries = [entry for entry in entries if entry.path.strip('"').endswith(SUFFIX)]
        for entry in entries[:MAX_FILES]:
            if entry.mode not in ("100644", "100755"):
                yield File(entry.path, b"", "it is not a regular file")
            elif entry.size is None or entry.size > MAX_FILE_BYTES:
                yield _too_large(entry.path)
            else:
                for content in trees.read_blobs(self.objects, [(entry.oid, entry.path)]):
                    yield File(entry.path, content)
        if len(entries) > MAX_FILES:
            display_name = entries[MAX_FILES].path
            yield File(display_name, b"", f"more than {MAX_FILES:,} files are there; the rest was not read")

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those that exist."""
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
        """Commit all files at once; if the branch moved meanwhile, try again."""
        reason = ""
        for _ in range(MAX_TRIES):
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
        message = f"{len(files)} file{'s' if len(files) > 1 else ''} of {next(iter(files)).split('/')[0]}\n"
        commit = (
            git.run(
                self.objects,
                "commit-tree",
                "--no-gpg-sign",
                *parent,
                "-F",
                "-",
                tree,
                stdin=message.encode(),
                variables=IDENTITY,
            )
            .decode()
            .strip()
        )
        # Only from the commit that was read: of two concurrent writers, one tries again.
        before = self.head or "0" * len(commit)
        git.run(self.objects, "update-ref", "--no-deref", f"refs/heads/{BRANCH}", commit, before)
        self.head = commit

    def _publish(self) -> None:
        """Move the local branch to the commit."""

    def _refresh(self) -> None:
        self.head = self._head()

    def _head(self) -> str | None:
        listing = git.run(self.objects, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")
        return listing.decode().strip() or None


class RemoteStore(GitStore):
    """The branch `qflow-rules` behind a URL; only that branch is fetched, into a temporary folder."""

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
            exists = git.run(None, "ls-remote", "--", source, branch, protocol=protocol)
            if exists:
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
    return File(name, content) if len(content) <= MAX_FILE_BYTES else _too_large(name)


def _too_large(name: str) -> File:
    return File(name, b"", f"it is larger than {MAX_FILE_BYTES:,} bytes")


def _read_file(display_name: str, name: str, folder: int) -> File:
    try:
        # Without waiting: a named pipe would wait for its writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return File(display_name, b"", "it is not a regular file, or is not readable")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return File(display_name, b"", "it is not a regular file")
        return _of_size(display_name, file.read(MAX_FILE_BYTES + 1))


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
