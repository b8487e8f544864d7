"""Recognition of generated text by its content: notices of generators, minified text, output of bundlers.

Belongs here: matching the marks that tools leave, which are data (`generated.tsv`): those of Linguist, and a few more.
Does not belong here: generated files by path (``classify``).

A notice counts only in the comment at the top of a file: further down it may be a text that a generator writes.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import re2

# Maximum bytes of the top and of the end that are looked at.
TOP_BYTES, END_BYTES = 8192, 1024
# Average bytes of a line from which a text is minified: Linguist's limit for scripts and style sheets, and ours for
# all else, if it is not short.
MINIFIED = {"JavaScript": 110, "CSS": 110}
MINIFIED_ELSEWHERE, MIN_MINIFIED_BYTES = 500, 5_000


def is_generated(source: bytes, language: str) -> bool:
    """Return whether the text in `language` was written by a tool."""
    return bool(source) and (
        _is_minified(source, language)
        or _has_notice(source[:TOP_BYTES])
        or any(_matches("top", key, source[:TOP_BYTES]) for key in ("*", language))
        or _matches("end", language, source[-END_BYTES:])
        or _matches("whole", language, source)
    )


def _is_minified(source: bytes, language: str) -> bool:
    line_length = len(source) / (source.count(b"\n") + 1)
    if language in MINIFIED:
        return line_length > MINIFIED[language]
    return line_length > MINIFIED_ELSEWHERE and len(source) > MIN_MINIFIED_BYTES


def _has_notice(top: bytes) -> bool:
    header = _pattern("header", "").match(top)
    return header is not None and _pattern("notice", "").search(top[: header.end()]) is not None


def _matches(kind: str, language: str, part: bytes) -> bool:
    return (kind, language) in _rows() and _pattern(kind, language).search(part) is not None


@cache
def _pattern(kind: str, language: str) -> Any:
    alternatives = "|".join(f"(?:{pattern})" for pattern in _rows()[kind, language])
    forms = {"header": rf"(?s)\A(?:\s*(?:{alternatives}))*", "notice": f"(?is){alternatives}"}
    options = re2.Options()
    # Contents are bytes of any encoding.
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(forms.get(kind, alternatives).encode(), options)


@cache
def _rows() -> dict[tuple[str, str], list[str]]:
    """Return the patterns by kind and language ('' where it does not matter)."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in Path(__file__).with_name("generated.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, *language, pattern = line.split("\t")
            rows[kind, "".join(language)].append(pattern)
    return dict(rows)
