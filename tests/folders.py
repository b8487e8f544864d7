"""Where tests put the servers they start: a database is hundreds of files, which memory takes at once."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

MEMORY = Path("/dev/shm")
# What the servers of all workers take at most.
MIN_FREE_BYTES = 2 * 1024**3


@cache
def fastest_folder() -> Path:
    """Memory, where there is enough of it; else the folder for temporary files."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MIN_FREE_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


def new_home(prefix: str) -> Path:
    """A new empty `$QFLOW_HOME` that the server's system user may pass through; its path is short."""
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=fastest_folder()))
    home.chmod(0o755)
    return home
