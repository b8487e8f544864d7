"""The oldest Node.js that code must run on, as the nearest package.json names it (`engines`).

The argument of the precondition is the version of Node.js that first has what the fix writes. A project that names
none is taken to run on it.
"""

import json
import posixpath
import re
from collections.abc import Mapping

from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

NAME = "node"
Version = tuple[int, int]
_COMPARATOR = re.compile(r"(?:(>=|<=|<|>|\^|~|=)\s{0,9})?v?(\d{1,9})(?:\.(\d{1,9}))?[\w.+*-]*")


def oldest_node(package: bytes) -> Version | None:
    """Return the oldest version that a package.json admits; None: it names none."""
    try:
        stated = json.loads(package)["engines"]["node"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(stated, str):
        return None
    bounds = [_lower_bound(alternative) for alternative in stated[:200].split("||")]
    return min((bound for bound in bounds if bound is not None), default=None)


def _lower_bound(comparators: str) -> Version | None:
    """Return the lowest version of comparators that all hold, or of a range such as 4 - 6; None: any version."""
    found = _COMPARATOR.findall(comparators)
    lower = [(int(major), int(minor or 0)) for operator, major, minor in found if operator not in ("<", "<=")]
    if not found:
        return None
    return (min if " - " in comparators else max)(lower, default=(0, 0))


def of_path(path: str, versions: Mapping[str, Version | None]) -> Version | None:
    """Return the version for a file; `versions` are those of folders with a package.json."""
    folder = posixpath.dirname(path)
    while folder and versions.get(folder) is None:
        folder = posixpath.dirname(folder)
    return versions.get(folder)


def has(file: File, match: Match, version: object) -> str | None:
    """Check that the oldest Node.js that the project supports has what the fix writes."""
    major, _, minor = str(version).partition(".")
    oldest = file.surroundings.node
    if oldest is None or oldest >= (int(major), int(minor or 0)):
        return None
    return f"the project supports Node.js {oldest[0]}.{oldest[1]}, and what the fix writes needs {version}"


PRECONDITIONS = {
    NAME: Precondition("the oldest Node.js of the project has what the fix writes", has),
}
