"""Registration of repositories: names, locations, mirrors.

Belongs here: registering, finding, locking and removing. Does not belong here: reading
their content. A path is read in place, on its machine; a URL is mirrored bare under `$QFLOW_HOME/mirrors` by each
machine that needs it.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from filelock import Timeout as FileLockTimeout
from psycopg.errors import LockNotAvailable
from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from qflow_dagster.database import direct_engine
from qflow_dagster.database.locks import lock_session, unlock_session
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import commit_graphs, git, remotes
from qflow_dagster.ingestion.store import delete_unused_facts
from qflow_dagster.ingestion.tables import repositories
from qflow_dagster.processes import host_name
from qflow_dagster.progress import ReportProgress
from qflow_dagster.registry import Channel, Lock
from qflow_dagster.safety import folders
from qflow_dagster.safety.private_folders import close_to_others, private_folder
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.settings import settings

# Seconds for which a mirror of no registered repository is kept: that of one that is being registered is young.
UNUSED_SECONDS = 86_400.0
# Mirrors that this process has seen, with the commit that they have.
_complete: set[tuple[str, str | None]] = set()
# Valid as a Dagster partition key, where three dots in a row mean a range.
NAME = re.compile(r"(?!.*\.\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Repository(NamedTuple):
    """A registered repository; `location` is an absolute path or a URL without credentials."""

    id: int
    name: str
    location: str
    mirrored: bool
    host: str | None
    object_format: str
    current_snapshot_id: int | None
    history_tip: str | None

    @property
    def objects(self) -> Path:
        """Return the folder that git reads: the repository itself, or its mirror on this machine.

        A mirror that is missing here, or lacks what another machine has ingested, is fetched.

        Raises:
            QflowError: It is a path of another machine.
            GitError: The URL cannot be reached.
        """
        if self.mirrored:
            return _mirror_here(self.location, self.history_tip)
        folder = Path(self.location)
        if self.host not in (None, host_name()) and not _is_here(folder):
            raise QflowError(
                f"{self.name} is the folder {self.location} of the machine {self.host}; this is {host_name()}: "
                "work on it there, or register the repository by its URL, which every machine can read"
            )
        return folder


def machines_of(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """Return the machines of those repositories that can be worked on on one machine alone.

    The machine where it was registered by its path, unless the path exists here: in a shared folder, or because
    the machine has a new name.
    """
    columns = repositories.c
    query = select(columns.name, columns.host, columns.location).where(
        columns.name.in_(list(names)), columns.host.is_not(None)
    )
    return {
        row.name: row.host
        for row in connection.execute(query)
        if row.host == host_name() or not _is_here(Path(row.location))
    }


def _is_here(folder: Path) -> bool:
    """Return whether a folder of another machine exists here too; one that may not be looked at is of no use."""
    try:
        return folder.exists()
    except OSError:
        return False


def _absolute(location: str) -> Path:
    try:
        return Path(location).expanduser().absolute().resolve()
    except RuntimeError:
        raise UsageError(f"{location}: there is no such user, or the user has no home; give a path") from None


def register(
    connection: Connection, location: str, name: str | None = None, *, progress: ReportProgress | None = None
) -> Repository:
    """Register the repository at `location`, or return it if it is already registered.

    A URL is mirrored first, so that an unreadable one is not registered. The default name is the last
    part of the location, with a number if that is taken.

    Raises:
        UsageError: `location` is not a repository, or `name` is taken or not allowed.
        GitError: The URL cannot be reached.
    """
    git.require_git()
    mirrored = remotes.url_protocol(location) is not None
    if not mirrored:
        location = str(git.find_repository(_absolute(location)))
    existing = _one(connection, repositories.c.location == location)
    if existing is not None:
        if name is not None and name != existing.name:
            raise UsageError(f"{location} is registered already, as {existing.name!r}")
        return existing
    if name is not None and not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name: letters, digits, '.', '_' and '-', at most 100, no '...'"
        )
    if mirrored:
        _mirror(connection, location, progress)
    objects = mirror_folder(location) if mirrored else Path(location)
    # Concurrent registrations must not choose the same name.
    connection.execute(text("LOCK TABLE repositories IN SHARE ROW EXCLUSIVE MODE"))
    used_names = set(connection.scalars(select(repositories.c.name)))
    if name in used_names:
        raise UsageError(f"the name {name!r} is taken by another repository; choose one with --name")
    connection.execute(
        insert(repositories).values(
            name=name or free_name(location, used_names),
            location=location,
            mirrored=mirrored,
            host=None if mirrored else host_name(),
            object_format=git.object_format(objects),
        )
    )
    return _require(_one(connection, repositories.c.location == location), location)


def report_push(connection: Connection, addresses: Iterable[str]) -> list[str]:
    """Have the repositories with one of these URLs looked at next; return their names."""
    pushed = set()
    for address in addresses:
        with suppress(UsageError):
            pushed.add(remotes.place(address))
    query = select(repositories.c.id, repositories.c.name, repositories.c.location).where(
        repositories.c.mirrored
    )
    found = {
        row.id: row.name
        for row in connection.execute(query)
        if remotes.place(row.location) in pushed - {None}
    }
    if found:
        connection.execute(
            update(repositories).where(repositories.c.id.in_(found)).values(pushed_at=func.clock_timestamp())
        )
        have_commits_looked_for(connection)
    return sorted(found.values())


def have_commits_looked_for(connection: Connection) -> None:
    """Have the sensor on commits tick as soon as the transaction is committed."""
    connection.execute(select(func.pg_notify(Channel.COMMITS, "")))


def find(connection: Connection, name: str) -> Repository:
    """Return the repository called `name`.

    Raises:
        QflowError: There is no such repository.
    """
    return _require(_one(connection, repositories.c.name == name), name)


def find_by_id(connection: Connection, repository_id: int) -> Repository:
    """Return the repository of that id.

    Raises:
        QflowError: There is no such repository.
    """
    return _require(_one(connection, repositories.c.id == repository_id), str(repository_id))


def find_or_register(
    connection: Connection, name_or_location: str, *, progress: ReportProgress | None = None
) -> Repository:
    """Return the repository of that name, else that at the location, which is registered if necessary."""
    if NAME.fullmatch(name_or_location) and not git.exists(Path(name_or_location)):
        existing = _one(connection, repositories.c.name == name_or_location)
        if existing is not None:
            return existing
    return register(connection, name_or_location, progress=progress)


@contextmanager
def locked(engine: Engine, repository: Repository) -> Iterator[None]:
    """Hold the exclusive lock for changing the stored data of the repository.

    Waits for another holder up to `settings().database.lock_timeout`.

    Raises:
        QflowError: The lock is held for longer.
    """
    with direct_engine(engine).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with _held_by_another(f"{repository.name} is being ingested"):
            lock_session(connection, Lock.REPOSITORY, repository.id)
        try:
            yield
        finally:
            # If the connection is lost, the server releases the lock.
            with suppress(DBAPIError):
                unlock_session(connection, Lock.REPOSITORY, repository.id)


def refresh(connection: Connection, repository: Repository, progress: ReportProgress | None = None) -> None:
    """Update the mirror; a local repository is read in place and needs no update.

    Raises:
        GitError: the URL cannot be reached.
    """
    if repository.mirrored:
        _mirror(connection, repository.location, progress)


def remove(engine: Engine, name: str) -> None:
    """Remove the repository: its rows, its mirror, and the facts that no other repository refers to.

    Raises:
        QflowError: There is no repository of that name, or it is being ingested.
    """
    with engine.connect() as connection:
        repository = find(connection, name)
    with locked(engine, repository):
        with engine.begin() as connection:
            connection.execute(delete(repositories).where(repositories.c.id == repository.id))
            delete_unused_facts(connection)
        mirror = mirror_folder(repository.location)
        commit_graphs.delete(mirror if repository.mirrored else Path(repository.location))
        if repository.mirrored:
            folders.remove(mirror)


def mirror_folder(url: str) -> Path:
    """Return the path of the mirror of `url`: a readable name and a digest of the URL."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return settings().home.absolute() / "mirrors" / f"{_last_part(url)}-{digest}.git"


