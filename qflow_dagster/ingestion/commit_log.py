"""Reading commits and what each changed from ``git log``, in one pass.

Merges have no changes of their own, renames are detected by git (-M), names and addresses are those of
``.mailmap`` at the commit that is ingested. Imports no database: worker processes use this module.
"""

import re
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from qflow_dagster.ingestion import git, trees
from qflow_dagster.ingestion.paths import broken_rule, quote_path
from qflow_dagster.ingestion.stand_ins import stand_in
from qflow_dagster.safety import logs

logger = logs.logger(__name__)
BATCH_COMMITS = 2_000
LOG_TIMEOUT = 1_800
# Maximum bytes of git's log held at once: half a million changes.
LOG_BYTES = 64_000_000
# Fields end with NUL, which no commit and no path can contain: a commit's text cannot imitate git's output.
BEGIN, END = b"\x01", b"\x02"
FORMAT = (
    "%x01"
    + "".join(
        f"{field}%x00"
        for field in (
            "%H",
            "%P",
            "%aN",
            "%aE",
            "%at",
            "%cN",
            "%cE",
            "%ct",
            "%s",
            "%b",
            "%(trailers:key=Co-authored-by,valueonly,unfold)",
        )
    )
    + "%x02"
)
FIELDS = 11
KINDS = {"A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type_changed"}
MAX_BODY_LENGTH = 20_000
# Bytes of a field that are kept: a body in any script, or a path.
MAX_TOKEN = 4 * MAX_BODY_LENGTH
CONTACT = re.compile(r"[^<>\x00-\x1f\x85\u2028\u2029]* ?<[^<>\s]+>")


class Change(NamedTuple):
    """The change of a path by a commit; lines are None for binary files."""

    path: str
    kind: str
    previous_path: str | None
    added_lines: int | None
    deleted_lines: int | None


class LoggedCommit(NamedTuple):
    """A commit as git logs it; times are ISO 8601 in UTC, `line_counts` is as in the table `commits`."""

    oid: str
    parents: list[str]
    author_name: str
    author_email: str
    authored_at: str
    committer_name: str
    committer_email: str
    committed_at: str
    subject: str
    body: str
    co_authors: list[str]
    line_counts: str
    changes: list[Change]


class Detail(NamedTuple):
    """A level of detail at which changes are read: git's options, and `commits.line_counts` then."""

    options: tuple[str, ...]
    line_counts: str


LINES = Detail(("--raw", "--numstat", "-M"), "complete")
# Takes a fraction of the time, because only the blobs of possible renames are read.
RENAMES = Detail(("--raw", "-M"), "pending")
# These read no blob; equal blobs at two paths are a rename all the same.
NAMES = Detail(("--raw", "-M100%"), "missing")
NOTHING = Detail(("--no-patch",), "missing")


def read_commits(
    objects: Path,
    oids: list[str],
    mailmap_commit: str,
    processes: int,
    later: Collection[str] = frozenset(),
) -> Iterator[list[LoggedCommit]]:
    """Yield the commits of `oids` with their changes, in order, in batches.

    Each commit is read once. Comparing trees is most of the work and independent from commit
    to commit, so `processes` git processes work at the next batches while one is consumed. The first
    commits that are all in `later` are read without counting lines, unless all fit into a batch.
    """
    if len(oids) <= BATCH_COMMITS:
        later = frozenset()
    first = next((place for place, oid in enumerate(oids) if oid not in later), len(oids))
    parts = (oids[:first], oids[first:])
    batches = [
        part[start : start + BATCH_COMMITS] for part in parts for start in range(0, len(part), BATCH_COMMITS)
    ]
    with stand_in(objects) as safe_objects, ThreadPoolExecutor(processes) as pool:
        running: deque[Future[list[LoggedCommit]]] = deque()
        try:
            for batch in batches:
                detail = RENAMES if later and all(oid in later for oid in batch) else LINES
                running.append(pool.submit(_read_batch, safe_objects, batch, mailmap_commit, detail))
                if len(running) > processes:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _read_batch(objects: Path, oids: list[str], mailmap_commit: str, detail: Detail) -> list[LoggedCommit]:
    commits = _read_around_gaps(objects, oids, mailmap_commit, detail)
    # Git maps authors and committers, not those of trailers.
    contacts = sorted({name for commit in commits for name in commit.co_authors if CONTACT.fullmatch(name)})
    if not contacts:
        return commits
    stdin = "".join(f"{contact}\n" for contact in contacts).encode()
    mapped = git.run(objects, "check-mailmap", "--stdin", stdin=stdin, configuration=_mailmap(mailmap_commit))
    names = dict(zip(contacts, _text(mapped).splitlines(), strict=True))
    return [
        commit._replace(co_authors=[names.get(name, name) for name in commit.co_authors])
        for commit in commits
    ]


