"""Detection of a file's language: by its path and, where that is ambiguous, by the beginning of its content.

Belongs here: the order of Linguist (https://github.com/github-linguist/linguist), whose data is in ``linguist.tsv``,
and where we differ from it, which ``languages.tsv`` says. Where the content does not decide, there is no language:
no statement is better than a wrong one. Does not belong here: attributes (``attributes``), flags (``classify``),
processing of a language (``extraction``).

Contents are hostile, so all patterns on them are compiled by RE2, which takes time linear in the text.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import re2

# Bytes of the content that are looked at: those after them decide for one in a thousand of Linguist's samples.
HEAD_BYTES = 16 * 1024
MODELINE_LINES = 5
XML_DECLARATION = r"\A[^\n]*\n?[^\n]*<\?xml version="
MODELINES = (
    r"(?i)-\*-(?:[ \t]*([^:;\s]+?)[ \t]*|(?:.*?[ \t;])?[ \t]*mode[ \t]*:[ \t]*([^:;\s]+?)(?:[ \t;].*?)?)-\*-",
    r"(?:(?:^|[ \t])(?:vi|[vV]im(?:[<=>]?\d+)?)|[ \t]ex):(?:.*[ \t:])?[ \t]*"
    r"(?:filetype|ft|syntax)[ \t]*=(\w+)(?:$|[\s:])",
)
# A shell script that hands itself to another interpreter.
EXEC_LINE = r"\A(?:[^\n]*\n){1,4}[^\n]*exec (\w+)[\s\"']+\$0[\s\"']+\$@"

PATH_PATTERNS = ("test", "example", "documentation", "vendored", "generated")
# The first row on a word decides.
FILES = [Path(__file__).with_name(name) for name in ("languages.tsv", "linguist.tsv")]


class Rule(NamedTuple):
    """A language that the content decides for if all `patterns` agree: (whether it must match, pattern)."""

    language: str
    patterns: tuple[tuple[bool, str], ...]


class Tables(NamedTuple):
    """The tables of Linguist with our changes: what names which languages, rules by extension, flags by path."""

    names: dict[str, tuple[str, ...]]
    stems: dict[str, tuple[str, ...]]
    extensions: dict[str, tuple[str, ...]]
    interpreters: dict[str, tuple[str, ...]]
    aliases: dict[str, tuple[str, ...]]
    generic: frozenset[str]
    rules: dict[str, list[Rule]]
    undecided: dict[str, tuple[str, ...]]
    types: dict[str, tuple[str, ...]]
    # Patterns of paths by flag.
    paths: dict[str, list[str]]


@cache
def tables() -> Tables:
    """Return the tables, read once per process."""
    words: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    paths: dict[str, list[str]] = defaultdict(list)
    rules: dict[str, list[Rule]] = defaultdict(list)
    for line in "\n".join(file.read_text(encoding="utf-8") for file in FILES).splitlines():
        kind, *cells = line.split("\t")
        if kind == "rule":
            rule = Rule(cells[1], tuple((pattern[0] == "+", pattern[1:]) for pattern in cells[2:]))
            for extension in cells[0].split(" "):
                rules[extension].append(rule)
        elif kind in PATH_PATTERNS:
            if cells[0] not in words["dropped"]:
                paths[kind].append(cells[0])
        elif cells:
            words[kind].setdefault(cells[0], tuple(cells[1:]))
    return Tables(
        names=words["name"],
        stems=words["stem"],
        extensions=words["extension"],
        interpreters=words["interpreter"],
        aliases=words["alias"],
        generic=frozenset(words["generic"]),
        rules=dict(rules),
        undecided=words["undecided"],
        types=words["language"],
        paths=dict(paths),
    )


class ByPath(NamedTuple):
    """What a path says: the languages it may mean, and the extension whose rules on content apply, '' for none."""

    languages: tuple[str, ...]
    extension: str


def detect(path: str, head: bytes) -> str:
    """Return the language of the file at `path`, whose first `HEAD_BYTES` are `head`; '' if nothing decides.

    `head` is used only if `needs_head(path)`.
    """
    candidates, extension = by_path(path)
    if len(candidates) == 1:
        return candidates[0]
    for languages in (_by_modeline(head), _by_shebang(head)):
        if languages:
            # A line that contradicts the name counts, because the name is ambiguous.
            return next((language for language in languages if language in candidates), languages[0])
    is_xml = "XML" in (candidates or ("XML",)) and compiled(XML_DECLARATION).search(head) is not None
    for rule in tables().rules.get(extension, ()):
        # A rule without patterns is the last: what else the extension means.
        if is_xml and not rule.patterns:
            break
        if all((compiled(pattern).search(head) is not None) == wanted for wanted, pattern in rule.patterns):
            return "" if "|" in rule.language else rule.language
    return "XML" if is_xml else next(iter(tables().undecided.get(extension, ())), "")


def needs_head(path: str) -> bool:
    """Return whether the path alone does not decide."""
    return len(by_path(path).languages) != 1


def is_program(path: str) -> bool:
    """Return whether the path means a programming language, as opposed to markup, prose and data."""
    candidates = by_path(path).languages
    return bool(candidates) and all(
        tables().types.get(language) == ("programming",) for language in candidates
    )


def by_path(path: str) -> ByPath:
    """Return what `path` says (as `paths.quote_path` writes it)."""
    return _by_name(path.rpartition("/")[2].rstrip('"'))


def by_word(word: str) -> tuple[str, ...]:
    """Return the language that a person calls `word`, () if there is none."""
    return tables().aliases.get(word.lower(), ())


@lru_cache(maxsize=4096)
def _by_name(name: str) -> ByPath:
    by_name = tables().names.get(name, ())
    suffixes = list(_suffixes(name.lower()))
    rules = next((word for word in (name, *suffixes) if word in tables().rules), "")
    if by_name:
        return ByPath(by_name, rules)
    extension = next((suffix for suffix in suffixes if suffix in tables().extensions), "")
    if extension in tables().generic:
        return ByPath((), rules)
    if extension:
        return ByPath(tables().extensions[extension], rules or extension)
    return ByPath(tables().stems.get(name.partition(".")[0], ()), rules)


def _suffixes(name: str) -> Iterator[str]:
    """Yield the extensions of a name, the longest first."""
    position = name.find(".")
    while position >= 0:
        yield name[position:]
        position = name.find(".", position + 1)


def _by_modeline(head: bytes) -> tuple[str, ...]:
    """Return the language that a line for Emacs or Vim at either end names, () for none."""
    lines = head.split(b"\n")
    # The end of a longer file is not in its head.
    ends = (
        lines[:MODELINE_LINES]
        if len(head) >= HEAD_BYTES
        else lines[:MODELINE_LINES] + lines[-MODELINE_LINES:]
    )
    text = b"\n".join(ends)
    # A quick test first: few files have such a line.
    if b"-*-" not in text and b"=" not in text:
        return ()
    for pattern in MODELINES:
        match = compiled(pattern).search(text)
        if match:
            word = next(group for group in match.groups() if group)
            return by_word(word.decode("utf-8", "replace"))
    return ()


def _by_shebang(head: bytes) -> tuple[str, ...]:
    """Return the languages whose programs the first line starts."""
    if not head.startswith(b"#!"):
        return ()
    words = head[2:].partition(b"\n")[0].decode("utf-8", "replace").split()
    program = words[0].rpartition("/")[2] if words else ""
    if program == "env":
        arguments = (word for word in words[1:] if not word.startswith("-") and "=" not in word)
        program = next(arguments, "").rpartition("/")[2]
    if program == "sh" and (match := compiled(EXEC_LINE).search(head)):
        program = match[1].decode("ascii", "replace")
    without_minor = program.rstrip("0123456789").rstrip(".") if "." in program else program
    interpreters = tables().interpreters
    for spelling in (program, without_minor, without_minor.rstrip("0123456789")):
        if spelling in interpreters:
            return interpreters[spelling]
    return ()


@cache
def compiled(pattern: str) -> Any:
    """Return a pattern on contents, compiled at its first use."""
    options = re2.Options()
    # Contents are bytes of any encoding.
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(("(?m)" + pattern).encode(), options)
