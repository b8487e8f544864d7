"""Facts for answers that git knows and the database does not: words in the code, the history and authors of lines.

Belongs here: bounded calls of git at the snapshot's commit. Does not belong here: answers as text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.ingestion.stand_ins import stand_in

TIMEOUT = 20.0
MAX_LINES = 2_000
_COMMIT = "%x01%H%x00%aN%x00%ad%x00%s"


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


def lines_with(objects: Path, commit: str, word: str, *, globs: Sequence[str] = ()) -> list[Line]:
    """Return the lines of text files that have `word` as a whole word, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    arguments = ("grep", "-n", "-z", "-I", "-w", "-F", "-e", word, commit, "--", *globs)
    try:
        printed = git.run(objects, *arguments, timeout=TIMEOUT, max_output=8_000_000)
    except git.GitError as error:
        # Exit code 1 without a message: no line has it.
        if error.code == 1 and not error.stderr:
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
    with stand_in(objects) as repository:
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
        printed = git.run(
            repository,
            *arguments,
            timeout=TIMEOUT,
            configuration=("log.mailmap=true", f"mailmap.blob={commit}:.mailmap", "mailmap.file="),
        )
    records = printed.decode("utf-8", "replace").split("\x01")[1:]
    return [LineCommit(*record.rstrip("\n").split("\0", 3)) for record in records if record.count("\0") == 3]


def authors_of_lines(
    objects: Path, commit: str, path: str, first: int, last: int
) -> list[tuple[str, int, str]]:
    """Return who wrote lines of a file last: (name, lines, object id of a commit), most lines first (`git blame`).

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    with stand_in(objects) as repository:
        printed = git.run(
            repository,
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
            configuration=(f"mailmap.blob={commit}:.mailmap", "mailmap.file="),
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


def first_tag_with(objects: Path, oid: str) -> str | None:
    """Return the oldest tag that contains a commit; None if there is none, or git needs too long."""
    arguments = ("for-each-ref", "--sort=creatordate", "--count=1", "--format=%(refname:short)")
    try:
        printed = git.run(objects, *arguments, f"--contains={oid}", "refs/tags", timeout=5.0)
    except git.GitError:
        return None
    return next(iter(printed.decode(errors="replace").split()), None)
