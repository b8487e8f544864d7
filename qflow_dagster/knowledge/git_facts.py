"""Facts for answers that git knows and the database does not: words in the code, the history and authors of lines.

Belongs here: bounded calls of git at the snapshot's commit. Does not belong here: answers as text.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.ingestion.paths import quote_path

TIMEOUT = 20.0
# The first release is said beside other facts, which are not kept waiting for long.
TAGS_TIMEOUT = 5.0
MAX_LINES = 2_000
_COMMIT = "%x01%H%x00%aN%x00%ad%x00%s"
_DECLARES = (
    "class|def|fn|func|function|interface|struct|trait|enum|type|const|let|var|val|record|object|module|"
    "public|static"
)
_DOCUMENTS = (".md", ".rst", ".txt", ".adoc")


class Line(NamedTuple):
    """A line of a file that has a word."""

    path: str
    line: int
    text: str


class LineCommit(NamedTuple):
    """A commit that changed some lines; `date` as YYYY-MM-DD."""

    oid: str
    author: str
    date: str
    subject: str


def lines_with(objects: Path, commit: str, word: str) -> list[Line]:
    """Return the lines of text files that have `word` as a whole word, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    return lines_with_any(objects, commit, [word])


def lines_with_any(objects: Path, commit: str, words: Sequence[str]) -> list[Line]:
    """Return the lines of text files that have one of `words` as a whole word, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    return _grep(objects, commit, "-w", "-F", *(option for word in words for option in ("-e", word)))


def lines_matching(objects: Path, commit: str, pattern: str) -> list[Line]:
    """Return the lines of text files that match an extended regular expression, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    return _grep(objects, commit, "-E", "-e", pattern)


def _grep(objects: Path, commit: str, *options: str) -> list[Line]:
    arguments = ("grep", "-n", "-z", "-I", *options, commit, "--")
    try:
        printed = git.run(objects, *arguments, timeout=TIMEOUT, max_output=8_000_000)
    except git.GitError as error:
        # Exit code 1 with nothing but hints: no line has it.
        if error.code == 1 and all(row.startswith("hint:") for row in error.stderr.splitlines()):
            return []
        raise
    found = []
    for row in printed.split(b"\n")[:MAX_LINES]:
        name, _, rest = row.partition(b"\0")
        number, _, content = rest.partition(b"\0")
        if number.isdigit():
            path = quote_path(name.removeprefix(commit.encode() + b":"))
            found.append(Line(path, int(number), content.decode("utf-8", "replace").strip()))
    return found


def history_of_lines(objects: Path, commit: str, path: str, first: int, last: int) -> list[LineCommit]:
    """Return the commits that changed lines of a file, newest first, renames followed (`git log -L`).

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    with history_of(objects) as history:
        arguments = (
            "log",
            "-s",
            "-M",
            f"--format={_COMMIT}",
            "--date=format:%Y-%m-%d",
            "-L",
            f"{first},{last}:{path}",
            commit,
        )
        printed = history.run(
            *arguments,
            timeout=TIMEOUT,
            configuration=_mailmap(commit),
        )
    return _commits(printed)


def authors_of_lines(
    objects: Path, commit: str, path: str, first: int, last: int
) -> list[tuple[str, int, str]]:
    """Return who wrote lines of a file last: (name, lines, object id of a commit), most lines first (`git blame`).

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    with history_of(objects) as history:
        printed = history.run(
            "blame",
            "--line-porcelain",
            "-w",
            "-M",
            "-L",
            f"{first},{last}",
            commit,
            "--",
            path,
            timeout=TIMEOUT,
            configuration=_mailmap(commit),
        )
    lines: Counter[str] = Counter()
    commits: dict[str, str] = {}
    oid = ""
    for row in printed.decode("utf-8", "replace").split("\n"):
        if match := re.match(r"([0-9a-f]{40,64}) \d+ \d+", row):
            oid = match[1]
        elif row.startswith("author "):
            name = row.removeprefix("author ")
            lines[name] += 1
            commits.setdefault(name, oid)
    return [(name, number, commits[name]) for name, number in lines.most_common()]


