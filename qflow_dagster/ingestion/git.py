"""Hardened calls of git, because repositories and their configurations are untrusted.

Belongs here: running git, and basic queries of a repository on this machine. Does not belong
here: URLs (``remotes``), blobs and changes (``trees``), commits (``commit_log``), storage.

Everything that could make git execute code of a repository is disabled on every call: hooks,
fsmonitor, pagers, external diffs and text conversions, credential helpers, remote helpers,
lazy fetching, replacement objects, signature programs. The user's configuration and the
work tree are not read: every repository is read as a bare one. A few objects can expand to more than
any machine holds, so memory, output and time of git are limited.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, cast

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion.git_configuration import CONFIGURATION, ENVIRONMENT, PASSED_ON
from qflow_dagster.ingestion.paths import MAX_PATH, UnsafePathError, check_path, quote_path
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

TIMEOUT = 120
# Maximum bytes of git's output that are read into memory; listings of trees and blobs are streamed.
MAX_OUTPUT = 256_000_000
OLDEST = (2, 31)
REDIRECTED = re.compile(r"returned error: 30[12378]\b|HTTP 30[12378]\b")
MISSING_OBJECT = re.compile(r"promisor remote|unable to read|missing (?:blob|object)|bad object|loose object")
# Maximum characters of git's message in ours.
MAX_REASON = 500
OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class GitError(QflowError):
    """Git failed; the message names the operation and git's own message.

    `stderr` holds all that git printed, `code` its exit code (None if it was ended).
    """

    def __init__(self, message: str, stderr: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.stderr = stderr
        self.code = code


class TooLargeError(QflowError):
    """There are more paths or bytes than the settings allow; partial results are removed."""


class TreeEntry(NamedTuple):
    """A path of a commit; `size` in bytes, None for submodules; `path` as `paths.quote_path` gives it."""

    mode: str
    kind: str
    oid: str
    size: int | None
    path: str


class Commit(NamedTuple):
    """A commit returned by `resolve`; the time is in seconds since the epoch."""

    oid: str
    tree: str
    committed_at: int


def command(repository: Path | str | None, *arguments: str, configuration: tuple[str, ...] = ()) -> list[str]:
    """Return the hardened command line of git; `repository` is a work tree or git directory, None for none.

    `configuration` (``name=value``) is set last.
    """
    settings = [*(f"{name}={value}" for name, value in CONFIGURATION.items()), *configuration]
    options = [part for setting in settings for part in ("-c", setting)]
    if repository is not None:
        # Named explicitly, so that git neither searches the folders above, nor refuses one that
        # another user owns (which it does for what a configuration could run, switched off here).
        inside = Path(repository).absolute() / ".git"
        options += ["--git-dir", str(inside if inside.exists() else inside.parent), "--bare"]
    return ["git", "--no-pager", "--literal-pathspecs", *options, *arguments]


def environment(protocol: str = "") -> dict[str, str]:
    """Return the environment of a git process; `protocol` is the only transport it may use, '' for none."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed_on, **ENVIRONMENT, "GIT_ALLOW_PROTOCOL": protocol}


def run(
    repository: Path | str | None,
    *arguments: str,
    stdin: bytes = b"",
    protocol: str = "",
    timeout: float = TIMEOUT,
    configuration: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    max_output: int = MAX_OUTPUT,
) -> bytes:
    """Run git on `stdin` and return its output.

    `configuration` are further `name=value` settings, `variables` of its environment.

    Raises:
        GitError: It failed, took longer than `timeout` seconds, or printed more than `max_output` bytes.
    """
    with stream(
        repository,
        *arguments,
        stdin=stdin,
        protocol=protocol,
        timeout=timeout,
        configuration=configuration,
        variables=variables,
    ) as output:
        printed = output.read(max_output + 1)
    if len(printed) > max_output:
        raise GitError(f"git {arguments[0]} printed more than {max_output:,} bytes and was ended")
    return printed


