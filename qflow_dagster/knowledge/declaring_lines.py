"""How a line of code looks that declares a name, in any language: what tells declarations in older commits from uses.

Belongs here: patterns on single lines, and what is around them by indentation. Does not belong here: where the lines
come from (`git_facts`, `origins`); what the parsers find in the current files (`declarations`).
"""

import re
from collections.abc import Sequence

# So much of a line is looked at.
MAX_LENGTH = 400
_TYPES = (
    "class|interface|struct|trait|enum|type|record|object|module|union|protocol|actor|defmodule|namespace"
)
KEYWORDS = f"{_TYPES}|def|defp|defmacro|fn|func|function|fun|const|let|var|val"
# A type may follow what only qualifies a declaration: `public Oven heat()` declares no Oven.
_QUALIFIERS = "public|private|protected|internal|static|final|abstract|override|virtual|inline|async"
# Comments, and statements that only use names.
_NO_DECLARATION = re.compile(
    r"#|//|\*|--|(?:return|co_return|yield|await|co_await|throw|raise|assert|import|from|use|using|else|elif|if|"
    r"unless|until|while|when|case|for|switch|do|then|not|new|delete|del|goto|defer|go|try|try\?|try!|puts|print|echo|"
    r"expect|require|include|extend|super|with|and|or|in|is)(?![\w$])"
)
_DEFINE = re.compile(r"#\s*define\s+([\w$]+)")
# A type that is used has `*` or another name after it; what is imported is declared elsewhere.
_NO_USE = r"(?!\s*[*&]|\s+\w+\s*[;)]|\s*=\s*(?:await\s+)?(?:require|import)\b)"
# What is before the name of a function is a type: no word of an expression, no argument, and no label of one.
_NO_TYPE = (
    r"(?!(?:[^(]*\s)?(?:assert|await|yield|return|new|not|and|or|in|is|else|throw|raise|if|puts|print|expect|defer|go|try)\s)"
    r"(?![^(<]*,\s)(?!(?:[^(]*[^(:])?:\s)"
)
# Between the keyword and the name, but what is in angle brackets, and no word that bases follow.
_BETWEEN = r"(?:<[^()]*>|::|(?!\b(?:extends|implements|with|for)\b)[^=;\"'(:<])*?"


def is_declaration(line: str, name: str) -> bool:
    """Return whether a line of code looks like one that declares a name."""
    line, word = line[:MAX_LENGTH], rf"(?<![\w$.]){re.escape(name)}(?![\w$])"
    if name not in line:
        return False
    if defined := _DEFINE.match(line):
        return defined[1] == name
    if _NO_DECLARATION.match(line):
        return False
    return bool(
        # A receiver of Go is before the name.
        re.search(rf"(?<![\w$.(])(?:{KEYWORDS})\b(?:\s*\([^()]*\))?{_BETWEEN}{word}{_NO_USE}", line)
        or re.search(
            rf"(?<![:,]\s)\b(?:{_QUALIFIERS})\b(?!::|\(){_BETWEEN}{word}\s*(?:[(=;:{{,\[]|<[^()]*>\s*\(|$)",
            line,
        )
        or re.match(rf"{_NO_TYPE}(?:[\w$:<>,*&\[\]?@.]+\s+)+[*&]*(?:\w+::)*{word}\s*\(", line)
        or re.match(rf"(?:[\w$]+\.)*{re.escape(name)}\s*[:=]\s*(?:async\s+)?(?:function\b|\(|\w+\s*=>)", line)
    )


def is_bare_declaration(line: str, name: str) -> bool:
    """Return whether a line declares a method of JavaScript or a function of Shell: `send(value) {`."""
    line = line[:MAX_LENGTH]
    bare = rf"(?:(?:get|set|async)\s+|[*#])?{re.escape(name)}\s*(?:<[^()]*>)?\((?!.*\bfunction\b).*\)[^;()]*\{{\}}?$"
    return bool(re.match(bare, line))


def makes_type(line: str, name: str) -> bool:
    """Return whether a line assigns a type to a name: `Oven = namedtuple(...)`, `Oven = Class.new`."""
    made = r"(?:\w+\.)*(?:namedtuple|NamedTuple|TypedDict|NewType|\w*Enum|Class|Struct|Data|class)\b"
    return bool(
        re.match(rf"(?:export\s+)?(?:(?:const|let|var)\s+)?{re.escape(name)}\s*=\s*{made}", line[:MAX_LENGTH])
    )


def declares_type(line: str, name: str) -> bool:
    """Return whether a line that declares a name declares a type or module, no function or value."""
    return bool(
        re.search(rf"\b(?:{_TYPES})\b[^=;(]*?(?<![\w$.]){re.escape(name)}(?![\w$])", line[:MAX_LENGTH])
    )


def is_within(lines: Sequence[str], number: int, owner: str) -> bool:
    """Return whether a line (1-based) is in the declaration of a type, by indentation, or names it as its own.

    What a method is declared with may name its type: `func (o *Oven) Heat()`, `void Oven::heat()`.
    """
    word = re.compile(rf"(?<![\w$]){re.escape(owner)}(?![\w$])")
    line = lines[number - 1][:MAX_LENGTH]
    if re.search(
        rf"(?<![\w$]){re.escape(owner)}(?:<[^()]*>)?(?:::|\.)|^func\s*\([^()]*\b{re.escape(owner)}\b", line
    ):
        return True
    indentation = _indentation(line)
    for above in reversed(lines[: number - 1]):
        text = above.strip()
        # Labels, directives and braces of their own are at any depth.
        if not text or text in ("{", "}", "};", ")", "):", ") {") or text.startswith(("#", "//", "*", "/*")):
            continue
        if (depth := _indentation(above)) < indentation and not re.fullmatch(r"\w+\s*:", text):
            if word.search(text[:MAX_LENGTH]):
                return True
            indentation = depth
        if not indentation:
            break
    return False


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