def _read_around_gaps(
    objects: Path, oids: list[str], mailmap_commit: str, detail: Detail
) -> list[LoggedCommit]:
    """Read commits; one that lacks an object, or changes more paths than fit into memory, harms no other."""
    try:
        return _log(objects, oids, mailmap_commit, detail)
    except git.GitError as error:
        if detail is NOTHING:
            raise
        lacking = _lacking_blobs(objects, oids) if detail in (LINES, RENAMES) else set()
        if lacking:
            logger.warning(
                "the lines of %d commits, the first of them %s, cannot be counted: %s",
                len(lacking),
                next(oid for oid in oids if oid in lacking),
                error,
            )
            whole = [oid for oid in oids if oid not in lacking]
            commits = _read_around_gaps(objects, whole, mailmap_commit, detail) if whole else []
            commits += _read_around_gaps(
                objects, [oid for oid in oids if oid in lacking], mailmap_commit, NAMES
            )
            place = {oid: number for number, oid in enumerate(oids)}
            return sorted(commits, key=lambda commit: place[commit.oid])
        if len(oids) > 1:
            middle = len(oids) // 2
            parts = (oids[:middle], oids[middle:])
            return [c for part in parts for c in _read_around_gaps(objects, part, mailmap_commit, detail)]
        logger.warning("commit %s is stored without its changes: %s", oids[0], error)
        return _read_around_gaps(objects, oids, mailmap_commit, NOTHING)


def _lacking_blobs(objects: Path, oids: list[str]) -> set[str]:
    """Return the commits of which a changed blob is missing (in a partial clone, or a damaged repository)."""
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    blobs: dict[str, set[str]] = {}
    arguments = ("diff-tree", "--stdin", "-r", "--root", "-z", "--raw", "--no-renames", "--no-abbrev")
    try:
        listed = git.run(objects, *arguments, timeout=LOG_TIMEOUT, stdin=stdin, max_output=LOG_BYTES)
    except git.GitError:
        return set()
    commit = ""
    for token in listed.split(b"\0"):
        if token.startswith(b":"):
            before, after, old, new, _ = token[1:].decode().split(" ")
            for mode, blob in ((before, old), (after, new)):
                if mode not in ("000000", "160000"):
                    blobs.setdefault(blob, set()).add(commit)
        elif git.OBJECT_ID.fullmatch(name := token.decode(errors="replace").strip()):
            commit = name
    there = trees.blob_sizes(objects, list(blobs))
    return {commit for blob, users in blobs.items() if blob not in there for commit in users}


def _log(objects: Path, oids: list[str], mailmap_commit: str, detail: Detail) -> list[LoggedCommit]:
    arguments = (
        "log",
        "--stdin",
        "--no-walk=unsorted",
        "-z",
        *detail.options,
        "--no-abbrev",
        "--no-ext-diff",
        "--no-textconv",
        "--no-show-signature",
        "--no-notes",
        "--ignore-submodules=none",
        "--root",
        f"--format=format:{FORMAT}",
    )
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    configuration = _mailmap(mailmap_commit)
    with git.stream(
        objects, *arguments, timeout=LOG_TIMEOUT, stdin=stdin, configuration=configuration
    ) as output:
        tokens = _tokens(output)
    commits = parse_log(tokens, detail)
    if len(commits) != len(oids):
        raise git.GitError(f"git log of {len(oids)} commits from {oids[0]} printed {len(commits)}")
    return commits


