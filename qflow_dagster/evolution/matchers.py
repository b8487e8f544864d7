"""What rules find in one file: ast-grep in this process, ruff beside it, functions of our own.

Belongs here: evaluating rules on text, the fix of each match, comments that suppress. Does not
belong here: which files are looked at (`rule_engine`), conditions on measures
(`metric_findings`), what a match means over time (`findings`).

Imported by worker processes: no database here. Offsets are characters of the decoded text,
lines and columns begin at 1.
"""

import bisect
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ast_grep_py import SgNode, SgRoot
from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import functions
from qflow_dagster.evolution.rules import Rule

# Our names of languages, as rules and ast-grep spell them -> as ingestion does.
LANGUAGES = {
    "python": "Python",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "tsx": "TSX",
    "go": "Go",
    "rust": "Rust",
    "java": "Java",
}
SNIPPET = 300
RUFF_TIMEOUT = 120
# What a file may say: `qflow: ignore`, `qflow: ignore[rule, other]`, `qflow: ignore-file[rule]`.
_IGNORE = re.compile(r"qflow:\s*ignore(?P<file>-file)?(?![\w-])(?:\[(?P<rules>[^\]\n]*)\])?")
_LINE = re.compile(r"\r\n|\r|\n")
_VARIABLE = re.compile(r"\$\$\$([A-Z_][A-Z0-9_]*)|\$([A-Z_][A-Z0-9_]*)")
_PLACE = re.compile(r"\{([A-Z_][A-Z0-9_]*)\}")


def named(language: str) -> str:
    """The name rules have for a detected language; empty where they know none."""
    return next((name for name, ours in LANGUAGES.items() if ours == language), "")


class Edit(NamedTuple):
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


class Match(NamedTuple):
    """One place a rule found; `rule` is its position in the list of rules."""

    rule: int
    start: int
    end: int
    line: int
    end_line: int
    column: int
    message: str
    snippet: str
    # SHA-256 (16 bytes) of its first line, white space folded: the same wherever it moves.
    anchor: bytes
    edits: list[Edit] | None
    suppressed: bool


class Source:
    """A decoded file, with the offsets of its lines and the comments that suppress."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.starts = [0, *(found.end() for found in _LINE.finditer(text))]
        self.ignored: dict[int, set[str]] = {}
        self._roots: dict[str, SgNode] = {}
        if "qflow:" in text:
            self._read_comments()

    def root(self, language: str) -> SgNode:
        """Its syntax tree, parsed when first asked for."""
        if language not in self._roots:
            self._roots[language] = SgRoot(self.text, language).root()
        return self._roots[language]

    def line_of(self, offset: int) -> int:
        """The line an offset is in."""
        return bisect.bisect_right(self.starts, offset)

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and column."""
        return min(self.starts[min(line, len(self.starts)) - 1] + column - 1, len(self.text))

    def match(
        self,
        rule: int,
        rule_id: str,
        start: int,
        end: int,
        message: str,
        edits: list[Edit] | None,
        *,
        whole_lines: bool = True,
    ) -> Match:
        """A match of that span; of a secret not even the rest of its line is kept (`whole_lines`)."""
        line, end_line = self.line_of(start), self.line_of(max(start, end - 1))
        first = self.starts[line - 1] if whole_lines else start
        last = (
            (self.starts[end_line] if end_line < len(self.starts) else len(self.text)) if whole_lines else end
        )
        snippet = self.text[first : min(last, first + SNIPPET)].rstrip().replace("\0", "\ufffd")
        folded = " ".join(_LINE.split(snippet.lstrip(), maxsplit=1)[0].split())
        anchor = hashlib.sha256(folded.encode(errors="replace")).digest()[:16]
        # Line 0 stands for the whole file.
        suppressed = any({"*", rule_id} & self.ignored.get(at, set()) for at in (0, line))
        return Match(
            rule,
            start,
            end,
            line,
            end_line,
            start - self.starts[line - 1] + 1,
            message,
            snippet,
            anchor,
            edits,
            suppressed,
        )

    def _read_comments(self) -> None:
        for found in _IGNORE.finditer(self.text):
            line = self.line_of(found.start())
            before = self.text[self.starts[line - 1] : found.start()]
            if found["file"]:
                line = 0
            # A comment that stands alone speaks of the line below.
            elif not re.search(r"\w", before):
                line += 1
            names = {name.strip() for name in (found["rules"] or "*").split(",")}
            self.ignored.setdefault(line, set()).update(names)


