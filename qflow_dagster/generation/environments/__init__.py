"""Environments: the packages that a repository's tests need, downloaded without running its code.

- `protocol`: the manifests that are read, and what an environment is
- `cache`: environments are kept in the state folder
- `fetching`: an ecosystem's client at work, outside the sandbox
- `python`, `node`, `rust`, `go`: what the manifests of one ecosystem need, and how its packages get into the sandbox
- `python_requirements`, `python_metadata`: a Python project's requirements, and the metadata of itself

Belongs here: which ecosystems a command needs, and why there is no environment. Does not belong here: running
anything of the repository (`sandbox`).
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import Engine

from qflow_dagster import sandbox
from qflow_dagster.generation.environments import go, node, python, rust
from qflow_dagster.generation.environments.cache import Cache
from qflow_dagster.generation.environments.protocol import Environment, Manifests, NotAvailableError
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

__all__ = ["Environment", "Environments"]

OFF = "QFLOW_GENERATION_FETCH_PACKAGES is off"
MAKERS: dict[str, Callable[[Manifests, Cache], Environment]] = {
    "python": python.environment,
    "node": node.environment,
    "rust": rust.environment,
    "go": go.environment,
}
_ROOTS = {
    "python": {"pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", "Pipfile"},
    "node": {"package.json"},
    "rust": {"Cargo.toml"},
    "go": {"go.mod"},
}
_PROGRAMS = {
    **dict.fromkeys(("python3", "python", "pytest", "tox", "nox"), "python"),
    **dict.fromkeys(("npm", "npx", "node", "yarn", "pnpm", "jest", "mocha"), "node"),
    "cargo": "rust",
    "go": "go",
}
_BUILDS = {"mvn": "~/.m2", "gradle": "~/.gradle", "./gradlew": "~/.gradle"}


class Environments:
    """The environments of a repository at one commit, each made when it is needed first.

    A failed download is not tried again by the same object.
    """

    def __init__(
        self, engine: Engine, objects: Path, snapshot: Snapshot, report: ReportProgress | None = None
    ) -> None:
        self._of = (engine, objects, snapshot)
        self._report = report or (lambda stage, done, total: None)
        self._made: dict[str, Environment] = {}
        self._lock = threading.Lock()
        self._manifests: Manifests | None = None
        self._cache: Cache | None = None

    def of(self, ecosystem: str) -> Environment:
        """Return the environment of an ecosystem; without packages where there are none, with the reason."""
        with self._lock:
            if ecosystem not in self._made:
                self._made[ecosystem] = self._make(ecosystem)
            return self._made[ecosystem]

    def for_command(self, arguments: tuple[str, ...]) -> Environment:
        """Return the environment of a command: that of its program, else of all manifests in the root folder."""
        program = Path(arguments[0]).name if arguments else ""
        if settings().generation.fetch_packages and (folder := _BUILDS.get(program)):
            # What resolves their dependencies are plugins, which the build names.
            return Environment(f"needs the dependencies in {folder}: a build that downloads runs plugins")
        if program in _PROGRAMS:
            return self.of(_PROGRAMS[program])
        if not settings().generation.fetch_packages:
            return Environment(OFF)
        paths = self._read().paths
        return self.of_all(name for name, roots in _ROOTS.items() if not roots.isdisjoint(paths))

    def of_all(self, ecosystems: Iterable[str]) -> Environment:
        """Return the environments of several ecosystems as one; of those that are unknown there is none."""
        made = [self.of(name) for name in ecosystems if name in MAKERS]
        if len(made) == 1:
            return made[0]
        packages = [environment.packages for environment in made]
        return Environment(
            "; ".join(dict.fromkeys(environment.evidence for environment in made))
            or "no manifest names packages",
            "-".join(environment.key for environment in made if environment.key),
            sandbox.Packages(
                tuple(mount for each in packages for mount in each.mounts),
                {name: value for each in packages for name, value in each.variables.items()},
                tuple(program for each in packages for program in each.programs),
            ),
            tuple(folder for environment in made for folder in environment.folders),
        )

    def _make(self, ecosystem: str) -> Environment:
        if not settings().generation.fetch_packages:
            return Environment(OFF)
        if sandbox.available() == "none":
            return Environment("packages need isolation")
        if self._cache is None:
            self._cache = Cache()
        self._report("fetching packages", 0, 1)
        try:
            return MAKERS[ecosystem](self._read(), self._cache)
        except NotAvailableError as error:
            return Environment(f"no packages for {ecosystem}: {error}")
        finally:
            self._report("fetching packages", 1, 1)

    def _read(self) -> Manifests:
        if self._manifests is None:
            self._manifests = Manifests(*self._of)
        return self._manifests