def free_name(location: str, used_names: set[str]) -> str:
    """Return a free name for `location`: its last part, with a number if necessary."""
    base = _last_part(location)
    number = 1
    name = base
    while name in used_names:
        number += 1
        name = f"{base}-{number}"
    return name


def _last_part(location: str) -> str:
    last = re.split(r"[/:]", location.rstrip("/"))[-1].removesuffix(".git")
    cleaned = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", last).strip("-._")
    return cleaned[:80] or "repository"


def _mirror(connection: Connection, url: str, progress: ReportProgress | None) -> None:
    _remove_unused(connection)
    # Imported here: most commands only look a repository up.
    from qflow_dagster.infrastructure.circuit_breaker import through_breaker

    with _turn(url), through_breaker(connection.engine, f"git_remote:{redact_text(url)}"):
        _fetch(url, progress)


def _mirror_here(url: str, needed: str | None) -> Path:
    """Return the mirror of `url` on this machine, which has the commit `needed`."""
    folder = mirror_folder(url)
    if (url, needed) in _complete and folder.exists():
        return folder
    if not _has(folder, needed):
        with _turn(url):
            # Another process may have fetched it meanwhile.
            if not _has(folder, needed):
                _fetch(url, None)
    _complete.add((url, needed))
    return folder


def _has(folder: Path, commit: str | None) -> bool:
    if not folder.exists():
        return False
    try:
        return commit is None or bool(git.resolve(folder, commit))
    except git.GitError:
        return False


@contextmanager
def _turn(url: str) -> Iterator[None]:
    """Let one process of this machine at a time fetch `url`: they would remove each other's incomplete mirror."""
    folder = mirror_folder(url)
    for outer in (settings().home, folder.parent):
        private_folder(outer)
    try:
        with FileLock(folder.with_suffix(".lock"), timeout=settings().database.lock_timeout, mode=0o600):
            yield
    except FileLockTimeout:
        raise QflowError(f"{url} is being fetched by another process; run again when it is done") from None


def _fetch(url: str, progress: ReportProgress | None) -> None:
    folder = mirror_folder(url)
    remotes.mirror(url, folder, settings().ingestion.fetch_timeout, progress or (lambda *_: None))
    close_to_others(folder)


def _remove_unused(connection: Connection) -> None:
    """Remove the mirrors on this machine of repositories that were removed, maybe on another one."""
    urls = connection.scalars(select(repositories.c.location).where(repositories.c.mirrored))
    used = {mirror_folder(url).name for url in urls}
    cutoff = time.time() - UNUSED_SECONDS
    for folder in (settings().home.absolute() / "mirrors").glob("*.git"):
        if folder.name not in used and folder.stat().st_mtime < cutoff:
            folders.remove(folder)


@contextmanager
def _held_by_another(activity: str) -> Iterator[None]:
    """Name the other process's activity in the error if a lock is not free in time."""
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
