"""Folders that others write to, or whose contents others name: entered and removed without following links.

Belongs here: opening a folder inside another one, removing one with all that is in it. Does not
belong here: which names are allowed.
"""

import itertools
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def open_folder(root: Path, parts: Sequence[bytes], *, make: bool = False) -> Iterator[int]:
    """Open the folder that `parts` lead to from `root`, one by one, and give its descriptor.

    `make`: those that are missing are made.

    Raises:
        OSError: one of the parts is a link or no folder.
    """
    descriptor = os.open(root, FOLDER)
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """Yield a new private folder, in which hostile code may get a folder of its own; it is removed afterwards.

    Raises:
        OSError: something in it cannot be removed.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, however deep, and whatever its modes; none there is fine.

    Raises:
        OSError: something could not be removed; the rest is gone.
    """
    with suppress(FileNotFoundError):
        empty(folder)
        folder.rmdir()


def empty(folder: Path) -> None:
    """Remove all that is in a folder, as `remove` does.

    Raises:
        OSError: there is no such folder, or something could not be removed; the rest is gone.
    """
    root = _opened(folder)
    failures: list[OSError] = []
    # Each folder is moved to the top before it is emptied: so two descriptors do for any depth, and
    # nothing goes back by "..", which leads wherever somebody moved the folder to.
    moved = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
    waiting = ["."]
    try:
        while waiting:
            name = waiting.pop()
            with _kept(failures):
                here = _opened(name, root)
                try:
                    for inner, is_folder in _listed(here):
                        with _kept(failures):
                            if is_folder:
                                os.close(_opened(inner, here))
                                top = next(moved)
                                os.rename(inner, top, src_dir_fd=here, dst_dir_fd=root)
                                waiting.append(top)
                            else:
                                os.unlink(inner, dir_fd=here)
                finally:
                    os.close(here)
                if name != ".":
                    os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    if failures:
        raise failures[0]


@contextmanager
def _kept(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failures.append(error)


def _listed(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _opened(name: Path | str, inside: int | None = None) -> int:
    """Open a folder, and nothing that a link leads to; its owner may do all with it from then on."""
    try:
        folder = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=inside)
    except PermissionError:
        _allow(name, inside)
        folder = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=inside)
    if os.fstat(folder).st_mode & 0o700 != 0o700:
        # Where that is not allowed, what needs it says so.
        with suppress(OSError):
            os.fchmod(folder, 0o700)
    return folder


def _allow(name: Path | str, inside: int | None) -> None:
    """Give a folder that cannot be opened back to its owner."""
    if sys.platform != "linux":
        os.chmod(name, 0o700, dir_fd=inside, follow_symlinks=False)
        return
    # Linux has no chmod that follows no link, but one of what is open already.
    folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=inside)
    try:
        os.chmod(f"/proc/self/fd/{folder}", 0o700)  # noqa: PTH101
    finally:
        os.close(folder)
