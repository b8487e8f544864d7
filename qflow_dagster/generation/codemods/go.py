"""Codemods of Go."""

from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File


def bool_alone(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``ok`` for ``ok == true``, and ``!ok`` for ``ok == false``, with one ``!`` at most."""
    comparison, operand = file.innermost((match.start, match.end)), file.captured(match, "A") or ""
    node = file.innermost(match.captures["A"])
    operator = comparison.field("operator")
    if operator is None:
        return "the comparison was not understood"
    sides = [comparison.field("left"), comparison.field("right")]
    negations = (operator.text() == "!=") + any(side is not None and side.kind() == "false" for side in sides)
    if node.kind() == "binary_expression":
        # It binds as closely as the comparison that it replaces, but less closely than a negation.
        return [Edit(match.start, match.end, f"!({operand})" if negations % 2 else operand)]
    bare = operand.lstrip("!")
    negations += len(operand) - len(bare)
    return [Edit(match.start, match.end, "!" * (negations % 2) + bare)]


CODEMODS: dict[str, EditsOf] = {"go/bool-comparison": bool_alone}
