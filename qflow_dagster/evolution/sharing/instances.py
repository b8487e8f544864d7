"""The identity of this instance and of others: key pairs (ed25519), fingerprints, the list of trusted keys."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.key_files import kept_key
from qflow_dagster.settings import settings

KEY_FILE = "instance.key"
KEY_BYTES = 32

# Points of order 1, 2, 4 and 8 by their y (both signs of x): under such a key anybody can sign
# anything, since the key's part of the equation vanishes (Chalkias and others, "Taming the many
# EdDSAs", 2020, table 6). An encoding not below the prime is a second encoding of another key.
_PRIME = 2**255 - 19
_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = {0, 1, _PRIME - 1, _OF_ORDER_8, _PRIME - _OF_ORDER_8}


class Instance(NamedTuple):
    """The identity of an instance: its public key. The name is chosen freely and identifies nothing."""

    name: str
    public_key: bytes

    @property
    def fingerprint(self) -> str:
        """Return the first 16 hexadecimal digits of the key's SHA-256, for people to compare."""
        return hashlib.sha256(self.public_key).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Return name and fingerprint: the instance's folder in a shared store."""
        return f"{self.name}-{self.fingerprint}"

    @property
    def key(self) -> str:
        """Return the public key in base64, as in `QFLOW_EVOLUTION_TRUSTED`."""
        return base64.b64encode(self.public_key).decode()

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Return whether this is the instance's signature of exactly this content."""
        if not is_sound(self.public_key):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, content)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Identity:
    """The identity of this instance, with the private key."""

    instance: Instance
    _private: Ed25519PrivateKey = field(repr=False)

    def sign(self, content: bytes) -> bytes:
        """Return the signature (64 bytes) of `content`."""
        return self._private.sign(content)


def identity() -> Identity:
    """Return this instance, with the key of `QFLOW_EVOLUTION_KEY` or that in `QFLOW_HOME`, created on first use.

    Raises:
        UsageError: The configured or stored key is invalid.
        QflowError: The file can be neither read nor created.
    """
    configured = settings().evolution.key
    if configured is not None:
        encoded, where = configured.get_secret_value(), "QFLOW_EVOLUTION_KEY"
    else:
        path = settings().home / KEY_FILE
        made = lambda: base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw())  # noqa: E731
        encoded = kept_key(path, made, instead="set QFLOW_EVOLUTION_KEY instead").decode("ascii", "replace")
        where = str(path)
    private = Ed25519PrivateKey.from_private_bytes(_key_bytes(encoded.strip(), where))
    public = private.public_key().public_bytes_raw()
    return Identity(Instance(settings().evolution.instance, public), private)


def public_key(encoded: str) -> bytes:
    """Parse a public key in base64.

    Raises:
        UsageError: It is invalid, or a weak key under which anybody can sign.
    """
    key = _key_bytes(encoded, f"{encoded[:60]!r}")
    if not is_sound(key):
        raise UsageError(f"{encoded[:60]!r} is not a valid key of an instance: anybody can sign under it")
    return key


def is_sound(key: bytes) -> bool:
    """Return whether a public key has its canonical encoding and is not of small order."""
    y = int.from_bytes(key, "little") & (2**255 - 1)
    return len(key) == KEY_BYTES and y < _PRIME and y not in _SMALL_ORDER


def trusted_keys(named: Iterable[str] = (), by: str = "") -> dict[bytes, str | None]:
    """Return the trusted keys, each with the actor who named it: `by`, or None for those of the settings.

    Raises:
        UsageError: One of the keys is invalid.
    """
    keys: dict[bytes, str | None] = {public_key(encoded): by for encoded in named}
    return keys | {public_key(encoded): None for encoded in settings().evolution.trusted}


def _key_bytes(encoded: str, where: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"{where} is not an ed25519 key: base64 of {KEY_BYTES} bytes is expected")
    return key
