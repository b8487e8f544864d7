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
    {"go.mod", "package.json", "tsconfig.json", "jsconfig.json", "Cargo.toml", "composer.json"}
)


def is_manifest(path: str) -> bool:
    """Return whether the file at `path` is a manifest that locates modules."""
    return posixpath.basename(path) in MANIFESTS


class ModuleManifests:
    """The modules, packages, aliases and namespaces that the manifests of a snapshot declare; content by path."""

    def __init__(self, manifests: Mapping[str, bytes]) -> None:
        self.go_modules: list[tuple[str, str]] = []
        self.packages: dict[str, str] = {}
        self.package_main: dict[str, str] = {}
        self.script_aliases: list[tuple[str, list[str]]] = []
        self.crates: dict[str, str] = {}
        self.php_namespaces: list[tuple[str, str]] = []
        readers: dict[str, Callable[[str, bytes], None]] = {
            "go.mod": self._read_go_mod,
            "package.json": self._read_package,
            "Cargo.toml": self._read_cargo,
            "tsconfig.json": self._read_tsconfig,
            "jsconfig.json": self._read_tsconfig,
            "composer.json": self._read_composer,
        }
        for path, content in sorted(manifests.items()):
            try:
                readers[posixpath.basename(path)](posixpath.dirname(path), content)
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue
        for ordered in (self.go_modules, self.script_aliases, self.php_namespaces):
            ordered.sort(key=lambda item: -len(item[0]))

    def _read_go_mod(self, folder: str, content: bytes) -> None:
        match = re.search(rb"^module\s+\"?([^\s\"]+)", content, re.MULTILINE)
        if match:
            self.go_modules.append((match[1].decode(), folder))

    def _read_package(self, folder: str, content: bytes) -> None:
        package = json.loads(content)
        if isinstance(package.get("name"), str):
            self.packages.setdefault(package["name"], folder)
            main = package.get("source") or package.get("main")
            if isinstance(main, str):
                self.package_main[package["name"]] = main

    def _read_tsconfig(self, folder: str, content: bytes) -> None:
        options = _lenient_json(content).get("compilerOptions", {})
        base = join_path(folder, options.get("baseUrl", "."))
        for pattern, targets in options.get("paths", {}).items():
            prefix = pattern.removesuffix("*")
            self.script_aliases.append(
                (prefix, [join_path(base, target.removesuffix("*")) for target in targets])
            )
        if "baseUrl" in options:
            self.script_aliases.append(("", [base]))

    def _read_cargo(self, folder: str, content: bytes) -> None:
        manifest = tomllib.loads(content.decode("utf-8", "replace"))
        name = manifest.get("package", {}).get("name")
        if isinstance(name, str):
            library = manifest.get("lib", {})
            source = posixpath.dirname(library["path"]) if "path" in library else "src"
            self.crates[library.get("name", name).replace("-", "_")] = join_path(folder, source)

    def _read_composer(self, folder: str, content: bytes) -> None:
        manifest = json.loads(content)
        for section in ("autoload", "autoload-dev"):
            for prefix, folders in manifest.get(section, {}).get("psr-4", {}).items():
                for target in [folders] if isinstance(folders, str) else folders:
                    self.php_namespaces.append((prefix, join_path(folder, target)))


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


def _lenient_json(content: bytes) -> dict[str, Any]:
    """Parse JSON with comments and trailing commas, as in tsconfig.json."""
    text = content.decode("utf-8-sig", "replace")
    text = re.sub(r'("(?:[^"\\]|\\.)*+"?)|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?', lambda m: m[1] or "", text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
