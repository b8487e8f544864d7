"""Cells of Jupyter notebooks: their code as one module of Python, each line of code on its line of the file.

A notebook is JSON with a string per line of code. In the module, a line that no person writes (`CELL`) stands before
each cell, and a call of IPython in place of a magic command. Cells share their names, so they are one module. A
notebook that is not laid out with a line of code per line of the file, as Jupyter does it, is not read.
"""

import bisect
import difflib
import io
import json
import re
import tokenize
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.embedded.protocol import Code, NotMergedError

# As Linguist names it.
LANGUAGE = "Jupyter Notebook"
ENDING = ".ipynb"
CELL = " \t \t"
_LINE = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"[A-Za-z_]\w*")
_MAGIC = re.compile(
    r"[ \t]*(?:%{1,2}[A-Za-z]|!|\?{1,2}[A-Za-z_%])|[ \t]*%{0,2}[A-Za-z_][\w.*]*\?{1,2}[ \t]*$"
)
_ASSIGNED = re.compile(r"([ \t]*[A-Za-z_][\w, \t]*=[ \t]*)(?:%[A-Za-z]|!(?!=))")
_CALL = "get_ipython()"
_ASSIGNMENTS = ("assignment", "augmented_assignment")


class Line(NamedTuple):
    """A line of code: where its string starts and ends in the file, its text, and the code it stands for."""

    start: int
    end: int
    text: str
    code: str


class Cell(NamedTuple):
    """A cell of code: its number among all (from 1), the line of the file before its code (from 0), and its lines."""

    number: int
    line: int
    lines: list[Line]


def read(file: str) -> Code | None:
    """Return the code of the cells of a notebook of Python; None: it has none, or is not laid out line by line."""
    cells = _cells(file)
    if not cells:
        return None
    lines = [""] * (len(_LINE.findall(file)) + 1)
    names: set[str] = set()
    for cell in cells:
        lines[cell.line] = CELL
        for number, line in enumerate(cell.lines, start=cell.line + 1):
            lines[number] = line.code
            if line.code != line.text.removesuffix("\n"):
                names.update(_WORD.findall(line.text))
    return Code("\n".join(lines), "python", frozenset(names))


def merged(file: str, code: Code, after: str) -> str:
    """Return the notebook with the changes of its code.

    Raises:
        NotMergedError: something else than code would change, or what a cell shows.
    """
    cells = _cells(file)
    before = _by_cell(code.text)
    changed = _by_cell(after)
    if len(before) != len(changed) or before[0] != changed[0]:
        raise NotMergedError("the change is not within a cell")
    parts: list[str] = []
    end = 0
    for cell, old, new in zip(cells, before[1:], changed[1:], strict=True):
        if old == new:
            continue
        behind = len(old) - len(cell.lines)
        if len(new) < behind or any(new[len(new) - behind :]):
            raise NotMergedError("the change is not within a cell")
        new = new[: len(new) - behind]
        if _shown(old) != _shown(new):
            raise NotMergedError("what the cell shows as its last value would change")
        start, stop, text = _rewritten(file, cell, new)
        parts += [file[end:start], text]
        end = stop
    return "".join([*parts, file[end:]])


