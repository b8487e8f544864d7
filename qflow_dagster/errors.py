"""The one error type whose text is meant for a person.

Belongs here: the base of every error that the user can fix (a wrong setting, a path
that is not a repository, a database that is down). Does not belong here: errors of one
domain, which subclass it where they arise.
"""


class QflowError(Exception):
    """Something a person can fix: the message names the thing, the rule it broke and the remedy.

    The command line prints it as one line and exits with ``exit_code``: 1 for a failure,
    2 for wrong usage.
    """

    exit_code = 1


class UsageError(QflowError):
    """A request that makes no sense as it stands (exit code 2)."""

    exit_code = 2
