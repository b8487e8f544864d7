"""Releases that errors occur in, and which of two is the later one."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from packaging.version import InvalidVersion, Version
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure.tables import error_releases

MAX_RELEASE_LENGTH = 250


def record(connection: Connection, seen: Mapping[str, datetime]) -> None:
    """Remember releases with the time they were first seen."""
    if seen:
        rows = [{"release": release, "first_seen": at} for release, at in sorted(seen.items())]
        connection.execute(insert(error_releases).values(rows).on_conflict_do_nothing())


def first_seen(connection: Connection, releases: Iterable[str]) -> dict[str, datetime]:
    """Return when releases were first seen."""
    columns = error_releases.c
    query = select(columns.release, columns.first_seen).where(columns.release.in_(sorted(releases)))
    return {row.release: row.first_seen for row in connection.execute(query)}


def is_before(release: str, other: str, seen: Mapping[str, datetime]) -> bool:
    """Return whether a release came before another one: by version if both have one, else as they were first seen."""
    if release == other:
        return False
    one, another = _version(release), _version(other)
    if one is not None and another is not None:
        return one < another
    if release not in seen or other not in seen:
        # What was never seen is still to come.
        return release in seen
    return seen[release] < seen[other]


def _version(release: str) -> Version | None:
    # SDKs name a release `package@version`; a commit is no version, though its digits could be read as one.
    text = release.rpartition("@")[2].partition("+")[0]
    try:
        return Version(text) if "." in text else None
    except InvalidVersion:
        return None