def resolve(objects: Path, revision: str) -> str | None:
    """Return the commit that a revision (tag, branch, object id) names; None if there is none."""
    try:
        printed = git.run(
            objects, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
    except git.GitError:
        return None
    return printed.decode().strip()


def tags_like(objects: Path, name: str) -> list[str]:
    """Return tags that are spelt like `name`."""
    printed = git.run(objects, "for-each-ref", "--format=%(refname:short)", "refs/tags", timeout=5.0)
    return difflib.get_close_matches(name, printed.decode(errors="replace").split(), n=3)


def tag_before(objects: Path, revision: str) -> str | None:
    """Return the newest tag among the ancestors of a revision; None if there is none."""
    oid = resolve(objects, f"{revision}^")
    if oid is None:
        return None
    try:
        return git.run(objects, "describe", "--tags", "--abbrev=0", oid, timeout=5.0).decode().strip()
    except git.GitError:
        return None


class FileLines(NamedTuple):
    """Lines added to and deleted from a file; 0 for binary files."""

    path: str
    added: int
    deleted: int


class RevisionChanges(NamedTuple):
    """The commits of a revision that another one lacks, newest first, and the files that differ."""

    commits: list[LineCommit]
    files: list[FileLines]


def changes_between(objects: Path, first: str, last: str, path: str = "") -> RevisionChanges:
    """Return what changed from a commit to another one, optionally in a file or folder only.

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    paths = ("--", path) if path else ()
    with history_of(objects) as history:
        log = ("log", f"--format={_COMMIT}", "--date=format:%Y-%m-%d", f"{first}..{last}", *paths)
        commits = _commits(history.run(*log, timeout=TIMEOUT, configuration=_mailmap(last)))
        numbers = history.run("diff", "--numstat", "-z", "--no-renames", first, last, *paths, timeout=TIMEOUT)
    files = []
    for record in numbers.split(b"\0"):
        if record.count(b"\t") >= 2:
            added, deleted, name = record.split(b"\t", 2)
            lines = [int(number) if number.isdigit() else 0 for number in (added, deleted)]
            files.append(FileLines(quote_path(name), *lines))
    return RevisionChanges(commits, files)


def last_with(objects: Path, commit: str, name: str) -> LineCommit | None:
    """Return the newest commit that changed how often a name occurs outside of documents; None if there is none."""
    with history_of(objects) as history:
        arguments = (
            "log",
            "-5",
            f"--format={_COMMIT}",
            "--date=format:%Y-%m-%d",
            "--name-only",
            f"-S{name}",
            commit,
        )
        printed = history.run(*arguments, timeout=TIMEOUT, configuration=_mailmap(commit))
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, paths = record.partition("\n")
        # Changelogs name what is gone.
        if any(not path.lower().endswith(_DOCUMENTS) for path in paths.split("\n") if path):
            return next(iter(_commits(f"\x01{head}".encode())), None)
    return None


def additions(objects: Path, commit: str, path: str, names: Sequence[str]) -> list[tuple[str, LineCommit]]:
    """Return which commit added a line that declares each of `names` to a file, newest first.

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    declares = re.compile(rf"^\+.*?\b(?:{_DECLARES})\b.*?\b({'|'.join(re.escape(name) for name in names)})\b")
    with history_of(objects) as history:
        arguments = (
            "log",
            "-p",
            "-U0",
            "--no-color",
            f"--format={_COMMIT}",
            "--date=format:%Y-%m-%d",
            commit,
        )
        printed = history.run(
            *arguments,
            *("--", path),
            timeout=TIMEOUT,
            configuration=_mailmap(commit),
            max_output=50_000_000,
        )
    added: dict[str, LineCommit] = {}
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, patch = record.partition("\n")
        if head.count("\0") != 3:
            continue
        row = LineCommit(*head.split("\0", 3))
        for line in patch.split("\n"):
            if match := declares.match(line[:300]):
                # The oldest commit stays: that of the first such line.
                added[match[1]] = row
    return sorted(added.items(), key=lambda item: item[1].date, reverse=True)


def author_dates(objects: Path, oids: Sequence[str]) -> dict[str, str]:
    """Return the date of each commit as its author saw it (YYYY-MM-DD); the database has times in UTC."""
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    command = ("log", "--no-walk=unsorted", "--stdin", "--format=%H %ad", "--date=format:%Y-%m-%d")
    with history_of(objects) as history:
        printed = history.run(*command, stdin=stdin, timeout=TIMEOUT)
    return dict(row.split(" ", 1) for row in printed.decode().splitlines())


def _commits(printed: bytes) -> list[LineCommit]:
    records = printed.decode("utf-8", "replace").split("\x01")[1:]
    return [LineCommit(*record.rstrip("\n").split("\0", 3)) for record in records if record.count("\0") == 3]


def _mailmap(commit: str) -> tuple[str, ...]:
    """Return the configuration by which git uses the commit's own .mailmap, and no other one."""
    return ("log.mailmap=true", f"mailmap.blob={commit}:.mailmap", "mailmap.file=")


def first_tag_with(objects: Path, oid: str) -> str | None:
    """Return the oldest tag that contains a commit; None if there is none.

    Raises:
        GitError: An object is missing, or it takes longer than `TAGS_TIMEOUT`.
    """
    arguments = ("for-each-ref", "--sort=creatordate", "--count=1", "--format=%(refname:short)")
    with history_of(objects) as history:
        listing = git.run(
            objects, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags", timeout=TAGS_TIMEOUT
        )
        (history.repository / "packed-refs").write_bytes(b"# pack-refs with: sorted \n" + listing)
        printed = history.run(*arguments, f"--contains={oid}", "refs/tags", timeout=TAGS_TIMEOUT)
    return next(iter(printed.decode(errors="replace").split()), None)
