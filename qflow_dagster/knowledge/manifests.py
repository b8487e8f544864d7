"""Read the packages that manifests require: under their own names, with the constraints of their versions.

Belongs here: the formats of manifests, and what one manifest says for others. Does not belong here: which packages a
question means, answers (`configuration_answers`), how packages and modules are named (`package_names`), versions of
languages and tools (`runtime_versions`).
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

MANIFESTS = (
    r"^(?:pyproject\.toml|setup\.cfg|requirements\.txt|Cargo\.toml|package\.json|composer\.json|"
    r"go\.mod|Directory\.(?:Build|Packages)\.props|libs\.versions\.toml|pom\.xml|Gemfile|.*\.csproj|.*\.gemspec|"
    r"Package\.swift|Podfile|mix\.exs|build\.gradle(?:\.kts)?)$"
)
OTHER_MANIFESTS = (
    r"^(?:setup\.py|packages\.config|"
    r"CMakeLists\.txt|conanfile\.(?:py|txt)|vcpkg\.json|rebar\.config|build\.sbt|deno\.jsonc?|"
    r"configure\.ac|meson\.build|MODULE\.bazel|requirements[-_].*\.txt|environment\.ya?ml)$"
)
# A manifest that takes what it requires from elsewhere, or in further ways that are not read.
ELSEWHERE = re.compile(r"\bdynamic\s*=\s*\[[^\]]*dependencies|<parent>|<dependencyManagement>", re.MULTILINE)
# Extras and groups of these names are for those who develop the package.
_FOR_DEVELOPMENT = re.compile(
    r"(?:^|[-_])(?:dev|develop|development|tests?|testing|docs?|lint|typing|typecheck|mypy|bench\w*)(?:$|[-_])"
)


class Requirement(NamedTuple):
    """A package that a manifest requires, and what the manifest says of it; the constraint is '' if there is none."""

    package: str
    constraint: str = ""
    development: bool = False
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the package and its constraint, with the notes in parentheses."""
        notes = f"({', '.join(self.notes)})" if self.notes else ""
        return " ".join(filter(None, (self.package, self.constraint, notes)))


class Definition(NamedTuple):
    """What a manifest defines for others under one name: packages, and the constraint of their version."""

    packages: tuple[str, ...]
    constraint: str = ""


# By the names that other manifests use; those of Cargo and NuGet come after the word for the kind of manifest.
Shared = Mapping[str, Definition]
_Reader = Callable[[str, Shared], Iterator[Requirement]]


def shared(path: str, content: str) -> dict[str, Definition]:
    """Return what a manifest defines for others: a Cargo workspace, a version catalog, central packages of NuGet."""
    if path.endswith("Cargo.toml"):
        workspace = (tomllib.loads(content).get("workspace") or {}).get("dependencies") or {}
        return {
            f"cargo {key}": Definition((_package_of(key, entry),), _version_of(entry))
            for key, entry in workspace.items()
        }
    if path.endswith("Packages.props"):
        return {
            f"nuget {package}": Definition((package,), version)
            for package, version, _ in _of_nuget("PackageVersion", content)
        }
    return _of_catalog(content) if path.endswith("libs.versions.toml") else {}


def read(path: str, content: str, others: Shared) -> list[Requirement]:
    """Return what a manifest requires, at run time before development, each once, with the last constraint it has.

    `others`: what other manifests define for this one.
    """
    name = path.rpartition("/")[2].removesuffix(".kts")
    reader = next((reader for ending, reader in _READERS.items() if name.endswith(ending)), _setup_cfg)
    constraints: dict[Requirement, str] = {}
    for entry in reader(content, others):
        bare = entry._replace(constraint="")
        constraints[bare] = entry.constraint or constraints.get(bare, "")
    # A profile of Maven may require at run time what the project itself requires for tests.
    both = reader is _maven
    found = [
        bare._replace(constraint="" if "${" in words or "$(" in words else " ".join(words.split()))
        for bare, words in constraints.items()
        if both or not bare.development or bare._replace(development=False) not in constraints
    ]
    return sorted(found, key=lambda entry: entry.development)


def is_complete(content: str, requirements: list[Requirement]) -> bool:
    """Return whether a manifest says all it requires: nothing elsewhere, no name that no other manifest explains."""
    unknown = any("workspace" in entry.notes or entry.package.startswith("libs.") for entry in requirements)
    return not unknown and not ELSEWHERE.search(content)


