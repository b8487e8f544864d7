"""The environments that are kept in the state folder, each made once.

Belongs here: locks, the exchange of a folder that is complete, and the bound on their number. Does not belong here:
what an environment contains.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster.safety.folders import remove
from qflow_dagster.settings import settings

FOLDER = "environments"
MAX_KEPT = 20
# Raised when the content of environments changes: older ones are made again.
VERSION = 1
_ABOUT, _LOCK, _NEW = "about.json", ".lock", ".new-"


class Kept(NamedTuple):
    """An environment of the cache: its folder, and what its maker noted."""

    folder: Path
    about: dict[str, Any]


class Cache:
    """The environments of the state folder. What this object returned is not removed while the object lives."""

    def __init__(self) -> None:
        self._root = settings().home.resolve() / FOLDER
        self._used: list[int] = []

    def kept(self, key: str, make: Callable[[Path], dict[str, Any]]) -> Kept:
        """Return the environment of this key; `make` fills a new folder if there is none, and returns notes."""
        # The user of the sandbox comes in by a mount alone.
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._root / key
        with self._locked():
            if not folder.is_dir():
                self._tidy()
                temporary = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._root))
                try:
                    # The user of the sandbox reads it.
                    temporary.chmod(0o755)
                    notes = make(temporary)
                    (temporary / _ABOUT).write_text(json.dumps(notes))
                    temporary.rename(folder)
                finally:
                    remove(temporary)
            os.utime(folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._used.append(descriptor)
        return Kept(folder, json.loads((folder / _ABOUT).read_text()))

    def __del__(self) -> None:
        while self._used:
            os.close(self._used.pop())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _tidy(self) -> None:
        """Remove what an ended process left unfinished, and of the finished ones the oldest that nobody uses."""
        for unfinished in self._root.glob(f"{_NEW}*"):
            remove(unfinished)
        finished = [path for path in self._root.iterdir() if path.name != _LOCK]
        surplus = len(finished) + 1 - MAX_KEPT
        for folder in sorted(finished, key=lambda path: path.stat().st_mtime):
            if surplus <= 0:
                break
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
                surplus -= 1
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)


def key_of(*parts: str | Sequence[str]) -> str:
    """Return the key of an environment that is made from these."""
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()[:32]
