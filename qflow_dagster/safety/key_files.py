"""Keys that are made on first use and kept in a file that only its owner can read.

Belongs here: making such a file so that all processes use the same key. Does not belong here:
what a key is for.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.private_folders import private_folder


def kept_key(path: Path, make: Callable[[], bytes], *, instead: str) -> bytes:
    """Return what the file `path` holds; if it is missing, it is created with the content `make()`, mode 0600.

    Raises:
        QflowError: it can be neither read nor made; the message ends with what to do `instead`.
    """
    try:
        if not path.exists():
            private_folder(path.parent)
            _make(path, make())
        return path.read_bytes()
    except OSError as error:
        raise QflowError(f"{path} cannot be read or written: {error.strerror}; {instead}") from None


def _make(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # Linked into place whole: of two processes that make one at once, both use the first.
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