def _entry(package: str, constraint: object, development: bool, *notes: str) -> Requirement:
    """Return an entry with those of the notes that say something."""
    return Requirement(package, str(constraint), development, tuple(filter(None, notes)))


def _package_of(key: str, entry: object) -> str:
    return str(entry.get("package") or key) if isinstance(entry, dict) else key


def _version_of(entry: object) -> str:
    return str(entry.get("version") or "") if isinstance(entry, dict) else str(entry)


def _optional(entry: object) -> str:
    """Return the note on an entry that is optional; '' of another one."""
    return "optional" if isinstance(entry, dict) and entry.get("optional") else ""


def _cargo(content: str, others: Shared) -> Iterator[Requirement]:
    manifest = tomllib.loads(content)
    for table in (manifest, *(manifest.get("target") or {}).values()):
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for key, entry in (table.get(kind) or {}).items():
                package, constraint, note = _package_of(key, entry), _version_of(entry), ""
                if isinstance(entry, dict) and entry.get("workspace"):
                    (package,), constraint = others.get(f"cargo {key}", Definition((key,)))
                    note = "" if f"cargo {key}" in others else "workspace"
                alias = f"as {key}" if package != key else ""
                yield _entry(package, constraint, kind != "dependencies", alias, _optional(entry), note)


def _npm(content: str, _: Shared) -> Iterator[Requirement]:
    manifest = json.loads(content)
    meta = manifest.get("peerDependenciesMeta") or {}
    for kind, note in _NPM_KINDS.items():
        for key, version in (manifest.get(kind) or {}).items():
            # "old": "npm:@scope/new@1.0"
            alias = re.match(r"npm:(@?[^@]+)@?(.*)", str(version))
            package, constraint = alias.groups() if alias else (key, version)
            optional = _optional(meta.get(key)) if note == "peer" else ""
            name = f"as {key}" if alias else ""
            yield _entry(package, constraint, kind == "devDependencies", name, note, optional)


_NPM_KINDS = {
    "dependencies": "",
    "peerDependencies": "peer",
    "optionalDependencies": "optional",
    "devDependencies": "",
}


def _composer(content: str, _: Shared) -> Iterator[Requirement]:
    manifest: dict[str, Any] = json.loads(content)
    for kind in ("require", "require-dev"):
        for package, constraint in (manifest.get(kind) or {}).items():
            yield _entry(package, constraint, kind == "require-dev")


def _go(content: str, _: Shared) -> Iterator[Requirement]:
    block, run, replaced = "", [], {}
    for line in content.splitlines():
        words = line.partition("//")[0].split()
        if words and words[0] in ("require", "replace", "exclude", "retract", "tool") and words[1:]:
            block, words = (words[0], []) if words[1] == "(" else ("", [words[0], *words[1:]])
        elif words[:1] == [")"]:
            block = ""
        elif block:
            words = [block, *words]
        if words[:1] == ["require"] and len(words) > 2:
            run.append((words[1], words[2], "indirect" if "// indirect" in line else ""))
        if words[:1] == ["replace"] and "=>" in words[:-1]:
            replaced[words[1]] = f"replaced by {words[words.index('=>') + 1]}"
    for package, version, note in run:
        yield _entry(package, version, False, note, replaced.get(package, ""))


def _pyproject(content: str, _: Shared) -> Iterator[Requirement]:
    manifest = tomllib.loads(content)
    project = manifest.get("project") or {}
    poetry = (manifest.get("tool") or {}).get("poetry") or {}
    run = [*_of_python(project.get("dependencies") or [])]
    run += [
        _entry(key, _version_of(entry), False, _optional(entry))
        for key, entry in (poetry.get("dependencies") or {}).items()
        if key != "python"
    ]
    yield from run
    groups = [group.get("dependencies") for group in (poetry.get("group") or {}).values()]
    for group in (poetry.get("dev-dependencies"), *groups):
        for key, entry in (group or {}).items():
            yield Requirement(key, _version_of(entry), True)
    for entries in (manifest.get("dependency-groups") or {}).values():
        yield from _of_python([entry for entry in entries if isinstance(entry, str)], True)
    required = {each.package for each in run if not each.notes}
    for name, entries in (project.get("optional-dependencies") or {}).items():
        development = bool(_FOR_DEVELOPMENT.search(name))
        notes = [] if development else [f"extra {name}"]
        for each in _of_python(entries, development, *notes):
            # An extra may name others of the package itself.
            if each.package != project.get("name") and (development or each.package not in required):
                yield each


