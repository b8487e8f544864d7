"""Messages of errors without the parts that vary between occurrences. Pure functions.

What is a date, an address or an id to people, is one here, as Sentry documents it for messages without a stack
(https://docs.sentry.io/concepts/data-management/event-grouping/).
"""

import re
from collections.abc import Callable
from functools import lru_cache

MAX_MESSAGE_LENGTH = 500

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_POD = "[bcdfghjklmnpqrstvwxz2456789]"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm]\b)?"
_ZONE = r"(?:(?:GMT|UTC)?[+-]\d{2}:?\d{2}|Z|[A-Z]{3,4})\b(?: \([A-Za-z ]{1,40}\))?"
_VARIABLE: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"""(?<=\w=)(?:'[^'"]{0,200}'|"[^'"]{0,200}")"""), "<text>"),
    (re.compile(r"(?<=\w=)(?:true|false)\b", re.IGNORECASE), "<bool>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?:00-[0-9a-f]{32}-[0-9a-f]{16}-0\d|1-[0-9a-f]{8}-[0-9a-f]{24})\b"), "<id>"),
    # What Kubernetes adds to the names of pods, of letters and digits that make no words.
    (re.compile(rf"(?<=\w)-{_POD}{{6,10}}-{_POD}{{5}}\b"), "-<id>"),
    (re.compile(r"\btx[0-9a-f]{21}-[0-9a-f]{10}(?:-\w{1,40})?"), "<id>"),
    (re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++\.[\w.]++"), "<address>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://\S+", re.IGNORECASE), "<address>"),
    (
        re.compile(
            rf"\b(?:{_DAY},? ?)?(?:\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}})"
            rf"(?: {_TIME})?(?: {_ZONE})?"
        ),
        "<date>",
    ),
    (re.compile(r"datetime\.datetime\([\d, ]{5,60}\)"), "<date>"),
    (
        re.compile(
            r"(?<![\d-])(?:\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])"
            r"|(?:19|20)\d{2}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?=[T ]\d))"
            rf"(?:[T ](?:{_TIME}|\d{{6}}))?(?:Z(?:\d{{2}}:\d{{2}})?|[+-]\d{{2}}:?\d{{2}})?(?![\d-])"
        ),
        "<date>",
    ),
    (
        re.compile(
            r"(?<![\d:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm]\b)?(?![\d:])"
        ),
        "<date>",
    ),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\[[0-9a-f:]+\]", re.IGNORECASE), "<address>"),
    (
        re.compile(
            r"(?<![\w:.])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}|(?=[0-9a-f:]{0,39}::)(?:[0-9a-f]{1,4})?(?:::?[0-9a-f]{1,4}){0,7}(?:::)?)"
            r"(?::<address>|/\d{1,3})?(?![\w:(])",
            re.IGNORECASE,
        ),
        lambda match: "<address>" if "::" in match[0] or match[0].count(":") == 7 else match[0],
    ),
    (
        re.compile(
            r"(?<![\w.@/-])(?:[a-z0-9-]{1,63}\.){1,8}(?:com|org|net|edu|gov|info|biz|io|dev|app|cloud|local|internal|"
            r"eu|de|uk|fr|nl|ch|it|es|pl|jp|cn|in|us|ca|au|br|ru)\b(?![\w(/.-])",
            re.IGNORECASE,
        ),
        "<address>",
    ),
    (re.compile(r"(?<![\w<])(?:[A-Za-z]:)?(?:[/\\](?=[.@ -]*+\w)(?: *+[\w.@-]++)++){2,}+[/\\]?"), "<path>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+)?m?s\b"), "<duration>"),
    # Hexadecimal, also in capitals: digits and letters from four, letters alone or digits alone from eight.
    (re.compile(r"\b(?:[0-9a-f]{4,}+|[0-9A-F]{4,}+)\b"), lambda match: _hexadecimal(match[0])),
    (re.compile(r"\b\w{12,}+\b"), lambda match: "<id>" if _digits(match[0]) >= 4 else match[0]),
    (re.compile(r"(?<![\w>-])-(?=\d)"), ""),
    (re.compile(r"\d+(?:[.,]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def _digits(word: str) -> int:
    return sum(character.isdigit() for character in word)


def _hexadecimal(word: str) -> str:
    digits = _digits(word)
    return "<id>" if 0 < digits < len(word) or (digits == 0 and len(word) >= 8) else word


@lru_cache(maxsize=10_000)
def normalise(message: str) -> str:
    """Return `message` without parts that vary between occurrences: numbers, ids, paths, addresses."""
    normalized = message[:MAX_MESSAGE_LENGTH]
    for pattern, replacement in _VARIABLE:
        normalized = pattern.sub(replacement, normalized)
    return normalized.strip()
