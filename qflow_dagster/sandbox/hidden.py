"""The files that a sandboxed command never sees, by whatever path, and where they are.

Belongs here: our own state, what in the system's folders is not for everybody, and telling whether a
path leads to either. Does not belong here: what is shown (`view`).

Outside root, the command has the user number of whoever runs us: file modes keep it from nothing. So
of the system's folders it sees what everybody may read. A path is classified by where it lies in its
file system, so another name of a folder (a link, a bind mount) is the same folder.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from qflow_dagster.database import embedded
from qflow_dagster.errors import UsageError
from qflow_dagster.settings import settings

# In a folder that holds one of these lies a database, or the state of another qflow.
MARKS = frozenset({"PG_VERSION", embedded.PASSWORD})
# A package with more files, or with more parts that are not for everybody, is left out as a whole.
MAX_ENTRIES = 300_000
MAX_PARTS = 50


class _Mount(NamedTuple):
    point: Path
    device: str
    root: Path


class Hidden:
    """Folders that are not shown, nor anything in them, by any of their names."""

    def __init__(self, folders: list[Path]) -> None:
        self._mounts = _mounts()
        self._folders = {form for folder in folders for form in _forms(folder)}
        self._places = {self._place(folder) for folder in self._folders}

    def leads_to(self, path: Path) -> bool:
        """Return whether `path` is, or lies in, what is hidden."""
        return any(form.is_relative_to(folder) for folder in self._folders for form in _forms(path)) or any(
            device == hidden and location.is_relative_to(folder)
            for device, location in map(self._place, _forms(path))
            for hidden, folder in self._places
        )

    def lies_in(self, path: Path) -> bool:
        """Return whether some of what is hidden lies in `path`, or in what is mounted there."""
        forms = _forms(path)
        if any(folder.is_relative_to(form) for folder in self._folders for form in forms):
            return True
        below = [
            mount.point for mount in self._mounts if any(mount.point.is_relative_to(form) for form in forms)
        ]
        return any(
            device == hidden and (folder.is_relative_to(location) or location.is_relative_to(folder))
            for device, location in map(self._place, {*forms, *below})
            for hidden, folder in self._places
        )

    def _place(self, path: Path) -> tuple[str, Path]:
        """Return the file system `path` lies in, and its path there."""
        covering = [mount for mount in self._mounts if path.is_relative_to(mount.point)]
        if not covering:
            return "", path
        # Of two at one point the later one covers the earlier.
        depth = max(len(mount.point.parts) for mount in covering)
        mount = [mount for mount in covering if len(mount.point.parts) == depth][-1]
        return mount.device, mount.root / path.relative_to(mount.point)


def state_folders() -> list[Path]:
    """Our own folders and those of the database's sockets."""
    configured = settings()
    folders = [configured.home, embedded.data_folder(configured.home), embedded.ROOT_BASE]
    folders += [
        Path(os.environ[name])
        for name in ("DAGSTER_HOME", "PGHOST")
        if os.environ.get(name, "").startswith("/")
    ]
    for address in (configured.database.url, configured.dagster.url):
        folders += _socket_folders(address.get_secret_value()) if address else []
    return folders


def home_folder() -> Path:
    """Return the home of whoever runs us.

    Raises:
        UsageError: there is none.
    """
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise UsageError(
            "the user that runs qflow has no home folder with an absolute path, neither in HOME nor in /etc/passwd: "
            "set HOME"
        )
    return home


@lru_cache(maxsize=64)
def not_for_everybody(top: Path, *, package: bool) -> tuple[Path, ...]:
    """Return what in `top` is not shown: what we could read and others could not, sockets, and databases.

    Looked for once per process. Of a `package` that is too large to be looked through, or holds too
    much of it, that is all of it.
    """
    parts: list[Path] = []
    entries = 0
    waiting = [top] if top.is_dir() and not top.is_symlink() else []
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.lstat()
            children = list(os.scandir(folder))
        except OSError:
            continue
        entries += len(children)
        if package and (entries > MAX_ENTRIES or len(parts) > MAX_PARTS):
            return (top,)
        if folder != top and (_ours_alone(folder, status) or any(child.name in MARKS for child in children)):
            parts.append(folder)
            continue
        # Who may write in a folder of the system is root, whose files are closed to us as they are.
        every_file = package or status.st_uid != 0 or bool(status.st_mode & 0o022)
        for child in children:
            if child.is_symlink():
                continue
            if child.is_dir(follow_symlinks=False):
                waiting.append(Path(child.path))
            elif not child.is_file(follow_symlinks=False) or (every_file and _file_ours_alone(child)):
                parts.append(Path(child.path))
    return tuple(parts)


def _ours_alone(folder: Path, status: os.stat_result) -> bool:
    # As root it is nobody who runs the command, and file modes keep it out.
    return os.geteuid() != 0 and status.st_mode & 0o005 != 0o005 and os.access(folder, os.R_OK | os.X_OK)


def _file_ours_alone(file: os.DirEntry[str]) -> bool:
    if os.geteuid() == 0:
        return False
    try:
        mode = file.stat(follow_symlinks=False).st_mode
    except OSError:
        return True
    return not mode & stat.S_IROTH and os.access(file.path, os.R_OK)


def _forms(path: Path) -> set[Path]:
    return {path.absolute(), Path(os.path.realpath(path))}


def _mounts() -> list[_Mount]:
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    mounts: list[_Mount] = []
    for line in lines:
        _, _, device, root, point, *_ = line.split(" ")
        mounts.append(_Mount(Path(_unescaped(point)), device, Path(_unescaped(root))))
    return mounts


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


def _socket_folders(address: str) -> Iterator[Path]:
    try:
        url = make_url(address)
    except ArgumentError:
        return
    hosts = url.query.get("host", ())
    for text in (url.host or "", *((hosts,) if isinstance(hosts, str) else hosts)):
        yield from (Path(host) for host in text.split(",") if host.startswith("/"))
