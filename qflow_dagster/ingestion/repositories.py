"""Which repositories are known, by what name, and where their objects are read from.

Belongs here: registering, finding, locking and removing. Does not belong here: what is read
of them. A path is read in place; a URL is mirrored bare under `$QFLOW_HOME/mirrors`.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from psycopg.errors import LockNotAvailable
from sqlalchemy import ColumnElement, Connection, Engine, delete, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from qflow_dagster.database.locks import lock_name, lock_session, unlock_session
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.ingestion import git, remotes
from qflow_dagster.ingestion.store import delete_unused_facts
from qflow_dagster.ingestion.tables import repositories
from qflow_dagster.progress import ReportProgress
from qflow_dagster.registry import Lock
from qflow_dagster.safety import folders
from qflow_dagster.safety.private_folders import close_to_others, private_folder
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.settings import settings

# Fit to be a Dagster partition key: three dots in a row mean a range there.
NAME = re.compile(r"(?!.*\.\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Repository(NamedTuple):
    """A registered repository; `location` is an absolute path or a URL without credentials."""

    id: int
    name: str
    location: str
    mirrored: bool
    object_format: str
    current_snapshot_id: int | None
    history_tip: str | None

    @property
    def objects(self) -> Path:
        """The folder git reads: the repository itself, or its mirror."""
        return mirror_folder(self.location) if self.mirrored else Path(self.location)


def register(
    connection: Connection, location: str, name: str | None = None, *, progress: ReportProgress | None = None
) -> Repository:
    """Register the repository at `location`; one that is registered already is returned as it is.

    A URL is mirrored now, so that one that cannot be read is not registered; without `name` the
    last part of the location is taken, with a number where another repository has it.

    Raises:
        UsageError: `location` is no repository, or `name` is taken or not allowed.
        GitError: the URL cannot be reached.
    """
    git.require_git()
    mirrored = remotes.url_protocol(location) is not None
    if not mirrored:
        location = str(git.find_repository(Path(location).expanduser().absolute().resolve()))
    known = _one(connection, repositories.c.location == location)
    if known is not None:
        if name is not None and name != known.name:
            raise UsageError(f"{location} is registered already, as {known.name!r}")
        return known
    if name is not None and not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name: letters, digits, '.', '_' and '-', at most 100, no '...'"
        )
    if mirrored:
        _mirror(connection, location, progress)
    objects = mirror_folder(location) if mirrored else Path(location)
    # Two processes that register at once must not choose the same name.
    connection.execute(text("LOCK TABLE repositories IN SHARE ROW EXCLUSIVE MODE"))
    taken = set(connection.scalars(select(repositories.c.name)))
    if name in taken:
        raise UsageError(f"the name {name!r} is taken by another repository; choose one with --name")
    connection.execute(
        insert(repositories).values(
            name=name or free_name(location, taken),
            location=location,
            mirrored=mirrored,
            object_format=git.object_format(objects),
        )
    )
    return _require(_one(connection, repositories.c.location == location), location)


def find(connection: Connection, name: str) -> Repository:
    """The repository called `name`.

    Raises:
        QflowError: there is none.
    """
    return _require(_one(connection, repositories.c.name == name), name)


def find_by_id(connection: Connection, repository_id: int) -> Repository:
    """The repository of that id.

    Raises:
        QflowError: there is none.
    """
    return _require(_one(connection, repositories.c.id == repository_id), str(repository_id))


def find_or_register(
    connection: Connection, name_or_location: str, *, progress: ReportProgress | None = None
) -> Repository:
    """The repository of that name, else the one at that location, registered if need be."""
    if NAME.fullmatch(name_or_location) and not Path(name_or_location).exists():
        known = _one(connection, repositories.c.name == name_or_location)
        if known is not None:
            return known
    return register(connection, name_or_location, progress=progress)


@contextmanager
def locked(engine: Engine, repository: Repository) -> Iterator[None]:
    """Be the only one who changes what is stored of the repository.

    Another holder is waited for as long as for any lock (`settings().database.lock_timeout`).

    Raises:
        QflowError: it is held for longer.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with _held_by_another(f"{repository.name} is being ingested"):
            lock_session(connection, Lock.REPOSITORY, repository.id)
        try:
            yield
        finally:
            # If the server went away, the lock went with the connection.
            with suppress(DBAPIError):
                unlock_session(connection, Lock.REPOSITORY, repository.id)


def refresh(connection: Connection, repository: Repository, progress: ReportProgress | None = None) -> None:
    """Bring the mirror up to date; a local repository is read in place and needs nothing.

    Raises:
        GitError: the URL cannot be reached.
    """
    if repository.mirrored:
        _mirror(connection, repository.location, progress)


def remove(engine: Engine, name: str) -> None:
    """Forget the repository: its rows, its mirror, and the facts that no repository has a use for.

    Raises:
        QflowError: there is none of that name, or it is being ingested.
    """
    with engine.connect() as connection:
        repository = find(connection, name)
    with locked(engine, repository):
        with engine.begin() as connection:
            connection.execute(delete(repositories).where(repositories.c.id == repository.id))
            delete_unused_facts(connection)
        if repository.mirrored:
            folders.remove(mirror_folder(repository.location))


def mirror_folder(url: str) -> Path:
    """Where the mirror of `url` lies: a readable name and a digest of the whole URL."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return settings().home.absolute() / "mirrors" / f"{_last_part(url)}-{digest}.git"


def free_name(location: str, taken: set[str]) -> str:
    """A name for `location` that is not taken: its last part, with a number where needed."""
    base = _last_part(location)
    number = 1
    name = base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _last_part(location: str) -> str:
    last = re.split(r"[/:]", location.rstrip("/"))[-1].removesuffix(".git")
    cleaned = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", last).strip("-._")
    return cleaned[:80] or "repository"


def _mirror(connection: Connection, url: str, progress: ReportProgress | None) -> None:
    folder = mirror_folder(url)
    # Two processes that mirror at once would take each other's half-made folder away.
    with _held_by_another(f"{url} is being fetched"):
        lock_name(connection, folder.name)
    for outer in (settings().home, folder.parent):
        private_folder(outer)
    with through_breaker(connection.engine, f"git_remote:{redact_text(url)}"):
        remotes.mirror(url, folder, settings().ingestion.fetch_timeout, progress or (lambda *_: None))
    close_to_others(folder)


@contextmanager
def _held_by_another(activity: str) -> Iterator[None]:
    """Say what another process is doing where a lock is not free in time."""
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        raise QflowError(f"{activity} by another process; run again when it is done") from None


def _one(connection: Connection, condition: ColumnElement[bool]) -> Repository | None:
    columns = [repositories.c[name] for name in Repository._fields]
    row = connection.execute(select(*columns).where(condition)).one_or_none()
    return Repository(*row) if row else None


def _require(repository: Repository | None, name: str) -> Repository:
    if repository is None:
        raise QflowError(f"no repository is named {name!r}; see qflow repos list")
    return repository
