"""The lines of Python text: which ones are within strings, and statements moved to another indentation. Pure functions.

Does not belong here: whether a statement may be moved (`extraction`, `guard_clauses`, `simplification`).
"""

import ast
import io
import tokenize
from collections.abc import Sequence
from functools import lru_cache


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, each with its end; not as `splitlines`, which ends lines where Python does not."""
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")]


@lru_cache(maxsize=8)
def string_rows(text: str) -> frozenset[int]:
    """Return the numbers of the lines that begin within a string: their indentation is part of it."""
    rows: set[int] = set()
    started: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            started.append(token.start[0])
        elif kind in ("STRING", "FSTRING_END"):
            first = token.start[0] if kind == "STRING" else started.pop()
            rows.update(range(first + 1, token.end[0] + 1))
    return frozenset(rows)


def moved(lines: Sequence[str], statements: Sequence[ast.stmt], start: int, indent: str) -> list[str] | None:
    """Return the lines of statements, from index `start`, at another indentation.

    None where the first is not at the start of its line, another statement shares a line with them, or a line is
    indented less.
    """
    first, last = statements[0], max(statements, key=lambda statement: statement.end_lineno or 0)
    body = lines[start : last.end_lineno]
    before = lines[first.lineno - 1][: first.col_offset]
    rest = body[-1].encode()[last.end_col_offset or 0 :].strip() if body else b";"
    if before.strip() or getattr(first, "decorator_list", None) or (rest and not rest.startswith(b"#")):
        return None
    within = string_rows("".join(lines))
    kept = [not line.strip() or row in within for row, line in enumerate(body, start + 1)]
    if any(not same and not line.startswith(before) for same, line in zip(kept, body, strict=True)):
        return None
    return [line if same else indent + line[len(before) :] for same, line in zip(kept, body, strict=True)]


def above(lines: Sequence[str], node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines are above a class or function, its decorators, and the comment on it."""
    row = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while row and lines[row - 1].startswith("#"):
        row -= 1
    return row