def as_notebook(text: str) -> tuple[str, list[int]]:
    """Return the code of a notebook as a notebook that ruff reads, and how many lines are before each cell.

    A text without cells is one cell.
    """
    head, *cells = _by_cell(text)
    before, line = [], len(head)
    for cell in cells:
        before.append(line + 1)
        line += 1 + len(cell)
    if not cells:
        cells, before = [head], [0]
    sources = ["".join(f"{line}\n" for line in cell) for cell in cells]
    about = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    notebook = {"metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps({"cells": [{**about, "source": source} for source in sources], **notebook}), before


def lines_before(file: str) -> dict[int, int]:
    """Return how many lines of a notebook's file are before the code of each cell, by the cell's number."""
    return {cell.number: cell.line + 1 for cell in _cells(file)}


def _by_cell(text: str) -> list[list[str]]:
    """Return the lines before the first cell, and those of each cell with what follows it."""
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line == CELL:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _shown(lines: Sequence[str]) -> tuple[bool, bool]:
    """Return whether the last statement of a cell is an expression, whose value is shown, and ends in a semicolon."""
    statements = named_children(SgRoot("\n".join(lines), "python").root())
    if not statements:
        return False, False
    values = named_children(statements[-1])
    is_value = statements[-1].kind() == "expression_statement" and values[0].kind() not in _ASSIGNMENTS
    return is_value, is_value and "\n".join(lines).rstrip().endswith(";")


def _rewritten(file: str, cell: Cell, new: Sequence[str]) -> tuple[int, int, str]:
    """Return (start, end, text) of what changes in the file where the lines of a cell become these."""
    if not cell.lines:
        raise NotMergedError("the cell has no code")
    first, last = cell.lines[0], cell.lines[-1]
    ends = last.text.endswith("\n")
    # The string of a line that stays, or None, and the line's text.
    rows: list[tuple[Line | None, str]] = []
    matcher = difflib.SequenceMatcher(None, [line.code for line in cell.lines], new, autojunk=False)
    for tag, start, stop, new_start, new_stop in matcher.get_opcodes():
        if tag == "equal":
            rows += [(line, line.text) for line in cell.lines[start:stop]]
            continue
        if any(line.code != line.text.removesuffix("\n") for line in cell.lines[start:stop]):
            raise NotMergedError("a magic command would change")
        rows += [(None, line) for line in new[new_start:new_stop]]
    if not rows:
        # The lines of the file go with those of the code.
        start = max(file.rfind("\n", 0, first.start), file.rfind("\r", 0, first.start)) + 1
        stop = file.find("\n", last.end) + 1
        if file[start : first.start].strip() or file[last.end : stop].strip() or not stop:
            raise NotMergedError("the cell has no line of its own")
        return start, stop, ""
    separator = _separator(file, cell)
    ascii_only = _is_ascii(file, cell)
    text = ""
    for number, (line, content) in enumerate(rows):
        wanted = content.rstrip("\n") + ("\n" if ends or number < len(rows) - 1 else "")
        if line is not None and line.text == wanted:
            text += file[line.start : line.end]
        else:
            text += json.dumps(wanted, ensure_ascii=ascii_only)
        if number < len(rows) - 1:
            text += separator
    return first.start, last.end, text


def _separator(file: str, cell: Cell) -> str:
    """Return what stands between the strings of two lines."""
    between = {file[one.end : other.start] for one, other in pairwise(cell.lines)}
    if len(between) == 1:
        return between.pop()
    first = cell.lines[0]
    start = max(file.rfind("\n", 0, first.start), file.rfind("\r", 0, first.start)) + 1
    indent = file[start : first.start]
    if between or indent.strip():
        raise NotMergedError("the lines of the cell are not laid out alike")
    return ",\r\n" + indent if file[:start].endswith("\r\n") else ",\n" + indent


def _is_ascii(file: str, cell: Cell) -> bool:
    """Return whether characters beyond ASCII are escaped in the strings of a cell, or in the whole file."""
    for ascii_only in (False, True):
        if all(
            json.dumps(line.text, ensure_ascii=ascii_only) == file[line.start : line.end]
            for line in cell.lines
        ):
            return ascii_only and file.isascii()
    raise NotMergedError("the notebook escapes characters in a way that is not kept")


def _cells(file: str) -> list[Cell]:
    """Return the cells with code of a notebook that is laid out line by line; empty: it is none, or not in Python."""
    try:
        notebook = json.loads(file)
        language = _language(notebook)
    except (ValueError, RecursionError, AttributeError):
        return []
    if language != "python":
        return []
    # From here on the file is JSON, with an object as its root.
    root = _pairs(named_children(SgRoot(file, "json").root())[0])
    lists = [root["cells"]] if "cells" in root else []
    for sheet in named_children(root["worksheets"]) if "worksheets" in root else ():
        lists += [pairs["cells"]] if "cells" in (pairs := _pairs(sheet)) else []
    starts = [0, *(line.end() for line in _LINE.finditer(file))]
    cells: list[Cell] = []
    free = 0
    nodes = [cell for cells_node in lists for cell in named_children(cells_node)]
    for number, node in enumerate(nodes, start=1):
        pairs = _pairs(node)
        source = pairs.get("source") or pairs.get("input")
        if source is None or "cell_type" not in pairs or pairs["cell_type"].text() != '"code"':
            continue
        strings = named_children(source) if source.kind() == "array" else [source]
        if any(string.kind() != "string" for string in strings):
            return []
        numbers = [_line_of(starts, string) for string in strings]
        texts = [json.loads(string.text()) for string in strings]
        marker = numbers[0] - 1 if numbers else _line_of(starts, source)
        if marker < free or not _is_line_by_line(numbers, texts):
            return []
        free = max(marker, *numbers) + 1 if numbers else marker + 1
        codes = _without_magic([text.removesuffix("\n") for text in texts])
        lines = [
            Line(*span_of(string), text, code)
            for string, text, code in zip(strings, texts, codes, strict=True)
        ]
        cells.append(Cell(number, marker, lines))
    return cells if any(cell.lines for cell in cells) else []


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata", {})
    kernel, language = metadata.get("kernelspec", {}), metadata.get("language_info", {})
    name = language.get("name") or kernel.get("language") or kernel.get("name") or "python"
    return "python" if name.lower().startswith(("python", "ipython")) else name


def _pairs(node: SgNode) -> dict[str, SgNode]:
    """Return the values of a JSON object by key."""
    pairs = {}
    for pair in named_children(node):
        key, value = pair.field("key"), pair.field("value")
        if key is not None and value is not None:
            pairs[json.loads(key.text())] = value
    return pairs


def _line_of(starts: Sequence[int], node: SgNode) -> int:
    return bisect.bisect_right(starts, span_of(node)[0]) - 1


def _is_line_by_line(numbers: Sequence[int], texts: Sequence[str]) -> bool:
    """Return whether each string of a cell is one line of code, on the line behind the one before."""
    lines = [text.removesuffix("\n").removesuffix("\r") for text in texts]
    return (
        all(number == numbers[0] + position for position, number in enumerate(numbers))
        and all(text.endswith("\n") for text in texts[:-1])
        and not any("\n" in line or "\r" in line or line == CELL for line in lines)
        # JSON may hold halves of characters.
        and not any("\ud800" <= character <= "\udfff" for line in lines for character in line)
    )


def _without_magic(lines: Sequence[str]) -> list[str]:
    """Return the lines of a cell with a call in place of each magic command; blank if the cell is not only Python."""
    if next((line for line in lines if line.strip()), "").startswith("%%"):
        return [""] * len(lines)
    codes = list(lines)
    magic: list[int] = []
    goes_on = is_magic = False
    for number, line in enumerate(lines):
        if goes_on and is_magic:
            codes[number] = ""
        elif not goes_on:
            assigned = _ASSIGNED.match(line)
            is_magic = bool(assigned or _MAGIC.match(line))
            if is_magic:
                magic.append(number)
                indent = line[: len(line) - len(line.lstrip(" \t"))]
                codes[number] = (assigned[1] if assigned else indent) + _CALL
        goes_on = line.endswith("\\")
    if magic:
        try:
            inside = _continued(codes)
        except (tokenize.TokenError, SyntaxError):
            return [""] * len(lines)
        for number in inside.intersection(magic):
            codes[number] = lines[number]
    return codes


def _continued(lines: Sequence[str]) -> set[int]:
    """Return the lines (from 0) that go on with a text or a bracket of a line before.

    Raises:
        TokenError, SyntaxError: the lines are not complete.
    """
    found: set[int] = set()
    depth = last = 0
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if depth and token.start[0] > last:
            found.add(token.start[0] - 1)
        found.update(range(token.start[0], token.end[0]))
        last = token.end[0]
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
    return found
