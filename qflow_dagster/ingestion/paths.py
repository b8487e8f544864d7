"""Validation and quoting of paths in git objects.

Belongs here: the check of such a path, and its form as text. Does not belong here: paths of this
machine, targets of links (`checkouts`).

A name in a tree is untrusted, because any tool can create the objects of a repository. Two levels:
what git itself refuses to check out on any system (`verify_path` with
core.protectHFS and core.protectNTFS, CVE-2014-9390, CVE-2019-1352) is always refused;
what is valid on Linux but not elsewhere (backslashes, control characters) is stored as quoted text,
and refused if a file would be written.
"""

import hashlib
import re

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible_line

# Maximum bytes of a component and of a path on Linux; of a path on macOS, if a file is to be written.
MAX_COMPONENT, MAX_PATH, MAX_WRITTEN_PATH = 255, 4_096, 1_024
# Maximum bytes of a path as text: an index of PostgreSQL holds no value of more than 2,700.
MAX_TEXT = 1_000

# NTFS removes trailing blanks and dots, has streams after a colon, and a short name for each file.
# For HFS+, git treats bytes that are not UTF-8 as the end of a name.
_END = rb"[ .]*(?=[/\\:\x80-\xff]|\Z)"
_GIT_NAME = re.compile(rb"(?:\A|[/\\])(?:\.git|git~1)" + _END, re.IGNORECASE)
# HFS+ ignores these code points in names: U+200C to U+200F, U+202A to U+202E, U+206A to U+206F, U+FEFF.
_IGNORED = re.compile(rb"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
# Git trusts the content of this file, even behind a link. The last forms are NTFS's short names.
_GITMODULES = re.compile(
    rb"(?:\A|[/\\])(?:\.gitmodules|gitmod~[1-4]|gi7eba~[1-9]|gi7eb~[1-9]\d|gi7e~[1-9]\d{2}|gi7~[1-9]\d{3}"
    rb"|gi~[1-9]\d{4}|g~[1-9]\d{5}|~[1-9]\d{6})" + _END,
    re.IGNORECASE,
)
_UNPORTABLE = re.compile(rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]")


class UnsafePathError(QflowError):
    """A path in a git object is unsafe; the message names it, the commit and the rule."""


def check_path(path: bytes, commit: str, *, link: bool = False, written: bool = False) -> None:
    """Refuse a path that may lead out of a repository or into git's own folder.

    `commit` is named in the message. `link`: it is a symbolic link. `written`: a file is to be
    written there.

    Raises:
        UnsafePathError: The path breaks a rule.
    """
    rule = broken_rule(path, link=link, written=written)
    if rule:
        display_path = visible_line(path.decode(errors="backslashreplace"), 120)
        raise UnsafePathError(f"commit {commit} has the path '{display_path}', which is refused: {rule}")


def broken_rule(path: bytes, *, link: bool = False, written: bool = False) -> str:
    """Return the rule that `path` breaks, '' for none."""
    maximum = MAX_WRITTEN_PATH if written else MAX_PATH
    if len(path) > maximum:
        return f"it has {len(path):,} bytes, {maximum:,} are allowed"
    if len(path) > MAX_COMPONENT and max(map(len, path.split(b"/"))) > MAX_COMPONENT:
        return f"a part of it has more than {MAX_COMPONENT} bytes"
    if b"\0" in path:
        return "it has a NUL"
    between = b"/" + path.lower() + b"/"
    if b"//" in between or b"/./" in between or b"/../" in between:
        return "it is absolute, or a part of it is empty, '.' or '..'"
    plain = path if path.isascii() else _IGNORED.sub(b"", path)
    # A quick test first: most paths match no rule, and a million of them are checked.
    if (b"git" in between or plain is not path) and _GIT_NAME.search(plain):
        return "a part of it is git's own folder, or a file system may take it for that"
    if link and _GITMODULES.search(plain):
        return "a link may not be .gitmodules"
    if written and _UNPORTABLE.search(path):
        return "it has a backslash or a control character"
    return ""


def quote_path(path: bytes) -> str:
    """Return a path as text, reversibly: unchanged, or C-quoted as git does if text cannot represent it.

    Quoted are control characters, quotes, backslashes, and every byte beyond ASCII of a path
    that is not UTF-8. Of a text of more than `MAX_TEXT` bytes, a SHA-256 stands for the middle. It is
    still longer than `MAX_TEXT`, so that it is the text of no other path.
    """
    text = _quoted(path)
    if len(path) * 4 <= MAX_TEXT or len(encoded := text.encode()) <= MAX_TEXT:
        return text
    head, tail = (part.decode(errors="ignore") for part in (encoded[: MAX_TEXT - 300], encoded[-300:]))
    return f"{head}…{hashlib.sha256(path).hexdigest()}…{tail}"


def _quoted(path: bytes) -> str:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return '"' + "".join(_escaped(byte) for byte in path) + '"'
    if not _QUOTED.search(text):
        return text
    return '"' + _QUOTED.sub(lambda match: _escaped(ord(match[0])), text) + '"'


def unquote_path(text: str) -> bytes:
    """Return the path that `quote_path` gave `text` for."""
    if not text.startswith('"'):
        return text.encode()
    return _ESCAPED.sub(
        lambda match: bytes([_UNESCAPED[match[1]] if match[1] in _UNESCAPED else int(match[1], 8)]),
        text[1:-1].encode(),
    )


_QUOTED = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_UNESCAPED = {letter.encode(): byte for byte, letter in _ESCAPES.items()}
_ESCAPED = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')


def _escaped(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
