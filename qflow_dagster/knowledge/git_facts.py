"""Facts for answers that git knows and the database does not: words in the code, the history and authors of lines.

Belongs here: bounded calls of git at the snapshot's commit. Does not belong here: answers as text.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.knowledge.declaring_lines import KEYWORDS, is_declaration

TIMEOUT = 20.0
# The first release is said beside other facts, which are not kept waiting for long.
TAGS_TIMEOUT = 5.0
MAX_LINES = 2_000
# The format of commits that are printed, with dates as their authors saw them.
COMMIT = "%x01%H%x00%aN%x00%ad%x00%s"
# Of commits that change how often some letters occur, so many are looked at for a word.
MAX_FOUND = 8
_DOCUMENTS = (".md", ".rst", ".txt", ".adoc")
# A part of the name of a tag with which the version begins, and what may stand before it.
_NUMBER = re.compile(r"(?:v|version|rel|release)?\d")
_RELEASE = frozenset(["v", "version", "rel", "release"])
_NO_FAILURE = re.compile(r"^hint:|': unable to read ")


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
    return list(_grep(objects, commit, "-w", "-F", *(option for word in words for option in ("-e", word))))


def lines_matching(objects: Path, commit: str, pattern: str) -> list[Line]:
    """Return the lines of text files that match an extended regular expression, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    return list(_grep(objects, commit, "-E", "-e", pattern))


def lines_having(objects: Path, commit: str, texts: Sequence[str], *, any_case: bool = False) -> list[Line]:
    """Return the lines of text files that have one of `texts` anywhere, at most 2,000, in the order of paths.

    Raises:
        GitError: An object is missing.
    """
    case = ("-i",) if any_case else ()
    return list(_grep(objects, commit, *case, "-F", *(option for each in texts for option in ("-e", each))))


# An answer asks for the same lines several times, and a commit does not change. Few are kept, for they may be long.
@lru_cache(maxsize=4)
def _grep(objects: Path, commit: str, *options: str) -> tuple[Line, ...]:
    arguments = ("grep", "-n", "-z", "-I", *options, commit, "--")
    try:
        printed = git.run(objects, *arguments, timeout=TIMEOUT, max_output=8_000_000)
    except git.GitError as error:
        # Exit code 1 with nothing but hints: no line has it. For files without contents see `missing_contents`.
        if error.code == 1 and all(_NO_FAILURE.search(row) for row in error.stderr.splitlines()):
            return ()
        raise
    found = []
    for row in printed.split(b"\n")[:MAX_LINES]:
        name, _, rest = row.partition(b"\0")
        number, _, content = rest.partition(b"\0")
        if number.isdigit():
            path = quote_path(name.removeprefix(commit.encode() + b":"))
            found.append(Line(path, int(number), content.decode("utf-8", "replace").strip()))
    return tuple(found)


class LineChange(NamedTuple):
    """A commit that changed some lines, the path of their file then, and whether it added a line with their name.

    `declares`: one that declares the name.
    """

    commit: LineCommit
    path: str
    names: bool
    declares: bool


