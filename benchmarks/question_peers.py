"""Peers of the answers: commands of git that people use, and functions searched by BM25.

Both return lines of text and the places they name. A peer never says that it does not know, so it is only graded as
right or not. An absent name counts as answered by a command that prints nothing.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
from sqlalchemy import Engine, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

# What a person reads of a command's output.
MAX_LINES = 10
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _git(path: Path, *arguments: str) -> list[str]:
    command = ["git", "-C", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    return done.stdout.splitlines()[:MAX_LINES]


def _grep(path: Path, option: str, pattern: str, *paths: str) -> list[str]:
    """Search the files of HEAD: a bare clone has no work tree."""
    lines = _git(path, "grep", option, pattern, "HEAD", "--", *paths)
    return [line.removeprefix("HEAD:") for line in lines]


def git_answer(path: Path, question: dict[str, Any]) -> tuple[str, list[str]]:
    """Answer by the command of git for the kind of question: the output, and the places and commits in it."""
    words = re.findall(r"[\w./-]*\w", question["ask"])
    name = max((w for w in words if re.search(r"[._/]|\w[A-Z]", w)), key=len, default=words[-1])
    short = name.rpartition(".")[2] if "/" not in name and re.search(r"[A-Z_]", name) else name
    kind = question["kind"]
    if kind == "absent":
        return "\n".join(_grep(path, "-nwF", short)), []
    if kind in ("history", "people", "removed"):
        history = ("log", "--format=%H %aN %ad %s", "--date=short")
        if "/" in name or re.search(r"\.\w{1,4}$", name):
            lines = _git(path, *history, "--follow", "--", name)
        else:
            lines = _git(path, *history, f"-S{short}")
        return "\n".join(lines), [f"commit {line[:40]}" for line in lines] + [f"{name}:"]
    if kind == "between":
        revisions = [word for word in words if re.search(r"\d", word)]
        lines = _git(path, "log", "--oneline", "..".join(revisions[:2]))
        return "\n".join(lines), []
    if kind == "active":
        lines = _git(path, "log", "-10", "--format=%aN %s")
        return "\n".join(lines), []
    if kind == "defined":
        lines = _grep(
            path,
            "-nE",
            rf"(def|class|func|fn|struct|enum|trait|interface|type|function) .*\b{short}\b",
        )
    elif kind in ("members", "purpose", "placement"):
        lines = _grep(path, "-nE", r"^\s*(pub )?(def|class|func|fn|function|export) ", name)
    elif kind in ("raises",):
        lines = _grep(path, "-nE", rf"(raise|throw).*\b{short}\b")
    elif kind == "dependencies":
        lines = _grep(path, "-nE", r"import|require|include|^use ", name)
    else:
        lines = _grep(path, "-nwF", Path(name).stem if "/" in name else short)
    found = [re.match(r"([^:]+):(\d+):", line) for line in lines]
    return "\n".join(lines), [f"{match[1]}:{match[2]}" for match in found if match]


def tokens(text_: str) -> list[str]:
    """Return words and the parts of identifiers, in lower case."""
    return [part.lower() for part in _WORDS.findall(text_)]


class FunctionSearch:
    """An index by BM25 of the source text of all functions and types of a snapshot, as ingested."""

    def __init__(self, engine: Engine, snapshot: Snapshot, path: Path) -> None:
        query = text(f"""
            SELECT f.path, s.start_line, s.end_line, s.qualified_name
            FROM files f JOIN symbols s ON s.blob_id = f.blob_id
            WHERE {IN_SNAPSHOT} AND s.seq > 0 AND NOT f.vendored AND s.kind IN ('function', 'method', 'macro', 'class')
            ORDER BY f.path, s.start_line
        """)
        with engine.connect() as connection:
            rows = connection.execute(query, snapshot.interval).all()
        files: dict[str, list[str]] = {}
        self.functions: list[tuple[str, int, str]] = []
        for row in rows:
            if row.path not in files:
                shown = subprocess.run(
                    ["git", "-C", str(path), "show", f"{snapshot.commit_oid}:{row.path}"], capture_output=True
                )
                files[row.path] = shown.stdout.decode(errors="replace").splitlines()
            source = "\n".join(files[row.path][row.start_line - 1 : row.end_line])
            self.functions.append((row.path, row.start_line, f"{row.qualified_name}\n{source}"))
        self._index = bm25s.BM25()
        self._index.index([tokens(source) for _, _, source in self.functions], show_progress=False)

    def search(self, words: str, limit: int) -> Sequence[tuple[str, int, str]]:
        """Return the functions whose source matches best: path, line, source."""
        number = min(limit, len(self.functions))
        found, _ = self._index.retrieve([tokens(words)], k=number, show_progress=False)
        return [self.functions[position] for position in found[0]]

    def answer(self, question: str) -> tuple[str, list[str]]:
        """Answer by the best ten functions: their first lines, and where they are."""
        hits = self.search(question, MAX_LINES)
        return "\n".join(source[:300] for _, _, source in hits), [f"{path}:{line}" for path, line, _ in hits]
