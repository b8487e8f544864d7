"""Secrets that must be kept: encrypted with a key that is not in the database.

The key is `QFLOW_SECRET_KEY`, or a file in `QFLOW_HOME` that only its owner can read. Does
not belong here: tokens, of which only a hash is kept.
"""

import base64
import hashlib
import os
from typing import TYPE_CHECKING

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.key_files import kept_key
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_FILE = "secret.key"


def seal(secret: str) -> bytes:
    """`secret`, encrypted and authenticated (Fernet: AES-128-CBC with HMAC-SHA256)."""
    return _fernet().encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """Return what `seal` was given.

    Raises:
        QflowError: it was sealed with another key.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken:
        raise QflowError(
            "a stored address was encrypted with another key: set QFLOW_SECRET_KEY, or put back "
            f"{settings().home / KEY_FILE}; or remove the endpoint and add it again"
        ) from None


def key_for(purpose: str) -> bytes:
    """32 bytes that follow from the key and `purpose`, for signatures of our own."""
    return hashlib.sha256(_key() + purpose.encode()).digest()


def _fernet() -> "Fernet":
    # Imported here: each command of qflow knows who acts, few encrypt.
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(_key()).digest()))


def _key() -> bytes:
    configured = settings().secret_key
    if configured is not None:
        return configured.get_secret_value().encode()
    return kept_key(
        settings().home / KEY_FILE,
        lambda: base64.urlsafe_b64encode(os.urandom(32)),
        instead="set QFLOW_SECRET_KEY instead",
    )
