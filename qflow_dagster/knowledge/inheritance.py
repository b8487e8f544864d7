"""Which types inherit from which, by what their declarations name and what their files declare and import.

Belongs here: bases and derived types of a definition. Does not belong here: what a name refers to (`scopes`),
answers as text (`code_answers`, `relation_answers`).
"""

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge.callers import same
from qflow_dagster.knowledge.declarations import TYPES, Declarations, Definition, qualified_bases_of
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name
from qflow_dagster.knowledge.scopes import Scopes


class Base(NamedTuple):
    """A base as a declaration names it, and the types of the repository that it refers to; none if it is of others."""

    name: str
    definitions: list[Definition]


class Derived(NamedTuple):
    """The types that inherit from a type, and those that may: they name it, but nothing says which is meant."""

    certain: list[SymbolLocation]
    possible: list[SymbolLocation]


class Inheritance:
    """Looks up the bases and the derived types of a snapshot."""

    def __init__(self, connection: Connection, snapshot: Snapshot) -> None:
        self.declarations = Declarations(connection, snapshot)
        self.scopes = Scopes(self.declarations)

    def bases(self, symbol: SymbolLocation | Definition) -> list[Base]:
        """Return the bases that the declaration of a type names."""
        declared = (
            symbol if isinstance(symbol, Definition) else self.declarations.at(symbol.path, symbol.line)
        )
        names = qualified_bases_of(symbol.kind, symbol.name, symbol.signature)
        return [Base(name, self.scopes.base_types(declared, name) if declared else []) for name in names]

    def derived(self, name: str, parts: Sequence[SymbolLocation]) -> Derived:
        """Return the types that inherit directly from the type with these parts; without parts, from one of others."""
        short = short_name(parts[0].name.partition("<")[0] if parts else name)
        names = {short, *self.declarations.aliases_of(short)}
        candidates = sorted(self.declarations.naming(sorted(names)), key=lambda candidate: candidate.test)
        self.declarations.load_files({candidate.path for candidate in candidates})
        wanted = {(part.path, part.line) for part in parts}
        certain, possible = [], []
        for candidate in candidates:
            bases = [base for base in self.bases(candidate) if short_name(base.name) in names]
            found = [definition for base in bases for definition in base.definitions]
            if not bases or (candidate.path, candidate.line) in wanted:
                continue
            others = [d for d in found if (d.path, d.line) not in wanted]
            if not wanted:
                sure, maybe = not found, False
            elif len(others) < len(found):
                bases = [base for base in bases if any((d.path, d.line) in wanted for d in base.definitions)]
                sure = any(len(same(list(map(_location, base.definitions)))) == 1 for base in bases)
                maybe = True
            else:
                languages = {part.path.rpartition(".")[2] for part in parts}
                sure = False
                maybe = (
                    not found
                    and candidate.path.rpartition(".")[2] in languages
                    and not self._is_of_others(candidate, bases)
                )
            if sure or maybe:
                (certain if sure else possible).append(_location(candidate))
        return Derived(certain, possible)

    def derived_from_alias(self, alias: str, path: str) -> list[SymbolLocation]:
        """Return the types that inherit by another name, which a file gives: its own, and those that import it."""
        candidates = self.declarations.naming([alias])
        self.declarations.load_files({candidate.path for candidate in candidates})
        return [
            _location(candidate)
            for candidate in candidates
            for base in self.bases(candidate)
            if short_name(base.name) == alias
            and not base.definitions
            and (
                candidate.path == path
                or any(path in imported.targets for imported in self.declarations.imports(candidate.path))
            )
        ]

    def with_methods(self, names: Sequence[str]) -> list[SymbolLocation]:
        """Return the structs and other types of Go, not the interfaces, that have methods of all the names."""
        self.declarations.load_names(set(names))
        having: list[set[tuple[str, str]]] = [
            {
                (posixpath.dirname(method.path), method.owner)
                for method in self.declarations.definitions(name)
                if method.language == "Go" and method.owner
            }
            for name in names
        ]
        owners = set.intersection(*having)
        self.declarations.load_names({name for _, name in owners})
        return [
            _location(declared)
            for folder, name in sorted(owners)
            for declared in self.declarations.definitions(name)
            if declared.kind in TYPES
            and declared.kind != "interface"
            and posixpath.dirname(declared.path) == folder
        ]

    def _is_of_others(self, declared: Definition, bases: Sequence[Base]) -> bool:
        """Return whether imports of the file say that the bases are of another library."""
        imports = [self.scopes.imported(declared, base.name.partition(".")[0]) for base in bases]
        return any(imported is not None and not imported.own for imported in imports)


def _location(found: Definition) -> SymbolLocation:
    return SymbolLocation(
        found.path, found.line, found.kind, found.name, found.signature, found.end_line, found.oid
    )