def decode(data: bytes) -> str | None:
    """The text of a file, or None where it is not UTF-8: nothing is looked for there."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def find(source: Source, language: str, rules: Sequence[Rule | None]) -> list[Match]:
    """What the rules of ast-grep and of functions find in a file of that language (None: not asked)."""
    found: list[Match] = []
    for number, rule in enumerate(rules):
        if rule is None or not applies(rule, language):
            continue
        if rule.matcher.function is not None:
            for start, end, message in functions.FUNCTIONS[rule.matcher.function](source.text):
                if _satisfied(rule, source, language, start, end):
                    message = message or rule.title
                    found.append(source.match(number, rule.id, start, end, message, None, whole_lines=False))
        elif rule.matcher.ast_grep is not None:
            config, where = rule.matcher.ast_grep.config(), rule.matcher.where
            for node in source.root(language).find_all(config):  # type: ignore[arg-type]
                if where is None or node.matches(**where):
                    found.append(_ast_match(source, number, rule, node))
    return found


def covering(root: SgNode, start: int, end: int) -> SgNode:
    """The node a span is about: the smallest named one that covers it, or the largest of the same extent.

    Never the whole file where something in it will do: of a file with one statement it is the statement.
    """
    node: SgNode | None = root
    largest = root
    while node is not None:
        span, largest_span = node.range(), largest.range()
        if largest == root or (span.start, span.end) != (largest_span.start, largest_span.end):
            largest = node
        node = next(
            (child for child in node.children() if child.is_named() and _covers(child, start, end)), None
        )
    return largest


def _satisfied(rule: Rule, source: Source, language: str, start: int, end: int) -> bool:
    where = rule.matcher.where
    return where is None or covering(source.root(language), start, end).matches(**where)


def _covers(node: SgNode, start: int, end: int) -> bool:
    span = node.range()
    return span.start.index <= start and end <= span.end.index


def applies(rule: Rule, language: str) -> bool:
    """Whether a rule says anything of that language."""
    return language in rule.language or "any" in rule.language


def check_matcher(rule: Rule) -> None:
    """Refuse what ast-grep, ruff or our functions do not know.

    Raises:
        UsageError: with the words of whoever refused it.
    """
    matcher = rule.matcher
    if matcher.function is not None and matcher.function not in functions.FUNCTIONS:
        raise UsageError(f"{rule.id}: no function {matcher.function!r}: {', '.join(functions.FUNCTIONS)}")
    if unknown := set(rule.language) - {*LANGUAGES, "any"}:
        raise UsageError(
            f"{rule.id}: no language {unknown.pop()!r}; there are {', '.join(LANGUAGES)} and any"
        )
    for language in rule.language:
        if matcher.ast_grep is not None and (problem := _refused(matcher.ast_grep.config(), language)):
            raise UsageError(f"{rule.id} ({language}): {problem}")
        if matcher.where is not None and (problem := refused(matcher.where, language)):
            raise UsageError(f"{rule.id} ({language}), where: {problem}")


def refused(rule: dict[str, Any], language: str) -> str | None:
    """Why ast-grep does not take that rule object for that language; None where it does."""
    return _refused({"rule": rule}, language)


def _refused(config: dict[str, Any], language: str) -> str | None:
    try:
        SgRoot("", language).root().find_all(config)  # type: ignore[arg-type]
    # The binding raises plain exceptions, with a native stack trace behind the reason.
    except Exception as error:
        return " ".join(str(error).split("Stack backtrace")[0].split())
    return None


def _ast_match(source: Source, number: int, rule: Rule, node: SgNode) -> Match:
    span = node.range()
    start, end = span.start.index, span.end.index
    message = rule.title
    if rule.matcher.ast_grep and rule.matcher.ast_grep.message:
        message = _PLACE.sub(
            lambda name: _captured(source.text, node, name[1], False), rule.matcher.ast_grep.message
        )
    edits = None
    if rule.fix is not None and not rule.fix.startswith("codemod"):
        edits = [Edit(start, end, fill(source, rule.fix, node, start))]
    return source.match(number, rule.id, start, end, message, edits)


def fill(source: Source, template: str, node: SgNode, start: int) -> str:
    """A fix's template with what the match captured; further lines are indented as its first is."""
    line = source.text[source.starts[source.line_of(start) - 1] :]
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    body = template.rstrip("\n").replace("\n", f"\n{indent}")
    return _VARIABLE.sub(lambda name: _captured(source.text, node, name[1] or name[2], bool(name[1])), body)


def _captured(text: str, node: SgNode, name: str, several: bool) -> str:
    if several:
        nodes = node.get_multiple_matches(name)
        return text[nodes[0].range().start.index : nodes[-1].range().end.index] if nodes else ""
    found = node.get_match(name)
    if found is not None:
        return found.text()
    return node.get_transformed(name) or ""