def _tokens(output: IO[bytes]) -> list[bytes]:
    """Split git's output at NUL while it is read, so that long messages are cut before they are in memory.

    Raises:
        GitError: There is more than `LOG_BYTES` nonetheless.
    """
    tokens: list[bytes] = []
    rest = b""
    capacity = LOG_BYTES
    while piece := output.read(1 << 16):
        *complete, rest = (rest + piece).split(b"\0")
        cut = [token[:MAX_TOKEN] for token in complete]
        capacity -= sum(map(len, cut)) + len(cut)
        if capacity < 0:
            raise git.GitError(f"git log printed more than {LOG_BYTES:,} bytes and was ended")
        tokens += cut
        rest = rest[:MAX_TOKEN]
    return [*tokens, rest]


def _mailmap(commit: str) -> tuple[str, ...]:
    return "log.mailmap=true", f"mailmap.blob={commit}:.mailmap", "mailmap.file="


def parse_log(tokens: list[bytes], detail: Detail) -> list[LoggedCommit]:
    """Parse the tokens of git's log in `FORMAT` at a level of detail."""
    commits = []
    position = 0
    while position < len(tokens):
        if not tokens[position].startswith(BEGIN):
            position += 1
            continue
        fields = tokens[position : position + FIELDS]
        fields[0] = fields[0][1:]
        position += FIELDS
        # The first change follows the end mark in the same token.
        tokens[position] = tokens[position].removeprefix(END).lstrip(b"\n")
        changes, position = parse_changes(tokens, position)
        if detail is not LINES:
            changes = [change._replace(added_lines=None, deleted_lines=None) for change in changes]
        commits.append(_commit(fields, detail.line_counts, changes))
    return commits


def parse_changes(tokens: list[bytes], position: int) -> tuple[list[Change], int]:
    """Parse the raw and numstat tokens of a commit; return its changes and the position of the next commit.

    Paths that git refuses to check out are skipped.
    """
    kinds: dict[bytes, tuple[str, bytes | None]] = {}
    lines: dict[bytes, tuple[int | None, int | None]] = {}
    while position < len(tokens) and not tokens[position].startswith(BEGIN):
        token = tokens[position].lstrip(b"\n")
        if token.startswith(b":"):
            status = chr(token.rsplit(b" ", 1)[1][0])
            if status in "RC":
                kinds[tokens[position + 2]] = (KINDS[status], tokens[position + 1])
                position += 3
            else:
                kinds[tokens[position + 1]] = (KINDS.get(status, "modified"), None)
                position += 2
        elif token.count(b"\t") >= 2:
            added, deleted, path = token.split(b"\t", 2)
            if path:
                position += 1
            else:
                path = tokens[position + 2]
                position += 3
            lines[path] = (None, None) if added == b"-" else (int(added), int(deleted))
        else:
            position += 1
    changes = [
        Change(quote_path(path), kind, quote_path(old) if old else None, *lines.get(path, (0, 0)))
        for path, (kind, old) in kinds.items()
        if not broken_rule(path) and (old is None or not broken_rule(old))
    ]
    return changes, position


def _commit(fields: list[bytes], line_counts: str, changes: list[Change]) -> LoggedCommit:
    oid, parents, an, ae, at, cn, ce, ct, subject, body, trailers = map(_text, fields)
    co_authors = [line.strip() for line in trailers.splitlines() if line.strip()]
    return LoggedCommit(
        oid,
        parents.split(),
        an,
        ae,
        _time(at),
        cn,
        ce,
        _time(ct),
        subject,
        body.strip()[:MAX_BODY_LENGTH],
        co_authors,
        line_counts,
        changes,
    )


def _time(seconds: str) -> str:
    """Return a time as ISO 8601 in UTC; out of range, it becomes the epoch, as in git."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC).isoformat()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")
