"""What a gate is called with, and what it returns."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from qflow_dagster.generation.environments import Environments
from qflow_dagster.generation.validation import Gate
from qflow_dagster.ingestion import checkouts
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.safety.folders import work_folder


class Batch:
    """The repository at the commit that a batch of candidates changes."""

    def __init__(
        self,
        engine: Engine,
        objects: Path,
        snapshot: Snapshot,
        environments: Environments | None = None,
    ) -> None:
        self.engine, self.objects, self.snapshot = engine, objects, snapshot
        self.environments = environments or Environments(engine, objects, snapshot)

    @contextmanager
    def checkout(self, contents: Mapping[str, str] | None = None) -> Iterator[Path]:
        """Check the commit out, with these files replaced; the folder is removed afterwards."""
        with work_folder("qflow-gates-") as outer:
            # The outer folder stays ours alone; the inner one may be owned by the sandbox's user.
            folder = outer / "work"
            folder.mkdir()
            with checkouts.scratch(self.objects) as store:
                checkouts.export(store, self.snapshot.commit_oid, folder)
            for path, text in (contents or {}).items():
                (folder / path).write_bytes(text.encode())
            yield folder


class Result(NamedTuple):
    """What a gate says of a candidate, and the locations it blames: (path, first line) and the reason."""

    gate: Gate
    blamed: Mapping[tuple[str, int], str] = {}
