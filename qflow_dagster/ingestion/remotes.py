"""Repositories behind URLs: which URLs are allowed, asking them, mirroring them.

Belongs here: everything that talks to another machine. Does not belong here: where mirrors lie
and which repositories there are (``repositories``).

https authenticates by ``~/.netrc``, ssh by agent or key file; never by asking, never by the URL,
which is stored and shown. An unknown ssh host is refused.
"""

import os
import re
import shutil
import threading
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from qflow_dagster.errors import UsageError
from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.git import GitError, Report
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.settings import settings

PROTOCOLS = ("https", "ssh", "file")
# A stated head is wanted now or not at all: sensors ask for it.
HEAD_TIMEOUT = 5
PUSH_TIMEOUT = 300
PROGRESS = re.compile(rb"(?:remote: )?([A-Z][a-z ]+): +\d+% \((\d+)/(\d+)\)")


def url_protocol(location: str) -> str | None:
    """`https`, `ssh` or `file` where `location` is a URL (or scp-like user@host:path), None for a path.

    Raises:
        UsageError: it is a URL of another protocol, or carries credentials.
    """
    if "://" not in location:
        is_scp = re.match(r"[\w.-]+@[\w.-]+:(?!//)", location) is not None
        return "ssh" if is_scp and not Path(location).exists() else None
    parts = urlsplit(location)
    if parts.scheme not in PROTOCOLS:
        raise UsageError(f"{parts.scheme}:// is not supported; use a path, file://, https:// or ssh://")
    secret = parts.password or parts.query or parts.fragment
    if secret or (parts.scheme == "https" and parts.username):
        raise UsageError(
            f"the URL of {parts.hostname} carries credentials, which would be stored and shown; give it "
            "without them and put them into ~/.netrc, or use ssh"
        )
    return parts.scheme


def head(location: str) -> str:
    """The commit id of HEAD of a local repository, or of a remote one by asking it.

    Raises:
        GitError: it cannot be read or has no commits.
    """
    protocol = url_protocol(location)
    if protocol is None:
        return git.resolve(location, "HEAD").oid
    output = git.run(None, "ls-remote", *_upload_pack(protocol), "--", location, "HEAD", protocol=protocol,
                     timeout=HEAD_TIMEOUT)  # fmt: skip
    if not output:
        raise GitError(f"{location} has no HEAD; it may have no commits yet")
    return output.split()[0].decode()


def mirror(url: str, target: Path, timeout: float, progress: Report) -> None:
    """Make or refresh the bare mirror `target` of `url`: branches, tags and HEAD.

    A new mirror appears only when complete. `timeout` is in seconds.

    Raises:
        GitError: it cannot be reached or read; a mirror that was there stays as it was.
    """
    try:
        if target.exists():
            _fetch(url, target, timeout, progress)
        else:
            _clone(url, target, timeout, progress)
    except GitError as error:
        raise GitError(f"{url} cannot be read: {error}") from None


def push(objects: Path, remote: str, branch: str) -> None:
    """Push one branch to `remote`: the name of a remote of the repository, a URL or a path.

    Raises:
        GitError: there is no such remote, or it refused.
    """
    url = remote
    if url_protocol(remote) is None and not Path(remote).exists():
        try:
            url = git.run(objects, "config", "--get", f"remote.{remote}.url").decode().strip()
        except GitError:
            raise GitError(
                f"there is no remote {remote!r}; name one of the repository's, or give a URL"
            ) from None
    protocol = url_protocol(url) or "file"
    receive_pack = ("--receive-pack", "git -c safe.directory=* receive-pack") if protocol == "file" else ()
    try:
        git.run(
            objects, "push", "--porcelain", *receive_pack, "--", url, f"refs/heads/{branch}:refs/heads/{branch}",
            protocol=protocol, timeout=PUSH_TIMEOUT,
        )  # fmt: skip
    except GitError as error:
        raise GitError(redact_text(str(error))) from None


def _clone(url: str, target: Path, timeout: float, progress: Report) -> None:
    partial = target.with_name(f"{target.name}.partial")
    # What a killed run left; two runs at once are kept apart by the caller's lock.
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    protocol = url_protocol(url) or ""
    command = git.command(None, "clone", "--bare", "--no-local", "--progress", *_upload_pack(protocol), "--",
                          url, str(partial))  # fmt: skip
    try:
        _transfer(command, protocol, timeout, progress)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch(url: str, target: Path, timeout: float, progress: Report) -> None:
    protocol = url_protocol(url) or ""
    upload_pack = _upload_pack(protocol)
    # Packs pile up with the years: git may tidy up, but before we go on, not behind our back.
    tidying = ("gc.auto=6700", "gc.autoDetach=false", "maintenance.auto=true", "maintenance.autoDetach=false")
    # Branches of edits are ours alone: the other side has none to take or to prune.
    own = (f"^refs/heads/{settings().improvement.branch_prefix}*",)
    command = git.command(
        target, "fetch", "--progress", "--prune", "--force", "--no-write-fetch-head", *upload_pack, "--", url,
        "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *own, configuration=tidying,
    )  # fmt: skip
    _transfer(command, protocol, timeout, progress)
    symrefs = git.run(None, "ls-remote", "--symref", *upload_pack, "--", url, "HEAD", protocol=protocol)
    default = re.match(rb"ref: (refs/heads/\S+)\tHEAD", symrefs)
    if default:
        git.run(target, "symbolic-ref", "HEAD", default[1].decode())


def _upload_pack(protocol: str) -> tuple[str, ...]:
    """How the other side is read where it is this machine: it too may belong to another user."""
    return ("--upload-pack", "git -c safe.directory=* upload-pack") if protocol == "file" else ()


def _transfer(command: list[str], protocol: str, timeout: float, progress: Report) -> None:
    """Run a clone or fetch, reporting what it says of its progress."""
    process = git.start(command, protocol)
    overdue = threading.Event()

    def end() -> None:
        overdue.set()
        git.kill_group(process)

    timer = threading.Timer(timeout, end)
    timer.start()
    said = b""
    try:
        pipe = cast(IO[bytes], process.stderr).fileno()
        while piece := os.read(pipe, 1 << 16):
            # Only the end counts of what it says: a server may say a lot.
            said = (said + piece)[-(1 << 16) :]
            found = PROGRESS.findall(piece)
            if found:
                stage, done, total = found[-1]
                progress(stage.decode().lower(), int(done), int(total))
        process.wait()
    finally:
        timer.cancel()
        git.kill(process)
    if overdue.is_set():
        raise GitError(f"it took longer than {timeout:.0f} s; see QFLOW_INGESTION_FETCH_TIMEOUT")
    if process.returncode:
        raise GitError(git.reason(said, process.returncode))
