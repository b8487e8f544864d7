"""Codemods of Rust."""

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


CODEMODS: dict[str, EditsOf] = {"rust/needless-return": value_alone}
