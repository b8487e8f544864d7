"""Paths as git objects name them: which are refused, and by which rule.

Belongs here: the one check of such a path, and how it is written as text. Does not belong here:
paths of this machine, where links lead (`checkouts`).

The objects of a repository are made by anybody with any tool, so a name in a tree is no name of
a file yet. Two grades: what git itself refuses to check out on any system (`verify_path` with
core.protectHFS and core.protectNTFS, CVE-2014-9390, CVE-2019-1352) is refused by all who read;
what Linux could hold and others could not (backslashes, control characters) is stored as text,
quoted, and refused where a file would be written.
"""

import re

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible_line

# What a component may have on Linux, and a path on macOS; no honest repository comes near.
MAX_COMPONENT, MAX_PATH = 255, 1_024

# NTFS drops blanks and dots at the end, has streams after a colon, and a short name for each file.
# Git takes bytes that are no UTF-8 for the end of a name on HFS+.
_END = rb"[ .]*(?=[/\\:\x80-\xff]|\Z)"
_GIT_NAME = re.compile(rb"(?:\A|[/\\])(?:\.git|git~1)" + _END, re.IGNORECASE)
# HFS+ has these code points in no name: U+200C to U+200F, U+202A to U+202E, U+206A to U+206F, U+FEFF.
_IGNORED = re.compile(rb"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
# Git takes what this file says at its word, wherever a link leads. The last forms are NTFS's short names.
_GITMODULES = re.compile(
    rb"(?:\A|[/\\])(?:\.gitmodules|gitmod~[1-4]|gi7eba~[1-9]|gi7eb~[1-9]\d|gi7e~[1-9]\d{2}|gi7~[1-9]\d{3}"
    rb"|gi~[1-9]\d{4}|g~[1-9]\d{5}|~[1-9]\d{6})" + _END,
    re.IGNORECASE,
)
_UNPORTABLE = re.compile(rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]")


class UnsafePathError(QflowError):
    """A path of a git object that may not be used; the message names it, the commit and the rule."""


def check_path(path: bytes, commit: str, *, link: bool = False, written: bool = False) -> None:
    """Refuse a path that is not plainly inside a repository.

    `commit` is named in the message. `link`: it is a symbolic link. `written`: a file is to be
    written there.

    Raises:
        UnsafePathError: it breaks a rule.
    """
    rule = broken_rule(path, link=link, written=written)
    if rule:
        display_path = visible_line(path.decode(errors="backslashreplace"), 120)
        raise UnsafePathError(f"commit {commit} has the path '{display_path}', which is refused: {rule}")


def broken_rule(path: bytes, *, link: bool = False, written: bool = False) -> str:
    """The rule that `path` breaks, '' for none."""
    if len(path) > MAX_PATH:
        return f"it has {len(path):,} bytes, {MAX_PATH:,} are allowed"
    if len(path) > MAX_COMPONENT and max(map(len, path.split(b"/"))) > MAX_COMPONENT:
        return f"a part of it has more than {MAX_COMPONENT} bytes"
    if b"\0" in path:
        return "it has a NUL"
    between = b"/" + path.lower() + b"/"
    if b"//" in between or b"/./" in between or b"/../" in between:
        return "it is absolute, or a part of it is empty, '.' or '..'"
    plain = path if path.isascii() else _IGNORED.sub(b"", path)
    # Most paths have nothing of the kind, and a million of them are checked.
    if (b"git" in between or plain is not path) and _GIT_NAME.search(plain):
        return "a part of it is git's own folder, or a file system may take it for that"
    if link and _GITMODULES.search(plain):
        return "a link may not be .gitmodules"
    if written and _UNPORTABLE.search(path):
        return "it has a backslash or a control character"
    return ""


def quote_path(path: bytes) -> str:
    """A path as text, one to one: as it is, or C-quoted as git does where text cannot hold it.

    Quoted are control characters, quotes, backslashes, and every byte beyond ASCII of a path
    that is not UTF-8.
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return '"' + "".join(_escaped(byte) for byte in path) + '"'
    if not _QUOTED.search(text):
        return text
    return '"' + _QUOTED.sub(lambda match: _escaped(ord(match[0])), text) + '"'


_QUOTED = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def _escaped(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
