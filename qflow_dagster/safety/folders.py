"""Folders that others write to, or whose contents others name: entered without following links.

Belongs here: opening a folder inside another one. Does not belong here: which names are allowed.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def open_folder(root: Path, parts: Sequence[bytes], *, make: bool = False) -> Iterator[int]:
    """Open the folder that `parts` lead to from `root`, one by one, and give its descriptor.

    `make`: those that are missing are made.

    Raises:
        OSError: one of the parts is a link or no folder.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
