"""Content encodings of HTTP bodies from outside, as any client may send them, with a limit of the decoded size.

Belongs here: gzip, deflate, Brotli and Zstandard (RFC 9110, RFC 7932, RFC 8878). Does not belong here: the content.
"""

import base64
import binascii
import codecs
import zlib

import brotli
import zstandard

from qflow_dagster.errors import QflowError

# Encodings that a body may have on top of each other.
MAX_ENCODINGS = 3
# Maximum memory of a Zstandard window, in bytes: what its specification recommends readers to support.
MAX_WINDOW = 8 * 1024**2
ZSTD_PIECE = 256
_GZIP, _ZLIB, _RAW = 31, 15, -15


class EncodingError(QflowError):
    """The body is damaged, or has an encoding that is not read here."""


class TooLargeBodyError(QflowError):
    """The decoded body exceeds the limit."""


def decode(body: bytes, header: str, maximum: int) -> bytes:
    """Return the decoded body of at most `maximum` bytes; `header` is Content-Encoding, '' for none.

    Raises:
        EncodingError: It is damaged, cut off, or has an unknown encoding.
        TooLargeBodyError: It has more than `maximum` bytes.
    """
    encodings = [name.strip().lower() for name in header.split(",") if name.strip()]
    if len(encodings) > MAX_ENCODINGS:
        raise EncodingError(f"a body with more than {MAX_ENCODINGS} encodings is not read")
    for name in reversed(encodings):
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise EncodingError(
                f"Content-Encoding {name[:40]!r} is not read here: gzip, deflate, br, zstd or identity"
            )
        try:
            body = decoder(body, maximum)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError):
            raise EncodingError(f"the body is not valid {name}") from None
    return body


def decode_legacy(body: bytes, maximum: int) -> bytes:
    """Return a body that old Sentry SDKs send: JSON, also compressed by zlib, also that as base64.

    They do not say so in a header. Raises as `decode`.
    """
    start = body[:64].removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start == b"{":
        return body
    try:
        # How a stream of zlib begins.
        packed = body if body[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda") else base64.b64decode(body)
        return packed if packed[:1] == b"{" else _deflate(packed, maximum)
    except (binascii.Error, ValueError, zlib.error, EOFError):
        raise EncodingError(
            "the body is neither JSON nor JSON that is compressed by zlib, as base64 or not"
        ) from None


def _identity(body: bytes, maximum: int) -> bytes:
    return body


def _gzip(body: bytes, maximum: int) -> bytes:
    """Decode all members of a gzip file (RFC 1952)."""
    parts: list[bytes] = []
    while body:
        reader = zlib.decompressobj(_GZIP)
        parts.append(_bounded(reader.decompress(body, maximum + 1), maximum, sum(map(len, parts))))
        if not reader.eof:
            raise EOFError
        # Zeros after the last member are padding.
        body = reader.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _deflate(body: bytes, maximum: int) -> bytes:
    """Decode zlib's format, as the standard says, or bare deflate, as some clients send."""
    for window in (_ZLIB, _RAW):
        reader = zlib.decompressobj(window)
        try:
            plain = _bounded(reader.decompress(body, maximum + 1), maximum)
        except zlib.error:
            if window == _RAW:
                raise
            continue
        if reader.eof:
            return plain
        raise EOFError
    raise EOFError


def _brotli(body: bytes, maximum: int) -> bytes:
    reader = brotli.Decompressor()
    plain = reader.process(body, output_buffer_limit=maximum + 1)
    while len(plain) <= maximum and not reader.is_finished():
        more = reader.process(b"", output_buffer_limit=maximum + 1 - len(plain))
        if not more:
            raise EOFError
        plain += more
    return _bounded(plain, maximum)


def _zstd(body: bytes, maximum: int) -> bytes:
    """Decode all frames; input is given in small pieces, each of which expands to some megabytes at most."""
    plain = bytearray()
    while body:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        at = 0
        while at < len(body) and not reader.eof:
            plain += _bounded(reader.decompress(body[at : at + ZSTD_PIECE]), maximum, len(plain))
            at += ZSTD_PIECE
        if not reader.eof:
            raise EOFError
        body = reader.unused_data + body[at:]
    return bytes(plain)


def _bounded(plain: bytes, maximum: int, before: int = 0) -> bytes:
    if before + len(plain) > maximum:
        raise TooLargeBodyError(f"the body is larger than {maximum:,} bytes")
    return plain


_DECODERS = {
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
