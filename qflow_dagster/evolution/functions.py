"""Finders written as Python functions, for what neither a pattern nor a measure can express.

Each takes a file's text and yields (start, end, message); a message of None means the rule's title.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

FoundSpans = Iterator[tuple[int, int, str | None]]
FUNCTIONS: dict[str, Callable[[str], FoundSpans]] = {}

# All three markers, in order, each alone on its line: a heading underlined with = does not match.
_CONFLICT = re.compile(
    r"^<{7} [^\n]*\n(?:(?!^[<=>|]{7}).*\n)*+(?:^\|{7}[^\n]*\n(?:(?!^[<=>]{7}).*\n)*+)?"
    r"^={7}\r?\n(?:(?!^[<=>]{7}).*\n)*+^>{7} [^\n]*",
    re.MULTILINE,
)
# With at least a line of the key itself: documentation names the heading alone.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP )?PRIVATE KEY(?: BLOCK)?-----\s*\n(?:[^\n-]{0,80}\n){0,3}?"
    r"([A-Za-z0-9+/=]{40,})"
)
_AWS_KEY = re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)([A-Z0-9]{16})(?![A-Z0-9])")
_GITHUB_TOKEN = re.compile(r"(?<![A-Za-z0-9])gh[pousr]_([A-Za-z0-9]{36})(?![A-Za-z0-9])")
# Bits per character; gitleaks demands as much of the same tokens.
MIN_ENTROPY = 3.0
# What examples are made of: AWS ends all of its own with EXAMPLE (https://docs.aws.amazon.com/IAM/latest/UserGuide/).
_EXAMPLE = re.compile(
    r"EXAMPLE|SAMPLE|DUMMY|FAKE|PLACEHOLDER|CHANGEME|REDACTED|YOURKEY|YOURTOKEN", re.IGNORECASE
)
# Characters in their order, as nobody's secret has them; detect-secrets looks for the same.
_SEQUENCES = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "01234567890",
    "0123456789ABCDEF",
    "QWERTYUIOP",
    "ASDFGHJKL",
    "DEADBEEF",
)
SEQUENCE_LENGTH = 8


def function(name: str) -> Callable[[Callable[[str], FoundSpans]], Callable[[str], FoundSpans]]:
    """Register a finder under `name`, by which rules refer to it."""

    def declare(finder: Callable[[str], FoundSpans]) -> Callable[[str], FoundSpans]:
        FUNCTIONS[name] = finder
        return finder

    return declare


@function("conflict_markers")
def conflict_markers(text: str) -> FoundSpans:
    """Find merge conflicts that were committed."""
    if "<<<<<<< " in text:
        yield from ((match.start(), match.end(), None) for match in _CONFLICT.finditer(text))


@function("private_keys")
def private_keys(text: str) -> FoundSpans:
    """Find private keys in PEM or OpenSSH form."""
    if "PRIVATE KEY" in text:
        # The heading only: the key itself is not repeated anywhere.
        yield from (
            (match.start(), text.index("\n", match.start()), None)
            for match in _PRIVATE_KEY.finditer(text)
            if not is_example(match[1])
        )


@function("access_tokens")
def access_tokens(text: str) -> FoundSpans:
    """Find AWS access keys and GitHub tokens by their fixed form. Only their first four characters are kept."""
    for pattern, secret in ((_AWS_KEY, "an access key of AWS"), (_GITHUB_TOKEN, "a token of GitHub")):
        for match in pattern.finditer(text):
            if is_example(match[1]):
                continue
            yield (
                match.start(),
                match.start() + 4,
                f"{secret} is in the code; revoke it, it stays in the history",
            )


def is_example(secret: str) -> bool:
    """Return whether a text in the form of a secret is made up: an example, a sequence, few characters repeated."""
    upper = secret.upper()
    runs = (
        sequence[start : start + SEQUENCE_LENGTH]
        for sequence in _SEQUENCES
        for start in range(len(sequence) - SEQUENCE_LENGTH + 1)
    )
    return (
        _entropy(secret) < MIN_ENTROPY
        or _EXAMPLE.search(secret) is not None
        or any(run in upper or run[::-1] in upper for run in runs)
    )


def _entropy(text: str) -> float:
    """Return the Shannon entropy of a text in bits per character."""
    shares = (count / len(text) for count in Counter(text).values())
    return -sum(share * math.log2(share) for share in shares)