def history_of_lines(
    objects: Path,
    commit: str,
    path: str,
    first: int,
    last: int,
    name: str,
    declares: Callable[[str, str], bool] = lambda line, path: False,
) -> list[LineChange]:
    """Return the commits that changed lines of a file, newest first, renames followed (`git log -L`).

    `declares` says whether a line of a path declares the name.

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    command = ("--no-color", f"--format={COMMIT}", "--date=format:%Y-%m-%d", "-L", f"{first},{last}:{path}")
    configuration = (*mailmap(commit), "core.quotePath=false")
    with history_of(objects) as history:
        try:
            printed = history.run("log", "-M", *command, commit, timeout=TIMEOUT, configuration=configuration)
        except git.GitError as error:
            # To look for renames, git reads files of older commits, though no line is from there; one may be missing.
            options: dict[str, Any] = {"timeout": TIMEOUT, "configuration": configuration}
            printed = history.run("log", "--no-renames", *command, commit, **options)
            if b"\n--- /dev/null\n" in printed:
                raise error
    sigil = r"\$?" if path.endswith(".php") else ""
    adds = re.compile(rf"^\+.*(?<![\w$]){sigil}{re.escape(name)}(?![\w$])", re.MULTILINE)
    changes = []
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, patch = record.partition("\n")
        if head.count("\0") == 3:
            then = re.search(r"^\+\+\+ \w/(.+)$", patch, re.MULTILINE)
            row = LineCommit(*head.split("\0", 3))
            path_then = then[1].strip() if then else path
            added = [match[0][1:] for match in adds.finditer(patch)]
            declared = any(declares(line, path_then) for line in added)
            changes.append(LineChange(row, path_then, bool(added), declared))
    return changes


def boundary(objects: Path) -> set[str]:
    """Return the commits of a shallow clone whose parents it lacks; empty if the history is complete."""
    with history_of(objects) as history:
        shallow = history.repository / "shallow"
        return set(shallow.read_text().split()) if shallow.is_file() else set()


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
            configuration=mailmap(commit),
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


def is_document(path: str) -> bool:
    """Return whether a file is prose, or lists the exact versions of packages: both name what is gone."""
    return path.lower().endswith((*_DOCUMENTS, ".lock", "-lock.json", "-lock.yaml"))


def commits_with(objects: Path, commit: str, name: str, paths: Sequence[str] = ()) -> list[LineCommit]:
    """Return the newest commits that changed how often a name occurs outside of documents, newest first, at most 5.

    `paths`: in these files only, which is faster.
    """
    where = ("--", *paths) if paths else ()
    shown = ("log", f"--format={COMMIT}", "--date=format:%Y-%m-%d", "--name-only")
    word = ("--pickaxe-regex", rf"-S\b{re.escape(name)}\b")
    options: dict[str, Any] = {"timeout": TIMEOUT, "configuration": mailmap(commit)}
    with history_of(objects) as history:
        # Git is much faster without the ends of words, which only few commits are then looked at for.
        letters = ("log", f"-{MAX_FOUND}", "--format=%H", f"-S{name}", commit, *where)
        oids = history.run(*letters, timeout=TIMEOUT).decode().split()
        if not oids:
            return []
        printed = history.run(*shown, "-5", "--no-walk", *word, *oids, **options)
        if len(oids) == MAX_FOUND and printed.count(b"\x01") < 5:
            # The name is part of others.
            printed = history.run(*shown, "-5", *word, commit, *where, **options)
    found = []
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, changed = record.partition("\n")
        # Changelogs name what is gone.
        if any(not is_document(path) for path in changed.split("\n") if path):
            found += commits_in(f"\x01{head}".encode())
    return found


class DeclarationChange(NamedTuple):
    """A commit that added (`number` > 0) or removed declarations of a name, in all its files; and one of these."""

    commit: LineCommit
    path: str
    number: int


def declaration_changes(objects: Path, commit: str, name: str) -> list[DeclarationChange]:
    """Return the commits after which there were more or fewer declarations of a name, newest first.

    Raises:
        GitError: An object is missing, it takes longer than `TIMEOUT`, or the changes are more than is read.
    """
    with history_of(objects) as history:
        printed = history.run(
            *("log", "-p", "-U0", "--no-color", f"--format={COMMIT}", "--date=format:%Y-%m-%d"),
            *(f"-S{name}", commit),
            timeout=TIMEOUT,
            configuration=(*mailmap(commit), "core.quotePath=false"),
            max_output=50_000_000,
        )
    found = []
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, patch = record.partition("\n")
        if head.count("\0") != 3:
            continue
        numbers: Counter[str] = Counter()
        path = ""
        for line in patch.split("\n"):
            if named := re.match(r"(?:---|\+\+\+) \w/(.+)$", line):
                path = named[1].strip()
            elif line[:1] in ("+", "-") and name in line[:400] and is_declaration(line[1:].strip(), name):
                numbers[path] += 1 if line[0] == "+" else -1
        # What a commit moves to another file, it does not remove.
        if number := numbers.total():
            paths = sorted(numbers, key=numbers.__getitem__, reverse=number > 0)
            found.append(DeclarationChange(LineCommit(*head.split("\0", 3)), paths[0], number))
    return found


def additions(objects: Path, commit: str, path: str, names: Sequence[str]) -> list[tuple[str, LineCommit]]:
    """Return which commit added a line that declares each of `names` to a file, newest first.

    Raises:
        GitError: An object is missing, or it takes longer than `TIMEOUT`.
    """
    declares = re.compile(
        rf"^\+.*?\b(?:{KEYWORDS}|public|static)\b.*?\b({'|'.join(re.escape(name) for name in names)})\b"
    )
    with history_of(objects) as history:
        arguments = (
            "log",
            "-p",
            "-U0",
            "--no-color",
            f"--format={COMMIT}",
            "--date=format:%Y-%m-%d",
            commit,
        )
        printed = history.run(
            *arguments,
            *("--", path),
            timeout=TIMEOUT,
            configuration=mailmap(commit),
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
    if not oids:
        return {}
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    command = ("log", "--no-walk=unsorted", "--stdin", "--format=%H %ad", "--date=format:%Y-%m-%d")
    with history_of(objects) as history:
        printed = history.run(*command, stdin=stdin, timeout=TIMEOUT)
    return dict(row.split(" ", 1) for row in printed.decode().splitlines())


def commits_in(printed: bytes) -> list[LineCommit]:
    """Return the commits that git printed in the format `COMMIT`."""
    records = printed.decode("utf-8", "replace").split("\x01")[1:]
    return [LineCommit(*record.rstrip("\n").split("\0", 3)) for record in records if record.count("\0") == 3]


def mailmap(commit: str) -> tuple[str, ...]:
    """Return the configuration by which git uses the commit's own .mailmap, and no other one."""
    return ("log.mailmap=true", f"mailmap.blob={commit}:.mailmap", "mailmap.file=")


