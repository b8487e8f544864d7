"""Manifests of package managers (go.mod, package.json, tsconfig.json, ...): where the modules of a repository are.

A manifest that cannot be parsed is ignored; it never stops an ingestion. `resolution` uses the result.
"""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

MANIFESTS = frozenset(
    {"go.mod", "package.json", "tsconfig.json", "jsconfig.json", "Cargo.toml", "Package.swift"}
)
_SWIFT_TARGET = re.compile(
    r'\.(?:target|executableTarget|testTarget|macro|systemLibrary)\(\s*name:\s*"([^"\n]+)"\s*(\)|,\s*condition:)?'
)
# Where the package manager of Swift looks for a target without a path.
_SWIFT_FOLDERS = ("Sources", "Source", "src", "srcs", "Tests")


def is_manifest(path: str) -> bool:
    """Return whether the file at `path` is a manifest that locates modules."""
    return posixpath.basename(path) in MANIFESTS


class ModuleManifests:
    """The modules, packages, aliases and namespaces that the manifests of a snapshot declare; content by path."""

    def __init__(self, manifests: Mapping[str, bytes]) -> None:
        self.go_modules: list[tuple[str, str]] = []
        self.packages: dict[str, str] = {}
        # By package: what `exports` says of its subpaths ("" is the package itself).
        self.package_exports: dict[str, list[tuple[str, str]]] = {}
        # By folder of a tsconfig.json: (prefix, folders) of its aliases, longest prefix first.
        self.script_aliases: dict[str, list[tuple[str, list[str]]]] = {}
        self._extends: dict[str, str] = {}
        # The root file of the library of a crate, by the crate's name and by its folder.
        self.crates: dict[str, str] = {}
        self.crate_roots: dict[str, str] = {}
        # Folders in which a target of a Swift package may lie.
        self.swift_targets: dict[str, list[str]] = {}
        readers: dict[str, Callable[[str, bytes], None]] = {
            "go.mod": self._read_go_mod,
            "package.json": self._read_package,
            "Cargo.toml": self._read_cargo,
            "Package.swift": self._read_swift,
            "tsconfig.json": self._read_tsconfig,
            "jsconfig.json": self._read_tsconfig,
        }
        # Those at the top first.
        for path, content in sorted(manifests.items(), key=lambda item: (item[0].count("/"), item[0])):
            try:
                readers[posixpath.basename(path)](posixpath.dirname(path), content)
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue
        for ordered in (self.go_modules, *self.script_aliases.values(), *self.package_exports.values()):
            ordered.sort(key=lambda item: -len(item[0]))

    def aliases_for(self, folder: str) -> list[tuple[str, list[str]]]:
        """Return the aliases of the nearest configuration at or above `folder`, with those that it extends."""
        while folder and folder not in self.script_aliases:
            folder = posixpath.dirname(folder)
        aliases: list[tuple[str, list[str]]] = []
        visited: set[str] = set()
        current: str | None = folder
        while current is not None and current not in visited:
            visited.add(current)
            aliases += self.script_aliases.get(current, [])
            current = self._extends.get(current)
        return aliases

    def _read_go_mod(self, folder: str, content: bytes) -> None:
        match = re.search(rb"^module\s+\"?([^\s\"]+)", content, re.MULTILINE)
        if match:
            self.go_modules.append((match[1].decode(), folder))

    def _read_package(self, folder: str, content: bytes) -> None:
        package = json.loads(content)
        if isinstance(package.get("name"), str):
            exports: list[tuple[str, str]] = []
            for target in (package.get("source"), package.get("module"), package.get("main")):
                if isinstance(target, str):
                    exports.append(("", target))
            declared = package.get("exports")
            by_subpath = isinstance(declared, dict) and any(key.startswith(".") for key in declared)
            for subpath, target in (declared if by_subpath else {".": declared}).items():
                exports += [(subpath.removeprefix(".").removeprefix("/"), file) for file in _files(target)]
            # A package that offers nothing is an application, which may have the name of what it tries.
            if not self.package_exports.get(package["name"]):
                self.packages.setdefault(package["name"], folder)
                if exports:
                    self.packages[package["name"]] = folder
                self.package_exports[package["name"]] = exports

    def _read_tsconfig(self, folder: str, content: bytes) -> None:
        configuration = lenient_json(content)
        options = configuration.get("compilerOptions", {})
        base = join_path(folder, options.get("baseUrl", "."))
        aliases = self.script_aliases.setdefault(folder, [])
        for pattern, targets in options.get("paths", {}).items():
            aliases.append(
                (pattern.removesuffix("*"), [join_path(base, target.removesuffix("*")) for target in targets])
            )
        if "baseUrl" in options:
            aliases.append(("", [base]))
        extended = configuration.get("extends")
        if isinstance(extended, str) and extended.startswith("."):
            self._extends[folder] = posixpath.dirname(join_path(folder, extended))

    def _read_cargo(self, folder: str, content: bytes) -> None:
        manifest = tomllib.loads(content.decode("utf-8", "replace"))
        name = manifest.get("package", {}).get("name")
        if isinstance(name, str):
            library = manifest.get("lib", {})
            root = join_path(folder, library.get("path", "src/lib.rs"))
            self.crates[library.get("name", name).replace("-", "_")] = root
            self.crate_roots[folder] = root

    def _read_swift(self, folder: str, content: bytes) -> None:
        text = content.decode("utf-8", "replace")
        targets = list(_SWIFT_TARGET.finditer(text))
        # `.target(name: "A")` can be a dependency of the target around it: what follows belongs to that.
        described = [match for match in targets if not match[2]]
        ends = [match.start() for match in described[1:]] + [len(text)]
        located: dict[str, str] = {}
        for match, end in zip(described, ends, strict=True):
            path = re.search(r'\bpath:\s*"([^"\n]*)"', text[match.end() : end])
            if path:
                located[match[1]] = join_path(folder, path[1])
        for match in targets:
            name = match[1]
            defaults = [join_path(folder, parent, name) for parent in _SWIFT_FOLDERS]
            self.swift_targets[name.replace("-", "_")] = [located[name]] if name in located else defaults


def _files(target: Any) -> list[str]:
    """Return the files that a target of `exports` names, in the order of its conditions."""
    if isinstance(target, str):
        return [target]
    if isinstance(target, dict):
        return [file for nested in target.values() for file in _files(nested)]
    return []


def join_path(*parts: str) -> str:
    """Join and normalise paths; one that would leave the repository becomes a path that cannot exist."""
    path = "/".join([part for part in parts if part])
    if (
        "./" not in path
        and "//" not in path
        and not path.endswith(("/", "/.", "/.."))
        and path not in (".", "..")
    ):
        return path
    path = posixpath.normpath(path)
    return "" if path == "." else path


def lenient_json(content: bytes) -> dict[str, Any]:
    """Parse JSON with comments and trailing commas, as in tsconfig.json."""
    text = content.decode("utf-8-sig", "replace")
    text = re.sub(r'("(?:[^"\\]|\\.)*+"?)|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?', lambda m: m[1] or "", text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