_PYTHON = re.compile(r"\s{0,9}([A-Za-z0-9][\w./-]*)\s{0,9}(?:\[[^\]]{0,200}\])?\s{0,9}\(?([^;()@#]{0,200})")


def _of_python(entries: list[str], development: bool = False, *notes: str) -> Iterator[Requirement]:
    for entry in entries:
        if match := _PYTHON.match(entry):
            yield Requirement(match[1], match[2], development, notes)


def _requirements_txt(content: str, _: Shared) -> Iterator[Requirement]:
    return _of_python([line for line in content.splitlines() if line[:1].isalnum()])


def _setup_cfg(content: str, _: Shared) -> Iterator[Requirement]:
    rows = content.partition("install_requires")[2].split("\n[")[0].splitlines()[1:]
    for entry in _of_python([row.strip() for row in rows if row[:1].isspace()]):
        yield Requirement(entry.package)


def _maven(content: str, _: Shared) -> Iterator[Requirement]:
    found = []
    for block in content.split("<dependency>")[1:]:
        block = block.partition("</dependency>")[0]
        version = re.search(r"<version>([^<]{1,100})<", block)
        if artifact := re.search(r"<artifactId>([^<]{1,100})<", block):
            constraint = _resolved(version[1].strip(), content) if version else ""
            found.append(Requirement(artifact[1], constraint, "<scope>test" in block))
    # Where a package is managed, its version is said once.
    managed = {entry.package: entry.constraint for entry in found if entry.constraint}
    for entry in found:
        yield entry._replace(constraint=entry.constraint or managed.get(entry.package, ""))


def _msbuild(content: str, others: Shared) -> Iterator[Requirement]:
    found = [*_of_nuget("(?:Global)?PackageReference", content)]
    tests = any(package == "Microsoft.NET.Test.Sdk" for package, _, _ in found)
    for package, version, block in found:
        private = "PrivateAssets" in block or block.startswith("Global")
        central = others.get(f"nuget {package}", Definition(()))
        yield Requirement(package, version or central.constraint, private or tests)


_INCLUDE = re.compile(r"\bInclude=\"([^\"]{1,100})\"")
_VERSION = re.compile(r"\bVersion=\"([^\"]{1,100})\"|<Version>([^<]{1,100})<")


def _of_nuget(element: str, content: str) -> Iterator[tuple[str, str, str]]:
    """Yield the package of each such element, its version, and the text of the element."""
    for block in re.split(rf"<(?={element}\s)", content)[1:]:
        block = re.split("/>|</(?:Global)?Pack", block, maxsplit=1)[0]
        if match := _INCLUDE.search(block):
            version = _VERSION.search(block)
            yield match[1], _resolved(version[1] or version[2], content) if version else "", block


def _resolved(version: str, content: str) -> str:
    """Return a version whose variable is written out, if the manifest gives it one value."""
    if not (variable := re.fullmatch(r"\$[({]([^(){}]{1,100})[)}]", version)):
        return version
    name = re.escape(variable[1])
    values = set(re.findall(rf"<{name}(?:\s[^<>]{{0,200}})?>([^<]{{1,100}})</", content))
    return values.pop().strip() if len(values) == 1 else version


# The constraints that stand after a package in a program: `add_dependency "rack", ">= 2", "< 4"`.
_CONSTRAINTS = r"(?:,\s{0,9}\[?[\"'][^\"'\n]{1,60}[\"']){0,4}"
_QUOTED = rf"(?:[\"']{_CONSTRAINTS})?"
_OF_SWIFT = r"(?:\"\s{0,99},\s{0,99}[^()\n]{1,100}(?:\([^()\n]{0,100}\))?)?"
_GEM = re.compile(rf"[ \t]{{0,99}}gem[ (]+[\"']([\w./-]+)({_QUOTED})")


