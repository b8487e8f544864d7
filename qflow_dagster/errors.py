"""The one error type whose text is meant for a person, and the words for what pydantic refuses.

Belongs here: the base of every error that the user can fix (a wrong setting, a path
that is not a repository, a database that is down). Does not belong here: errors of one
domain, which subclass it where they arise.
"""

from collections.abc import Mapping
from typing import Any


class QflowError(Exception):
    """Something a person can fix: the message names the thing, the rule it broke and the remedy.

    The command line prints it as one line and exits with ``exit_code``: 1 for a failure,
    2 for wrong usage.
    """

    exit_code = 1


class UsageError(QflowError):
    """A request that makes no sense as it stands (exit code 2)."""

    exit_code = 2


def problem_of(detail: Mapping[str, Any]) -> str:
    """Return what pydantic refused of a value, without the words that only its programmers need."""
    if detail["type"] == "model_type":
        return "is not a mapping of names to values"
    if detail["type"] == "string_pattern_mismatch":
        return f"{str(detail['input'])[:80]!r} does not match {detail['ctx']['pattern']}"
    return str(detail["msg"]).removeprefix("Value error, ")