def first_tags_with(objects: Path, oid: str) -> dict[str, str]:
    """Return the oldest tag that contains a commit, by the series of the tag, the oldest first.

    A repository of several packages has a series for each: "shop-1.2" is of "shop", "v1.2" of "".

    Raises:
        GitError: An object is missing, also one of another tag, or it takes longer than `TAGS_TIMEOUT`.
    """
    arguments = ("for-each-ref", "--sort=creatordate", "--format=%(refname:short)")
    with history_of(objects) as history:
        listing = git.run(
            objects, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags", timeout=TAGS_TIMEOUT
        )
        _check_tags(history.repository, listing)
        (history.repository / "packed-refs").write_bytes(b"# pack-refs with: sorted \n" + listing)
        printed = history.run(*arguments, f"--contains={oid}", "refs/tags", timeout=TAGS_TIMEOUT)
    first: dict[str, str] = {}
    for tag in printed.decode(errors="replace").split():
        first.setdefault(_series(tag), tag)
    return first


def _series(tag: str) -> str:
    """Return what stands before the version in the name of a tag: "shop" of "shop-v1.2", "" of "release-1.2"."""
    words = itertools.takewhile(lambda word: not _NUMBER.match(word), re.split(r"[-_/@.]+", tag.lower()))
    return "-".join(word for word in words if word not in _RELEASE)


def _check_tags(repository: Path, listing: bytes) -> None:
    """Check that the repository has what its tags name: git leaves out a tag whose commit is missing, and says nothing.

    Raises:
        GitError: It lacks one.
    """
    tags = [row.split(b" ", 1) for row in listing.splitlines()]
    # Peeled, so that an annotated tag whose commit is missing is found; one that names no commit is not.
    stdin = b"".join(oid + b"^{}\n" for oid, _ in tags)
    found = git.run(repository, "cat-file", "--batch-check=%(objecttype)", stdin=stdin, timeout=TAGS_TIMEOUT)
    lacking = [
        name for (_, name), row in zip(tags, found.splitlines(), strict=False) if row.endswith(b" missing")
    ]
    if lacking:
        name = lacking[0].removeprefix(b"refs/tags/").decode(errors="replace")
        more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
        raise git.GitError(f"the repository has not the commits of the tag {name}{more}; fetch them")
