"""What a gate is called with, and what it returns."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import RLock
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import Engine

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import matchers, project_linters
from qflow_dagster.generation.candidates import Candidate, FileChange
from qflow_dagster.generation.environments import Environments
from qflow_dagster.generation.generators.protocol import Fix
from qflow_dagster.generation.validation import Gate
from qflow_dagster.ingestion import checkouts
from qflow_dagster.ingestion.missing_files import MissingFile, missing_files
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.folders import work_folder


class Batch:
    """The repository at the commit that a batch of candidates changes; use it in a `with` statement."""

    def __init__(
        self,
        engine: Engine,
        objects: Path,
        snapshot: Snapshot,
        environments: Environments | None = None,
    ) -> None:
        self.engine, self.objects, self.snapshot = engine, objects, snapshot
        self.environments = environments or Environments(engine, objects, snapshot)
        self._open = ExitStack()
        # Held by whoever runs gates: they share the checkout, and replace files in it.
        self.lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    @cached_property
    def folder(self) -> Path:
        """The commit, checked out when it is first needed: for tools of ours that read, never for the sandbox."""
        return self._open.enter_context(self.checkout())

    @contextmanager
    def replaced(self, contents: Mapping[str, str]) -> Iterator[Path]:
        """Give `folder` with these files replaced or added; afterwards it is as before."""
        originals = {path: (self.folder / path).read_bytes() for path in contents if self._has(path)}
        try:
            for path, text in contents.items():
                (self.folder / path).write_bytes(text.encode())
            yield self.folder
        finally:
            for path in contents:
                if path in originals:
                    (self.folder / path).write_bytes(originals[path])
                else:
                    (self.folder / path).unlink(missing_ok=True)

    def _has(self, path: str) -> bool:
        return (self.folder / path).is_file()

    @cached_property
    def missing(self) -> list[MissingFile]:
        """The files of the commit whose content cannot be read."""
        with self.engine.connect() as connection:
            return missing_files(connection, self.objects, self.snapshot)

    @contextmanager
    def checkout(self) -> Iterator[Path]:
        """Check the commit out into a folder of its own, which the sandbox may change; it is removed afterwards.

        Files that cannot be read are left out.

        Raises:
            QflowError: such a file may configure a tool, whose result would be another without it.
        """
        for file in self.missing:
            if file.may_be_text and _may_configure(file.path):
                raise QflowError(
                    f"{visible_line(file.path, 120)} is missing or damaged, and may configure a tool that checks "
                    f"changes: see git -C {self.objects} fsck; in a partial clone, git fetch --refetch brings it"
                )
        with work_folder("qflow-gates-") as outer:
            # The outer folder stays ours alone; the inner one may be owned by the sandbox's user.
            folder = outer / "work"
            folder.mkdir()
            with checkouts.scratch(self.objects) as store:
                unreadable = {file.path for file in self.missing}
                checkouts.export(store, self.snapshot.commit_oid, folder, unreadable)
            yield folder


def _may_configure(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return (
        name in project_linters.NAMES
        or name.startswith(".")
        or name.endswith((".toml", ".cfg", ".ini", ".mod", "rc"))
        or "config" in name
    )


class Result(NamedTuple):
    """What a gate says of a candidate, and the locations it blames: (path, first line) and the reason."""

    gate: Gate
    blamed: Mapping[tuple[str, int], str] = {}


def not_applicable(name: str, candidates: Iterable[Candidate], evidence: str) -> dict[UUID, Result]:
    """Return the results of a gate that has nothing to check in these candidates."""
    return {candidate.id: Result(Gate(name, "not applicable", evidence, 0.0)) for candidate in candidates}


def fixes_at(file: FileChange, line: int) -> list[Fix]:
    """Return the fixes of a file that changed a line of its new text, which may have been formatted since."""
    edited, _ = matchers.apply_changes(file.request.text, [fix.edits for fix in file.result.fixes])
    lines = _lines_before_formatting(edited, file.result.after, line)
    return [
        fix for fix, changed in _lines_of_fixes(file, edited) if any(number in changed for number in lines)
    ]


def _lines_before_formatting(edited: str, formatted: str, line: int) -> range:
    """Return the lines of a text that became a line of the same text, formatted."""
    if edited == formatted:
        return range(line, line + 1)
    matcher = SequenceMatcher(None, edited.splitlines(), formatted.splitlines(), autojunk=False)
    for tag, first, last, new_first, new_last in matcher.get_opcodes():
        if new_first <= line - 1 < new_last:
            same = first + line - new_first
            return range(same, same + 1) if tag == "equal" else range(first + 1, last + 1)
    return range(0)


def _lines_of_fixes(file: FileChange, edited: str) -> list[tuple[Fix, range]]:
    source = matchers.Source(edited, file.request.path)
    edits = sorted({(edit, fix) for fix in file.result.fixes for edit in fix.edits}, key=lambda pair: pair[0])
    shift = 0
    lines: dict[Fix, list[int]] = {}
    for edit, fix in edits:
        start = edit.start + shift
        lines.setdefault(fix, []).extend((source.line_of(start), source.line_of(start + len(edit.text))))
        shift += len(edit.text) - (edit.end - edit.start)
    return [(fix, range(min(numbers), max(numbers) + 1)) for fix, numbers in lines.items()]


def apart(candidates: Iterable[Candidate], paths: Mapping[UUID, Collection[str]]) -> list[list[Candidate]]:
    """Return groups of candidates of which no two change the same file; `paths` are the files of each."""
    groups: list[tuple[set[str], list[Candidate]]] = []
    for candidate in candidates:
        group = next((group for group in groups if group[0].isdisjoint(paths[candidate.id])), None)
        if group is None:
            group = (set(), [])
            groups.append(group)
        group[0].update(paths[candidate.id])
        group[1].append(candidate)
    return [members for _, members in groups]
