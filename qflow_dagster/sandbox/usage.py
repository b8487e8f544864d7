"""The total of what a sandboxed command writes into its work folder.

The folder lies on a disk of ours, where nothing limits it. Counting is expensive, and the file system's
free space is cheap to read: so the content is counted only when much space is gone. A folder that cannot be
counted then counts as too large.
Does not belong here: the temporary folders, which have a size.
"""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import psutil

# Files and folders; more could fill a disk with names alone.
MAX_ENTRIES = 500_000
# Folders within folders. Each costs the count a descriptor, and no project is as deep.
MAX_DEPTH = 200
# Bytes left for everybody else: whoever wrote, below it the command that may have done it ends.
RESERVE = 256 * 1024**2
# Of the time, the share that is spent counting at most.
SHARE = 0.1


class Usage:
    """A watch on one folder, which its user polls."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._device = folder.stat().st_dev
        self._bytes, self._entries = self._free()
        self._next = 0.0

    def exceeded(self) -> bool:
        """Return whether the folder holds more than `limit` bytes, as far as a look that costs little shows."""
        free, entries = self._free()
        gone = self._bytes - free
        if gone < self._limit and self._entries - entries < MAX_ENTRIES:
            return False
        if free < RESERVE:
            return True
        started = time.monotonic()
        if started < self._next:
            return False
        over = self._count_exceeds()
        ended = time.monotonic()
        self._next = ended + (ended - started) / SHARE
        return over

    def _free(self) -> tuple[int, int]:
        system = os.statvfs(self._folder)
        return system.f_bavail * system.f_frsize, system.f_favail

    def _count_exceeds(self) -> bool:
        self._counted = self._deleted_and_open()
        self._seen = 0
        try:
            return self._over() or self._folder_exceeds(self._folder, None, 0)
        except FileNotFoundError:
            return False

    def _over(self) -> bool:
        return self._counted > self._limit or self._seen > MAX_ENTRIES

    def _folder_exceeds(self, name: str | Path, parent: int | None, depth: int) -> bool:
        # By descriptors: a path has a greatest length, a tree has none.
        if depth > MAX_DEPTH:
            return True
        try:
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # It was closed to be left out.
            return True
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    except OSError:
                        return True
                    self._counted += status.st_blocks * 512
                    self._seen += 1
                    if self._over():
                        return True
                    if stat.S_ISDIR(status.st_mode) and self._folder_exceeds(entry.name, folder, depth + 1):
                        return True
        finally:
            os.close(folder)
        return False

    def _deleted_and_open(self) -> int:
        """Return bytes of files on this disk that no folder names any more and a process of a sandbox holds open.

        Of a sandbox are those that descend from us in a PID namespace of their own. Two sandboxes of one
        process count for each other.
        """
        files: dict[int, int] = {}
        ours = len(_numbers(Path("/proc/self")))
        for process in (Path(f"/proc/{child.pid}") for child in psutil.Process().children(recursive=True)):
            # Gone meanwhile, or somebody else's.
            with suppress(OSError):
                numbers = _numbers(process)
                if len(numbers) <= ours:
                    continue
                try:
                    held = list((process / "fd").iterdir())
                except PermissionError:
                    # One of ours hides what it holds: a program of the command may, the first process does.
                    status = (process / "status").read_text()
                    if (
                        numbers[-1] != "1"
                        and "Seccomp:\t2" in status
                        and f"\nUid:\t{os.geteuid()}\t" in status
                    ):
                        return self._limit + 1
                    continue
                for file in held:
                    with suppress(OSError):
                        status = file.stat()
                        if status.st_nlink == 0 and status.st_dev == self._device:
                            files[status.st_ino] = status.st_blocks * 512
        return sum(files.values())


def _numbers(process: Path) -> list[str]:
    """Return the numbers of a process, one per PID namespace, ours first; readable whatever it does."""
    status = (process / "status").read_text()
    return status.partition("NSpid:")[2].partition("\n")[0].split()
