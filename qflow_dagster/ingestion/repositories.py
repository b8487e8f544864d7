"""Which repositories are known, by what name, and where their objects are read from.

Belongs here: registering, finding and removing. Does not belong here: what is read of them.
A path is read in place; a URL is mirrored bare under `$QFLOW_HOME/mirrors`.
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.tables import repositories
from qflow_dagster.settings import settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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


def register(connection: Connection, location: str, name: str | None = None) -> Repository:
    """Register the repository at `location`; one that is registered already is returned as it is.

    A URL is mirrored now, so that one that cannot be read is not registered.

    Raises:
        UsageError: `location` is no repository, or `name` is taken or not allowed.
        GitError: the URL cannot be reached.
    """
    git.require_git()
    mirrored = git.url_protocol(location) is not None
    if not mirrored:
        location = str(git.find_repository(Path(location).expanduser().absolute().resolve()))
    known = _one(connection, repositories.c.location == location)
    if known is not None:
        if name is not None and name != known.name:
            raise UsageError(f"{location} is registered already, as {known.name!r}")
        return known
    if name is not None and not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a name: letters, digits, '.', '_' and '-', at most 100")
    if mirrored:
        _refresh_mirror(location)
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


def find_or_register(connection: Connection, name_or_location: str) -> Repository:
    """The repository of that name, else the one at that location, registered if need be."""
    if NAME.fullmatch(name_or_location) and not Path(name_or_location).exists():
        known = _one(connection, repositories.c.name == name_or_location)
        if known is not None:
            return known
    return register(connection, name_or_location)


def refresh(repository: Repository) -> None:
    """Bring the mirror up to date; a local repository is read in place and needs nothing.

    Raises:
        GitError: the URL cannot be reached.
    """
    if repository.mirrored:
        _refresh_mirror(repository.location)


def remove(engine: Engine, name: str) -> None:
    """Forget the repository: its rows, facts of blobs no other repository has, and its mirror.

    Raises:
        QflowError: there is none of that name.
    """
    with engine.begin() as connection:
        repository = find(connection, name)
        blobs = "SELECT DISTINCT blob_id FROM files WHERE repository_id = :id AND blob_id IS NOT NULL"
        connection.execute(
            text(f"CREATE TEMPORARY TABLE removed_blobs ON COMMIT DROP AS {blobs}"), {"id": repository.id}
        )
        connection.execute(delete(repositories).where(repositories.c.id == repository.id))
        connection.execute(
            text("""
                DELETE FROM blobs WHERE id IN (SELECT blob_id FROM removed_blobs)
                AND NOT EXISTS (SELECT FROM files WHERE files.blob_id = blobs.id)
            """)
        )
    if repository.mirrored:
        shutil.rmtree(mirror_folder(repository.location), ignore_errors=True)


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
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")
    return cleaned[:80] or "repository"


def _refresh_mirror(url: str) -> None:
    mirror = mirror_folder(url)
    timeout = settings().ingestion.fetch_timeout
    if mirror.exists():
        git.fetch_mirror(url, mirror, timeout)
    else:
        git.clone_mirror(url, mirror, timeout)


def _one(connection: Connection, condition) -> Repository | None:
    columns = [repositories.c[name] for name in Repository._fields]
    row = connection.execute(select(*columns).where(condition)).one_or_none()
    return Repository(*row) if row else None


def _require(repository: Repository | None, name: str) -> Repository:
    if repository is None:
        raise QflowError(f"no repository is named {name!r}; see qflow repos list")
    return repository
