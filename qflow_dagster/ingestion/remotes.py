"""Repositories behind URLs: validation of URLs, queries, mirrors, and pushing.

Belongs here: all communication of git with other machines. Does not belong here: paths of mirrors
and registration (``repositories``).

https authenticates by ``~/.netrc``, ssh by agent or key file; never by a prompt or in the URL, which
is stored and shown. An unknown ssh host is refused.

Git processes that communicate never read the configuration of an untrusted repository: a stand-in
(``stand_ins``) gives access to its objects.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit

from qflow_dagster.errors import UsageError
from qflow_dagster.ingestion import git, push_refusals
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.git_configuration import CONFIGURATION
from qflow_dagster.ingestion.stand_ins import inner_path, stand_in
from qflow_dagster.progress import ReportProgress
from qflow_dagster.safety.folders import remove
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.settings import settings

PROTOCOLS = ("https", "ssh", "file")
# A stated head is wanted now or not at all: sensors ask for it.
HEAD_TIMEOUT = 5
PUSH_TIMEOUT = 300
# Pushing to a repository on this machine starts git in it, which gets none of our options by itself.
RECEIVE_PACK = shlex.join(
    [
        "git",
        *(part for name, value in CONFIGURATION.items() for part in ("-c", f"{name}={value}")),
        *("-c", "receive.autoGC=false", "-c", "receive.denyCurrentBranch=refuse", "receive-pack"),
    ]
)
PROGRESS = re.compile(rb"(?:remote: )?([A-Z][a-z ]+): +\d+% \((\d+)/(\d+)\)")


def url_protocol(location: str) -> str | None:
    """`https`, `ssh` or `file` where `location` is a URL (or scp-like user@host:path), None for a path.

    Raises:
        UsageError: it is a URL of another protocol, or carries credentials.
    """
    if "://" not in location:
        is_scp = re.match(r"[\w.-]+@[\w.-]+:(?!//)", location) is not None
        return "ssh" if is_scp and not git.exists(Path(location)) else None
    try:
        if not location.isprintable():
            raise ValueError("it has a control character")
        parts = urlsplit(location)
    except ValueError as error:
        # The URL itself is not shown: it may carry credentials.
        raise UsageError(
            f"that is not a valid URL: {error}; write it as https://host/path or ssh://host/path"
        ) from None
    if parts.scheme not in PROTOCOLS:
        raise UsageError(f"{parts.scheme}:// is not supported; use a path, file://, https:// or ssh://")
    secret = parts.password or parts.query or parts.fragment
    if secret or (parts.scheme == "https" and parts.username):
        raise UsageError(
            f"the URL of {parts.hostname} carries credentials, which would be stored and shown; give it "
            "without them and put them into ~/.netrc, or use ssh"
        )
    return parts.scheme


def place(location: str) -> str | None:
    """Return what all URLs of one repository have in common, `host/path` in lower case; None for a path.

    Raises:
        UsageError: it is a URL of another protocol, or carries credentials.
    """
    protocol = url_protocol(location)
    if protocol in (None, "file"):
        return None
    if "://" not in location:
        location = f"ssh://{location.replace(':', '/', 1)}"
    parts = urlsplit(location)
    return f"{parts.hostname}/{parts.path.strip('/').removesuffix('.git')}".lower()


def head(location: str) -> str:
    """Return the commit id of HEAD of a local or remote repository.

    Raises:
        GitError: It cannot be read or has no commits.
    """
    protocol = url_protocol(location)
    if protocol is None:
        return git.resolve(location, "HEAD").oid
    if protocol == "file":
        return git.resolve(_local_path(location), "HEAD").oid
    try:
        output = git.run(None, "ls-remote", "--", location, "HEAD", protocol=protocol, timeout=HEAD_TIMEOUT)
    except GitError as error:
        raise GitError(f"{location} cannot be read: {error}") from None
    if not output:
        raise GitError(f"{location} has no HEAD; it may have no commits yet")
    return output.split()[0].decode()


def web_page(objects: Path, location: str) -> str | None:
    """Return the https address of a repository: its location, or its remote `origin`; None if that is not https.

    An address with credentials is not returned either, because it would be shown.
    """
    try:
        protocol = url_protocol(location)
        url = location if protocol else _remote_url(objects, "origin")
        return url.removesuffix("/").removesuffix(".git") if url_protocol(url) == "https" else None
    except (GitError, UsageError):
        return None


def mirror(url: str, target: Path, timeout: float, progress: ReportProgress) -> None:
    """Create or update the bare mirror `target` of `url`: branches, tags and HEAD.

    A new mirror appears only when complete. `timeout` is in seconds.

    Raises:
        GitError: It cannot be reached or read; an existing mirror is unchanged.
    """
    try:
        with readable(url) as source:
            if target.exists():
                _fetch(source, target, timeout, progress)
            else:
                _clone(source, target, timeout, progress)
    except GitError as error:
        raise GitError(f"{url} cannot be read: {error}") from None


def push(objects: Path, remote: str, branch: str, *, replaces: str | None = None) -> str:
    """Push one branch to `remote`: the name of a remote of the repository, a URL or a path; return its commit.

    A remote that the repository names must be behind https or ssh; a path or file:// is accepted
    only from the caller, and must belong to the same user; then no hook runs on either side.
    `replaces` is the commit that the remote's branch may be at, though the branch does not contain it.

    Raises:
        PushRefusedError: The remote refused the branch; the message holds what it said.
        GitError: There is no such remote, or it cannot be reached.
        UsageError: Pushing to this remote is not allowed.
    """
    url, protocol = _target(objects, remote)
    receive_pack = ("--receive-pack", RECEIVE_PACK) if protocol == "file" else ()
    commit = git.resolve(objects, f"refs/heads/{branch}").oid
    lease = () if replaces is None else (f"--force-with-lease=refs/heads/{branch}:{replaces}",)
    report = b""
    try:
        with (
            stand_in(objects) as repository,
            git.stream(
                repository,
                "push",
                "--porcelain",
                *lease,
                *receive_pack,
                "--",
                url,
                f"{commit}:refs/heads/{branch}",
                protocol=protocol,
                timeout=PUSH_TIMEOUT,
            ) as output,
        ):
            report = output.read(git.MAX_OUTPUT)
    except GitError as error:
        refused = push_refusals.refusal(url, branch, report.decode(errors="replace"), error.stderr)
        raise refused or GitError(redact_text(f"{url} cannot be pushed to: {error}")) from None
    return commit


@contextmanager
def readable(url: str) -> Iterator[str]:
    """Yield the URL that git may read `url` from: itself, or for file:// a stand-in of that repository.

    Git would read the other repository's configuration, and for that refuses one of another user;
    of a stand-in it reads ours.

    Raises:
        GitError: nothing is there.
    """
    if url_protocol(url) != "file":
        yield url
        return
    other = _local_path(url)
    with stand_in(other) as copy:
        listing = git.run(other, "for-each-ref", "--format=%(objectname) %(refname)")
        # Sorted by name as in the file; git reads one of a million branches at once, and no file of each.
        (copy / "packed-refs").write_bytes(b"# pack-refs with: sorted \n" + listing)
        try:
            head = b"ref: " + git.run(other, "symbolic-ref", "--quiet", "HEAD")
        except GitError:
            head = git.run(other, "rev-parse", "--verify", "HEAD")
        (copy / "HEAD").write_bytes(head)
        yield f"file://{copy}"


def _target(objects: Path, remote: str) -> tuple[str, str]:
    """Return the URL or path of `remote`, and its protocol."""
    # A word is a name: a folder of that name, where the caller happens to be, may be the repository's own.
    named_by_caller = url_protocol(remote) is not None or "/" in remote
    url = remote
    if not named_by_caller:
        try:
            url = _remote_url(objects, remote)
        except GitError:
            raise GitError(
                f"there is no remote {remote!r}; name one of the repository's, or give a URL or a path (./{remote})"
            ) from None
    protocol = url_protocol(url) or "file"
    if protocol == "file" and not named_by_caller:
        raise UsageError(
            f"remote {remote!r} of the repository is not an https:// or ssh:// address, so nothing is pushed; to "
            "push to a repository on this machine, give its path"
        )
    if protocol == "file":
        target = _local_path(url) if url_protocol(url) else Path(url).absolute()
        _require_own(target)
        url = str(target)
    return url, protocol


def _remote_url(objects: Path, remote: str) -> str:
    return git.run(objects, "config", "--no-includes", "--get", f"remote.{remote}.url").decode().strip()


def _require_own(target: Path) -> None:
    """Git before 2.39.4 does not look whose repository it is pushed to, and runs what its owner configured."""
    folder = Path(os.fsdecode(git.run(target, "rev-parse", "--absolute-git-dir")).rstrip("\n"))
    for path in (target, folder, inner_path(target, "config").parent):
        if path.stat().st_uid != os.geteuid():
            raise UsageError(
                f"{path} belongs to another user, and is not pushed to: git would run there what that user "
                "configured; push by ssh, or as that user"
            )


def _local_path(url: str) -> Path:
    """Return the repository that a file:// URL names, by git's rules."""
    path = Path(unquote(url.removeprefix("file://")))
    if not git.exists(path):
        path = path.with_name(f"{path.name}.git")
    if not path.is_absolute() or not git.exists(path):
        raise GitError(f"there is no repository at {url}")
    return path


