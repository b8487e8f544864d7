"""The chain of exceptions of an error, with the frames of the program and the source code around their lines.

Does not belong here: reading stack traces (`infrastructure.stacks`), which frames count (`fingerprints`).
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from markupsafe import Markup
from sqlalchemy import Connection

from qflow_dagster.infrastructure.fingerprints import counting_frames
from qflow_dagster.infrastructure.stacks import chain_from, chain_of
from qflow_dagster.ingestion import suspects
from qflow_dagster.safety.display import visible
from qflow_dagster.web.pages import Section, templates
from qflow_dagster.web.source import line_address
from qflow_dagster.web.syntax import highlight, render

# A page stays under 100 kB.
MAX_EXCEPTIONS, MAX_FRAMES = 10, 30
MAX_COLUMNS = 300


class Line(NamedTuple):
    """A line of source code with its number; `here` is the line that the frame is at."""

    number: int
    html: Markup
    here: bool


class ShownFrame(NamedTuple):
    """A frame of an exception, as the page shows it; `href` is the file in a registered repository."""

    file: str
    line: int
    function: str
    href: str
    own: bool
    repeated: int
    source: list[Line]


class ShownException(NamedTuple):
    """An exception of the chain: its frames, innermost first, in runs that are of the program or not."""

    kind: str
    message: str
    runs: list[tuple[bool, list[ShownFrame]]]
    more: int


def stack_section(connection: Connection, group: Mapping[str, Any]) -> Section:
    """Return the exceptions of the newest occurrence of an error group, the one that was raised last first."""
    newest = next(iter(group["occurrences"]), None) or {}
    stored = newest.get("exceptions") or _parsed(group, newest.get("stack"))
    if not any(error.get("frames") for error in stored):
        stored = _parsed(group, newest.get("stack"))
    if not any(error.get("frames") for error in stored):
        return Section(title="Stack", empty="No frame of it was recorded.")
    counting = counting_frames(chain_from(stored))
    files = suspects.ingested_files(
        connection, [_file(frame) for error in stored for frame in error.get("frames") or ()]
    )
    chain = [
        _shown(error, own, files)
        for error, own in reversed(list(zip(stored, counting, strict=True))[-MAX_EXCEPTIONS:])
    ]
    macros: Any = templates.env.get_template("stack.html").module
    note = "Of the newest occurrence, the innermost frame first; frames of libraries are folded."
    return Section(title="Stack", note=note, body=Markup(macros.stack(chain)))  # noqa: S704


def _parsed(group: Mapping[str, Any], stack: str | None) -> list[dict[str, Any]]:
    """Return the exceptions of a stack trace in the form that events of an SDK are stored in."""
    chain = chain_of(group["kind"], group["message"], stack)
    parsed = [
        {
            "type": error.kind,
            "value": error.message,
            "frames": [frame._asdict() for frame in error.frames],
        }
        for error in chain
    ]
    # The occurrence is past its retention: the group keeps the frames.
    if not any(error["frames"] for error in parsed) and group["frames"]:
        return [{"type": group["kind"], "value": group["message"], "frames": group["frames"]}]
    return parsed


def _shown(
    error: Mapping[str, Any], own: Sequence[bool], files: Mapping[str, tuple[str, str]]
) -> ShownException:
    frames = list(zip(error.get("frames") or (), own, strict=True))
    shown = [_frame(frame, is_own, files) for frame, is_own in reversed(frames[-MAX_FRAMES:])]
    return ShownException(
        str(error.get("type") or "Error"),
        str(error.get("value") or "")[:2_000],
        [(own, list(run)) for own, run in groupby(shown, lambda frame: frame.own)],
        len(frames) - len(shown),
    )


def _frame(frame: Mapping[str, Any], own: bool, files: Mapping[str, tuple[str, str]]) -> ShownFrame:
    file, line = _file(frame), int(frame.get("line") or 0)
    ingested = files.get(file)
    return ShownFrame(
        file,
        line,
        str(frame.get("function") or ""),
        line_address(*ingested, line or None) if ingested else "",
        own,
        int(frame.get("repeated") or 0),
        _source(frame, file, line),
    )


def _source(frame: Mapping[str, Any], file: str, line: int) -> list[Line]:
    """Return the lines that the event contains around the frame's line."""
    if not frame.get("source"):
        return []
    before = list(frame.get("before") or ())
    rows = [*before, frame["source"], *(frame.get("after") or ())]
    lines = [visible(str(row))[:MAX_COLUMNS].replace("\n", " ") for row in rows]
    stretches = highlight("\n".join(lines), file)
    first = line - len(before)
    return [
        Line(number, render(text, found), number == line)
        for number, (text, found) in enumerate(zip(lines, stretches, strict=True), first)
    ]


def _file(frame: Mapping[str, Any]) -> str:
    return str(frame.get("path") or frame.get("file") or frame.get("package") or "")
