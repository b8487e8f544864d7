"""The metadata of the project itself, which is not built: what `importlib.metadata` finds inside.

Belongs here: a `*.dist-info` folder from what the manifests state (name, version, entry points). The text is a
repository's: every value is one line.
"""

import re
from collections.abc import Mapping
from configparser import ConfigParser
from contextlib import suppress
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from qflow_dagster.generation.environments.protocol import Manifests, strings, table
from qflow_dagster.generation.environments.python_requirements import PythonRequirements

MAX_LENGTH = 500
_VERSION_IN_CODE = re.compile(
    r"^__version__(?: ?: ?[\w.]{1,40})? ?= ?[\"'](?P<version>[\w.+!-]{1,60})[\"']", re.M
)
_VERSION_IN_TAG = re.compile(r"\d[\w.+!-]{0,60}$")


def metadata(manifests: Manifests, requirements: PythonRequirements) -> dict[str, str]:
    """Return the files of the project's `*.dist-info` folder by path; none if its name is not known."""
    name = str(canonicalize_name(requirements.name))
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,100}[a-z0-9])?", name):
        return {}
    project = table(requirements.project, "project")
    version = _version(manifests, requirements)
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    return {
        f"{folder}/METADATA": _metadata(requirements.name, version, project),
        f"{folder}/INSTALLER": "qflow\n",
        f"{folder}/entry_points.txt": _entry_points(project, requirements),
    }


def _metadata(name: str, version: Version, project: Mapping[str, Any]) -> str:
    fields = [("Metadata-Version", "2.1"), ("Name", name), ("Version", str(version))]
    fields += [("Summary", project.get("description")), ("Requires-Python", project.get("requires-python"))]
    authors = project.get("authors")
    for author in authors if isinstance(authors, list) else []:
        person = {key: table(author).get(key) for key in ("name", "email")}
        if all(isinstance(value, str) for value in person.values()):
            fields.append(("Author-email", f"{person['name']} <{person['email']}>"))
        else:
            fields += [("Author", person["name"]), ("Author-email", person["email"])]
    fields += [("Project-URL", f"{label}, {url}") for label, url in table(project, "urls").items()]
    return "".join(f"{field}: {_line(value)}\n" for field, value in fields if isinstance(value, str))


def _entry_points(project: Mapping[str, Any], requirements: PythonRequirements) -> str:
    groups: dict[str, Mapping[str, Any]] = {
        "console_scripts": table(project, "scripts")
        or table(requirements.project, "tool", "poetry", "scripts"),
        **table(project, "entry-points"),
    }
    lines = []
    for group, entries in groups.items():
        lines.append(f"[{_line(group)}]")
        lines += [f"{_line(key)} = {_line(value)}" for key, value in table(entries).items()]
    lines += _section(requirements.setup)
    return "\n".join(lines) + "\n"


def _section(setup: ConfigParser) -> list[str]:
    lines = []
    if setup.has_section("options.entry_points"):
        for group, entries in setup["options.entry_points"].items():
            lines.append(f"[{_line(group)}]")
            lines += [_line(entry) for entry in entries.splitlines() if "=" in entry]
    return lines


def _version(manifests: Manifests, requirements: PythonRequirements) -> Version:
    """Return the version that is stated, in the manifests or in the package, or that of the nearest tag, or 0."""
    poetry = table(requirements.project, "tool", "poetry").get("version")
    stated = [table(requirements.project, "project").get("version"), poetry]
    stated.append(requirements.setup.get("metadata", "version", fallback=""))
    folder = str(canonicalize_name(requirements.name)).replace("-", "_")
    roots = [f"{root}{folder}" for root in ("src/", "")]
    files = [
        f"{root}/{name}.py" for root in roots for name in ("__init__", "__version__", "_version", "version")
    ]
    for content in manifests.texts(files).values():
        stated += [match["version"] for match in _VERSION_IN_CODE.finditer(content)][:1]
    if match := _VERSION_IN_TAG.search(manifests.nearest_tag()):
        stated.append(match[0])
    for text in stated:
        with suppress(InvalidVersion, TypeError):
            if isinstance(text, str) and len(text) < MAX_LENGTH:
                return Version(text)
    return Version("0")


def source_folders(manifests: Manifests, requirements: PythonRequirements) -> list[str]:
    """Return the folders of the checkout from which the project's packages are imported; '' is its root."""
    setuptools = table(requirements.project, "tool", "setuptools")
    stated = [
        table(setuptools, "package-dir").get(""),
        *strings(table(setuptools, "packages", "find").get("where")),
    ]
    folders = [
        folder
        for folder in dict.fromkeys(("src", *stated))
        if isinstance(folder, str) and re.fullmatch(r"\w+", folder)
    ]
    prefixes = [
        folder for folder in folders if any(path.startswith(f"{folder}/") for path in manifests.paths)
    ]
    # A folder called `src` that is a package itself is imported from the root.
    return [folder for folder in prefixes if f"{folder}/__init__.py" not in manifests.paths] + [""]


def _line(value: Any) -> str:
    """Return a value of a manifest as one line."""
    return " ".join(str(value).split())[:MAX_LENGTH]
