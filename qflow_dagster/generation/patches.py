"""Patches: made from new contents, checked, and turned into trees; all by git, none in a work tree.

Belongs here: what a patch may change, and git's side of it. New objects go to a scratch store
beside the repository's own, so that a candidate leaves nothing behind. Does not belong here:
checking a patch's content (`validation`), commits and branches (`agents.edits`).
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.checkouts import Scratch, scratch
from qflow_dagster.ingestion.paths import broken_rule
from qflow_dagster.ingestion.trees import MAX_BLOB_BYTES
from qflow_dagster.safety.display import visible_line

MAX_PATCH_BYTES = 2_000_000
_HEADER = re.compile(r"^diff --git a/(?P<old>.+) b/(?P<new>.+)$")
# Header lines a patch may have: none that creates, deletes, moves or changes modes.
_ALLOWED = re.compile(r"^(?:index [0-9a-f]+\.\.[0-9a-f]+(?: 100(?:644|755))?|--- a/.+|\+\+\+ b/.+)$")
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
FILE_MODES = ("100644", "100755")


_RANGES = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class PatchRefusedError(QflowError):
    """A patch that may not be applied; the message names the path and the rule it violates."""


class Patch(NamedTuple):
    """A unified diff against a commit, with the paths it changes and its size."""

    text: str
    paths: tuple[str, ...]
    lines: int

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of the text: it identifies what is approved and applied."""
        return hashlib.sha256(self.text.encode()).digest()


def changed_lines(patch: str) -> dict[str, list[int]]:
    """Return by path the line numbers of the old files that the patch deletes, or after which it adds lines."""
    by_path: dict[str, list[int]] = {}
    lines: list[int] = []
    number = old = new = 0
    for line in patch.splitlines():
        kind = line[:1]
        if kind == "\\":
            continue
        if old or new:
            # Inside a hunk: a deleted line "-- a" is not a header.
            if kind in ("-", "+"):
                lines.append(number if kind == "-" else number - 1)
            number += kind != "+"
            old, new = old - (kind != "+"), new - (kind != "-")
        elif line.startswith("--- "):
            lines = by_path.setdefault(line[4:].removeprefix("a/"), [])
        elif hunk := _RANGES.match(line):
            number, old, new = int(hunk[1]), int(hunk[2] or 1), int(hunk[3] or 1)
            # For a hunk that deletes nothing, git gives the number of the line before.
            number += old == 0
    return by_path


def make(objects: Path, base: str, contents: Mapping[str, bytes]) -> Patch:
    """Return the patch that gives these tracked files of the commit `base` these contents.

    Raises:
        PatchRefusedError: a path is not a tracked, ordinary file, or nothing changes.
    """
    with scratch(objects) as store:
        modes = _modes(store, base, contents)
        lines = []
        for path, content in contents.items():
            oid = store.git("hash-object", "-w", "--stdin", "--no-filters", stdin=content).decode().strip()
            lines.append(f"{modes[path]} {oid}\t{path}")
        store.git("read-tree", base)
        store.git("update-index", "-z", "--index-info", stdin="".join(f"{line}\0" for line in lines).encode())
        tree = _write_tree(store)
        diff = store.git(
            "diff-tree",
            "-p",
            "--full-index",
            "--no-renames",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            base,
            tree,
        )
    try:
        return read(diff.decode("utf-8"))
    except UnicodeDecodeError:
        raise PatchRefusedError("the patch is not UTF-8") from None


def read(text: str) -> Patch:
    """Read a unified diff in git's format and check what it changes.

    Raises:
        PatchRefusedError: it is not such a diff, or does more than change lines of files.
    """
    if len(text) > MAX_PATCH_BYTES:
        raise PatchRefusedError(f"the patch has {len(text):,} characters, {MAX_PATCH_BYTES:,} are allowed")
    paths: list[str] = []
    changed = old = new = 0
    for line in text.split("\n"):
        if old > 0 or new > 0:
            if line.startswith("-"):
                old, changed = old - 1, changed + 1
            elif line.startswith("+"):
                new, changed = new - 1, changed + 1
            elif not line.startswith("\\"):
                old, new = old - 1, new - 1
            continue
        if header := _HEADER.match(line):
            if header["old"] != header["new"]:
                raise PatchRefusedError(
                    f"{header['old']} would be renamed: a patch changes files where they are"
                )
            check_path(header["new"])
            paths.append(header["new"])
        elif hunk := _HUNK.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
        elif (
            paths
            and line.startswith(("--- ", "+++ "))
            and line not in (f"--- a/{paths[-1]}", f"+++ b/{paths[-1]}")
        ):
            raise PatchRefusedError(
                f"{line!r} is not about {paths[-1]}: a patch neither adds nor deletes files"
            )
        elif line and not line.startswith("\\") and not (paths and _ALLOWED.match(line)):
            raise PatchRefusedError(
                f"{line[:80]!r} is not allowed: a patch changes lines of tracked files, nothing else"
            )
    if not paths:
        raise PatchRefusedError("the patch changes nothing")
    if len(set(paths)) != len(paths):
        raise PatchRefusedError("a file is in the patch twice")
    return Patch(text, tuple(paths), changed)


def check_path(path: str) -> None:
    """Refuse a path that is not plainly inside a repository.

    Raises:
        PatchRefusedError: the path violates a rule of `ingestion.paths`, or of patches.
    """
    rule = broken_rule(path.encode(errors="surrogatepass"), link=True, written=True)
    # The file .gitmodules belongs to git too: it controls what git fetches and runs.
    if not rule and any(part.lower().rstrip(". ") == ".gitmodules" for part in path.split("/")):
        rule = ".gitmodules is not changed by a patch"
    # Quotes would be read as git's own quoting of a path.
    if not rule and '"' in path:
        rule = "it has a quote"
    if rule:
        raise PatchRefusedError(f"'{visible_line(path, 120)}' may not be changed: {rule}")


def apply(store: Scratch, base: str, patch: Patch) -> str:
    """Apply the patch to the commit `base`; return the new tree's id in that store.

    Raises:
        PatchRefusedError: it does not apply, or changes something other than tracked ordinary files.
    """
    _modes(store, base, dict.fromkeys(patch.paths, b""))
    store.git("read-tree", base)
    try:
        store.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch.text.encode())
    except git.GitError as error:
        raise PatchRefusedError(f"the patch does not apply: {str(error).splitlines()[0]}") from None
    return _write_tree(store)


def _write_tree(store: Scratch) -> str:
    # Beside the changed files there may be others whose objects are missing: the commit names them as before.
    return store.git("write-tree", "--missing-ok").decode().strip()


def contents(store: Scratch, tree: str, paths: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files at these paths of a tree."""
    return {
        path: store.git("cat-file", "blob", f"{tree}:{path}", max_output=MAX_BLOB_BYTES) for path in paths
    }


def _modes(store: Scratch, base: str, paths: Mapping[str, bytes]) -> dict[str, str]:
    for path in paths:
        check_path(path)
    listing = store.git("ls-tree", "-z", "--full-tree", base, "--", *paths)
    modes = {}
    for line in listing.split(b"\0")[:-1]:
        header, raw = line.split(b"\t", 1)
        modes[raw.decode("utf-8", "replace")] = header.decode().split()[0]
    for path in paths:
        if modes.get(path) not in FILE_MODES:
            kind = "a link or submodule" if path in modes else "not tracked"
            raise PatchRefusedError(f"{path} may not be changed: it is {kind}")
    return modes
