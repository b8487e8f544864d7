"""Recovery from what a parser without a preprocessor cannot read, in C, C++ and C#.

Two classes of code lose whole types otherwise: a macro between `class` and its name (`class EXPORT_API Name {`), and
the halves of `#if`/`#else` that are not complete by themselves. The text is changed for the parser only, byte for byte
as long, so that positions stay those of the source.
"""

import re

# `class MACRO Name {` or `: public Base {`; a macro is written in capitals, with or without arguments.
MACRO_BEFORE_NAME = re.compile(
    rb"\b((?:class|struct|union)\s++)((?:[A-Z][A-Z0-9_]++(?:\([^()\n]*+\))?+\s++){1,3})"
    rb"(?=[A-Za-z_]\w*+(?:\s++final\b)?+\s*+(?::(?!:)|\{))"
)
DIRECTIVE = re.compile(
    rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b[^\n]*", re.MULTILINE
)
CONTINUED = re.compile(rb"(?:[^\n]*\\\r?\n)*[^\n]*")
NOT_NEWLINE = re.compile(rb"[^\n]")


def without_macros(grammar: str, source: bytes) -> bytes:
    """Return the text with macros before the names of C++ types replaced by blanks."""
    if grammar != "cpp":
        return source
    return MACRO_BEFORE_NAME.sub(lambda match: match[1] + _blank(match[2]), source)


def first_branches(grammar: str, source: bytes) -> bytes:
    """Return the text with preprocessor lines, and all branches but the first, replaced by blanks."""
    if grammar not in ("c", "cpp", "csharp"):
        return source
    parts: list[bytes] = []
    position = 0
    # Of each open condition, whether its current branch is read.
    reading: list[bool] = []
    for match in DIRECTIVE.finditer(source):
        if match.start() < position:
            continue
        code = source[position : match.start()]
        parts.append(code if all(reading) else _blank(code))
        line = CONTINUED.match(source, match.start())
        position = line.end() if line else match.end()
        parts.append(_blank(source[match.start() : position]))
        word = match[1]
        if word in (b"if", b"ifdef", b"ifndef"):
            reading.append(True)
        elif not reading:
            return source
        elif word == b"endif":
            reading.pop()
        else:
            reading[-1] = False
    parts.append(source[position:])
    return b"".join(parts) if not reading else source


def _blank(text: bytes) -> bytes:
    return NOT_NEWLINE.sub(b" ", text)
