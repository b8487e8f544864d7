"""Where the declaration of a name was before: moved from another file, or declared and lost earlier.

Belongs here: older declarations of a name, by the lines of older commits. Does not belong here: what had another name
(`renames`), answers as text (`history_answers`), how declarations look (`declaring_lines`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.knowledge import git_facts
from qflow_dagster.knowledge.declaring_lines import (
    declares_type,
    is_bare_declaration,
    is_declaration,
    is_within,
    makes_type,
)
from qflow_dagster.knowledge.evidence import C_FAMILY
from qflow_dagster.knowledge.git_facts import COMMIT, Line, LineChange, LineCommit

# Others wait for the answer: a longer history of the name is not read.
TIMEOUT = 5.0
MAX_BYTES = 20_000_000
# So many declarations are looked at for the type that they are in.
MAX_READ = 40
# Where functions are declared by their names alone.
_BARE = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".sh", ".bash")
# A type of C that is declared elsewhere.
_ANNOUNCED = re.compile(r"(?:template|class|struct|union|enum)\b[^{};=]*;|friend\s")
_HEADERS = (".h", ".hh", ".hpp", ".hxx")


class Sought(NamedTuple):
    """What is looked for: a name, the type that declares it, whether it is a type, at top level, or a certain line.

    `owner` is '' for what no type declares; `text` is the line of what stands alone: a value of an enum.
    """

    name: str
    owner: str = ""
    is_type: bool = False
    at_top: bool = False
    text: str = ""

    def in_line(self, line: str, path: str) -> bool:
        """Return whether a line of a file declares it, wherever that stands."""
        stripped = line.strip()
        if self.is_type and path.endswith(C_FAMILY) and _ANNOUNCED.match(stripped):
            return False
        if self.text and stripped == self.text:
            return True
        if not self.is_type and path.endswith(_BARE) and is_bare_declaration(stripped, self.name):
            return True
        if self.is_type and makes_type(stripped, self.name):
            return True
        if not is_declaration(stripped, self.name):
            return False
        return bool(self.text) or declares_type(stripped, self.name) == self.is_type


class Earlier(NamedTuple):
    """An older declaration: the commit that added it (None: not looked for), and its path.

    `several`: others of the name were declared and lost at other times, and may be meant.
    """

    commit: LineCommit | None
    path: str
    several: bool = False


class _Change(NamedTuple):
    """A line that a commit added (1-based) or removed, and that declares what is sought."""

    commit: LineCommit
    path: str
    line: int
    added: bool


def moved_from(objects: Path, change: LineChange, sought: Sought) -> tuple[str, str, int] | None:
    """Return where a commit took the declaration of a name from: (parent, path, line); None if it was new.

    Raises:
        GitError: An object is missing, or it takes longer than `git_facts.TIMEOUT`.
    """
    parent = git_facts.resolve(objects, f"{change.commit.oid}^")
    if parent is None:
        return None
    before, after = (_declarations(objects, oid, change.path, sought) for oid in (parent, change.commit.oid))
    had, has = (Counter(line.path for line in lines) for lines in (before, after))
    for line in before:
        # A declaration that is still there was not moved.
        lost = had[line.path] - has[line.path]
        if lost > 0 or (line.path == change.path and lost == 0):
            return parent, line.path, line.line
    return None


def _declarations(objects: Path, commit: str, path: str, sought: Sought) -> list[Line]:
    """Return the lines of files like `path` that declare what is sought, at a commit."""
    rows = git_facts.lines_with(objects, commit, sought.name)
    return [row for row in rows if row.path.endswith(_endings(path)) and sought.in_line(row.text, row.path)]


def earlier(objects: Path, change: LineChange, sought: Sought) -> Earlier | None:
    """Return the oldest declaration of what a commit seems to add, if another one was lost before, or is its prototype.

    What is declared elsewhere at the same time is something else, but in C and its family, where a header declares what
    another file defines.

    Raises:
        GitError: An object is missing, or the history of the name is longer than is read.
    """
    parent = git_facts.resolve(objects, f"{change.commit.oid}^")
    if parent is None:
        return None
    if not git_facts.lines_with(objects, parent, sought.name):
        return None  # What had been gone for a while comes back as something new.
    beside = [row for row in _declarations(objects, parent, change.path, sought) if row.path != change.path]
    of_c = change.path.endswith(C_FAMILY)
    if of_c:
        beside = [row for row in beside if sought.owner or row.path.endswith(_HEADERS)]
    beside = [row for row in beside if _is_same(objects, parent, row.path, row.line, sought)]
    if beside and (not of_c or sought.is_type):
        return Earlier(None, beside[0].path)
    changes = list(_changes(objects, parent, change.path, sought))
    if beside and not sought.owner:
        changes = [row for row in changes if row.path.endswith(_HEADERS)]
    numbers: Counter[str] = Counter()
    for row in changes:
        numbers[row.commit.oid] += 1 if row.added else -1
    # What a commit moves to another file it does not declare anew.
    several = not sought.owner and not beside and sum(number > 0 for number in numbers.values()) > 1
    for row in [row for row in changes if row.added][: -MAX_READ - 1 : -1]:
        if _is_same(objects, row.commit.oid, row.path, row.line, sought):
            return Earlier(row.commit, row.path, several)
    return None


def _is_same(objects: Path, commit: str, path: str, number: int, sought: Sought) -> bool:
    """Return whether a declaration is in the type that is sought, or in none if that is."""
    try:
        content = git.run(objects, "show", f"{commit}:{path}", max_output=MAX_BYTES, timeout=TIMEOUT)
    except git.GitError:
        return False
    lines = content.decode("utf-8", "replace").splitlines()
    if number > len(lines):
        return False
    if sought.owner:
        return is_within(lines, number, sought.owner)
    return not sought.at_top or not lines[number - 1][:1].isspace()


def _changes(objects: Path, commit: str, path: str, sought: Sought) -> Iterator[_Change]:
    """Yield the lines of commits up to one, added and removed, that declare what is sought, newest first."""
    with history_of(objects) as history:
        printed = history.run(
            *("log", "-p", "-U0", "--no-renames", "--no-color", f"--format={COMMIT}"),
            *("--date=format:%Y-%m-%d", f"-S{sought.name}", commit),
            timeout=TIMEOUT,
            configuration=(*git_facts.mailmap(commit), "core.quotePath=false"),
            max_output=MAX_BYTES,
        )
    for record in printed.decode("utf-8", "replace").split("\x01")[1:]:
        head, _, patch = record.partition("\n")
        if head.count("\0") != 3:
            continue
        then, number = "", 0
        for line in patch.split("\n"):
            if named := re.match(r"(?:---|\+\+\+) \w/(.+)$", line):
                then = named[1].strip()
            elif line.startswith("@@ "):
                place = re.match(r"@@ -\S+ \+(\d+)", line)
                number = int(place[1]) if place else 0
            elif line[:1] in ("+", "-"):
                declares = sought.name in line and then.endswith(_endings(path))
                if declares and sought.in_line(line[1:], then):
                    yield _Change(LineCommit(*head.split("\0", 3)), then, number, line[0] == "+")
                number += line[0] == "+"


def _endings(path: str) -> tuple[str, ...]:
    """Return how the files end that may have declared what a file declares."""
    return C_FAMILY if path.endswith(C_FAMILY) else (path[path.rfind(".") :],)
