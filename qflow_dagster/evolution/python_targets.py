"""The oldest Python that code must run on, as the manifests of its project say: of the nearest folder that says it.

A repository may hold several projects. Its findings are those of one version: that of the root, or else the oldest
that any of its folders names; a change is made for the version of its own file.
"""

import posixpath
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import Any, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from sqlalchemy import Connection, text

from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

# Minor versions of Python 3: the range that ruff accepts, and the default for projects that name none.
OLDEST_PYTHON, DEFAULT_PYTHON, NEWEST_PYTHON = 7, 10, 14
# Files that say which Python a project supports.
MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "ruff.toml", ".ruff.toml")


class PythonTargets(NamedTuple):
    """Versions as ruff names them (py39; py27 for Python 2): of the repository, and of folders that name their own."""

    repository: str
    folders: Mapping[str, str]

    def of(self, path: str) -> str:
        """Return the oldest version that a file must run on."""
        folder = posixpath.dirname(path)
        while folder and folder not in self.folders:
            folder = posixpath.dirname(folder)
        return self.folders.get(folder, self.repository)


def python_targets(objects: Path, snapshot: Snapshot, connection: Connection) -> PythonTargets:
    """Return the oldest versions that the projects of a snapshot support."""
    query = text(f"""
        SELECT f.path, f.oid FROM files f
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND regexp_replace(f.path, '^.*/', '') = ANY(:manifests)
        ORDER BY f.path
    """)
    parameters = {**snapshot.interval, "manifests": list(MANIFESTS)}
    files = [(row.path, row.oid) for row in connection.execute(query, parameters)]
    return targets_in(trees.read_texts(objects, files))


def targets_in(files: Mapping[str, bytes]) -> PythonTargets:
    """Return those versions from the contents of manifests, by path."""
    manifests: dict[str, dict[str, bytes]] = defaultdict(dict)
    for path, data in files.items():
        folder, name = posixpath.split(path)
        manifests[folder][name] = data
    named = {folder: target_of(contents) for folder, contents in manifests.items()}
    folders = {folder: target for folder, target in named.items() if target is not None}
    repository = folders.get("") or oldest(folders.values() or [f"py3{DEFAULT_PYTHON}"])
    return PythonTargets(repository, folders)


def oldest(targets: Iterable[str]) -> str:
    """Return the oldest of some versions."""
    return min(targets, key=lambda target: (target[2], int(target[3:])))


def target_of(manifests: Mapping[str, bytes]) -> str | None:
    """Return the version that the manifests of one folder name, by name; None: they name none."""
    requirement = ""
    contents = {name: data.decode("utf-8", "replace") for name, data in manifests.items()}
    try:
        project: dict[str, Any] = tomllib.loads(contents.get("pyproject.toml", ""))
        poetry = project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
        requirement = str(project.get("project", {}).get("requires-python", "") or poetry)
    except (tomllib.TOMLDecodeError, AttributeError):
        pass
    if not requirement:
        config = ConfigParser(interpolation=None, strict=False)
        try:
            config.read_string(contents.get("setup.cfg", ""))
            requirement = config.get("options", "python_requires", fallback="")
        except ConfigError:
            requirement = ""
    if not requirement:
        declared = r"(?i)(?:python_requires|requires_python)\s*=\s*[\"']([^\"']+)"
        declaration = re.search(declared, contents.get("setup.py", ""))
        requirement = declaration[1] if declaration else ""
    return _oldest(requirement) or _configured(contents)


def _oldest(requirement: str) -> str | None:
    """Return the oldest Python that a requirement admits; py27 where it admits Python 2."""
    # Poetry's operators: ^3.9 and ~3.9 begin where >=3.9 does; 3.9 alone means that version.
    plain = re.sub(r"(\^|~(?!=))\s*", ">=", requirement.split("||")[0]).replace(" ", "")
    plain = re.sub(r"(?<![\d.*<>=!~])(\d[\d.*]*)(?=,|$)", r"==\1", plain)
    try:
        specifiers = SpecifierSet(plain)
    except InvalidSpecifier:
        return None
    if not plain:
        return None
    if specifiers.contains("2.7.18"):
        return "py27"
    minors = range(OLDEST_PYTHON - 7, NEWEST_PYTHON + 1)
    # A release late enough to be above any bound on patch versions.
    admitted = [
        minor for minor in minors if any(specifiers.contains(f"3.{minor}.{patch}") for patch in (0, 99))
    ]
    return f"py3{max(admitted[0], OLDEST_PYTHON)}" if admitted else None


def _configured(contents: Mapping[str, str]) -> str | None:
    """Return the oldest Python that settings of tools and classifiers name."""
    named = re.findall(r"target-version\s*=[^\n]*?\bpy3(\d+)", "\n".join(contents.values()))
    if not named:
        text = "\n".join(contents.get(name, "") for name in ("pyproject.toml", "setup.cfg", "setup.py"))
        if re.search(r"Python :: 2\b", text):
            return "py27"
        named = re.findall(r"Python :: 3\.(\d+)", text)
    if not named:
        environments = re.search(
            r"^envlist\s*=((?:.*\n)(?:[ \t]+.*\n)*)", contents.get("tox.ini", ""), re.MULTILINE
        )
        if environments and re.search(r"\bpy(?:\{(?:\w+,)*)?27?\b", environments[1]):
            return "py27"
        named = re.findall(r"py\{?(?:3\d+,)*3(\d+)", environments[1]) if environments else []
    oldest = min(map(int, named), default=None)
    return None if oldest is None else f"py3{min(max(oldest, OLDEST_PYTHON), NEWEST_PYTHON)}"
