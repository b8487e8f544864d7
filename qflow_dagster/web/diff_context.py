"""Lines around the hunks of a diff, on request: the address says how many are shown in which gap.

A gap is what a diff leaves out before a hunk of a file, or after its last one; `?gap=FILE.GAP.LINES`. Does not belong
here: the diff itself (`diffs`).
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.requests import Request

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.ingestion.trees import MAX_TEXT_BYTES
from qflow_dagster.web.diffs import DiffFile, DiffLine, diff_files, hunk_start

# Lines that a link adds, gaps that an address may open, lines that it may show in each.
STEP, MAX_GAPS, MAX_LINES = 20, 50, 2_000


def files_with_context(
    request: Request, connection: Connection, patch: str, repository: str | None, base: str | None
) -> list[DiffFile]:
    """Return the files of a patch with the lines that the address asks for; without a base commit as they are."""
    opened = _opened(request)
    texts = _Texts(connection, repository, base)

    def expand_file(number: int, file: DiffFile) -> None:
        text = texts.read(file.old_path)
        shown = {gap: lines for (at, gap), lines in opened.items() if at == number}
        if text is None or not _agrees(file, text):
            return
        expand(file, text, shown)
        file.lines = [
            line._replace(more=_address(request, opened, number, line)) if line.hidden else line
            for line in file.lines
        ]

    return diff_files(patch, expand_file)


def expand(file: DiffFile, old: Sequence[str], shown: Mapping[int, int]) -> None:
    """Add `shown` lines of the old text to each gap; a header of a hunk says how many more are hidden.

    `shown` is by the number of the gap; the lines next to the hunk below come first, after the last hunk those above.
    """
    lines: list[DiffLine] = []
    gap, shift, after = 0, 0, 0
    for line in file.lines:
        start = hunk_start(line.text) if line.kind == "hunk" else None
        if start is not None:
            first, length, new, new_length = start
            # Where a side of a hunk is empty, its number is that of the line before.
            first, new = first + (length == 0), new + (new_length == 0)
            shift = new - first
            more = min(shown.get(gap, 0), first - 1 - after)
            if hidden := first - 1 - after - more:
                lines.append(line._replace(gap=gap, hidden=hidden))
            elif not more:
                lines.append(line)
            lines += _same(old, range(first - more, first), shift)
            after, gap = first + length - 1, gap + 1
            shift += new_length - length
            continue
        lines.append(line)
    more = min(shown.get(gap, 0), len(old) - after)
    if gap:
        lines += _same(old, range(after + 1, after + 1 + more), shift)
        if hidden := len(old) - after - more:
            lines.append(DiffLine("hunk", None, None, "", gap=gap, hidden=hidden))
    file.lines = lines


def _same(old: Sequence[str], numbers: range, shift: int) -> list[DiffLine]:
    return [DiffLine("same", number, number + shift, " " + old[number - 1]) for number in numbers]


def _agrees(file: DiffFile, old: Sequence[str]) -> bool:
    """Return whether a diff is one of this text."""
    return all(
        line.old <= len(old) and old[line.old - 1] == line.text[1:]
        for line in file.lines
        if line.old is not None
    )


def _opened(request: Request) -> dict[tuple[int, int], int]:
    """Return the lines to show by file and gap; what cannot be read is left out."""
    opened: dict[tuple[int, int], int] = {}
    for value in request.query_params.getlist("gap")[:MAX_GAPS]:
        parts = value.split(".")
        if len(parts) == 3 and all(part.isascii() and part.isdecimal() and len(part) < 7 for part in parts):
            file, gap, lines = map(int, parts)
            opened[file, gap] = min(lines, MAX_LINES)
    return opened


def _address(request: Request, opened: Mapping[tuple[int, int], int], file: int, line: DiffLine) -> str:
    """Return the address that shows more lines of a gap, and keeps what is shown."""
    here = (file, line.gap or 0)
    wanted = {**opened, here: opened.get(here, 0) + STEP}
    kept = [
        (name, value) for name, value in request.query_params.multi_items() if name not in ("gap", "part")
    ]
    gaps = [("gap", f"{at}.{gap}.{lines}") for (at, gap), lines in wanted.items()]
    return f"?{urlencode([*kept, *gaps])}#file-{file}"


class _Texts:
    """Texts of a repository at a commit, as lines."""

    def __init__(self, connection: Connection, repository: str | None, base: str | None) -> None:
        self.base = base if base and len(base) in (40, 64) and base.isalnum() else None
        self.objects = None
        if repository and self.base:
            try:
                self.objects = repositories.find(connection, repository).objects
            except QflowError:
                # It was removed, or is on another machine: the diff alone is shown.
                return

    def read(self, path: str) -> list[str] | None:
        """Return the lines of a file; None where there is none, or it is not text, or large."""
        if self.objects is None or not path or "\n" in path:
            return None
        try:
            data = git.run(self.objects, "cat-file", "blob", f"{self.base}:{path}", max_output=MAX_TEXT_BYTES)
        except git.GitError:
            return None
        text = data.decode("utf-8", "replace")
        return None if "\0" in text else text.removesuffix("\n").split("\n")
