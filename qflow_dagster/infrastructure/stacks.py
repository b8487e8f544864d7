"""Stack traces: calls of a program, read from the text that its language prints or from the frames that an SDK sends.

Pure functions. Does not belong here: which frames tell errors apart (`frame_names`, `fingerprints`).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

MAX_STACK_LENGTH = 100_000
MAX_LINE_LENGTH = 2_000


class Frame(NamedTuple):
    """A call in a stack trace."""

    file: str = ""
    line: int = 0
    function: str = ""
    # Whether it is of the program and not of a library; None if that is not said.
    own: bool | None = None
    # The class or module of the function, where the language names one.
    module: str = ""
    # The line of source code.
    source: str = ""
    # The binary that contains a native function.
    package: str = ""
    # Where its file was loaded from.
    path: str = ""
    # The platform as SDKs name it: python, java, javascript, native, ...
    platform: str = ""
    # Whether the function is named by a source map, which is not reliable.
    mapped: bool = False


class Raised(NamedTuple):
    """An exception of a chain."""

    kind: str
    message: str = ""
    frames: tuple[Frame, ...] = ()
    # What a platform numbers differently (signals and codes of crashes) is no type of the program.
    synthetic: bool = False
    # Domain and code of an NSError.
    code: str = ""
    # Its number within an exception group, and that of the exception it belongs to.
    number: int | None = None
    parent: int | None = None
    is_group: bool = False


# Line numbers have at most nine digits, to fit the column. No pattern may backtrack over the same characters,
# because stacks are untrusted and a quadratic pattern would take minutes on a long line.
_PYTHON = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d{1,9})(?:, in (?P<function>.+))?$')
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("python", _PYTHON),
    ("native", re.compile(r"^\s*at (?P<file>\S+\.rs):(?P<line>\d{1,9})(?P<function>)(?!\d)")),
    (
        "java",
        re.compile(
            r"^\s*at (?:[\w.@-]{0,80}/{1,2}){0,2}(?:(?P<module>[\w$/.]+)\.)?(?P<function>[\w$<>]+)"
            r"\((?:(?P<file>[\w$-]+\.\w+)(?::(?P<line>\d{1,9}))?|Native Method|Unknown Source)\)"
        ),
    ),
    (
        "javascript",
        re.compile(
            r"^\s*at (?:async )?(?:(?P<function>[^()\n]+?) \()?"
            r"(?P<file>[^()\s][^()]*?):(?P<line>\d{1,9}):\d{1,9}\)?\s*$"
        ),
    ),
    (
        "javascript",
        re.compile(r"^\s*at (?:async )?(?P<function>[^()\n]+?) \((?P<file><anonymous>|native)\)\s*$"),
    ),
    (
        "javascript",
        re.compile(r"^(?P<function>[^@\n]{0,500})@(?P<file>[^@\s]+?):(?P<line>\d{1,9}):\d{1,9}\s*$"),
    ),
    ("javascript", re.compile(r"^(?P<function>[^@\n]{0,500})@(?P<file>\[native code\])\s*$")),
    (
        "ruby",
        re.compile(
            r"^\s*(?:from )?(?P<file>[^\s:]+\.(?:rb|erb|rake)):(?P<line>\d{1,9}):(?:in )?[`']*(?P<function>[^'`]*)"
        ),
    ),
    (
        "elixir",
        re.compile(
            r"^\s*(?:\([^()]{1,80}\) )?(?P<file>[^\s:]+\.(?:exs?|erl)):(?P<line>\d{1,9}): ?(?P<function>.*)"
        ),
    ),
    ("php", re.compile(r"^#\d{1,4} (?P<file>[^\n(]+)\((?P<line>\d{1,9})\): (?P<function>[^(\n]+)")),
    ("php", re.compile(r"^\s*(?P<file>[^\s:]+\.php):(?P<line>\d{1,9})(?P<function>)")),
    ("go", re.compile(r"^\s+(?P<file>(?:[A-Za-z]:)?/?\S+\.(?:go|s)):(?P<line>\d{1,9})(?P<function>)(?!\d)")),
    (
        "csharp",
        re.compile(
            r"^\s*at (?P<function>(?:(?! in ).)++) in (?P<file>(?:(?!:line ).)++):line (?P<line>\d{1,9})(?!\d)"
        ),
    ),
    ("csharp", re.compile(r"^\s*at (?P<function>[\w.<>`\[\],+|]+\([^()\n]*\))\s*$")),
    # gdb and AddressSanitizer.
    (
        "native",
        re.compile(
            r"^#\d{1,4} {1,4}(?:0x[0-9a-f]+ in )?(?P<function>\S[^\n]{0,300}?)(?: \([^()\n]*\))? (?:at )?"
            r"(?P<file>/[^\s:]+|[\w.-]+\.(?:c|cc|cpp|cxx|h|hpp|m|mm|rs|swift)):(?P<line>\d{1,9})"
        ),
    ),
    (
        "native",
        re.compile(
            r"^#\d{1,4}\s+0x[0-9a-f]+ in (?P<function>\S[^\n(]*?)(?: \(.{0,500}\)| from .{0,500}|\(.{0,500}\))?$"
        ),
    ),
    # Crash reports of macOS and iOS, then glibc.
    (
        "native",
        re.compile(r"^\d{1,4}\s+(?P<package>\S+)\s+0x[0-9a-f]+ (?P<function>[^\n]{1,500}?) \+ \d{1,12}\b"),
    ),
    (
        "native",
        re.compile(r"^(?P<package>/[^\s()]+)\((?P<function>[^\s()+]+)\+0x[0-9a-f]+\) ?\[0x[0-9a-f]+\]"),
    ),
)
# Lines above the file of a frame that name its function.
_NAMES = {
    "go": re.compile(
        r"^(?P<function>[\w./@~*()\[\]-]{1,500}?)\((?:[^()]{0,500})\)$|^created by (?P<creator>[\w./*()-]{1,500})"
    ),
    "native": re.compile(r"^\s*\d{1,4}:\s+(?:0x[0-9a-f]+ - )?(?P<function>[^\s<]{1,500}|<.{1,500})$"),
}
_CAUSED_BY = re.compile(
    r"^\s*(?:Caused by|\[cause\]|Suppressed): (?P<kind>[\w.$]{1,200})(?:: (?P<message>.{0,500}))?"
)
_RAISED = re.compile(r"^(?P<kind>[A-Za-z_][\w.]{0,199})(?:: (?P<message>.{0,500}))?$")
_PYTHON_LINKS = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


@lru_cache(maxsize=4_000)
def chain_of(kind: str, message: str, stack: str | None) -> tuple[Raised, ...]:
    """Return the exceptions of a stack trace as its language prints it, the cause first."""
    # Type, message and frames of each exception, as they are printed.
    sections: list[tuple[tuple[str, str], list[Frame]]] = []
    frames: list[Frame] = []
    head, last_said = (kind, message), ("", "")
    causes_first = innermost_last = False
    lines = [line[:MAX_LINE_LENGTH] for line in (stack or "")[:MAX_STACK_LENGTH].splitlines()]
    for number, line in enumerate(lines):
        frame = _frame(line, lines[number - 1] if number else "", lines[number + 1 : number + 2])
        if frame is not None:
            innermost_last = innermost_last or frame.platform == "python"
            frames.append(frame)
            continue
        caused = _CAUSED_BY.match(line)
        if caused and not line.lstrip().startswith("Suppressed"):
            sections.append((head, frames))
            head, frames = (caused["kind"], caused["message"] or ""), []
        elif line.strip() in _PYTHON_LINKS:
            causes_first = True
            sections.append((last_said, frames))
            frames = []
        elif line and not line[0].isspace() and (raised := _RAISED.match(line)):
            last_said = (raised["kind"], raised["message"] or "")
    sections.append((head, frames))
    return tuple(
        Raised(*named, tuple(calls if innermost_last else reversed(calls)))
        for named, calls in (sections if causes_first else reversed(sections))
    )


def chain_from(exceptions: Iterable[Mapping[str, Any]]) -> tuple[Raised, ...]:
    """Return the exceptions of an event as they are stored (`to_json`), the cause first."""
    return tuple(
        Raised(
            str(stored.get("type") or ""),
            str(stored.get("value") or ""),
            tuple(
                Frame(**{name: frame[name] for name in Frame._fields if name in frame})
                for frame in stored.get("frames") or ()
            ),
            bool(stored.get("synthetic")),
            str(stored.get("code") or ""),
            stored.get("number"),
            stored.get("parent"),
            bool(stored.get("is_group")),
        )
        for stored in exceptions
    )


def _frame(line: str, before: str, after: list[str]) -> Frame | None:
    # Of a function without debug information, Rust prints only this line.
    if (name := _NAMES["native"].match(line)) and not (after and after[0].lstrip().startswith("at ")):
        return Frame(function=name["function"], platform="native")
    for platform, pattern in _PATTERNS:
        match = pattern.match(line)
        if match is None:
            continue
        named = match.groupdict()
        function = (named.get("function") or "").strip()
        source = ""
        if platform in _NAMES and not function and (name := _NAMES[platform].match(before)):
            function = next(filter(None, name.groups()))
        if platform == "python" and after and not _PYTHON.match(after[0]) and after[0][:1].isspace():
            source = after[0].strip()
        return Frame(
            named.get("file") or "",
            int(named.get("line") or 0),
            function,
            # Debug information names source files of what is compiled here.
            True if platform == "native" and named.get("file", "") else None,
            module=named.get("module") or "",
            source=source if source.strip("^~ ") else "",
            package=named.get("package") or "",
            path=named.get("file") or "",
            platform=platform,
        )
    return None
