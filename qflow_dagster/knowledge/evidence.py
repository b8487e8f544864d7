"""The parts of answers: the question and its snapshot, evidence, and lists of facts as text.

Belongs here: what every answering function uses. Does not belong here: the answers (`answers`), SQL (`lookups`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import repositories, trees
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.declarations import Call
from qflow_dagster.knowledge.git_facts import LineCommit
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.questions import ParsedQuestion

MAX_ROWS = 10
# The kind of an answer that says that the answer is not known.
NOT_KNOWN = "not known"

# How files of C and its family end: there the type may stand on the line before the name, and declarations apart.
C_FAMILY = (".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".m", ".mm")


class UnansweredError(QflowError):
    """No ingested fact answers it; another attempt may succeed after more was ingested."""


class Evidence(NamedTuple):
    """Where an answer comes from: a line (1-based) of a path at a commit, or the commit alone; and its text."""

    commit: str
    path: str | None
    line: int | None
    words: str


class Answer(NamedTuple):
    """The parsed question, the answer as text, its evidence, best first, and forms of questions that work.

    Of kind `not known`, the text is the reason; of kind `search`, what was found by words.
    """

    understood: ParsedQuestion
    words: str
    evidence: list[Evidence]
    forms: Sequence[str] = ()
    # What was not looked at, or is not certain, and may make a difference; the text says it too.
    limits: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the answer as it is stored with the request."""
        return {
            "kind": self.understood.kind,
            "forms": list(self.forms),
            "limits": list(self.limits),
            "understood": self.understood._asdict(),
            "answer": self.words,
            "evidence": [item._asdict() for item in self.evidence],
        }


def of_commit(row: LineCommit, path: str | None = None) -> Evidence:
    """Return a commit as evidence, optionally of a path in it."""
    return Evidence(row.oid, path, None, f"{row.date} {row.author}: {row.subject}")


