"""Taking secrets out of text and data before they are stored, logged or sent.

Belongs here: what a secret looks like, and replacing it. Used where text comes from outside
(errors, stacks, contexts) or goes there (notifications, logs). It errs on the side of taking
too much. Does not belong here: content that a person must see exactly, as what an approval is
about.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

# Names whose value is a secret, whatever it looks like.
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credential"
    r"|authorization|^auth$|cookie|session[-_]?id|csrf|^dsn$|signature$",
    re.IGNORECASE,
)

# Each pattern's group `keep`, where it has one, stays: it says what was there.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        # user:password@ in an address.
        r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)",
        r"(?P<keep>(?i:\b(?:bearer|basic|token)\s+))[A-Za-z0-9._~+/=-]{12,}",
        # name=value, name: value, "name": "value". The name may have a prefix (DB_PASSWORD).
        r"(?P<keep>(?i:[\w-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key"
        r"|private[-_]?key|authorization|credential)s?)[\"']?\s*[=:]\s*[\"']?)"
        r"(?!\[redacted\])[^\s\"',;&}]{3,}",
        r"\bqfa_[A-Za-z0-9_-]{20,}",
        r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b|\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abposr]-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/services/[A-Za-z0-9/]+",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bsk-[A-Za-z0-9_-]{20,}|\bsk_live_[A-Za-z0-9]{16,}|\bAIza[A-Za-z0-9_-]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    )
)
# Nothing nests deeper in an honest context; a hostile one must not end in a RecursionError.
_DEEPEST = 20


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced by ``[redacted]``."""
    for pattern in _PATTERNS:
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
            if _SECRET_NAME.search(str(name)) and item not in (None, "", True, False)
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
