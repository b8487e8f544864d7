"""Recovery from what a parser without a preprocessor cannot read, in C, C++ and C#; and from gaps in Kotlin's grammar.

Four classes of code lose whole types otherwise: a macro between `class` and its name (`class EXPORT_API Name {`), one
before what a function returns (`LIB_INLINE std::string name() {`), one that is a line of its own before a declaration
(`BEGIN_NAMESPACE`, or with arguments), and the halves of `#if`/`#else` that are not complete by themselves. System
calls of Linux are functions behind a macro. The text is changed for the parser only, byte for byte as long, so that
positions stay those of the source. Of what it does not see, comments and calls are read from the text. A class of
Kotlin with two annotations is taken for an expression at times, without an error; without its annotations it is not;
and a primary constructor on the line after the name of its class ends the class. Where a file of Kotlin has errors,
what its grammar does not know (`object : Type by other {`, `..<`, `actual val` of a constructor) is left out.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from tree_sitter import Node

from qflow_dagster.ingestion.extraction.text import Span

# `class MACRO Name {` or `: public Base {`; a macro is written in capitals, with or without arguments.
MACRO_BEFORE_NAME = re.compile(
    rb"\b((?:class|struct|union)\s++)((?:[A-Z][A-Z0-9_]++(?:\([^()\n]*+\))?+\s++){1,3})"
    rb"(?=[A-Za-z_]\w*+(?:\s++final\b)?+\s*+(?::(?!:)|\{))"
)
# Without arguments: a parser takes one with arguments for a call.
MACRO_LINE = re.compile(
    rb"^([ \t]*+[A-Z][A-Z0-9_]++)(?=[ \t]*+\r?\n"
    rb"(?:\s++|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/|[A-Z][A-Z0-9_]++[ \t]*+\r?\n){0,9}+"
    rb"(?:(?:#[ \t]*+endif\b[^\n]*+\s*+)?+\Z|(?:class|struct|union|enum|namespace|template|using|typedef|extern|static"
    rb"|inline|constexpr|friend|virtual|explicit|public|protected|private|signals|const|void|bool|char|short|int|long"
    rb"|float|double|unsigned|signed|auto)\b))",
    re.MULTILINE,
)
_PARAMETERS = (
    rb"<[^<>;{}]{0,500}+(?:<[^<>;{}]{0,500}+(?:<[^<>;{}]{0,500}+>[^<>;{}]{0,500}+)*+>[^<>;{}]{0,500}+)*+>"
)
_QUALIFIED = (
    rb"(?:::)?+[A-Za-z_]\w*+(?:" + _PARAMETERS + rb")?+(?:::[A-Za-z_]\w*+(?:" + _PARAMETERS + rb")?+)*+"
)
# `MACRO type name(`; a type in capitals has a name alone after it. What a constructor makes, its name says.
MACRO_BEFORE_TYPE = re.compile(
    rb"((?:^|[;{}>\"]|\b(?:public|private|protected):|\b(?:static|virtual|inline|constexpr|extern|friend)\b)[ \t]*+)"
    rb"((?:[A-Z][A-Z0-9_]{2,}+(?:\([^()\n]{0,200}+\))?+\s++){1,4})"
    rb"(?=(?P<constructed>\w++)::~?(?P=constructed)\s*+\(|(?:const\s++)?+(?!(?:const|volatile)\b)"
    rb"(?:" + _QUALIFIED + rb"(?:\s*+[*&]++\s*+(?:const\b\s*+)?+|\s++)){1,6}"
    rb"(?:\w++(?:"
    + _PARAMETERS
    + rb")?+::)*+(?:operator\b|~?(?![A-Z][A-Z0-9_]{2,}+\b)[A-Za-z_]\w*+\s*+[(;={\[]))",
    re.MULTILINE,
)
# `MACRO(arguments)` as a line of its own that neither ends a statement nor begins a body.
MACRO_CALL = re.compile(
    rb"^[ \t]*+([A-Z][A-Z0-9_]{2,}+\([^()\n]*+(?:\([^()\n]*+\)[^()\n]*+)*+\))(?=[ \t]*+(?://[^\n]*+)?+\r?\n\s*+[^{:;,.=?&|<>*+\s-])",
    re.MULTILINE,
)
# `SYSCALL_DEFINE2(name, type, parameter, type, parameter) {`
SYSCALL = re.compile(
    rb"^((?:COMPAT_)?+SYSCALL(?:32)?+_DEFINE[1-6]\(\s*+)(\w++\s*+)(,[^()]*+(?:\([^()]*+\)[^()]*+)*+)(?=\)\s*+\{)",
    re.MULTILINE,
)
# What is between the name of a class of Kotlin and the parenthesis of its constructor, if that is on another line.
CONSTRUCTOR = re.compile(
    rb"(?<=\bclass )\w++(?:<[^<>{}()]{0,200}+>)?+([ \t\r]*+\n\s*+"
    rb"(?:(?:@[\w.]++(?:\([^()\n]{0,200}+\))?+|//[^\n]*+|/\*(?:[^*]|\*(?!/)){0,2000}+\*/)\s++){0,9}+"
    rb"(?:(?:private|internal|protected|public|actual)\s++){0,2}+constructor\s*+)\("
)
COMMENT = re.compile(rb"/\*(?:[^*]|\*(?!/))*+(?:\*/)?+|//[^\n]*+")
# The head of an anonymous object of Kotlin, and what it delegates to.
OBJECT = re.compile(rb"\bobject\s*+:[^{}=;]{1,500}+(?=\{)")
DELEGATE = re.compile(rb"\bby\s++[^\s,(){}]++(?:\([^(){}]{0,200}+\)[^\s,(){}]*+){0,3}+")
# What the grammar of Kotlin does not know: the end of `0..<size`, the star of `KClass<*>::name`, the comma of
# `"a", ->`, the modifier of `actual val bytes: ByteArray,` and `actual constructor(`.
UNKNOWN = re.compile(
    rb"(?<=\.\.)<|<\*>(?=::)|,(?=\s{1,200}->)|"
    rb"\b(?:actual|expect)(?=\s++(?:constructor\b|(?:val|var)\s++\w++\s*+:[^\n={()]{1,200}(?:,\s|(?:,\s*+)?\))))"
)
# Binary numbers; and modifiers that are names: `inline = true`.
BINARY = re.compile(rb"\b0[bB][01_]{1,80}[uU]?L?\b")
NAMED_AS_MODIFIER = re.compile(
    rb"\b(?:final|inline|open|override|abstract|external|operator|infix|suspend|inner)(?=[ \t]*+=[^=])"
)
MAX_PARAMETERS = 500
ARGUMENTS = re.compile(rb"\([^()]{0,500}+(?:\([^()]{0,500}+\)[^()]{0,500}+){0,9}+\)")
# Marks of address spaces.
SPACES = re.compile(rb"\b__\w++")
# With its continued lines.
DIRECTIVE = re.compile(
    rb"^[ \t]*+#[ \t]*+(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b(?:[^\n]*\\\r?\n)*[^\n]*",
    re.MULTILINE,
)
# Bytes of other branches: longer ones are no halves, but seem so by a bracket in a string.
MAX_LOST = 5_000
PAIRS = ((b"{", b"}"), (b"(", b")"))
# Beginnings of lines of comments and directives.
NO_CODE = (b"#", b"/", b"*")
NOT_NEWLINE = re.compile(rb"[^\n]")
# Comments, strings, and names before parentheses with the word before them.
_TOKENS = re.compile(
    rb"(?P<comment>//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?+)"
    rb"|\"(?:[^\"\\\n]|\\.)*+|'(?:[^'\\\n]|\\.)*+"
    rb"|\b(?:(?P<before>\w++)[ \t]++(?=[A-Za-z_]))?+(?P<name>[A-Za-z_]\w*+)(?=(?:<[\w, ]{0,99}+>)?+\s*+\()"
)


class Unseen(NamedTuple):
    """The spans of comments, and of the names of calls, that the parser does not see."""

    comments: list[Span]
    calls: list[Span]


def without_macros(grammar: str, source: bytes) -> bytes:
    """Return the text with macros before declarations, and before the names of C++ types, replaced by blanks."""
    if grammar not in ("c", "cpp"):
        return source
    source = MACRO_LINE.sub(lambda match: _blank(match[1]), source)
    source = MACRO_BEFORE_TYPE.sub(lambda match: match[1] + _blank(match[2]), source)
    if b"SYSCALL" in source:
        source = SYSCALL.sub(_function, source)
    if grammar == "c":
        return source
    return MACRO_BEFORE_NAME.sub(lambda match: match[1] + _blank(match[2]), source)


def with_joined_constructors(grammar: str, source: bytes) -> bytes:
    """Return the text of Kotlin with each primary constructor on the line of its class; later lines stay theirs."""
    if grammar != "kotlin" or b"constructor" not in source:
        return source
    text = bytearray(source)
    for match in CONSTRUCTOR.finditer(source):
        line_ends = [match.start(1) + at for at, byte in enumerate(match[1]) if byte == 0x0A]
        after = source[match.end() : match.end() + MAX_PARAMETERS].partition(b"//")[0]
        blanks = [match.end() + at for at, byte in enumerate(after) if byte == 0x20][: len(line_ends)]
        if len(blanks) == len(line_ends):
            start, end = match.span(1)
            text[start:end] = COMMENT.sub(_enclosed, match[1])
            for position in line_ends:
                text[position] = 0x20
            for position in blanks:
                text[position] = 0x0A
    return bytes(text)


def without_unknown_kotlin(grammar: str, source: bytes) -> tuple[bytes, list[Span]]:
    """Return the text of Kotlin without what its grammar does not know, and the spans of what objects delegate to."""
    if grammar != "kotlin":
        return source, []
    spans = [
        delegate.span()
        for head in OBJECT.finditer(source)
        for delegate in DELEGATE.finditer(source, *head.span())
    ]
    text = UNKNOWN.sub(lambda match: _blank(match[0]), without(source, spans))
    text = BINARY.sub(lambda match: b"1" * len(match[0]), text)
    text = NAMED_AS_MODIFIER.sub(lambda match: b"x" * len(match[0]), text)
    return text, spans


def annotations_in_expressions(root: Node, source: bytes) -> list[Span]:
    """Return the annotations at the top of a file that the grammar of Kotlin takes for parts of expressions."""
    found = []
    pending = [child for child in root.named_children if child.type == "prefix_expression"]
    while pending:
        node = pending.pop()
        if node.type == "annotation":
            # Its arguments may have become a part of the expression.
            arguments = ARGUMENTS.match(source, node.end_byte)
            found.append((node.start_byte, arguments.end() if arguments else node.end_byte))
        else:
            pending += node.named_children
    return found


def without(source: bytes, spans: Iterable[Span]) -> bytes:
    """Return the text with spans replaced by blanks."""
    text = bytearray(source)
    for start, end in spans:
        text[start:end] = _blank(source[start:end])
    return bytes(text)


def _enclosed(comment: "re.Match[bytes]") -> bytes:
    """Return a comment that does not end with its line: `/* ... */`, blanks if it is too short."""
    text = comment[0]
    if text.startswith(b"/*"):
        return text
    return b"/*" + text[2:-2] + b"*/" if text[3:] else _blank(text)


def _function(match: "re.Match[bytes]") -> bytes:
    """Return a system call as a function: `int name(type parameter, type parameter`."""
    types = SPACES.sub(lambda mark: _blank(mark[0]), match[3])
    parts = types.split(b",")[1:]
    pairs = b",".join(b" ".join(parts[index : index + 2]) for index in range(0, len(parts), 2))
    return _blank(match[1]).replace(b"   ", b"int", 1) + match[2] + b"(" + pairs


def first_branches(grammar: str, source: bytes) -> tuple[bytes, list[Span]]:
    """Return the text without the other branches, and the lines, of conditions whose branches are incomplete.

    Also return the spans of these other branches.
    """
    if grammar not in ("c", "cpp", "csharp"):
        return source, []
    text = bytearray(source)
    others: list[Span] = []
    # The spans of the lines of each open condition.
    conditions: list[list[tuple[int, int]]] = []
    for match in DIRECTIVE.finditer(source):
        if match[1].startswith(b"if"):
            conditions.append([match.span()])
        elif conditions:
            conditions[-1].append(match.span())
            if match[1] == b"endif":
                others += _keep_first(text, conditions.pop())
    return bytes(text), others


def without_macro_calls(grammar: str, source: bytes) -> tuple[bytes, list[Span]]:
    """Return the text without macros with arguments that are a line of their own, and their spans."""
    if grammar not in ("c", "cpp"):
        return source, []
    spans = [match.span(1) for match in MACRO_CALL.finditer(source)]
    return without(source, spans), spans


def unseen(source: bytes, branches: Iterable[Span], keywords: frozenset[bytes]) -> Unseen:
    """Return the comments and calls in branches that the parser does not see."""
    found = Unseen([], [])
    for start, end in branches:
        for match in _TOKENS.finditer(source, start, end):
            if match["comment"]:
                found.comments.append(match.span())
            # After another word it is declared.
            elif (
                match["name"]
                and match["name"] not in keywords
                and (not match["before"] or match["before"] in keywords)
            ):
                found.calls.append(match.span("name"))
    return found


def _keep_first(text: bytearray, lines: list[Span]) -> list[Span]:
    """Blank the lines of a condition and its other branches, if one of its branches is incomplete; return these."""
    branches = [(end, start) for (_, end), (start, _) in pairwise(lines)]
    lost = sum(end - start for start, end in branches[1:])
    if lost > MAX_LOST or all(_complete(bytes(text[start:end])) for start, end in branches):
        return []
    for start, end in [*lines, *branches[1:]]:
        text[start:end] = _blank(bytes(text[start:end]))
    return branches[1:]


def _complete(branch: bytes) -> bool:
    """Return whether a branch is whole statements or declarations: its brackets match, and it has an end."""
    if any(branch.count(opening) != branch.count(closing) for opening, closing in PAIRS):
        return False
    lines = (line.lstrip() for line in branch.split(b"\n"))
    code = [line for line in lines if line and not line.startswith(NO_CODE)]
    return not code or any(b";" in line or b"}" in line for line in code)


def _blank(text: bytes) -> bytes:
    return NOT_NEWLINE.sub(b" ", text)
