"""Codemods of Java."""

from qflow_dagster.evolution.analysis.nodes import span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File


def volatile(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``volatile C c;`` for ``C c;``."""
    type_ = file.innermost((match.start, match.end)).field("type")
    if type_ is None:
        return "the declaration was not understood"
    start, _ = span_of(type_)
    return [Edit(start, start, "volatile ")]


CODEMODS: dict[str, EditsOf] = {"java/double-checked-locking": volatile}