@contextmanager
def stream(
    repository: Path | str | None,
    *arguments: str,
    stdin: bytes = b"",
    protocol: str = "",
    timeout: float | None = None,
    configuration: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[IO[bytes]]:
    """Run git on `stdin` and stream its output; on leaving the context early, git is ended.

    Raises:
        GitError: It failed, or took longer than `timeout` seconds; raised only after its output was
            read to the end.
    """
    # Files, not pipes, for input and error messages, so that neither side can block the other.
    with tempfile.TemporaryFile() as stdin_file, tempfile.TemporaryFile() as errors:
        stdin_file.write(stdin)
        stdin_file.seek(0)
        line = command(repository, *arguments, configuration=configuration)
        process = start(line, protocol, stdin_file, errors, variables)
        output = cast(IO[bytes], process.stdout)
        try:
            with ended_after(process, timeout) as overdue:
                yield output
                ended = not output.read(1)
                failed = ended and process.wait()
            if ended and overdue.is_set():
                raise GitError(f"git {arguments[0]} took longer than {timeout:.0f} s and was ended")
            if failed:
                errors.seek(0)
                printed = errors.read(1 << 16)
                message = f"git {arguments[0]}: {reason(printed, process.returncode)}"
                raise GitError(message, printed.decode(errors="replace"), process.returncode)
        finally:
            kill(process)


@contextmanager
def ended_after(process: subprocess.Popen[bytes], seconds: float | None) -> Iterator[threading.Event]:
    """End the process if it still runs after the timeout in seconds (None: never), and set the event then."""
    overdue = threading.Event()

    def end() -> None:
        overdue.set()
        kill_group(process)

    timer = threading.Timer(seconds or 0, end)
    if seconds is not None:
        timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()


def start(
    arguments: list[str],
    protocol: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stderr: IO[bytes] | int = subprocess.PIPE,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a hardened command line, allowed one transport `protocol` ('' for none)."""
    try:
        # A new session, so that all child processes of git can be ended with it.
        process = subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd="/",
            env={**environment(protocol), **(variables or {})},
            start_new_session=True,
        )
    except FileNotFoundError:
        raise QflowError("git is not on PATH; install it (on Debian: apt-get install git)") from None
    limit(process, "DATA", settings().ingestion.git_memory * 1024**2)
    return process


def limit(process: subprocess.Popen[bytes], what: str, maximum: int) -> None:
    """Limit a resource of git and its child processes: DATA (bytes it allocates) or FSIZE (bytes of one file)."""
    # Set from outside, on Linux: code between fork and exec may hang in a program with threads.
    if sys.platform == "linux":
        # It may have ended already, or have a lower limit.
        with suppress(OSError, ValueError):
            resource.prlimit(process.pid, getattr(resource, f"RLIMIT_{what}"), (maximum, maximum))


def kill(process: subprocess.Popen[bytes]) -> None:
    """End git and its child processes, if it still runs, and release its resources."""
    kill_group(process)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End git and its child processes, if it still runs."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def require_git() -> None:
    """Check that git is installed and supports the required options.

    Raises:
        QflowError: Git is missing or older than 2.31.
    """
    if shutil.which("git") is None:
        raise QflowError("git is not on PATH; install it (on Debian: apt-get install git)")
    output = run(None, "version").decode(errors="replace")
    match = re.search(r"(?<!\d)(\d++)\.(\d+)", output)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        raise QflowError(f"{output.strip()} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed")


def exists(path: Path) -> bool:
    """Return whether there is something at a path that a person gave.

    Raises:
        UsageError: The system does not let this user look, or the path is too long for it.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(f"{path} cannot be looked at: {error.strerror}; give another path") from None


def find_repository(path: Path) -> Path:
    """Return the top folder of the work tree that contains `path`, or the bare repository at `path`.

    Raises:
        UsageError: `path` does not exist, cannot be looked at, or lies in no repository.
    """
    if not exists(path):
        raise UsageError(f"{path} does not exist; give a folder of a git repository, or a URL")
    # Search the folders here, because git would read the configuration of any repository above.
    for folder in (path, *path.parents):
        is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()
        if is_bare or (folder / ".git").exists():
            top = folder.parent if folder.name == ".git" else folder
            try:
                run(top, "rev-parse", "--git-dir")
            except GitError as error:
                raise UsageError(f"{top} is not a usable git repository: {error}") from None
            return top
    raise UsageError(f"{path} is not inside a git repository; git init one there, or give another path")


def object_format(repository: Path | str) -> str:
    """Return the object format, `sha1` or `sha256`."""
    return run(repository, "rev-parse", "--show-object-format").decode().strip()


def resolve(repository: Path | str, revision: str) -> Commit:
    """Return the commit that `revision` (branch, tag, commit id, HEAD) names.

    Raises:
        GitError: No commit has that name, or there are no commits.
    """
    if revision.startswith("-") or any(c < " " for c in revision):
        raise GitError(f"{revision!r} is not a revision")
    try:
        oid = run(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
    except GitError:
        if not run(repository, "rev-list", "--max-count=1", "--all"):
            raise GitError(f"{repository} has no commits yet; commit something first") from None
        raise GitError(
            f"{repository} has no revision {revision!r}; see git branch --all and git tag for what it has"
        ) from None
    # Not `log`, whose output depends on the repository's configuration.
    commit = oid.decode().strip()
    tree = run(repository, "rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()
    committed_at = run(repository, "rev-list", "--max-count=1", "--timestamp", commit).split()[0]
    return Commit(commit, tree, int(committed_at))


def branch_of(repository: Path | str, revision: str) -> str | None:
    """Return the full name of the branch that `revision` (HEAD, a branch) names; None if it names no branch."""
    arguments = ("rev-parse", "--symbolic-full-name", "--end-of-options", revision)
    names = run(repository, *arguments).decode("utf-8", "replace").split("\n")
    return next((name for name in names if name.startswith("refs/heads/")), None)


def list_tree(repository: Path | str, commit: str) -> list[TreeEntry]:
    """Return every path of a commit, in git's order; submodules are listed, not entered.

    Raises:
        UnsafePathError: Git itself would refuse a path.
        TooLargeError: There are more than `settings().ingestion.tree_paths`.
        GitError: it cannot be read.
    """
    return [entry for entry, _ in read_tree(repository, commit)]


def read_tree(
    repository: Path | str, tree: str, *, written: bool = False
) -> Iterator[tuple[TreeEntry, bytes]]:
    """Yield entries as `list_tree`, streamed from git, with the path as bytes.

    `written`: files will be written, so the paths must be valid for that, and different.
    """
    names: set[bytes] = set()
    # With -t folders are listed and counted too, because trees without files can multiply as well.
    arguments = ("ls-tree", "-r", "-t", "-z", "-l", "--full-tree", tree)
    with stream(repository, *arguments, timeout=TIMEOUT) as output:
        for record in records(output, tree):
            header, _, path = record.partition(b"\t")
            mode, kind, oid, size = header.decode().split()
            check_path(path, tree, link=mode == "120000", written=written)
            if path in names:
                display_name = visible_line(quote_path(path))
                raise UnsafePathError(f"commit {tree} has two entries called '{display_name}'")
            if written:
                names.add(path)
            if kind != "tree":
                # Git prints "-" for submodules, "BAD" for missing objects.
                length = int(size) if size.isdigit() else None
                yield TreeEntry(mode, kind, oid, length, quote_path(path)), path


def records(output: IO[bytes], commit: str, per_path: int = 1) -> Iterator[bytes]:
    """Yield the NUL-terminated records that git prints (-z), `per_path` records for each path.

    A record longer than the maximum length of a path is truncated.

    Raises:
        TooLargeError: There are more paths than `settings().ingestion.tree_paths`.
    """
    maximum = settings().ingestion.tree_paths
    capacity = maximum * per_path
    rest = b""
    while piece := output.read(1 << 16):
        *complete, rest = (rest + piece).split(b"\0")
        rest = rest[: MAX_PATH * 2]
        capacity -= len(complete)
        if capacity < 0:
            raise TooLargeError(
                f"commit {commit} has more than {maximum:,} paths and is not read; if it is meant to have them, "
                "raise QFLOW_INGESTION_TREE_PATHS"
            )
        yield from complete


def reason(errors: bytes, code: int) -> str:
    """Return git's error message as a line, from the first fatal or error line on; advice if an object is missing."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    first = next((n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), 0)
    kept = [line for line in lines[first:] if not line.startswith(("hint:", "warning:"))]
    plain = dict.fromkeys(line.removeprefix("fatal: ").removeprefix("error: ") for line in kept)
    chosen = " ".join(plain or [f"exit code {code}"])[:MAX_REASON]
    if REDIRECTED.search(chosen):
        return "it is redirected elsewhere, and no redirect is followed: give the new address"
    advice = MISSING_OBJECT.search(chosen) and (
        "; an object is missing: see git fsck, in a partial clone git fetch --refetch brings it"
    )
    return "".join(c if c >= " " else " " for c in chosen) + (advice or "")
