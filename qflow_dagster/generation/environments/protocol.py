"""Manifests of a repository as makers of environments read them, and the environment that they return.

Belongs here: the manifests of a repository, which are hostile text, and the result. Does not belong here: what
the manifests of one ecosystem mean (`python`, `node`, `rust`, `go`).
"""

import configparser
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.safety.display import visible_line
from qflow_dagster.sandbox import Packages

# Where packages lie inside the sandbox.
INSIDE = "/packages"
MAX_TEXT = 400_000
MAX_LOCK = 10_000_000
MAX_NAMED = 5


class NotAvailableError(QflowError):
    """There is no environment, for the reason that the message states."""


class Environment(NamedTuple):
    """The packages that commands of a repository see in the sandbox.

    `evidence` says what they are, or why there are none; `key` is '' if there are none. `folders` must exist, empty,
    in the checkout: packages are mounted there.
    """

    evidence: str
    key: str = ""
    packages: Packages = Packages()
    folders: tuple[str, ...] = ()

    def prepare(self, checkout: Path) -> None:
        """Make the folders of a checkout, which no command has seen yet, on which packages are mounted."""
        for name in self.folders:
            (checkout / name).mkdir()


class Manifests:
    """The files of a commit that state what it needs: at most 400 KB, a lock file 10 MB; links are left out."""

    def __init__(self, engine: Engine, objects: Path, snapshot: Snapshot) -> None:
        self.objects, self.commit = objects, snapshot.commit_oid
        query = text(
            f"SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')"
        )
        with engine.connect() as connection:
            rows = connection.execute(query, snapshot.interval).all()
        self.paths: Mapping[str, str] = {row.path: row.oid for row in rows}

    def texts(self, paths: Iterable[str], *, limit: int = MAX_TEXT) -> dict[str, str]:
        """Return the text of those of the files that exist and have at most `limit` bytes."""
        files = [(self.paths[path], path) for path in paths if path in self.paths]
        sizes = trees.blob_sizes(self.objects, list(dict.fromkeys(oid for oid, _ in files)))
        files = [(oid, path) for oid, path in files if sizes.get(oid, limit + 1) <= limit]
        return {
            path: content.decode("utf-8", "replace").removeprefix("\ufeff")
            for (_, path), content in zip(files, trees.read_blobs(self.objects, files), strict=True)
        }

    def text(self, path: str) -> str:
        """Return the text of a file; '' if there is none, or it is too large."""
        return self.texts([path]).get(path, "")

    def toml(self, path: str) -> dict[str, Any]:
        """Return a TOML file as data; empty if it is none."""
        with suppress(tomllib.TOMLDecodeError, RecursionError):
            return tomllib.loads(self.text(path))
        return {}

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON file with an object as data; empty if it is none. It may be as large as a lock file."""
        with suppress(ValueError, RecursionError):
            value = json.loads(self.texts([path], limit=MAX_LOCK).get(path, "{}"))
            return value if isinstance(value, dict) else {}
        return {}

    def ini(self, path: str) -> configparser.ConfigParser:
        """Return an INI file; empty if it is none."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(self.text(path))
        except configparser.Error:
            return configparser.ConfigParser(interpolation=None)
        return parser

    def nearest_tag(self) -> str:
        """Return the last tag before the commit, or ''."""
        with suppress(git.GitError):
            arguments = ("describe", "--tags", "--abbrev=0", "--end-of-options", self.commit)
            return git.run(self.objects, *arguments).decode("utf-8", "replace").strip()
        return ""


# Called with the manifests; raises NotAvailableError.
Maker = Callable[[Manifests], Environment]


def table(value: Any, *path: str) -> dict[str, Any]:
    """Return the table at a path of keys in data of a manifest; empty if there is something else."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    """Return the strings of a list in data of a manifest."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def some(items: Sequence[str]) -> str:
    """Return the first of some texts of a repository, as one line to display."""
    shown = ", ".join(visible_line(item, 80) for item in items[:MAX_NAMED])
    return shown + (f" and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else "")
