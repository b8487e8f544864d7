"""Comments and annotations by which authors tell a tool to ignore a line, a block, a declaration or a file.

Belongs here: the comments of all tools, the lines that each applies to, and whether it covers a rule (by the
rule's `peers`, its names in other tools). Does not belong here: findings that a person suppressed (`findings`).
"""

import bisect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.evolution.rules import Rule

# Comments of one kind in a file.
MAX_COMMENTS = 1_000


class Suppression(NamedTuple):
    """A comment or annotation: the tool, the names of rules in it (none: every rule), its text and its lines.

    `wide`: it applies to more than a line, so that names we do not know are no reason to ignore everything there.
    """

    tool: str
    names: tuple[str, ...]
    text: str
    first: int
    last: int
    wide: bool = False

    def covers(self, rule: Rule) -> bool:
        """Return whether it applies to a rule; on a single line also where the tool's name of it is not known."""
        if self.tool == "bandit" and not self.names:
            return rule.category == "security" or bool(rule.peers.get("bandit"))
        known = _NAMES[self.tool](rule)
        if not self.names or not _EVERYTHING.isdisjoint(self.names):
            return True
        if known is None:
            return not self.wide
        # Flake8 reads a code as a prefix.
        prefix = self.tool == "ruff"
        return any(
            name == peer or (prefix and (peer.startswith(name) or name.startswith(peer)))
            for name in self.names
            for peer in known
        )


class Suppressions:
    """The suppressions of a text, by line; `root` returns its syntax tree in a language."""

    def __init__(self, text: str, starts: Sequence[int], path: str, root: Callable[[str], SgNode]) -> None:
        self._text, self._starts, self._path, self._root = text, starts, path, root
        self.all: list[Suppression] = list(self._read()) if _QUICK.search(text) else []

    def covers(self, rule: Rule, line: int, end_line: int) -> bool:
        """Return whether a match of a rule on these lines is suppressed.

        A comment on the first or last line counts; between them one that names the rule.
        """
        for suppression in self.all:
            if suppression.first <= end_line and line <= suppression.last:
                at_edge = any(suppression.first <= at <= suppression.last for at in (line, end_line))
                named = suppression.names and _NAMES[suppression.tool](rule) is not None
                if (at_edge or named) and suppression.covers(rule):
                    return True
        return False

    @cached_property
    def lines_of_type_checkers(self) -> set[int]:
        """The lines that a type checker ignores: a change there may change what it ignores."""
        lines = set()
        for comment in _TYPE_CHECKERS.finditer(self._text) if _QUICK.search(self._text) else ():
            line = self._line_of(comment.start())
            lines.add(line if comment["python"] else line + 1)
        return lines

    def _read(self) -> Iterator[Suppression]:
        for tool, reach, pattern in _COMMENTS:
            for number, comment in enumerate(pattern.finditer(self._text)):
                if number == MAX_COMMENTS:
                    # Written by no person; looking for the extent of each would take long.
                    yield Suppression(tool, (), comment[0].strip(), 0, len(self._starts), wide=True)
                    break
                yield self._suppression(tool, reach, comment)
        if self._path.endswith(".rs"):
            yield from self._rust_attributes()
        elif self._path.endswith(".java"):
            yield from self._java_annotations()

    def _suppression(self, tool: str, reach: str, comment: re.Match[str]) -> Suppression:
        line = self._line_of(comment.start())
        before = self._text[self._starts[line - 1] : comment.start()]
        alone = not re.search(r"\w", before)
        first = last = line
        match reach:
            case "next":
                first = last = line + 1
            # A comment alone on its line applies to the next line.
            case "line" if alone and tool in ("qflow", "golangci"):
                first = last = line + 1
            case "file":
                first, last = 0, len(self._starts)
            case "range":
                last = self._line_of(self._end_of_range(tool, comment))
        if tool == "golangci":
            last = self._end_of_braces(first)
        if reach == "block":
            last = self._end_of_indentation(line, alone)
        names = tuple(_NAME.findall(comment.groupdict().get("names") or ""))
        return Suppression(tool, names, comment[0].strip(), first, last, wide=last > first)

    def _end_of_range(self, tool: str, comment: re.Match[str]) -> int:
        end = _RANGE_ENDS[tool].search(self._text, comment.end())
        return end.start() if end else len(self._text)

    def _end_of_indentation(self, line: int, alone: bool) -> int:
        """Return the last line of a Python block: the one that a comment is in, or that its line opens."""
        if not alone and not self._line(line).split("#", 1)[0].rstrip().endswith(":"):
            return line
        limit = _indentation(self._line(line)) + (0 if alone else 1)
        for after, indent in self._code_indentations[
            bisect.bisect_right(self._code_indentations, (line, 10**9)) :
        ]:
            if indent < limit:
                return after - 1
        return len(self._starts)

    @cached_property
    def _code_indentations(self) -> list[tuple[int, int]]:
        """(line, indentation) of each line of Python that is more than a comment."""
        lines = ((number, self._line(number)) for number in range(1, len(self._starts) + 1))
        return [(number, _indentation(line)) for number, line in lines if line.split("#", 1)[0].strip()]

    def _end_of_braces(self, line: int) -> int:
        """Return the last line of the block in braces that a line opens; the line itself if it opens none."""
        if line > len(self._starts) or not self._line(line).split("//", 1)[0].rstrip().endswith("{"):
            return line
        indent = _indentation(self._line(line))
        for after in range(line + 1, len(self._starts) + 1):
            text = self._line(after)
            if text.lstrip().startswith(("}", ")")) and _indentation(text) == indent:
                return after
        return len(self._starts)

    def _rust_attributes(self) -> Iterator[Suppression]:
        for node in self._root("rust").find_all(
            any=[{"kind": "attribute_item"}, {"kind": "inner_attribute_item"}]
        ):
            attribute = _ALLOW.search(node.text())
            if attribute is None:
                continue
            # Lints of the compiler are not rules of ours.
            names = tuple(
                name.removeprefix("clippy::")
                for name in re.findall(r"[\w:]+", attribute["names"])
                if name.startswith("clippy::")
            )
            item: SgNode | None = node.parent() if node.kind() == "inner_attribute_item" else node.next()
            while item is not None and item.kind() in ("attribute_item", "line_comment", "block_comment"):
                item = item.next()
            if names and item is not None:
                span = item.range()
                yield Suppression(
                    "clippy", names, node.text(), span.start.line + 1, span.end.line + 1, wide=True
                )

    def _java_annotations(self) -> Iterator[Suppression]:
        for node in self._root("java").find_all(
            kind="annotation", regex=r"^@(java\.lang\.)?SuppressWarnings\b"
        ):
            modifiers = node.parent()
            declaration = modifiers.parent() if modifiers is not None else None
            names = tuple(re.findall(r'"([^"\n]+)"', node.text()))
            if names and declaration is not None:
                span = declaration.range()
                yield Suppression(
                    "java", names, node.text(), span.start.line + 1, span.end.line + 1, wide=True
                )

    def _line_of(self, offset: int) -> int:
        return bisect.bisect_right(self._starts, offset)

    def _line(self, number: int) -> str:
        end = self._starts[number] if number < len(self._starts) else len(self._text)
        return self._text[self._starts[number - 1] : end]


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _peers(*tools: str) -> Callable[[Rule], tuple[str, ...] | None]:
    def names(rule: Rule) -> tuple[str, ...] | None:
        known = [rule.peers[tool] for tool in tools if tool in rule.peers]
        return tuple(name for names in known for name in names) if known else None

    return names


