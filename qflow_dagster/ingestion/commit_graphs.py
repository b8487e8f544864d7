"""Commit-graph files that our own git writes: with them, git reads long histories many times faster.

One in a repository's own objects may contradict the commits, and is never read. Ours lie under `$QFLOW_HOME` as object
folders with nothing else in them, before the objects of a stand-in: git reads the first commit-graph that it finds.
What they say of a commit stays true, because a commit never changes; newer commits are read as usual.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.stand_ins import quoted, stand_in
from qflow_dagster.safety.folders import remove
from qflow_dagster.safety.private_folders import private_folder
from qflow_dagster.settings import settings

# With more commits than this, the paths that a commit changed are summarized for these many at a time.
MAX_FILTERS = 50_000
WRITE_TIMEOUT = 60.0
_READ = ("core.commitGraph=true",)


class HistoryReader(NamedTuple):
    """A stand-in for a repository, with the object folder of its commit-graph, None if there is none."""

    repository: Path
    graph: Path | None

    def run(self, *arguments: str, configuration: tuple[str, ...] = (), **options: Any) -> bytes:
        """Run git as `git.run` does."""
        if self.graph is None:
            return git.run(self.repository, *arguments, configuration=configuration, **options)
        variables = {
            "GIT_OBJECT_DIRECTORY": str(self.graph),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(quoted(os.fsencode(self.repository / "objects"))),
        }
        configuration = (*configuration, *_READ)
        return git.run(
            self.repository, *arguments, configuration=configuration, variables=variables, **options
        )


@contextmanager
def history_of(objects: Path) -> Iterator[HistoryReader]:
    """Create a stand-in that reads our commit-graph of the repository, if there is one."""
    folder = _folder(objects)
    with stand_in(objects) as repository:
        yield HistoryReader(repository, folder if (folder / "info" / "commit-graph").is_file() else None)


def write(objects: Path, commit: str) -> None:
    """Write the commit-graph of a commit and the tags; without one, git reads the commits, which takes longer."""
    folder = private_folder(_folder(objects))
    options = ("--stdin-commits", "--changed-paths", f"--max-new-filters={MAX_FILTERS}", "--no-progress")
    # A missing object, or a very long history: the file that was there before stays.
    with stand_in(objects) as repository, suppress(git.GitError):
        tips = git.run(objects, "for-each-ref", "--format=%(objectname)", "refs/tags") + commit.encode()
        HistoryReader(repository, folder).run(
            "commit-graph", "write", *options, stdin=tips + b"\n", timeout=WRITE_TIMEOUT
        )


def delete(objects: Path) -> None:
    """Delete the commit-graph of a repository."""
    remove(_folder(objects))


def _folder(objects: Path) -> Path:
    name = hashlib.sha256(os.fsencode(objects.absolute())).hexdigest()[:32]
    return settings().home.absolute() / "commit-graphs" / name
