"""Agreement of a fix with the style of a repository: a fix gives up no style that is used throughout.

The argument of the precondition is a pattern of a line that is written as the fix writes it, in the syntax that
`git grep -E` and RE2 share.
"""

import re2

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.preconditions.file import File, Precondition

NAME = "convention"
# Fewer locations say nothing of a convention.
MIN_LOCATIONS = 5


def against(locations: int, lines: int) -> str:
    """Return why a fix is against the convention: `locations` match the rule, `lines` are as it writes them."""
    if locations < MIN_LOCATIONS or lines >= locations:
        return ""
    return (
        f"the repository writes {locations} of {locations + lines} such locations in the way the fix gives up"
    )


def pattern_of(request: Request) -> str | None:
    """Return the argument of the precondition; None: the rule does not have it.

    Raises:
        QflowError: it is not a pattern.
    """
    requirements = dict(request.rule.requirements)
    if NAME not in requirements:
        return None
    pattern = requirements[NAME]
    if not isinstance(pattern, str):
        raise QflowError(f"{request.rule.id}: the requirement {NAME!r} needs a pattern of lines")
    try:
        re2.compile(pattern)
    except re2.error as error:
        raise QflowError(f"{request.rule.id}: the pattern of {NAME!r} is invalid: {error}") from None
    return pattern


def of_file(request: Request) -> str:
    """Return why the fix is against the convention of a file alone."""
    pattern = pattern_of(request)
    if pattern is None:
        return ""
    found = matches_in(request.rule, request.text, request.path, request.language, request.target)
    compiled = re2.compile(pattern)
    return against(len(found), sum(compiled.search(line) is not None for line in request.text.splitlines()))


def convention(file: File, match: Match, argument: str) -> str | None:
    """Check that the repository does not write most such locations as the match is written."""
    reason = file.surroundings.convention
    return "how the repository writes such locations is not known" if reason is None else reason or None


PRECONDITIONS = {
    NAME: Precondition("the repository does not write most such locations in this way", convention),
}