def _gemfile(content: str, _: Shared) -> Iterator[Requirement]:
    blocks: list[bool] = []
    end = 0
    for line in content.splitlines(keepends=True):
        # The constraint of a package may stand on further lines.
        start, end = end, end + len(line)
        development = bool(
            re.search(r"\bgroups?:? ?\(?[^#]{0,100}\b(?:development|test|doc|ci)\b", line[:500])
        )
        if re.search(r"\bdo ?(?:\|\w{1,40}\|)?$", line.rstrip()) or re.match(
            r"\s*(?:if|unless|case)\b", line
        ):
            blocks.append(development)
        elif line.strip() == "end" and blocks:
            blocks.pop()
        elif match := _GEM.match(content, start):
            yield Requirement(match[1], _unquoted(match[2]), development or any(blocks))


def _unquoted(constraint: str) -> str:
    """Return a constraint of a program without its quotes."""
    parts = (part.strip(" \t\r\n['") for part in constraint.replace('"', "").split(","))
    return ", ".join(filter(None, parts))


def _after(words: str, constraint: str = _QUOTED) -> re.Pattern[str]:
    """Return the pattern of a package, in quotes or as a symbol, after words, and of its constraint."""
    return re.compile(rf"(?:{words})[ (]{{0,4}}[\"']?([\w./:@-]{{2,300}})({constraint})", re.MULTILINE)


# What packages stand after, at run time and for development, in manifests that are programs.
_PROGRAMS = {
    ".gemspec": (_after(r"\.add_(?:runtime_)?dependency"), _after(r"\.add_development_dependency")),
    "Podfile": (_after(r"^\s{0,8}pod"),),
    "Package.swift": (_after(r"\burl:", _OF_SWIFT),),
    "mix.exs": (_after(r"^\s{0,12}\{:(?=\w{1,100}, ?[\"~a-z])", _CONSTRAINTS),),
}
_GRADLE = (
    _after(r"^\s{0,12}(?:implementation|api|runtimeOnly|compileOnly|compile)\b", ""),
    _after(r"^\s{0,12}(?:test|androidTest|debug)\w{1,30}\b", ""),
)


def _program(patterns: tuple[re.Pattern[str], ...], content: str, _: Shared) -> Iterator[Requirement]:
    """Yield the packages that patterns find; of an address, its last part."""
    for development, pattern in enumerate(patterns):
        for found, constraint in pattern.findall(content):
            name = re.sub(r"\.git$|:[\d.]+$", "", found)
            package = name.rpartition("/")[2] if "://" in name else name
            yield Requirement(package, _unquoted(constraint), bool(development))


def _gradle(content: str, others: Shared) -> Iterator[Requirement]:
    """Yield the packages of entries: of a catalog, those of a bundle; none of another project."""
    for entry in _program(_GRADLE, content, others):
        if entry.package.startswith("libs."):
            unknown = Definition((entry.package,))
            for package in others.get(entry.package.removesuffix(".get"), unknown).packages:
                yield entry._replace(package=package)
        elif ":" in entry.package:
            yield entry


def _of_catalog(content: str) -> dict[str, Definition]:
    """Return the packages of the libraries and bundles of a version catalog."""
    catalog = tomllib.loads(content)
    libraries: dict[str, str] = {}
    for key, entry in (catalog.get("libraries") or {}).items():
        if isinstance(entry, str):
            libraries[key] = entry.rpartition(":")[0]
        else:
            libraries[key] = entry.get("module") or f"{entry.get('group')}:{entry.get('name')}"
    bundles = {
        f"bundles.{key}": tuple(libraries[part] for part in parts if part in libraries)
        for key, parts in (catalog.get("bundles") or {}).items()
    }
    packages = {key: (module,) for key, module in libraries.items()} | bundles
    return {f"libs.{re.sub(r'[-_]', '.', key)}": Definition(each) for key, each in packages.items()}


_READERS: dict[str, _Reader] = {
    "Cargo.toml": _cargo,
    "package.json": _npm,
    "composer.json": _composer,
    "go.mod": _go,
    "pyproject.toml": _pyproject,
    "requirements.txt": _requirements_txt,
    "Gemfile": _gemfile,
    "pom.xml": _maven,
    ".csproj": _msbuild,
    ".props": _msbuild,
    "build.gradle": _gradle,
    # Its packages are required by what uses it.
    "libs.versions.toml": lambda content, others: iter(()),
    **{ending: partial(_program, patterns) for ending, patterns in _PROGRAMS.items()},
}
