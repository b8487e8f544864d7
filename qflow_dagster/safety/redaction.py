"""Taking secrets out of text and data before they are stored, logged or sent.

Belongs here: what a secret looks like, and replacing it. Used where text comes from outside
(errors, stacks, contexts) or goes there (notifications, logs). It errs on the side of taking
too much. Does not belong here: content that a person must see exactly, as what an approval is
about.
"""

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"

# Names whose value is a secret, whatever it looks like.
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credential"
    r"|authorization|^auth$|cookie|session[-_]?id|csrf|^dsn$|signature$",
    re.IGNORECASE,
)

# Each pattern, with words (in small letters) without one of which it cannot fit: most text has none
# of them, and looking for words is ten times as fast. The group `keep`, where there is one, stays:
# it says what was there.
_PATTERNS = tuple(
    (words.split(), re.compile(pattern))
    for words, pattern in (
        ("-----begin", r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
        # user:password@ in an address.
        ("://", r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s:/@]*:)[^\s/@]+(?=@)"),
        ("bearer basic token", r"(?P<keep>(?i:\b(?:bearer|basic|token)\s+))[A-Za-z0-9._~+/=-]{12,}"),
        # name=value, name: value, "name": "value". What comes before the name (DB_PASSWORD) is no part
        # of the pattern: that would make it quadratic.
        (
            "pass secret token key authorization credential",
            r"(?P<keep>(?i:(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key"
            r"|private[-_]?key|authorization|credential)s?)[\"']?\s*[=:]\s*[\"']?)"
            r"(?!\[redacted\])[^\s\"',;&}]{3,}",
        ),
        ("qfa_", r"\bqfa_[A-Za-z0-9_-]{20,}"),
        (
            "gh glpat-",
            r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b|\bglpat-[A-Za-z0-9_-]{20,}",
        ),
        ("xox hooks.slack", r"\bxox[abposr]-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/services/[A-Za-z0-9/]+"),
        ("akia asia", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        ("sk- sk_live_ aiza", r"\bsk-[A-Za-z0-9_-]{20,}|\bsk_live_[A-Za-z0-9]{16,}|\bAIza[A-Za-z0-9_-]{30,}"),
        ("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    )
)
_WORDS = tuple({word for words, _ in _PATTERNS for word in words})
# Nothing nests deeper in an honest context; a hostile one must not end in a RecursionError.
_DEEPEST = 20


@lru_cache(maxsize=10_000)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name[:200]) is not None


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced by ``[redacted]``."""
    lowered = text.lower()
    for word in _WORDS:
        if word in lowered:
            break
    else:
        return text
    for words, pattern in _PATTERNS:
        if any(word in lowered for word in words):
            text = pattern.sub(lambda match: (match.groupdict().get("keep") or "") + REDACTED, text)
    return text


def redact(value: Any, _depth: int = 0) -> Any:
    """JSON data with secrets replaced: by the name of the key that holds them, or by what they look like."""
    if isinstance(value, str):
        return redact_text(value)
    if _depth >= _DEEPEST:
        return REDACTED if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): REDACTED
            if _is_secret_name(str(name)) and item not in (None, "", True, False)
            else redact(item, _depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, _depth + 1) for item in value]
    return value


class RedactingFilter(logging.Filter):
    """A filter for log handlers: the formatted message leaves without secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's message; always lets it pass."""
        record.msg, record.args = redact_text(record.getMessage()), ()
        return True
