"""Folders that only their owner can enter or read, whatever the umask.

Does not belong here: what lies in them.
"""

import os
import stat
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make the folder `path` where it is missing, and close it to everybody else; return it.

    Root's may stay open to be passed through by a group: the embedded server's user needs that.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(path.stat().st_mode)
    kept = mode & (0o710 if os.geteuid() == 0 else 0o700)
    if kept != mode:
        path.chmod(kept)
    return path


def close_to_others(folder: Path) -> None:
    """Remove the rights of others on `folder` and all that is in it.

    Symbolic links are not followed: neither one in the folder, nor one that is exchanged for a folder meanwhile,
    nor `folder` itself. Takes a system call or two per file; a mirror has few, because git packs them.
    """
    for _, _, files, descriptor in os.fwalk(folder):
        for name in (".", *files):
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if not stat.S_ISLNK(mode) and mode & 0o077:
                os.chmod(name, stat.S_IMODE(mode) & 0o700, dir_fd=descriptor)
