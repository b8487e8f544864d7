"""The code of a file as its readers return it."""

from typing import NamedTuple

from qflow_dagster.errors import QflowError


class NotMergedError(QflowError):
    """A change of code cannot be put back into its file; the message is the reason."""


class Code(NamedTuple):
    """Code within a file: its text on the lines of the file, and its language as rules name it.

    `names` are used outside of the code: in a template, an attribute, a magic command. `doubt` is why none of it may
    change, '' if it may. `spans` are where it stands, if it stands there character for character.
    """

    text: str
    language: str
    names: frozenset[str]
    doubt: str = ""
    spans: tuple[tuple[int, int], ...] = ()
