"""Test files in which comments mark the lines that are reported: Clippy, staticcheck, go-critic, flake8-bugbear."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.peer_cases.cases import Case

# Given the lines of a file, returns (line, message) of each report.
Marks = Callable[[list[str]], Iterator[tuple[int, str]]]

_CLIPPY = re.compile(r"//~(?:\[\w+\])?(\^+|v+|\||)\s*(?:ERROR:?\s*)?(.*)$")
_STATICCHECK = re.compile(r"//@ .*")
_DIAG = re.compile(r"(?:diag|diag2)\(`([^`]*)`|diag\(\"([^\"]*)\"")
_GO_CRITIC = re.compile(r"/\*! (.*?)\s*\*/")
_BUGBEAR = re.compile(r"# (B\d+): .*$")


def clippy(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Read `//~ lint`, of its own line, or of one above (`^`), below (`v`) or of the last mark (`|`)."""
    last = 0
    for number, line in enumerate(lines, 1):
        if mark := _CLIPPY.search(line):
            shift = mark.group(1)
            if shift != "|":
                last = number + len(shift) * (-1 if "^" in shift else 1)
            yield last, mark.group(2)


def staticcheck(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Read `//@ diag(message)` at the end of the line."""
    for number, line in enumerate(lines, 1):
        if mark := _STATICCHECK.search(line):
            for one, other in _DIAG.findall(mark.group()):
                yield number, one or other


def go_critic(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Read `/*! message */` before the line."""
    pending: list[str] = []
    for number, line in enumerate(lines, 1):
        if mark := _GO_CRITIC.fullmatch(line.strip()):
            pending.append(mark.group(1))
        elif line.strip():
            yield from ((number, message) for message in pending)
            pending = []


def bugbear(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Read `# CODE: column` at the end of the line."""
    for number, line in enumerate(lines, 1):
        for mark in line.split("#")[1:]:
            if found := _BUGBEAR.match(f"#{mark}"):
                yield number, found.group(1)


FORMATS: dict[str, tuple[Marks, re.Pattern[str], str, tuple[str, ...]]] = {
    # format: (marks, what is removed from the code, language, endings of the file with the fixes)
    "clippy": (clippy, _CLIPPY, "rust", (".fixed", ".1.fixed")),
    "staticcheck": (staticcheck, _STATICCHECK, "go", (".go.golden",)),
    "go-critic": (go_critic, _GO_CRITIC, "go", ()),
    "bugbear": (bugbear, re.compile(r"#[^#]*\bB\d+: .*$"), "python", ()),
}


def cases_of(format_: str, root: Path, files: Iterable[Path], message: str) -> Iterator[Case]:
    """Yield one case for each file; of its marks those count whose message matches a pattern."""
    read, removed, language, endings = FORMATS[format_]
    for file in files:
        lines = file.read_text().split("\n")
        marks = list(read(lines))
        fixed = [path for end in endings if (path := file.with_suffix(end)).is_file()]
        bad = tuple(line for line, text in marks if re.search(message, text))
        other = {line for line, text in marks if not re.search(message, text)}
        yield Case(
            str(file.relative_to(root)),
            language,
            _without(removed, lines),
            bad,
            tuple(_without(removed, path.read_text().split("\n")) for path in fixed),
            file.name,
            # What is reported for another reason is neither right nor wrong for ours.
            partial=bool(other) and not bad,
        )


def _without(pattern: re.Pattern[str], lines: list[str]) -> str:
    return "\n".join(pattern.sub("", line).rstrip() if pattern.search(line) else line for line in lines)
