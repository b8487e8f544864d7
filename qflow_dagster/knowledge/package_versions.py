"""Read which versions of packages manifests require, as they write it.

Belongs here: the constraint of each package, by the format of the manifest. Does not belong here: which packages are
required (`manifests`), versions of languages and tools (`runtime_versions`).
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# What manifests of some packages say of versions for others, by the kind of manifest and the package.
Shared = Mapping[str, str]
_Pairs = Iterator[tuple[str, Any]]

_REQUIREMENT = re.compile(
    r"\s{0,9}([A-Za-z0-9][\w.-]*)\s{0,9}(?:\[[^\]]{0,200}\])?\s{0,9}\(?([^;()@#]{0,200})"
)
_OF_NUGET = re.compile(r"\bInclude=\"([^\"]{1,100})\"")
_VERSION_OF_NUGET = re.compile(r"\bVersion=\"([^\"]{1,100})\"|<Version>([^<]{1,100})<")
# Packages in programs, each with what stands after it: `add_dependency "rack", ">= 2", "< 4"`.
_QUOTED = r"[\"']([\w./:@-]{2,300})[\"']((?:,\s{0,9}\[?[\"'][^\"'\n]{1,60}[\"']){0,4})"
_IN_PROGRAMS = {
    ".gemspec": re.compile(r"\.add_(?:runtime_)?dependency[ (]{1,4}" + _QUOTED),
    "Gemfile": re.compile(r"^\s{0,12}gem[ (]{1,4}" + _QUOTED, re.MULTILINE),
    "Podfile": re.compile(r"^\s{0,12}pod[ (]{1,4}" + _QUOTED, re.MULTILINE),
    "mix.exs": re.compile(r"^\s{0,12}\{:(\w{1,100})(,\s{0,9}\"[^\"\n]{1,60}\")", re.MULTILINE),
}
_OF_SWIFT = re.compile(
    r"\burl:\s{0,9}\"([^\"\n]{1,300})\"\s{0,99},\s{0,99}([^()\n]{1,100}(?:\([^()\n]{0,100}\))?)"
)


def shared(path: str, content: str) -> dict[str, str]:
    """Return the versions that a manifest says for others: of a Cargo workspace, of central packages of NuGet."""
    if path.endswith("Cargo.toml"):
        named = (tomllib.loads(content).get("workspace") or {}).get("dependencies") or {}
        return {f"cargo {key}": _of_table(entry) for key, entry in named.items()}
    if path.endswith("Packages.props"):
        return {f"nuget {name}": version for name, version in _in_msbuild(content, "PackageVersion")}
    return {}


def constraints(path: str, content: str, others: Shared) -> dict[str, str]:
    """Return the constraint of each package of a manifest that has one; `others` is what others say for this one."""
    name = path.rpartition("/")[2]
    for ending, read in _READERS.items():
        if name.endswith(ending):
            said = {
                package: " ".join(str(words).split()) for package, words in read(content, others) if words
            }
            return {
                package: words for package, words in said.items() if "${" not in words and "$(" not in words
            }
    for ending, pattern in _IN_PROGRAMS.items():
        if name.endswith(ending):
            found = pattern.findall(content)
            return {
                package: ", ".join(re.findall(r"[\"']([^\"']+)[\"']", words))
                for package, words in found
                if words
            }
    return {}


def _of_table(entry: object) -> str:
    return str(entry.get("version") or "") if isinstance(entry, dict) else str(entry)


def _cargo(content: str, others: Shared) -> _Pairs:
    manifest = tomllib.loads(content)
    for table in (manifest, *(manifest.get("target") or {}).values()):
        for key, entry in (table.get("dependencies") or {}).items():
            options = entry if isinstance(entry, dict) else {}
            version = others.get(f"cargo {key}", "") if options.get("workspace") else _of_table(entry)
            yield options.get("package") or key, version


def _npm(content: str, _: Shared) -> _Pairs:
    manifest = json.loads(content)
    for kind in ("optionalDependencies", "peerDependencies", "dependencies"):
        for key, version in (manifest.get(kind) or {}).items():
            alias = re.match(r"npm:(@?[^@]+)@?", str(version))
            yield (alias[1], str(version)[alias.end() :]) if alias else (key, version)


def _composer(content: str, _: Shared) -> _Pairs:
    yield from (json.loads(content).get("require") or {}).items()


def _go(content: str, _: Shared) -> _Pairs:
    block = ""
    for line in content.splitlines():
        words = line.partition("//")[0].split()
        if words[1:2] == ["("]:
            block = words[0]
        elif words[:1] == [")"]:
            block = ""
        elif words[:1] == ["require"] and words[2:]:
            yield words[1], words[2]
        elif block == "require" and words[1:]:
            yield words[0], words[1]


def _pyproject(content: str, _: Shared) -> _Pairs:
    manifest = tomllib.loads(content)
    project = manifest.get("project") or {}
    poetry = (manifest.get("tool") or {}).get("poetry") or {}
    for entries in (
        (project.get("optional-dependencies") or {}) | {"": project.get("dependencies") or []}
    ).values():
        yield from _requirements(entries)
    for key, entry in (poetry.get("dependencies") or {}).items():
        yield key, _of_table(entry)


def _requirements(entries: list[str]) -> _Pairs:
    for entry in entries:
        if match := _REQUIREMENT.match(entry):
            yield match[1], match[2]


def _maven(content: str, _: Shared) -> _Pairs:
    for block in content.split("<dependency>")[1:]:
        block = block.partition("</dependency>")[0]
        artifact = re.search(r"<artifactId>([^<]{1,100})<", block)
        version = re.search(r"<version>([^<]{1,100})<", block)
        if artifact and version:
            yield artifact[1], _resolved(version[1].strip(), r"\$\{([^{}]{1,100})\}", content)


def _msbuild(content: str, others: Shared) -> _Pairs:
    for package, version in _in_msbuild(content, "PackageReference"):
        yield package, version or others.get(f"nuget {package}", "")


def _in_msbuild(content: str, element: str) -> _Pairs:
    for block in content.split(f"<{element} ")[1:]:
        block = re.split(rf"/>|</{element}", block, maxsplit=1)[0]
        if match := _OF_NUGET.search(block):
            version = _VERSION_OF_NUGET.search(block)
            said = (version[1] or version[2]) if version else ""
            yield match[1], _resolved(said, r"\$\(([^()]{1,100})\)", content)


def _resolved(version: str, variable: str, content: str) -> str:
    """Return a version whose variable is written out, if the manifest gives it one value."""
    if not (named := re.fullmatch(variable, version)):
        return version
    values = set(re.findall(rf"<{re.escape(named[1])}(?:\s[^<>]{{0,200}})?>([^<]{{1,100}})</", content))
    return values.pop().strip() if len(values) == 1 else version


def _swift(content: str, _: Shared) -> _Pairs:
    for address, words in _OF_SWIFT.findall(content):
        yield address.removesuffix(".git").rpartition("/")[2], words.replace('"', "")


_READERS: dict[str, Callable[[str, Shared], _Pairs]] = {
    "Cargo.toml": _cargo,
    "package.json": _npm,
    "composer.json": _composer,
    "go.mod": _go,
    "pyproject.toml": _pyproject,
    "requirements.txt": lambda content, _: _requirements(content.splitlines()),
    "pom.xml": _maven,
    ".csproj": _msbuild,
    ".props": _msbuild,
    "Package.swift": _swift,
}
