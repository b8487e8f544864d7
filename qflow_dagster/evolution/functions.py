"""Finders that are plain functions: what neither a pattern nor a measure says.

Each takes a file's text and yields (start, end, message); a message of None is the rule's title.
"""

import re
from collections.abc import Callable, Iterator

Found = Iterator[tuple[int, int, str | None]]
FUNCTIONS: dict[str, Callable[[str], Found]] = {}

# All three marks, in their order, each alone on its line: a heading underlined with = is none.
_CONFLICT = re.compile(
    r"^<{7} [^\n]*\n(?:(?!^[<=>|]{7}).*\n)*+(?:^\|{7}[^\n]*\n(?:(?!^[<=>]{7}).*\n)*+)?"
    r"^={7}\r?\n(?:(?!^[<=>]{7}).*\n)*+^>{7} [^\n]*",
    re.MULTILINE,
)
# With at least a line of the key itself: documentation names the heading alone.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP )?PRIVATE KEY(?: BLOCK)?-----\s*\n(?:[^\n-]{0,80}\n){0,3}?"
    r"[A-Za-z0-9+/=]{40,}"
)
_AWS_KEY = re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)(?!IOSFODNN7EXAMPLE)[A-Z0-9]{16}(?![A-Z0-9])")
_GITHUB_TOKEN = re.compile(r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])")


def function(name: str) -> Callable[[Callable[[str], Found]], Callable[[str], Found]]:
    """Make a finder known to rules under `name`."""

    def declare(finder: Callable[[str], Found]) -> Callable[[str], Found]:
        FUNCTIONS[name] = finder
        return finder

    return declare


@function("conflict_markers")
def conflict_markers(text: str) -> Found:
    """A merge conflict that was committed."""
    if "<<<<<<< " in text:
        yield from ((found.start(), found.end(), None) for found in _CONFLICT.finditer(text))


@function("private_keys")
def private_keys(text: str) -> Found:
    """A private key in PEM or OpenSSH form."""
    if "PRIVATE KEY" in text:
        # The heading only: the key itself is not repeated anywhere.
        yield from (
            (found.start(), text.index("\n", found.start()), None) for found in _PRIVATE_KEY.finditer(text)
        )


@function("access_tokens")
def access_tokens(text: str) -> Found:
    """Keys of AWS and tokens of GitHub, by their fixed form. Only the first letters are shown."""
    for pattern, what in ((_AWS_KEY, "an access key of AWS"), (_GITHUB_TOKEN, "a token of GitHub")):
        for found in pattern.finditer(text):
            yield (
                found.start(),
                found.start() + 4,
                f"{what} is in the code; revoke it, it stays in the history",
            )
