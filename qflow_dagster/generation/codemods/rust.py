"""Codemods of Rust."""

import re

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File


def value_alone(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``x`` for ``return x;`` and nothing for ``return;``, where the function ends."""
    node = file.innermost((match.start, match.end))
    parent, values = node.parent(), named_children(node)
    if parent is None or parent.kind() != "expression_statement":
        if values:
            return [Edit(match.start, span_of(values[0])[0], "")]
        return [
            Edit(match.start, match.end, "{}" if parent and parent.kind() == "closure_expression" else "()")
        ]
    end = span_of(parent)[1]
    following = parent.next()
    while following is not None and following.kind() == "empty_statement":
        end = span_of(following)[1]
        following = following.next()
    if values:
        return [Edit(match.start, span_of(values[0])[0], ""), Edit(match.end, end, "")]
    text = file.text
    before, after = text[: match.start].rstrip(" \t"), text[end:].lstrip(" \t")
    if before.endswith("\n") and after.startswith(("\n", "\r\n")):
        return [Edit(len(before), len(text) - len(after) + after.index("\n") + 1, "")]
    return [Edit(len(before) if after.startswith(("\n", "\r\n")) else match.start, end, "")]


# Files that are no plain content: the start is overwritten on purpose, or they have no end.
_SPECIAL = re.compile(r"(?i)/dev/|/proc/|/sys/|lock|pid|pipe|fifo|tty|socket|device|disk|block")
_WRITES = ("write_all", "write_fmt", "write")


def truncated(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``.create(true).truncate(true)`` for ``.create(true)`` where a file is written from its start."""
    node = file.innermost((match.start, match.end))
    if _SPECIAL.search(file.captured(match, "P") or ""):
        return "the file may not be one whose whole content is written"
    declaration = next((outer for outer in node.ancestors() if outer.kind() == "let_declaration"), None)
    function = next((outer for outer in node.ancestors() if outer.kind() == "function_item"), None)
    pattern = declaration.field("pattern") if declaration is not None else None
    name = (function.field("name") if function is not None else None) or node
    if declaration is None or function is None or pattern is None:
        return "what is done with the file is not in this function"
    if pattern.kind() not in ("identifier", "mut_pattern"):
        return "the file has no name of its own"
    variable = pattern.text().removeprefix("mut ").strip()
    if _SPECIAL.search(variable) or _SPECIAL.search(name.text()):
        return "the file may not be one whose whole content is written"
    rest, writes = file.text[span_of(declaration)[1] : span_of(function)[1]], False
    for use in re.finditer(rf"\b{re.escape(variable)}\b(?:\s*\.\s*(\w+)\s*\()?", rest):
        before = rest[: use.start()].rstrip()
        macro = re.search(r"\bwrite(ln)?!\($", before) is not None
        writer = re.search(r"\b(Buf|Line)Writer::new\((&mut)?$", before) is not None
        if not (macro or writer or use[1] in _WRITES or use[1] in ("flush", "sync_all", "sync_data")):
            return f"{variable} is used for something else than writing"
        writes |= macro or writer or use[1] in _WRITES
    at = file.text.rindex(".open", match.start, match.end)
    at = len(file.text[:at].rstrip())
    return [Edit(at, at, ".truncate(true)")] if writes else "nothing is written to it in this function"


CODEMODS: dict[str, EditsOf] = {"rust/needless-return": value_alone, "rust/open-without-truncate": truncated}