def _clone(url: str, target: Path, timeout: float, progress: ReportProgress) -> None:
    partial = target.with_name(f"{target.name}.partial")
    # Leftovers of a killed run; the caller's lock excludes concurrent runs.
    remove(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    protocol = url_protocol(url) or ""
    command = git.command(
        None, "clone", "--bare", "--no-local", "--progress", "--template=", "--", url, str(partial)
    )
    try:
        _transfer(command, protocol, timeout, progress)
        partial.rename(target)
    finally:
        remove(partial)


def _fetch(url: str, target: Path, timeout: float, progress: ReportProgress) -> None:
    protocol = url_protocol(url) or ""
    # Packs accumulate over years, so git may run garbage collection, but not in the background.
    tidying = ("gc.auto=6700", "gc.autoDetach=false", "maintenance.auto=true", "maintenance.autoDetach=false")
    # Branches of edits are local only, and must be neither fetched nor pruned.
    own = (f"^refs/heads/{settings().improvement.branch_prefix}*",)
    command = git.command(
        target,
        "fetch",
        "--progress",
        "--prune",
        "--force",
        "--no-write-fetch-head",
        "--",
        url,
        "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*",
        *own,
        configuration=tidying,
    )
    _transfer(command, protocol, timeout, progress)
    symrefs = git.run(None, "ls-remote", "--symref", "--", url, "HEAD", protocol=protocol)
    default = re.match(rb"ref: (refs/heads/\S+)\tHEAD", symrefs)
    if default:
        git.run(target, "symbolic-ref", "HEAD", default[1].decode())


def _transfer(command: list[str], protocol: str, timeout: float, progress: ReportProgress) -> None:
    """Run a clone or fetch, and report its progress."""
    process = git.start(command, protocol)
    git.limit(process, "FSIZE", settings().ingestion.mirror_bytes)
    output = b""
    try:
        with git.ended_after(process, timeout) as overdue:
            pipe = cast(IO[bytes], process.stderr).fileno()
            while piece := os.read(pipe, 1 << 16):
                # Keep only the end of its messages, because a server may send many.
                output = (output + piece)[-(1 << 16) :]
                match = PROGRESS.findall(piece)
                if match:
                    stage, done, total = match[-1]
                    progress(stage.decode().lower(), int(done), int(total))
            process.wait()
    finally:
        git.kill(process)
    if overdue.is_set():
        raise GitError(f"it took longer than {timeout:.0f} s; see QFLOW_INGESTION_FETCH_TIMEOUT")
    if process.returncode:
        raise GitError(git.reason(output, process.returncode))
