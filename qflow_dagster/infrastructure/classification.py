"""Kinds of errors, with advice, by the words of their type and message. Pure functions."""

import re
from functools import lru_cache
from typing import NamedTuple

MAX_MESSAGE_LENGTH = 500


class Classification(NamedTuple):
    """The classification of an error."""

    name: str
    retryable: bool
    advice: str


# The first match decides; the words are searched in the type, then in the message.
_CLASSES: tuple[tuple[Classification, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (Classification(name, retryable, advice), re.compile(kind, re.I), re.compile(message, re.I))
    for name, retryable, advice, kind, message in (
        (
            "timeout",
            True,
            "Retry with backoff; raise the limit if it is too low for the work.",
            r"timeout|timedout|deadline|cancelledbytimeout",
            r"timed? ?out|deadline exceeded|statement timeout",
        ),
        (
            "authentication",
            False,
            "Renew the credentials; a retry cannot help.",
            r"unauthenticated|authentication|unauthorized|invalidpassword",
            r"\b401\b|password authentication failed|invalid credentials|login failed|unauthorized",
        ),
        (
            "authorization",
            False,
            "Grant the right, or stop asking for it.",
            r"permission|forbidden|accessdenied|insufficientprivilege",
            r"\b403\b|permission denied|access denied|forbidden",
        ),
        (
            "conflict",
            True,
            "Read again and repeat the change; somebody else was first.",
            r"conflict|integrity|unique|duplicate|deadlock|serialization|lock|stale",
            r"\b409\b|duplicate key|deadlock|could not serialize|already exists|violates .{1,100}constraint",
        ),
        (
            "not_found",
            False,
            "Check the name; create what is missing.",
            r"notfound|filenotfound|doesnotexist|nosuch|modulenotfound|undefinedtable",
            r"\b404\b|not found|no such|does not exist",
        ),
        (
            "configuration",
            False,
            "Correct the setting and start again.",
            r"config|settings|importerror|environment",
            r"missing (?:setting|environment|configuration)|not configured|invalid configuration",
        ),
        (
            "external",
            True,
            "Wait: the other side is down or refuses; the breaker probes it.",
            r"connection|network|socket|http|ssl|dns|remote|service|operationalerror|transport|gaierror|"
            r"brokenpipe|urlerror",
            r"\b50[234]\b|connection (?:refused|reset|closed|aborted)|unreachable|name resolution|"
            r"broken pipe|temporarily unavailable",
        ),
        (
            "validation",
            False,
            "Correct the input; a retry repeats the error.",
            r"validation|valueerror|typeerror|argument|keyerror|indexerror|attribute|parse|decode|syntax|"
            r"schema|assertion|illegalstate|nullpointer|zerodivision|unicode",
            r"\b400\b|\b422\b|invalid|malformed|must be|required",
        ),
        (
            "system",
            True,
            "Free the resource (disk, memory, handles), then retry.",
            r"oserror|ioerror|memory|disk|resource|system|ioexception|outofmemory",
            r"no space left|out of memory|too many open files|cannot allocate|killed",
        ),
    )
)
_INTERNAL = Classification(
    "internal", False, "Nothing is known of it: read the stack, then the suspected commit."
)
CLASSES = (*(declared[0] for declared in _CLASSES), _INTERNAL)


@lru_cache(maxsize=10_000)
def classify(kind: str, message: str) -> Classification:
    """Classify an error by the words of its type, then of its message."""
    for declared, by_kind, _ in _CLASSES:
        if by_kind.search(kind):
            return declared
    for declared, _, by_message in _CLASSES:
        if by_message.search(message[:MAX_MESSAGE_LENGTH]):
            return declared
    return _INTERNAL
