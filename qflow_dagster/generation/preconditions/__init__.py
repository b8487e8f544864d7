"""Preconditions: what must hold at a location so that the fix of a rule keeps behaviour there.

A rule names them in `requires`; each has a sentence that says what must hold, and a check that returns why it
does not, or that it is not known. Belongs here: their registry. The checks lie in the module of their
language. Does not belong here: gates, which look at the changed text (`validation`).
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation import type_checker
from qflow_dagster.generation.generators.protocol import Request, Surroundings
from qflow_dagster.generation.preconditions import (
    conventions,
    file,
    go,
    go_values,
    java,
    java_values,
    javascript,
    javascript_flow,
    oldest_versions,
    python,
    python_classes,
    python_exceptions,
    python_flow,
    python_imports,
    python_meant,
    python_modules,
    python_types,
    python_values,
    rust,
    rust_values,
)
from qflow_dagster.generation.preconditions.file import File, Precondition

PRECONDITIONS: dict[str, Precondition] = {
    **file.PRECONDITIONS,
    **conventions.PRECONDITIONS,
    **python.PRECONDITIONS,
    **python_exceptions.PRECONDITIONS,
    **python_flow.PRECONDITIONS,
    **python_imports.PRECONDITIONS,
    **python_meant.PRECONDITIONS,
    **python_modules.PRECONDITIONS,
    **python_types.PRECONDITIONS,
    **python_values.PRECONDITIONS,
    **javascript.PRECONDITIONS,
    **javascript_flow.PRECONDITIONS,
    **oldest_versions.PRECONDITIONS,
    **java.PRECONDITIONS,
    **java_values.PRECONDITIONS,
    **rust.PRECONDITIONS,
    **rust_values.PRECONDITIONS,
    **go.PRECONDITIONS,
    **go_values.PRECONDITIONS,
}


def unmet(file: File, match: Match) -> str | None:
    """Return why a precondition of the file's rule does not hold at a match; None: all hold.

    Raises:
        QflowError: the rule names a precondition that does not exist.
    """
    for name, argument in file.rule.requirements:
        if name not in PRECONDITIONS:
            raise QflowError(
                f"{file.rule.id} requires {name!r}; there are {', '.join(sorted(PRECONDITIONS))}"
            )
        reason = PRECONDITIONS[name].check(file, match, argument)
        if reason is not None:
            return reason
    return None


def wanted_types(request: Request) -> set[tuple[int, int]]:
    """Return the spans of the expressions whose types the preconditions of the request's rule ask for."""
    typed = _typed(request)
    if not typed:
        return set()
    file = File(request)
    for match in matches_in(request.rule, request.text, request.path, request.language, request.target):
        for precondition, argument in typed:
            precondition.check(file, match, argument)
    return file.wanted_types


def needs_types(request: Request) -> bool:
    """Return whether a precondition of the request's rule asks for types."""
    return bool(_typed(request))


def _typed(request: Request) -> list[tuple[Precondition, Any]]:
    checks = [(PRECONDITIONS.get(name), argument) for name, argument in request.rule.requirements]
    return [
        (precondition, argument) for precondition, argument in checks if precondition and precondition.typed
    ]


def alone(request: Request) -> Request:
    """Return the request with what its file alone says, as if it were the only one of its repository."""
    spans = wanted_types(request)
    types: Mapping[tuple[int, int], str] = {}
    if spans:
        with tempfile.TemporaryDirectory(prefix="qflow-types-") as folder:
            found = type_checker.types_in(
                Path(folder), {"file.py": request.text}, {"file.py": spans}, request.target
            )
            types = found["file.py"]
    surroundings = Surroundings(
        types=types,
        imported_names=frozenset(),
        foreign_equality=python_classes.foreign_equality(request.text),
        convention=conventions.of_file(request),
    )
    return replace(request, surroundings=surroundings)