def find_with_ruff(
    sources: Sequence[Source], rules: Sequence[Rule | None], target: str
) -> Iterator[tuple[int, Match]]:
    """(position in `sources`, match) for all that ruff finds in Python files, for Python `target` (py39).

    Raises:
        QflowError: ruff could not be run.
    """
    # A variant of a rule has its code.
    by_code: dict[str, list[tuple[int, Rule]]] = {}
    for number, rule in enumerate(rules):
        if rule and rule.matcher.ruff:
            by_code.setdefault(rule.matcher.ruff, []).append((number, rule))
    if not by_code or not sources:
        return
    with tempfile.TemporaryDirectory(prefix="qflow-ruff-") as folder:
        names = {}
        for number, source in enumerate(sources):
            # A folder each: what ruff makes of a name (__init__.py, test_x.py) stays, the rest is hidden.
            path = Path(folder, str(number), _safe_name(source.path))
            path.parent.mkdir()
            path.write_text(source.text, encoding="utf-8", newline="")
            names[str(path.resolve())] = number
        for finding in _run_ruff(folder, sorted(by_code), target):
            position = names.get(str(Path(finding["filename"]).resolve()))
            if position is None or finding["code"] not in by_code:
                # A file ruff cannot parse is reported as a syntax error: ingestion knows of it.
                continue
            source = sources[position]
            start = source.offset(finding["location"]["row"], finding["location"]["column"])
            end = source.offset(finding["end_location"]["row"], finding["end_location"]["column"])
            if _meant(source, finding["code"], start, end):
                continue
            for number, rule in by_code[finding["code"]]:
                if _satisfied(rule, source, "python", start, end):
                    edits = _ruff_edits(source, rule, finding["fix"])
                    yield position, source.match(number, rule.id, start, end, finding["message"], edits)


def ruff_command(*arguments: str) -> list[str]:
    """Ruff, with no configuration but ours."""
    return [str(find_ruff_bin()), "check", "--isolated", "--no-cache", "--exit-zero", *arguments]


def run_ruff(arguments: list[str], folder: str | Path, stdin: bytes = b"") -> bytes:
    """What ruff prints, run in `folder` on `stdin`.

    Raises:
        QflowError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            arguments, cwd=folder, input=stdin, capture_output=True, timeout=RUFF_TIMEOUT, env={}, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QflowError(f"ruff could not be run: {error}") from None
    if done.returncode:
        raise QflowError(f"ruff failed: {done.stderr.decode(errors='replace').strip()[:500]}")
    return done.stdout


def _run_ruff(folder: str, codes: Sequence[str], target: str) -> list[dict]:
    command = ruff_command(
        "--output-format", "json", "--select", ",".join(codes), "--target-version", target, "."
    )
    return json.loads(run_ruff(command, folder))


def _ruff_edits(source: Source, rule: Rule, fix: dict | None) -> list[Edit] | None:
    allowed = {"ruff": ("safe",), "ruff-unsafe": ("safe", "unsafe")}.get(rule.fix or "", ())
    if fix is None or fix["applicability"] not in allowed:
        return None
    return [
        Edit(
            source.offset(edit["location"]["row"], edit["location"]["column"]),
            source.offset(edit["end_location"]["row"], edit["end_location"]["column"]),
            edit["content"],
        )
        for edit in fix["edits"]
    ]


_IMPORT = re.compile(r"^[ \t]*(?:from|import)\b.*", re.MULTILINE)
_TYPE_COMMENT = re.compile(r"#[ \t]*type:[^\n]*")
# Comparing with None or True makes a condition of SQL there.
_SQL_EXPRESSIONS = re.compile(r"\b(sqlalchemy|sqlmodel|peewee|pony)\b")


def _meant(source: Source, code: str, start: int, end: int) -> bool:
    """Whether the code says that what ruff finds is as it should be, in a way ruff does not know."""
    if code in ("E711", "E712"):
        return _SQL_EXPRESSIONS.search(source.text) is not None
    if code != "F401":
        return False
    line_end = source.text.find("\n", end)
    before = source.text[: line_end if line_end >= 0 else None]
    if "unused-import" in before[start:]:
        return True
    if source.path.rsplit("/", 1)[-1] == "__init__.py":
        # What a package imports from its own modules is what it offers.
        statements = _IMPORT.findall(before)
        if statements and statements[-1].lstrip().startswith("from ."):
            return True
    return _in_type_comment(source.text, source.text[start:end])


def _in_type_comment(text: str, imported: str) -> bool:
    """Whether a type comment (PEP 484) uses what an import binds; ruff reads none of them."""
    if "type:" not in text:
        return False
    bound = imported.split(" as ")[-1].split(".")[0 if imported.startswith("import ") else -1].strip()
    name = re.compile(rf"\b{re.escape(bound)}\b")
    return any(name.search(comment) for comment in _TYPE_COMMENT.findall(text))


def _safe_name(path: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.rsplit("/", 1)[-1])
    return name if name.endswith((".py", ".pyi", ".ipynb")) and not name.startswith(".") else "file.py"


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text after the edits; one that overlaps an earlier one is left out (the next round finds it again)."""
    parts, position = [], 0
    for edit in sorted(set(edits)):
        if edit.start < position:
            continue
        parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, text[position:]])
