"""What a sandboxed command writes into its work folder, in sum.

The folder lies on a disk of ours, where nothing limits it. Counting is expensive, asking the file
system how much is free is not: so that is asked, and it is counted only when much is gone.
Does not belong here: the temporary folders, which have a size.
"""

import os
import time
from pathlib import Path

# Files and folders; more could fill a disk with names alone.
MAX_ENTRIES = 500_000
# Bytes left for everybody else: whoever wrote, below it the command that may have done it ends.
RESERVE = 256 * 1024**2
# Of the time, the share that is spent counting at most.
SHARE = 0.1


class Usage:
    """A watch on one folder, asked again and again."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._bytes, self._entries = self._free()
        self._next = 0.0

    def exceeded(self) -> bool:
        """Whether the folder holds more than `limit` bytes, as far as a look that costs little shows."""
        free, entries = self._free()
        gone = self._bytes - free
        if gone < self._limit and self._entries - entries < MAX_ENTRIES:
            return False
        # What is deleted and still open is seen by nobody, but it fills the disk.
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
        size = entries = 0
        waiting = [str(self._folder)]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as found:
                    for entry in found:
                        status = entry.stat(follow_symlinks=False)
                        size += status.st_blocks * 512
                        entries += 1
                        if size > self._limit or entries > MAX_ENTRIES:
                            return True
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except OSError:
                continue
        return False
