"""Preconditions: what must hold at a location so that the fix of a rule keeps behaviour there.

A rule names them in `requires`; each has a sentence that says what must hold, and a check that returns why it
does not, or that it is not known. Belongs here: their registry. The checks lie in the module of their
language. Does not belong here: gates, which look at the changed text (`validation`).
"""

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.preconditions import go, java, javascript, rust
from qflow_dagster.generation.preconditions.file import File, Precondition

PRECONDITIONS: dict[str, Precondition] = {
    **javascript.PRECONDITIONS,
    **java.PRECONDITIONS,
    **rust.PRECONDITIONS,
    **go.PRECONDITIONS,
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


def with_types(request: Request) -> Request:
    """Return the request with the types that the preconditions of its rule need, as far as the file alone tells."""
    return request
