"""Fingerprints and classification of errors, with advice. Pure functions.

Two occurrences are the same error if type and frames of the program agree, with those of their causes.
Without a stack, operation and message are used instead, the message without parts that vary between
calls. A fingerprint that the program gave decides alone. That is what error trackers such as Sentry
document (https://docs.sentry.io/concepts/data-management/event-grouping/); lines are left out, so that an
unrelated edit does not create a new group.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

# Frames that are shown of a group.
INNERMOST = 5
# Marks behind the function of a frame, by those who know whose it is.
PROGRAM, LIBRARY = "program", "library"
MAX_MESSAGE_LENGTH = 500
MAX_STACK_LENGTH = 100_000
MAX_LINE_LENGTH = 2_000


class Frame(NamedTuple):
    """A call in a stack trace."""

    file: str
    line: int
    function: str
    # Whether it is of the program and not of a library; None if that is not said.
    own: bool | None = None


class Classification(NamedTuple):
    """The classification of an error."""

    name: str
    retryable: bool
    advice: str


# Line numbers have at most nine digits, to fit the column. No pattern may backtrack over the same characters,
# because stacks are untrusted and a quadratic pattern would take minutes on a long line.
_FRAMES = (
    re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d{1,9})(?:, in (?P<function>.+))?$'),  # Python
    re.compile(r"^\s*at (?P<function>[\w$.<>/ ]+)\((?P<file>[\w$-]+\.\w+):(?P<line>\d{1,9})\)"),  # JVM
    re.compile(
        r"^\s*at (?:async )?(?:(?P<function>[^()\n]+?) \()?(?P<file>[^()\s]+):(?P<line>\d{1,9}):\d+\)?\s*$"
    ),  # JavaScript
    re.compile(
        r"^\s*(?:from )?(?P<file>[^\s:]+\.(?:rb|ex|exs|php)):(?P<line>\d{1,9}):(?:in )?[`'(]*(?P<function>[^'`)]*)"
    ),
    re.compile(r"^\s+(?P<file>/?\S+\.go):(?P<line>\d{1,9})(?P<function>)(?!\d)"),  # Go
    re.compile(
        r"^\s*at (?P<function>(?:(?! in ).)++) in (?P<file>(?:(?!:line ).)++):line (?P<line>\d{1,9})(?!\d)"
    ),  # .NET
    re.compile(r"^\s*at (?P<file>\S+\.rs):(?P<line>\d{1,9})(?P<function>)(?!\d)"),  # Rust
)
# Languages whose traces print the innermost call last.
_INNERMOST_LAST = _FRAMES[0]
_FOREIGN = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|vendor|gems|lib/python\d)(?:/|$)|^<"
)

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm]\b)?"
_ZONE = r"(?:(?:GMT|UTC)?[+-]\d{2}:?\d{2}|Z|[A-Z]{3,4})\b(?: \([A-Za-z ]{1,40}\))?"
# As in Sentry's documentation and tests: what is a date, an address or an id to people, is one here.
_VARIABLE: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"""(?<=\w=)(?:'[^'"]{0,200}'|"[^'"]{0,200}")"""), "<text>"),
    (re.compile(r"(?<=\w=)(?:true|false)\b", re.IGNORECASE), "<bool>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?:00-[0-9a-f]{32}-[0-9a-f]{16}-0\d|1-[0-9a-f]{8}-[0-9a-f]{24})\b"), "<id>"),
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
def normalise(message: str) -> str:
    """Return `message` without parts that vary between occurrences: numbers, ids, paths, addresses."""
    normalized = message[:MAX_MESSAGE_LENGTH]
    for pattern, replacement in _VARIABLE:
        normalized = pattern.sub(replacement, normalized)
    return normalized.strip()


@lru_cache(maxsize=10_000)
def frames_of(stack: str | None) -> tuple[Frame, ...]:
    """Return the calls of a stack trace, outermost first; empty if its format is unknown."""
    frames: list[Frame] = []
    innermost_last = True
    for line in (stack or "")[:MAX_STACK_LENGTH].splitlines():
        line = line[:MAX_LINE_LENGTH]
        for pattern in _FRAMES:
            match = pattern.match(line)
            if match:
                innermost_last = pattern is _INNERMOST_LAST
                function = (match["function"] or "").strip()
                marked = function.endswith((f" [{PROGRAM}]", f" [{LIBRARY}]"))
                own = function.endswith(f" [{PROGRAM}]") if marked else None
                function = function.rpartition(" [")[0] if marked else function
                frames.append(Frame(match["file"], int(match["line"]), function, own))
                break
    return tuple(frames if innermost_last else reversed(frames))


def own_frames(stack: str | None) -> list[Frame]:
    """Return the frames of the program, or of its libraries if it has none, outermost first."""
    frames = frames_of(stack)
    own = [f for f in frames if (not _FOREIGN.search(f.file) if f.own is None else f.own)]
    return own or list(frames)


def innermost(stack: str | None) -> tuple[Frame, ...]:
    """Return the innermost frames of the program, or of its libraries if it has none."""
    return tuple(own_frames(stack)[-INNERMOST:])


@lru_cache(maxsize=10_000)
def fingerprint(
    operation: str,
    kind: str,
    message: str,
    stack: str | None,
    causes: tuple[str, ...] = (),
    given: tuple[str, ...] = (),
) -> bytes:
    """Return the SHA-256 of the features that occurrences of a group share.

    `causes` are the types of the exceptions that led to it; `given` is the fingerprint that the program
    set, in which `{{ default }}` stands for all else, and `{{ type }}`, `{{ message }}` and
    `{{ transaction }}` for these.
    """
    places = [f"{clean_file(frame.file)} {clean_function(frame.function)}" for frame in own_frames(stack)]
    # Recursion counts once, however deep.
    places = [place for number, place in enumerate(places) if number == 0 or place != places[number - 1]]
    same = (kind, *causes, *places) if places else (operation, kind, *causes, normalise(message))
    if given:
        values = {"default": "\0".join(same), "type": kind, "message": message, "transaction": operation}
        values |= {"error.type": kind, "error.value": message}
        same = tuple(
            _VARIABLE_PART.sub(lambda match: values.get(match[1], match[0]), part[:MAX_LINE_LENGTH])
            for part in given
        )
    return hashlib.sha256("\0".join(same).encode(errors="replace")).digest()


_VARIABLE_PART = re.compile(r"\{\{ {0,4}([a-z.]{1,40}) {0,4}\}\}")
# Names that compilers and runtimes number anew in each build or run.
_GENERATED = (
    (re.compile(r"::h[0-9a-f]{16}$"), ""),
    (re.compile(r"\$\$Lambda(?:\$\d+)?(?:/0x[0-9a-f]+|/\d+)?"), "$$Lambda"),
    (re.compile(r"lambda\$(\w{1,100})\$\d+"), r"lambda$\1"),
    (re.compile(r"(Generated[A-Za-z]{0,40}Accessor)\d+"), r"\1"),
    (re.compile(r"(\$\$(?:EnhancerBy|FastClassBy)[A-Za-z]{0,60}\$\$)[0-9a-f]+"), r"\1"),
    (re.compile(r"_{2,3}\d+_\d+$"), ""),
    (re.compile(r"@anonymous.*"), "@anonymous"),
    (re.compile(r"^(?:async |new |Object\.|Module\.|Array\.)"), ""),
    (re.compile(r"^(?:<anonymous>|anonymous|\?)$"), ""),
    (re.compile(r"\([^()]{0,500}\)(?: const)?$"), ""),
)
_FILE_HASH = re.compile(r"[.-][0-9a-f]{7,40}(?=\.)")


def clean_function(function: str) -> str:
    """Return the name of a function without parts that differ between builds, runs and runtimes."""
    for pattern, replacement in _GENERATED:
        function = pattern.sub(replacement, function[:MAX_LINE_LENGTH])
    return function.strip()


def clean_file(file: str) -> str:
    """Return the last two parts of a path, the last without a hash; the rest depends on the installation."""
    return _FILE_HASH.sub("", "/".join(_parts(file)[-2:]).partition("?")[0])


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


def _parts(file: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", file) if part]
