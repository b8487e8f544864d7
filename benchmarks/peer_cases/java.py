"""Tests of Java linters: PMD's XML files, and the Java tests of Error Prone and OpenRewrite."""

import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path

from ast_grep_py import SgNode, SgRoot

from benchmarks.peer_cases.cases import ANYWHERE, Case, changed_lines

_PMD = "{http://pmd.sourceforge.net/rule-tests}"
_MARK = re.compile(r"// BUG: Diagnostic (contains|matches):.*")


def pmd(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the cases of PMD's XML files; those that set properties of the rule are left out."""
    for file in files:
        # The file is of a repository that the caller chose, at a commit that the caller chose.
        tree = ElementTree.parse(file).getroot()
        fragments = {node.get("id"): node.text or "" for node in tree.iter(f"{_PMD}code-fragment")}
        for number, test in enumerate(tree.iter(f"{_PMD}test-code"), 1):
            reference, code = test.find(f"{_PMD}code-ref"), test.findtext(f"{_PMD}code")
            text = fragments.get(reference.get("id")) if reference is not None else code
            kind = test.findtext(f"{_PMD}source-type") or "java"
            if text is None or not kind.startswith("java") or test.find(f"{_PMD}rule-property") is not None:
                continue
            problems = int(test.findtext(f"{_PMD}expected-problems") or 0)
            stated = test.findtext(f"{_PMD}expected-linenumbers") or ""
            lines = [int(line) for line in re.findall(r"\d+", stated)]
            bad = tuple(lines) if len(lines) == problems else (ANYWHERE,) * problems
            name = f"{file.relative_to(root)} {number}"
            yield Case(name, "java", text.strip() + "\n", bad, path="C.java")


def error_prone(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the sources of Error Prone's tests, with their marks or with what they become."""
    for file in files:
        tree = SgRoot(file.read_text(), "java").root()
        for test in tree.find_all(kind="method_declaration"):
            flags = test.find(pattern="$X.setArgs($$$A)") or test.find(pattern="$X.expectNoDiagnostics()")
            if flags is not None:
                continue
            yield from _sources(test, f"{file.relative_to(root)}:{test.range().start.line + 1}")


def _sources(test: SgNode, name: str) -> Iterator[Case]:
    calls = sorted(
        (
            (call_name.range().start.index, call_name.text(), call)
            for call in test.find_all(kind="method_invocation")
            if (call_name := call.field("name"))
        ),
        key=lambda entry: entry[0],
    )
    before: str | None = None
    for _, method, call in calls:
        texts = _texts(call)
        if method == "addSourceLines" and len(texts) > 1:
            lines = "\n".join(texts[1:]).split("\n")
            yield Case(name, "java", _unmarked(lines), tuple(_marked(lines)), path="C.java")
        elif method == "addInputLines" and len(texts) > 1:
            before = "\n".join(texts[1:])
        elif before is not None and method == "expectUnchanged":
            yield Case(name, "java", before, path="C.java")
            before = None
        elif before is not None and method == "addOutputLines" and len(texts) > 1:
            after = "\n".join(texts[1:])
            yield Case(name, "java", before, changed_lines(before, after), (after,), path="C.java")
            before = None


def _marked(lines: list[str]) -> Iterator[int]:
    for number, line in enumerate(lines, 1):
        if _MARK.search(line):
            # The next line that is code.
            yield next(
                at for at, text in enumerate(lines[number:], number + 1) if not text.strip().startswith("//")
            )


def _unmarked(lines: list[str]) -> str:
    return "\n".join(_MARK.sub("", line).rstrip() for line in lines)


def openrewrite(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the pairs of texts of `java(before, after)`; one text alone is not changed."""
    for file in files:
        tree = SgRoot(file.read_text(), "java").root()
        for call in tree.find_all(pattern="java($$$A)"):
            texts = _texts(call)
            name = f"{file.relative_to(root)}:{call.range().start.line + 1}"
            if len(texts) == 1:
                yield Case(name, "java", texts[0], path="C.java")
            elif len(texts) == 2:
                yield Case(name, "java", texts[0], changed_lines(*texts), (texts[1],), path="C.java")


def _texts(call: SgNode) -> list[str]:
    """Return the literal arguments of a call."""
    arguments = call.field("arguments")
    literals = [node for node in arguments.children() if node.kind() == "string_literal"] if arguments else []
    return [_value(node.text()) for node in literals]


def _value(literal: str) -> str:
    block = literal.startswith('"""')
    text = textwrap.dedent(literal[3:-3].lstrip(" ").removeprefix("\n")) if block else literal[1:-1]
    escapes = {"n": "\n", "t": "\t", "s": " ", "r": "\r", "\n": ""}
    return re.sub(r"\\(.)", lambda match: escapes.get(match.group(1), match.group(1)), text, flags=re.DOTALL)
