"""Syntax highlighting by the grammars that code is parsed with: in linear time, on code that is hostile.

Belongs here: classes for stretches of text, and text with classes as HTML. Does not belong here: colours (`pages.css`).
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from markupsafe import Markup, escape
from tree_sitter import Node, Parser

from qflow_dagster.ingestion.extraction.grammars import Grammar, grammar
from qflow_dagster.ingestion.languages import detect

# More is shown without colours.
MAX_BYTES = 200_000
# (first character, character after the last, class)
Stretch = tuple[int, int, str]


def highlight(text: str, path: str) -> list[list[Stretch]]:
    """Return for each line of `text` its stretches: comments, strings, numbers and keywords; none without a grammar."""
    lines = text.split("\n")
    found: list[list[Stretch]] = [[] for _ in lines]
    source = text.encode(errors="replace")
    language = grammar(detect(path, source[:4_096]))
    if language is None or len(source) > MAX_BYTES:
        return found
    encoded = [line.encode(errors="replace") for line in lines]
    for node, name in _leaves(Parser(language.parser.language).parse(source).root_node, language):
        (first, start), (last, end) = node.start_point, node.end_point
        for number in range(first, min(last, len(lines) - 1) + 1):
            line = encoded[number]
            begin = start if number == first else 0
            stop = end if number == last else len(line)
            if begin < stop:
                begin, stop = (len(line[:at].decode(errors="replace")) for at in (begin, stop))
                found[number].append((begin, stop, name))
    return found


def render(text: str, *layers: Iterable[Stretch]) -> Markup:
    """Return a line as HTML, with a span around each stretch; stretches of several layers may overlap."""
    stretches = [stretch for layer in layers for stretch in layer]
    if not stretches:
        return escape(text)
    cuts = sorted({0, len(text), *(min(at, len(text)) for stretch in stretches for at in stretch[:2])})
    parts = []
    for start, end in pairwise(cuts):
        names = " ".join(name for first, after, name in stretches if first <= start and end <= after)
        piece = escape(text[start:end])
        parts.append(Markup('<span class="{}">{}</span>').format(names, piece) if names else piece)
    return Markup("").join(parts)


def _leaves(root: Node, language: Grammar) -> Iterator[tuple[Node, str]]:
    cursor = root.walk()
    while True:
        node = cursor.node
        name = _class(node, language) if node is not None else None
        if node is not None and name:
            yield node, name
        if not name and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _class(node: Node, language: Grammar) -> str | None:
    kind = node.type
    if not node.is_named:
        return "keyword" if kind.encode() in language.keywords else None
    if "comment" in kind:
        return "comment"
    # A string with expressions in it is taken apart.
    if "string" in kind or "char_literal" in kind or "rune" in kind:
        return None if node.child_count > 3 else "string"
    if node.child_count == 0 and any(word in kind for word in ("integer", "float", "number", "numeric")):
        return "literal"
    if kind in ("true", "false", "none", "null", "nil", "self", "this"):
        return "keyword"
    return None
