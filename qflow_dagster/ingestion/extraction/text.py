"""Text properties of a blob: encoding, and code, comment and blank lines.

Belongs here: what can be determined without a syntax tree. A line with code and a comment is code;
a docstring is a comment, as in cloc. Lines are counted as `wc -l` does, plus a last one that
has no newline.
"""

import codecs
import re
from collections.abc import Iterable, Sequence

import numpy as np

Span = tuple[int, int]
# By byte: 0 for white space, else 1.
_INK = np.array([not bytes([byte]).isspace() for byte in range(256)], np.uint8)

LFS_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:[a-z0-9.-]+ .*\n)*?"
    rb"oid sha256:[0-9a-f]{64}\nsize (\d+)\n"
)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Git treats a blob as binary if there is a NUL within this many bytes.
BINARY_LOOK = 8000
BLANKS = bytes(byte if byte == 10 else 32 for byte in range(256))


class Lines:
    """The lines of a source (UTF-8 bytes), classified by the spans of its comments.

    `code_text` is the source with comments blanked out, byte for byte as long as the source.
    """

    def __init__(self, source: bytes, comments: Sequence[Span]) -> None:
        self.code_text = blanked(source, comments) if comments else source
        starts = _line_starts(source)
        written = _written(source, starts)
        with_code = _written(self.code_text, starts) if comments else written
        self.count = len(starts)
        self.blank = self.count - int(written.sum())
        self.code = int(with_code.sum())
        self._code_before = [0, *np.cumsum(with_code).tolist()]

    def code_between(self, first: int, last: int) -> int:
        """Count the lines of code from line `first` to line `last` (1-based, inclusive)."""
        return self._code_before[min(last, self.count)] - self._code_before[min(first, self.count + 1) - 1]


def lfs_size(data: bytes) -> int | None:
    """Return the size in bytes of the content of a Git LFS pointer; None if `data` is not a pointer."""
    if len(data) > 1024 or not data.startswith(b"version https://"):
        return None
    pointer = LFS_POINTER.match(data)
    return int(pointer[1]) if pointer else None


def encoding(data: bytes) -> str:
    """Return the Python codec for `data`, '' if it is binary.

    Determined by the byte order mark; else binary if the first 8,000 bytes contain a NUL (git's rule);
    else UTF-8 if it is valid, otherwise latin-1.
    """
    for mark, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return name
    if b"\0" in data[:BINARY_LOOK]:
        return ""
    try:
        data.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def as_utf8(data: bytes, name: str) -> bytes:
    """Return `data` in UTF-8 without a byte order mark; all byte positions refer to this text."""
    text = data if name == "utf-8" else data.decode(name, "replace").encode("utf-8", "replace")
    # Lines that end as they did on old Macintoshes: a newline is as long.
    return text.replace(b"\r", b"\n") if b"\r" in text and b"\n" not in text else text


def blanked(source: bytes, spans: Iterable[Span]) -> bytes:
    """Return `source` with the bytes of `spans` replaced by blanks, except newlines."""
    text = bytearray(source)
    for start, end in spans:
        text[start:end] = source[start:end].translate(BLANKS)
    return bytes(text)


def _line_starts(source: bytes) -> np.ndarray:
    """Return the position of the first byte of each line; what follows the last newline is a line if there is any."""
    newlines = np.flatnonzero(np.frombuffer(source, np.uint8) == ord("\n"))
    starts = np.append(0, newlines + 1)
    return starts[starts < len(source)]


def _written(text: bytes, starts: np.ndarray) -> np.ndarray:
    """Return for each line whether it has anything but white space."""
    if not len(starts):
        return np.zeros(0, bool)
    return np.maximum.reduceat(_INK[np.frombuffer(text, np.uint8)], starts).astype(bool)
