"""The protocol of generators: the request that a generator gets, and the proposals that it returns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.embedded import Embedded
from qflow_dagster.evolution.matchers import Edit
from qflow_dagster.evolution.rules import Rule

# A name that a Python import binds, as it is written: level, module, name ('' for the module itself).
ImportedName = tuple[int, str, str]


class ImportCycle(NamedTuple):
    """The imports around a file that may be part of a cycle."""

    # (importing, imported) files, of the imports of other files that run with their file.
    edges: frozenset[tuple[str, str]]
    # The files of the repository that the file imports by each name.
    targets: Mapping[ImportedName, tuple[str, ...]]
    # A file of the repository that evaluates annotations; '' if there is none.
    evaluator: str


class RecordedTests(NamedTuple):
    """Tests for statements of a function that no test runs; `evidence` says why there are none."""

    path: str
    function: str
    evidence: str
    names: tuple[str, ...] = ()
    # Import statements that the test file lacks, and the text to append to it.
    imports: tuple[str, ...] = ()
    text: str = ""
    # The file of the function with one small change each.
    mutants: tuple[str, ...] = ()
    # The lines of its statements, and those that tests run.
    statements: frozenset[int] = frozenset()
    covered: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the rest of the repository says of a file; None, or a missing key: not known."""

    # Types of expressions by their span (start, end), as the type checker writes them.
    types: Mapping[tuple[int, int], str] = field(default_factory=dict)
    # Names of this file that other files of the repository import or use.
    imported_names: frozenset[str] | None = None
    # A file whose content is missing, and which may use names of this file; empty: none.
    missing_file: str = ""
    # Why the fix is against how the repository writes such locations; empty: it is not.
    convention: str | None = None
    # Why == may mean something of its own in this repository (numpy, a class with __eq__); empty: it does not.
    foreign_equality: str | None = None
    # The oldest versions (major, minor) that the file's project supports, of what it names: `node`, `go`, ...
    versions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cycle: ImportCycle | None = None
    recorded: RecordedTests | None = None


# Of files of code that stands within another file.
_SUFFIXES = {"python": ".py", "javascript": ".js", "typescript": ".ts", "tsx": ".tsx"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to a generator: to fix the findings of a rule in one file of a commit.

    Of a file that holds code of another language (`embedded`), `text` is that code, and blank elsewhere; what is
    proposed is another text of it.
    """

    repository: str
    base: str
    path: str
    language: str
    text: str
    rule: Rule
    # Oldest Python supported, as ruff names it.
    target: str
    # (line, message) of each finding; empty: every location that the rule matches.
    findings: tuple[tuple[int, str], ...]
    surroundings: Surroundings = field(default_factory=Surroundings)
    embedded: Embedded | None = None
    # The function (file, name) that tests are to be added for, where the goal is its coverage.
    covers: tuple[str, str] | None = None

    @property
    def file(self) -> str:
        """The content of the file."""
        return self.text if self.embedded is None else self.embedded.file

    @property
    def code_path(self) -> str:
        """The path at which a tool finds the code as a file of its language."""
        return self.path if self.embedded is None else f"{self.path}{_SUFFIXES[self.language]}"

    def file_with(self, after: str) -> str:
        """Return the content of the file with another text.

        Raises:
            NotMergedError: it differs in more than code.
        """
        return after if self.embedded is None else self.embedded.merged(after)

    def text_of(self, file: str) -> str | None:
        """Return the text of another content of the file; None: there is no code in it."""
        return file if self.embedded is None else self.embedded.text_of(file)


class Fix(NamedTuple):
    """The change of one location, from its first line to its last: edits that belong together."""

    line: int
    end_line: int
    edits: tuple[Edit, ...]


class Withheld(NamedTuple):
    """A location for which no change is proposed, and the reason."""

    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change: new contents by path, and the usage (tokens, cost). Empty contents: nothing to change.

    `fixes` are the locations that the contents of the request's file are made of, so that some can be left out;
    without them the change is taken or refused as a whole.
    """

    contents: dict[str, str]
    note: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()
    withheld: tuple[Withheld, ...] = ()


class NotApplicableError(QflowError):
    """A generator's answer is not a valid proposal; `usage` is what the answer cost."""

    def __init__(self, message: str, usage: dict[str, Any]) -> None:
        super().__init__(message)
        self.usage = usage


class Generator(Protocol):
    """Something that proposes changes."""

    name: str
    # True: called in a worker process, which has neither network settings nor secrets.
    isolated: bool
    # What one request is expected to cost, in the currency of the model's prices.
    cost: float

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it can propose changes for findings of that rule."""
        ...

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield proposals, none where there is nothing to change."""
        ...
