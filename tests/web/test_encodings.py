"""Content encodings of any client: decoded whole, or refused; never more than the limit in memory."""

import base64
import contextlib
import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.web.encodings import EncodingError, TooLargeBodyError, decode, decode_legacy


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def members(data: bytes) -> bytes:
    return gzip.compress(data[:10]) + gzip.compress(data[10:])


def frames(data: bytes) -> bytes:
    return zstandard.compress(data[:10]) + zstandard.ZstdCompressor(write_content_size=False).compress(
        data[10:]
    )


ENCODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZIP", gzip.compress),
    (" x-gzip ", members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("zstd", frames),
    ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
]


@pytest.mark.parametrize(("header", "encode"), ENCODERS)
def test_a_body_is_decoded_whole_and_refused_if_it_is_cut_off(
    header: str, encode: Callable[[bytes], bytes]
) -> None:
    body = b'{"type": "event"}\n' * 500
    encoded = encode(body)
    assert decode(encoded, header, 20_000) == body
    for end in (len(encoded) - 3, len(encoded) // 2, 3):
        with pytest.raises(EncodingError, match="is not valid"):
            decode(encoded[:end], header, 20_000)


@pytest.mark.parametrize(("header", "encode"), ENCODERS)
def test_a_bomb_is_not_decoded_beyond_the_limit(header: str, encode: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooLargeBodyError):
        decode(encode(b" " * 5_000_000), header, 1_000_000)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "zstd", "identity", ""]))
def test_any_bytes_are_decoded_or_refused(body: bytes, header: str) -> None:
    try:
        decode(body, header, 1_000)
    except (EncodingError, TooLargeBodyError):
        return


@pytest.mark.parametrize("header", ["snappy", "gzip, snappy", "gzip, gzip, gzip, gzip"])
def test_an_unknown_encoding_is_named(header: str) -> None:
    with pytest.raises(EncodingError, match="is not read"):
        decode(b"", header, 1_000)


@pytest.mark.parametrize(
    "encode",
    [
        bytes,
        zlib.compress,
        base64.b64encode,
        lambda data: base64.b64encode(zlib.compress(data)),
        (b"\xef\xbb\xbf").__add__,
    ],
    ids=["JSON", "zlib", "base64", "zlib and base64", "mark"],
)
def test_what_old_sdks_send_is_read_without_a_header(encode: Callable[[bytes], bytes]) -> None:
    event = b'{"message": "no stock"}' * 100
    assert decode_legacy(encode(event), 10_000).removeprefix(b"\xef\xbb\xbf") == event


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_what_old_sdks_send(body: bytes) -> None:
    with contextlib.suppress(EncodingError, TooLargeBodyError):
        decode_legacy(body, 1_000)
    with pytest.raises(TooLargeBodyError):
        decode_legacy(base64.b64encode(zlib.compress(bytes(2_000))), 1_000)
