"""Detection of a file's language by its name, and if that is ambiguous, by its first bytes.

Belongs here: linguist's names of languages (tables in ``languages.toml``), and rules similar to
linguist's: file name, extension, shebang, editor line, and a few patterns for extensions that several
languages share. Does not belong here: processing of a language (``extraction``).
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path


def _inverted(table: dict[str, list[str]]) -> dict[str, str]:
    return {word: language for language, keys in table.items() for word in keys}


_TABLES = tomllib.loads((Path(__file__).parent / "languages.toml").read_text(encoding="utf-8"))
BY_EXTENSION = _inverted(_TABLES["extensions"])
BY_NAME = _inverted(_TABLES["names"])
INTERPRETERS = _inverted(_TABLES["interpreters"])
EDITOR_NAMES = _inverted(_TABLES["editors"])
# Extensions that several languages share: the first matching pattern decides, else the last name.
_C_PLUS_PLUS = (
    rb"^[ \t]*+(?:template\s*<|class\s++\w++[^;{]{0,500}+\{|namespace\s+\w*\s*\{|using\s+(?:namespace\s)?\w+|"
    rb"public:|private:|protected:)|\bstd::|^[ \t]*+#\s*include\s*<(?:string|vector|memory|map|iostream|cstdint)>"
)
AMBIGUOUS: dict[str, tuple[tuple[bytes, str], ...]] = {
    "h": (
        (rb"^[ \t]*+(?:@interface|@protocol|@class|#import)\b", "Objective-C"),
        (_C_PLUS_PLUS, "C++"),
        (rb"", "C"),
    ),
    "m": (
        (rb"^[ \t]*+(?:@interface|@implementation|@protocol|#import|@import)\b", "Objective-C"),
        (rb"^[ \t]*+(?:function\b|%|end\b)", "MATLAB"),
        (rb"", "Objective-C"),
    ),
    "pl": ((rb"^[ \t]*+:-|^\w+\(.*\)\s*:-", "Prolog"), (rb"", "Perl")),
    "t": ((rb"^[ \t]*+use\s+\w|^#!.*perl", "Perl"), (rb"", "Text")),
    "fs": ((rb"^[ \t]*+(?:#version|precision|varying|uniform)\b", "GLSL"), (rb"", "F#")),
    "v": (
        (rb"^[ \t]*+(?:Require|Theorem|Lemma|Proof|Inductive)\b", "Coq"),
        (rb"^[ \t]*+(?:module|endmodule|`timescale)\b", "Verilog"),
        (rb"", "V"),
    ),
    "d": (
        (rb"^[ \t]*+(?:import|module)\s+[\w.]+\s*;", "D"),
        (rb"^[\w./-]+\s*:.*\\$", "Makefile"),
        (rb"", "D"),
    ),
    "inc": ((rb"<\?php", "PHP"), (rb"^[ \t]*+#\s*include|;[ \t]*+$", "C++"), (rb"", "")),
    "in": ((rb"^AC_INIT|^AM_INIT", "M4"), (rb"", "")),
    "cls": ((rb"\\(?:NeedsTeXFormat|ProvidesClass)", "TeX"), (rb"", "Apex")),
    "tsx": ((rb"", "TSX"),),
    "ts": ((rb"<!DOCTYPE TS|<TS\b", "XML"), (rb"", "TypeScript")),
}
_AMBIGUOUS = {
    extension: tuple((re.compile(pattern, re.MULTILINE), language) for pattern, language in rules)
    for extension, rules in AMBIGUOUS.items()
}
SHEBANG = re.compile(rb"#!\s*+(\S++)([^\n]*+)")
EDITOR_LINE = re.compile(
    rb"(?:-\*-(?:[^\n]{0,80}?mode:)?[ \t]{0,20}+([\w+#-]{1,40})[ \t]{0,20}+(?:;[^\n]{0,80}?)?-\*-"
    rb"|\bvim?:[^\n]{0,80}?\b(?:ft|filetype|syntax)=([\w+#-]{1,40}))"
)


def detect(path: str, head: bytes) -> str:
    """Return the language of the file at `path`, whose first bytes are `head`; '' if it is unknown.

    `head` is used only if `needs_head(path)`.
    """
    by_path, ambiguous = _by_path(path)
    if by_path is not None:
        return by_path
    from_editor = _by_editor_line(head)
    if from_editor:
        return from_editor
    for pattern, language in _AMBIGUOUS.get(ambiguous, ()):
        if pattern.search(head):
            return language
    return _by_shebang(head)


def needs_head(path: str) -> bool:
    """Return whether the language is ambiguous by the name alone."""
    return _by_path(path)[0] is None


@lru_cache(maxsize=4096)
def _by_name(name: str) -> tuple[str | None, str]:
    if name in BY_NAME:
        return BY_NAME[name], ""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        first = name.partition(".")[0]
        return BY_NAME.get(first) if first in ("dockerfile", "makefile", "jenkinsfile") else None, ""
    if extension in AMBIGUOUS:
        return None, extension
    if stem in ("dockerfile", "makefile"):
        return BY_NAME[stem], ""
    return BY_EXTENSION.get(extension), ""


def _by_path(path: str) -> tuple[str | None, str]:
    """Return (language, or None if it is ambiguous by name; the ambiguous extension)."""
    return _by_name(path.rpartition("/")[2].rstrip('"').lower())


def _by_shebang(head: bytes) -> str:
    match = SHEBANG.match(head)
    if match is None:
        return ""
    parts = [match[1].decode("ascii", "replace"), *match[2].decode("ascii", "replace").split()]
    program = parts[0].rpartition("/")[2]
    if program == "env":
        program = next((w for w in parts[1:] if not w.startswith("-") and "=" not in w), "").rpartition("/")[
            2
        ]
    return INTERPRETERS.get(program) or INTERPRETERS.get(program.rstrip("0123456789."), "")


def _by_editor_line(head: bytes) -> str:
    lines = head.split(b"\n", 5)[:5]
    match = EDITOR_LINE.search(b"\n".join(lines))
    return EDITOR_NAMES.get((match[1] or match[2]).decode().lower(), "") if match else ""