def _codes(rule: Rule) -> tuple[str, ...] | None:
    own = (rule.matcher.ruff,) if rule.matcher.ruff else ()
    return (*own, *(_peers("ruff", "flake8")(rule) or ())) or None


def _go_linters(rule: Rule) -> tuple[str, ...] | None:
    linters = [tool for tool, names in rule.peers.items() if names]
    # Golangci-lint has run parts of staticcheck under these names.
    more = ("gosimple", "stylecheck") if "staticcheck" in linters else ()
    return (*linters, *more) or None


def _java_names(rule: Rule) -> tuple[str, ...]:
    pmd = [f"PMD.{name}" for name in rule.peers.get("pmd", ())]
    return ("PMD", *pmd, *rule.peers.get("errorprone", ()), *rule.peers.get("idea", ()))


# The names of a rule by which the suppressions of a tool mean it; None: not known.
_NAMES: dict[str, Callable[[Rule], tuple[str, ...] | None]] = {
    "qflow": lambda rule: (rule.id,),
    "ruff": _codes,
    "pylint": _peers("pylint"),
    "bandit": _peers("bandit"),
    "eslint": _peers("eslint"),
    "biome": _peers("biome"),
    "golangci": _go_linters,
    "staticcheck": _peers("staticcheck"),
    "clippy": _peers("clippy"),
    "java": _java_names,
    "pmd": _peers("pmd"),
    "sonar": _peers("sonar", "sonarjs"),
    "checkstyle": _peers("checkstyle"),
}
# Names that mean every rule.
_EVERYTHING = frozenset(
    {
        "*",
        "all",
        "ALL",
        "correctness",
        "style",
        "complexity",
        "perf",
        "suspicious",
        "pedantic",
        "nursery",
        "restriction",
    }
)
_NAME = re.compile(r"[\w@*][\w@/.*-]*")
_CODES = r"(?P<names>[A-Z]+[0-9]+(?:[, \t]+[A-Z]+[0-9]+)*)"
# The reason stands behind two hyphens.
_ESLINT_NAMES = r"(?![\w-])[ \t]*(?P<names>(?:(?!--|\*/)[^\n])*)"
# (tool, what it applies to, pattern)
_COMMENTS = tuple(
    (tool, reach, re.compile(pattern))
    for tool, reach, pattern in (
        ("qflow", "line", r"qflow:\s*ignore(?![\w-])(?:\[(?P<names>[^\]\n]*)\])?"),
        ("qflow", "file", r"qflow:\s*ignore-file(?![\w-])(?:\[(?P<names>[^\]\n]*)\])?"),
        ("ruff", "line", rf"#[ \t]*(?i:noqa)\b(?:[ \t]*:[ \t]*{_CODES})?"),
        (
            "ruff",
            "file",
            rf"(?m)^[ \t]*#[ \t]*(?:ruff|flake8)[ \t]*:[ \t]*(?i:noqa)\b(?:[ \t]*:[ \t]*{_CODES})?",
        ),
        # Names of rules in words are not read: such a comment counts for every rule of its line.
        ("ruff", "line", rf"#[ \t]*ruff[ \t]*:[ \t]*ignore\[(?:{_CODES})?[^\]\n]*\]"),
        ("ruff", "next", rf"(?m)^[ \t]*#[ \t]*ruff[ \t]*:[ \t]*ignore\[(?:{_CODES})?[^\]\n]*\]"),
        ("ruff", "file", rf"#[ \t]*ruff[ \t]*:[ \t]*file-ignore\[(?:{_CODES})?[^\]\n]*\]"),
        ("ruff", "range", rf"#[ \t]*ruff[ \t]*:[ \t]*disable\[(?:{_CODES})?[^\]\n]*\]"),
        ("bandit", "line", rf"#[ \t]*nosec\b(?:[ \t]*+:?[ \t]*+{_CODES})?"),
        ("pylint", "file", r"\bpylint:[ \t]*skip-file\b"),
        ("pylint", "next", r"\bpylint:[ \t]*disable-next[ \t]*=[ \t]*(?P<names>[\w, \t-]+)"),
        ("pylint", "block", r"\bpylint:[ \t]*disable[ \t]*=[ \t]*(?P<names>[\w, \t-]+)"),
        ("eslint", "line", rf"\b(?:eslint|oxlint)-disable-line{_ESLINT_NAMES}"),
        ("eslint", "next", rf"\b(?:eslint|oxlint)-disable-next-line{_ESLINT_NAMES}"),
        ("eslint", "range", rf"/\*[ \t]*(?:eslint|oxlint)-disable{_ESLINT_NAMES}"),
        ("eslint", "file", r"/\*[ \t]*eslint[ \t]+(?P<names>[\w@/-]+)[ \t]*:[ \t]*[\"\[]*(?:off|0)\b"),
        ("biome", "next", r"/[/*][ \t]*biome-ignore[ \t]+(?P<names>[\w/]+)"),
        ("biome", "file", r"/[/*][ \t]*biome-ignore-all[ \t]+(?P<names>[\w/]+)"),
        ("golangci", "line", r"//[ \t]*nolint\b(?::(?P<names>[\w-]+(?:,[ \t]*[\w-]+)*))?"),
        ("staticcheck", "next", r"//lint:ignore[ \t]+(?P<names>[\w,]+)"),
        ("staticcheck", "file", r"//lint:file-ignore[ \t]+(?P<names>[\w,]+)"),
        ("pmd", "line", r"//[ \t]*NOPMD\b"),
        ("sonar", "line", r"\bNOSONAR\b"),
        ("checkstyle", "range", r"/[/*][ \t]*CHECKSTYLE[: \t]*OFF(?:[ \t]*:[ \t]*(?P<names>\w+))?"),
    )
)
_RANGE_ENDS = {
    "eslint": re.compile(r"/\*[ \t]*(?:eslint|oxlint)-enable\b"),
    "checkstyle": re.compile(r"/[/*][ \t]*CHECKSTYLE[: \t]*ON\b"),
    "ruff": re.compile(r"#[ \t]*ruff[ \t]*:[ \t]*enable\["),
}
_TYPE_CHECKERS = re.compile(
    r"(?P<python>#[ \t]*(?:type|pyright|mypy|pyrefly|ty):[ \t]*ignore\b)|/[/*][ \t]*@ts-(?:ignore|expect-error)\b"
)
_ALLOW = re.compile(r"\b(?:allow|expect)\s*\((?P<names>[^()]*)\)")
_QUICK = re.compile(
    r"qflow:|ruff[ \t]*:|(?i:noqa)|nosec|pylint:|(?:es|ox)lint|biome-ignore|nolint|lint:|NOPMD|NOSONAR|CHECKSTYLE"
    r"|SuppressWarnings|(?:allow|expect)\s*\(|ignore|@ts-"
)
