"""What an answer is made of: what was asked of which snapshot, its evidence, and how facts are listed in words.

Belongs here: what every answering function uses. Does not belong here: the answers (`answers`), SQL (`lookups`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.lookups import Place
from qflow_dagster.knowledge.questions import Understood

MAX_ROWS = 10


class UnansweredError(QflowError):
    """Nothing that was ingested answers it; another attempt, after more was ingested, may."""


class Evidence(NamedTuple):
    """Where an answer comes from: a line (1-based) of a path at a commit, or the commit alone; and what is there."""

    commit: str
    path: str | None
    line: int | None
    words: str


class Answer(NamedTuple):
    """What was understood, the answer in words, and its evidence, best first."""

    understood: Understood
    words: str
    evidence: list[Evidence]

    def as_json(self) -> dict[str, Any]:
        """As it is stored with the request."""
        return {
            "understood": self.understood._asdict(),
            "answer": self.words,
            "evidence": [one._asdict() for one in self.evidence],
        }


class Asked(NamedTuple):
    """What every answering function gets."""

    connection: Connection
    snapshot: Snapshot
    subject: str

    def at(self, path: str, line: int, words: str) -> Evidence:
        """Evidence in the snapshot."""
        return Evidence(self.snapshot.commit_oid, path, line, " ".join(words.split())[:300])

    def path(self) -> str:
        """The one file the subject means: by path, else where the symbol of that name is defined."""
        found = lookups.files(self.connection, self.snapshot, self.subject)
        if found:
            return found[0]
        return self.place().path

    def place(self) -> Place:
        """The first definition of the subject."""
        found = lookups.symbols(self.connection, self.snapshot, self.subject)
        if not found:
            raise UnansweredError(
                f"no file or symbol of {self.snapshot.repository} is called {self.subject!r}"
            )
        return found[0]


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def listed(items: Sequence[str], total: int | None = None) -> str:
    """The first of the items, and how many more there are of `total` (all of them, unless told)."""
    more = (total or len(items)) - min(len(items), MAX_ROWS)
    return ", ".join(items[:MAX_ROWS]) + (f" and {more:,} more" if more > 0 else "")
