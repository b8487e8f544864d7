"""Names that the files of a snapshot declare, so that imports resolve by declaration and not by spelling.

Belongs here: looking up namespaces, packages, modules and the types in them, per family of languages that
can import each other. Does not belong here: extracting declarations (``extraction``), the meaning of an
import (``resolution``).
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

JVM = ("Java", "Kotlin", "Scala", "Groovy")
FAMILIES = {**dict.fromkeys(JVM, "JVM"), "C#": "C#", "PHP": "PHP", "Elixir": "Elixir", "Rust": "Rust"}


class FileDeclarations(NamedTuple):
    """The declarations of a file: its namespaces as written, names at their top level, qualified names of modules."""

    path: str
    language: str
    namespaces: list[str]
    names: list[str]
    modules: list[str]


class Declarations:
    """An index of declared names; names are joined by dots in every language."""

    def __init__(self, files: Iterable[FileDeclarations]) -> None:
        self._namespaces: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._names: dict[tuple[str, str], list[str]] = defaultdict(list)
        for file in files:
            family = FAMILIES.get(file.language)
            if family is None:
                continue
            namespaces = [namespace.replace("\\", ".") for namespace in file.namespaces]
            for namespace in namespaces:
                self._namespaces[family, namespace].append(file.path)
            for namespace in namespaces or [""]:
                for name in file.names:
                    self._names[family, f"{namespace}.{name}".lstrip(".")].append(file.path)
            if family == "Elixir":
                for module in file.modules:
                    self._names[family, module].append(file.path)

    def in_namespace(self, language: str, namespace: str) -> list[str]:
        """Return the files that declare something in a namespace or package."""
        return self._namespaces.get((FAMILIES[language], namespace), [])

    def of_name(self, language: str, name: str, source: str) -> list[str]:
        """Return the files that declare a qualified name; where several do, the nearest to `source`.

        Several may be as near: parts of a class, or one for each platform.
        """
        paths = self._names.get((FAMILIES[language], name), [])
        return nearest(list(dict.fromkeys(paths)), source)


def nearest(paths: list[str], source: str) -> list[str]:
    """Return the paths that have the longest folder in common with `source`."""
    if len(paths) <= 1:
        return paths
    common = [len(posixpath.commonpath([path, source])) for path in paths]
    return [path for path, length in zip(paths, common, strict=True) if length == max(common)]
