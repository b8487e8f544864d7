"""Requirements of the tests of a Python project, read from its manifests as text.

Belongs here: where requirements are stated, and what of them is accepted: name, extras, versions and markers. What
names an address, a path or an option is not followed, but named. Does not belong here: downloading (`python`).
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from qflow_dagster.generation.environments.protocol import MAX_LOCK, Manifests, strings, table

MAX_REQUIREMENTS = 500
MAX_LENGTH = 500
MAX_FILES = 30
# Extras, groups and environments with what tests need.
_GROUPS = re.compile(r"(unit-?|dev-?)?tests?|testing|dev|develop|test-.*|tests-.*|hatch-test")
_FILES = re.compile(
    r"(tests?/)?(requirements([/_.-][a-z_-]{0,20}(test|dev|ci|base|main|py3)[a-z_-]{0,20})?"
    r"|[a-z_-]{0,20}(test|dev)[a-z_-]{0,20}requirements)\.(txt|in)"
)
_PINNED = re.compile(r'^name = "(?P<name>[^"\n]+)"\r?\nversion = "(?P<version>[^"\n]+)"', re.M)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")


class PythonRequirements:
    """The requirements of a project and its tests, for an interpreter with these values of markers."""

    def __init__(self, manifests: Manifests, markers: Mapping[str, str]) -> None:
        self._manifests, self._markers = manifests, markers
        self._read: set[tuple[str, str]] = set()
        self.project = manifests.toml("pyproject.toml")
        self.setup = manifests.ini("setup.cfg")
        declared = table(self.project, "project").get("name") or table(self.project, "tool", "poetry").get(
            "name"
        )
        name = declared or self.setup.get("metadata", "name", fallback="")
        self.name = name if isinstance(name, str) else ""
        # Requirement as a line -> its name. A list would repeat what several files state.
        self.wanted: dict[str, str] = {}
        self.pins: dict[str, str] = {}
        self.sources: dict[str, None] = {}
        self.not_followed: dict[str, None] = {}
        self.python = ""
        self._pyproject()
        self._setup_cfg()
        self._poetry()
        self._files()
        self._tox()
        self._locks()
        if "setup.py" in manifests.paths and not {"pyproject.toml", "setup.cfg"} & set(self.sources):
            self.not_followed["setup.py"] = None

    def add(self, stated: str, source: str, extra: str = "") -> None:
        """Accept a requirement that `source` states, or note that it is not followed."""
        stated = stated.strip()
        try:
            if len(stated) > MAX_LENGTH:
                raise InvalidRequirement("too long")
            requirement = Requirement(stated)
            applies = requirement.marker is None or requirement.marker.evaluate(
                {**self._markers, "extra": extra}
            )
        except (
            InvalidRequirement,
            UndefinedComparison,
            UndefinedEnvironmentName,
            InvalidVersion,
            RecursionError,
        ):
            self.not_followed[f"{stated} in {source}"] = None
            return
        if requirement.url:
            self.not_followed[f"{stated} in {source}"] = None
        elif applies and self.name and canonicalize_name(requirement.name) == canonicalize_name(self.name):
            for name in sorted(requirement.extras):
                self._extra(name)
        elif applies and len(self.wanted) < MAX_REQUIREMENTS:
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            # The marker is evaluated already: its text could hold a line break.
            line = f"{requirement.name}{extras}{requirement.specifier}"
            self.wanted[line] = canonicalize_name(requirement.name)
            self.sources[source] = None

    def _pyproject(self) -> None:
        project = table(self.project, "project")
        self.python = str(project.get("requires-python") or "")
        for line in strings(project.get("dependencies")):
            self.add(line, "pyproject.toml")
        for name in table(project, "optional-dependencies"):
            if _GROUPS.fullmatch(str(canonicalize_name(name))):
                self._extra(name)
        groups = {**table(self.project, "tool", "pdm", "dev-dependencies")}
        groups |= table(self.project, "dependency-groups")
        for name in groups:
            if _GROUPS.fullmatch(str(canonicalize_name(name))):
                self._group(groups, name)
        for name, environment in table(self.project, "tool", "hatch", "envs").items():
            if name == "default" or _GROUPS.fullmatch(name):
                for key in ("dependencies", "extra-dependencies"):
                    for line in strings(table(environment).get(key)):
                        self.add(line, "pyproject.toml")
                for extra in strings(table(environment).get("features")):
                    self._extra(extra)

    def _extra(self, name: str) -> None:
        """Accept the requirements of an extra of the project, once."""
        if ("extra", name) in self._read:
            return
        self._read.add(("extra", name))
        for stated, lines in table(self.project, "project", "optional-dependencies").items():
            if canonicalize_name(stated) == canonicalize_name(name):
                for line in strings(lines):
                    self.add(line, "pyproject.toml", extra=name)
        for line in self.setup.get("options.extras_require", name, fallback="").splitlines():
            if line.strip():
                self.add(line, "setup.cfg", extra=name)

    def _group(self, groups: Mapping[str, Any], name: str) -> None:
        """Accept a dependency group, with those it includes, once."""
        if ("group", name) in self._read:
            return
        self._read.add(("group", name))
        for item in groups[name] if isinstance(groups[name], list) else []:
            if isinstance(item, str):
                self.add(item, "pyproject.toml")
            elif (included := table(item).get("include-group")) is not None:
                for other in groups:
                    if canonicalize_name(other) == canonicalize_name(str(included)):
                        self._group(groups, other)

    def _setup_cfg(self) -> None:
        self.python = self.python or self.setup.get("options", "python_requires", fallback="")
        for line in self.setup.get("options", "install_requires", fallback="").splitlines():
            if line.strip() and not line.strip().startswith("#"):
                self.add(line, "setup.cfg")
        if self.setup.has_section("options.extras_require"):
            for name in self.setup["options.extras_require"]:
                if _GROUPS.fullmatch(str(canonicalize_name(name))):
                    self._extra(name)

    def _poetry(self) -> None:
        poetry = table(self.project, "tool", "poetry")
        tables = [table(poetry, "dependencies"), table(poetry, "dev-dependencies")]
        tables += [
            table(group, "dependencies")
            for name, group in table(poetry, "group").items()
            if _GROUPS.fullmatch(name)
        ]
        for dependencies in tables:
            for name, value in dependencies.items():
                version = table(value).get("version", "*") if isinstance(value, dict) else value
                if isinstance(value, dict) and {"git", "url", "path", "file", "source"} & set(value):
                    self.not_followed[f"{name} in pyproject.toml"] = None
                elif name == "python":
                    self.python = self.python or poetry_versions(str(version))
                elif not table(value).get("optional"):
                    extras = ",".join(strings(table(value).get("extras")))
                    stated = f"{name}{f'[{extras}]' if extras else ''}{poetry_versions(str(version))}"
                    marker = table(value).get("markers")
                    self.add(f"{stated}; {marker}" if isinstance(marker, str) else stated, "pyproject.toml")

    def _files(self) -> None:
        for path in sorted(path for path in self._manifests.paths if _FILES.fullmatch(path))[:MAX_FILES]:
            self._file(path)

    def _file(self, path: str) -> None:
        if ("file", path) in self._read or len(self._read) > MAX_REQUIREMENTS:
            return
        self._read.add(("file", path))
        text = self._manifests.text(path).replace("\\\r\n", " ").replace("\\\n", " ")
        self._lines(text.splitlines(), path)

    def _lines(self, lines: Iterable[str], source: str) -> None:
        """Accept the lines of a file of pip's: requirements, comments, further files of the repository."""
        for stated in lines:
            line = re.sub(r"(^|\s)#.*$", "", stated[: 20 * MAX_LENGTH]).partition(" --hash")[0].strip()
            if option := re.fullmatch(r"(?:-r|--requirement)[ =]*+(?P<path>\S+)", line):
                path = posixpath.normpath(posixpath.join(posixpath.dirname(source), option["path"]))
                if path in self._manifests.paths:
                    self._file(path)
                    continue
            # The checkout itself is there already.
            if line and not re.fullmatch(r"(-e|--editable) ?\.(\[[\w,-]*\])?|\.", line):
                self.add(line, source)

    def _tox(self) -> None:
        tox = self._manifests.ini("tox.ini")
        for section in ("testenv", "testenv:py", "testenv:test", "testenv:tests"):
            lines = tox.get(section, "deps", fallback="").replace("{toxinidir}/", "").splitlines()
            # A line with a colon is for some of several environments.
            self._lines((line for line in lines if ":" not in line), "tox.ini")

    def _locks(self) -> None:
        versions: dict[str, set[str]] = {}
        for content in self._manifests.texts(_LOCKS, limit=MAX_LOCK).values():
            for pinned in _PINNED.finditer(content):
                versions.setdefault(canonicalize_name(pinned["name"]), set()).add(pinned["version"])
        pipfile = self._manifests.json("Pipfile.lock")
        for section in ("default", "develop"):
            for name, about in table(pipfile, section).items():
                version = table(about).get("version")
                if isinstance(version, str):
                    self.add(name, "Pipfile.lock")
                    versions.setdefault(canonicalize_name(name), set()).add(version.removeprefix("=="))
                else:
                    self.not_followed[f"{name} in Pipfile.lock"] = None
        for name, found in versions.items():
            # Several versions are for several platforms or interpreters.
            with suppress(InvalidVersion, InvalidRequirement):
                if len(found) == 1 and Requirement(name):
                    self.pins[name] = str(Version(found.pop()))

    def refuses(self, version: str) -> bool:
        """Return whether the project says that it does not run on this version of Python."""
        with suppress(ValueError):
            return not SpecifierSet(self.python).contains(version, prereleases=True)
        return False


def poetry_versions(stated: str) -> str:
    """Return a constraint of Poetry's (`^1.2`, `~1.2`, `*`) as standard version specifiers."""
    parts = []
    for part in stated.split(","):
        match = re.fullmatch(r"(?P<kind>[~^])(?P<release>\d{1,9}(?:\.\d{1,9}){0,5})", part.strip())
        if match is None:
            text = part.strip()
            parts += [f"=={text}" if re.fullmatch(r"\d[\w.*+!-]*", text) else text] if text != "*" else []
            continue
        release = [int(number) for number in match["release"].split(".")]
        kept = 1 if match["kind"] == "~" else next((n for n, digit in enumerate(release) if digit), 0)
        kept = min(kept, len(release) - 1)
        limit = [*release[:kept], release[kept] + 1]
        parts.append(f">={match['release']},<{'.'.join(map(str, limit))}")
    return ",".join(parts)