class QuestionContext(NamedTuple):
    """The arguments of every answering function."""

    connection: Connection
    snapshot: Snapshot
    subject: str
    # What an answering function finds that its answer may leave out.
    limits: list[str]
    # The second subject, of kinds that have two.
    other: str = ""
    # The parts of the definition that is meant, where the subject may name several.
    meant: tuple[SymbolLocation, ...] = ()
    # The time that the question says.
    window: str = ""
    # The file or folder to which the question limits what is looked for.
    within: str = ""

    def limit(self, sentence: str) -> None:
        """Say with the answer what it may leave out, or what it takes for granted."""
        if sentence not in self.limits:
            self.limits.append(sentence)

    def keeps(self, path: str) -> bool:
        """Return whether a file is where the question looks for something."""
        return is_in(path, self.within)

    @property
    def where(self) -> str:
        """Return where something is looked for, as the end of a sentence; '' for everywhere."""
        return f" in {self.within}" if self.within else ""

    @property
    def short_name(self) -> str:
        """Return the name that the subject ends with, without its scopes, path and parameters."""
        return re.split(r"[.:#]|->", self.subject.partition("<")[0])[-1]

    def at(self, path: str, line: int, words: str) -> Evidence:
        """Return evidence in the snapshot."""
        return Evidence(self.snapshot.commit_oid, path, line, " ".join(words.split())[:300])

    def at_each(self, path: str, lines: Sequence[int], words: str) -> list[Evidence]:
        """Return evidence of the first lines of a file that show the same."""
        return [self.at(path, line, words) for line in lines[:MAX_ROWS]]

    def at_definition(self) -> Evidence:
        """Return evidence of where the subject is: the file, or the symbol's first definition."""
        if path := self.file():
            return self.at(path, 1, path)
        symbol = self.definition()
        return self.at(symbol.path, symbol.line, symbol.signature or symbol.name)

    def objects(self) -> Path:
        """Return the folder that git reads."""
        return repositories.find(self.connection, self.snapshot.repository).objects

    def texts(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the content of small files of the snapshot, in the order of `paths`."""
        oids = lookups.object_ids(self.connection, self.snapshot, paths)
        contents = trees.read_texts(self.objects(), [(path, oids[path]) for path in paths if path in oids])
        return {path: contents[path].decode("utf-8", "replace") for path in paths if path in contents}

    def file(self) -> str | None:
        """Return the file that the subject names, None if it is a symbol: many files have the name of a class."""
        if self.meant:
            return None
        paths = lookups.files(self.connection, self.snapshot, self.subject)
        if paths and not re.search(r"[/.]", self.subject):
            if lookups.folder(self.connection, self.snapshot, self.subject) == self.subject:
                # That a file of another extension has the name says less.
                return None
            return None if lookups.symbols(self.connection, self.snapshot, self.subject) else paths[0]
        # "Shop.open" may be a method, and a module of Python.
        dotted = bool(paths) and "/" not in self.subject and not paths[0].endswith(self.subject)
        if dotted and any(
            symbol.name.endswith(self.subject)
            for symbol in lookups.symbols(self.connection, self.snapshot, self.subject)
        ):
            return None
        return paths[0] if paths else None

    def folder(self) -> str | None:
        """Return the folder that the subject names, None if it is a file or a symbol; with a slash it is neither."""
        name = self.subject.strip("/").removeprefix("./")
        found = lookups.folders(self.connection, self.snapshot, name) if name and not self.meant else []
        if not found or self.file() or ("/" not in self.subject and self._is_symbol(name)):
            return None
        if found[0] != name and found[1:]:
            self.limit(f"this is of {found[0]}; other folders have that name, too: {listed(found[1:])}")
        return found[0]

    def _is_symbol(self, name: str) -> bool:
        """Return whether a symbol has a name as it is written."""
        symbols = lookups.symbols(self.connection, self.snapshot, name)
        return any(lookups.short_name(symbol.name) == lookups.short_name(name) for symbol in symbols)

    def path(self) -> str:
        """Return the file the subject means: by its path, else where the symbol of that name is defined."""
        return self.file() or self.definition().path

    def definition(self) -> SymbolLocation:
        """Return the definition that is meant, else the first of the subject."""
        if self.meant:
            return self.meant[0]
        symbols = lookups.symbols(self.connection, self.snapshot, self.subject)
        if not symbols:
            if folder := self.folder():
                first = lookups.below(self.connection, self.snapshot, folder)[0]
                raise UnansweredError(
                    f"{folder} is a folder, and this is known of functions, types and files; ask for {first}, say"
                )
            raise UnansweredError(
                f"no function, type or file of {self.snapshot.repository} has the name {self.subject!r}"
            )
        return symbols[0]

    def symbol(self) -> SymbolLocation | None:
        """Return the definition that is meant, None for a file."""
        return None if self.file() else self.definition()

    def declared(self, symbols: Sequence[SymbolLocation]) -> list[SymbolLocation]:
        """Return symbols with the line that has their name: before it are annotations, or in C what is returned."""
        annotated = {
            symbol.path
            for symbol in symbols
            if symbol.signature.startswith(("@", "[", "#["))
            or (symbol.path.endswith(C_FAMILY) and symbol.kind in ("function", "method"))
        }
        texts = self.texts(sorted(annotated))
        lines = {path: content.splitlines() for path, content in texts.items()}
        found = []
        for symbol in symbols:
            short = parts_of(symbol.name)[-1].strip("`")
            name = re.compile(rf"(?<!\w){re.escape(short)}(?!\w)")
            own = lines.get(symbol.path, ())[symbol.line - 1 : symbol.end_line]
            offset = next((number for number, line in enumerate(own) if name.search(line)), 0)
            found.append(symbol._replace(line=symbol.line + offset))
        return found

    def at_call(self, call: Call, line: int | None = None) -> Evidence:
        """Return a call as evidence, on its own line or that of the symbol which makes it."""
        words = f"{call.caller or 'top level'} calls {call.name}"
        return self.at(call.path, line or call.line, words)

    def at_names(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return measured functions (`path`, `line`, `function`) with the line that has their name, likewise."""
        found = lookups.enclosing_symbols(
            self.connection, self.snapshot, [(row["path"], row["line"]) for row in rows]
        )
        named = {symbol: self.declared([symbol])[0].line for symbol in found.values()}
        symbols = [found.get((row["path"], row["line"])) for row in rows]
        return [
            # Else something else begins on the line, too.
            {**row, "line": named[symbol]} if symbol and symbol.name == row["function"] else row
            for row, symbol in zip(rows, symbols, strict=True)
        ]


def parts_of(name: str) -> list[str]:
    """Return the scopes of a qualified name, as any language writes them, and the name itself last."""
    return re.split(r"[.:#\\]+|->", name)


def is_in(path: str, place: str) -> bool:
    """Return whether a path is a place: a file, or below it: a folder; all are in ''."""
    return not place or path == place or path.startswith(f"{place}/")


def count(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural unless it is 1."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def counted(number: int, noun: str, verb: str) -> str:
    """Return the number with its noun and verb: 1 file imports, 2 files import."""
    return f"{count(number, noun)} {verb}{'s' if number == 1 else ''}"


def listed(items: Sequence[str], total: int | None = None) -> str:
    """Return the first items as text, and how many more of `total` (default: all items) there are."""
    more = (total or len(items)) - min(len(items), MAX_ROWS)
    return ", ".join(items[:MAX_ROWS]) + (f" and {more:,} more" if more > 0 else "")
