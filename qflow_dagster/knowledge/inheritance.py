"""Which types inherit from which, by what their declarations and bodies name, and what their files declare and import.

Belongs here: bases and derived types of a definition. Does not belong here: what a name refers to (`scopes`),
what bodies take in (`mixins`), answers as text (`code_answers`, `relation_answers`).
"""

import posixpath
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import git_facts, mixins
from qflow_dagster.knowledge.callers import apart
from qflow_dagster.knowledge.declarations import (
    TYPES,
    Declarations,
    Definition,
    arity,
    bound,
    qualified_bases_of,
)
from qflow_dagster.knowledge.evidence import QuestionContext, parts_of
from qflow_dagster.knowledge.graph import Step
from qflow_dagster.knowledge.lookups import SymbolLocation, code_paths, short_name
from qflow_dagster.knowledge.mixins import Mixin
from qflow_dagster.knowledge.scopes import Scopes

# Types are followed through so many others.
MAX_LEVELS = 6
INHERITS = "inherits from"
IMPLEMENTS = "implements"
# What each class has without saying so.
_OF_ALL = frozenset({"object", "Object", "System.Object", "Any"})


class Base(NamedTuple):
    """A base as a declaration names it, and the types of the repository that it refers to; none if it is of others.

    `line` is where the body of the type takes it in; 0 if the declaration names it. The verb is the declaration's.
    """

    name: str
    definitions: list[Definition]
    line: int = 0
    verb: str = INHERITS


class Derived(NamedTuple):
    """The types that inherit from a type, and those that may: they name it, but nothing says which is meant.

    `mixing` has lines of their bodies (path, line) that take it in, `others` those that take in others of its name.
    """

    certain: list[SymbolLocation]
    possible: list[SymbolLocation]
    mixing: Sequence[tuple[str, int]] = ()
    others: Sequence[tuple[str, int]] = ()


class Further(NamedTuple):
    """The types that inherit through others, each with that one, nearest first, and those that may.

    `complete` is false if there may be more of them, further away.
    """

    certain: list[tuple[SymbolLocation, SymbolLocation]]
    possible: list[SymbolLocation]
    complete: bool


class Ancestry(NamedTuple):
    """The bases of a type and theirs, nearest first, each with the way to it; `unclear` may each mean several types.

    The key is the place of a base, or the name of one that is not of the repository. `complete` is false if there may
    be more of them, further away.
    """

    found: dict[object, tuple[Base, list[Step]]]
    unclear: list[str]
    complete: bool


class Inheritance:
    """Looks up the bases and the derived types of a snapshot."""

    def __init__(self, connection: Connection, snapshot: Snapshot) -> None:
        self.declarations = Declarations(connection, snapshot)
        self.scopes = Scopes(self.declarations)
        self._context = QuestionContext(connection, snapshot, "", [])
        self._mixins: dict[str, list[Mixin]] = {}

    def bases(self, symbol: SymbolLocation | Definition) -> list[Base]:
        """Return the bases that the declaration of a type names, and what its body takes in."""
        declared = (
            symbol if isinstance(symbol, Definition) else self.declarations.at(symbol.path, symbol.line)
        )
        names = dict.fromkeys(qualified_bases_of(symbol.kind, symbol.name, symbol.signature), 0)
        for mixin in self._mixins_of(symbol.path) if symbol.kind in {*TYPES, "module"} else ():
            if mixin.type_line == symbol.line and short_name(mixin.type_name) == short_name(symbol.name):
                names.setdefault(mixin.name, mixin.line)
        before, _, after = symbol.signature.partition(f" {IMPLEMENTS} ")
        head = f"{before.partition(' extends ')[0]} {IMPLEMENTS} {after}"
        implemented = qualified_bases_of(symbol.kind, symbol.name, head) if after else []
        bases = []
        for name, line in names.items():
            verb = IMPLEMENTS if name in implemented else INHERITS
            apart: dict[int, list[Definition]] = {}
            for found in self.scopes.base_types(declared, name) if declared else ():
                apart.setdefault(arity(found), []).append(found)
            bases += [Base(name, definitions, line, verb) for definitions in apart.values() or ([],)]
        return bases

    def ancestry(self, parts: Sequence[SymbolLocation], known: Collection[object] = ()) -> Ancestry:
        """Return the bases of a type and theirs, up to `MAX_LEVELS`; those that are known not further."""
        found: dict[object, tuple[Base, list[Step]]] = {}
        unclear: dict[str, None] = {}
        level: list[tuple[SymbolLocation, list[Step]]] = [(part, []) for part in parts]
        for _ in range(MAX_LEVELS):
            following = []
            for derived, way in level:
                for base in self.bases(derived):
                    groups = apart([location(d) for d in base.definitions])
                    key: object = groups[0][0][:2] if groups else base.name
                    if len(groups) > 1:
                        unclear[base.name] = None
                    elif base.name not in _OF_ALL and key not in found:
                        step = Step(derived.name, base.name, derived.path, base.line or derived.line)
                        found[key] = base, [*way, step]
                        if groups and key not in known:
                            inherited = dict.fromkeys([*groups[0], *self._parts(groups[0][0])])
                            following += [(part, found[key][1]) for part in inherited]
            level = following
        return Ancestry(found, list(unclear), not level)

    def derived(self, name: str, parts: Sequence[SymbolLocation]) -> Derived:
        """Return the types that inherit directly from the type with these parts; without parts, from one of others."""
        short = short_name(parts[0].name.partition("<")[0] if parts else name.replace("\\", "."))
        names = {short, *self.declarations.aliases_of(short)}
        candidates = self._naming(names)
        wanted = {(part.path, part.line) for part in parts}
        certain, possible = [], []
        mixing, elsewhere = [], []
        for candidate in candidates:
            bases = [base for base in self.bases(candidate) if short_name(base.name) in names]
            found = [definition for base in bases for definition in base.definitions]
            if not bases or (candidate.path, candidate.line) in wanted:
                continue
            others = [d for d in found if (d.path, d.line) not in wanted]
            if not wanted:
                meant = {self._is_meant(candidate, base.name, name) for base in bases if not base.definitions}
                sure, maybe = True in meant, None in meant
            elif len(others) < len(found):
                bases = [base for base in bases if any((d.path, d.line) in wanted for d in base.definitions)]
                sure = any(len(apart(list(map(location, base.definitions)))) == 1 for base in bases)
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
                (certain if sure else possible).append(location(candidate))
            lines = mixing if sure or maybe else elsewhere
            lines += [(candidate.path, base.line) for base in bases if base.line]
        return Derived(certain, possible, mixing, elsewhere)

    def further(self, derived: Sequence[SymbolLocation], limit: int) -> Further:
        """Return the types that inherit from some types, and from those, up to `MAX_LEVELS` and `limit`."""
        found = Further([], [], True)
        level = self._with_parts(derived)
        seen = set(level)
        for _ in range(MAX_LEVELS):
            if not level or len(found.certain) > limit:
                break
            names = {short_name(row.name.partition("<")[0]) for row in level.values()}
            names |= {alias for name in names for alias in self.declarations.aliases_of(name)}
            following = []
            for candidate in self._naming(names):
                bases = [base for base in self.bases(candidate) if short_name(base.name) in names]
                ways = [(level[d[:2]], base) for base in bases for d in base.definitions if d[:2] in level]
                if not ways or (candidate.path, candidate.line) in seen:
                    continue
                sure = [way for way, base in ways if len(apart(list(map(location, base.definitions)))) == 1]
                if sure:
                    found.certain.append((location(candidate), sure[0]))
                    following.append(location(candidate))
                else:
                    found.possible.append(location(candidate))
                seen |= set(self._with_parts([location(candidate)]))
            level = self._with_parts(following)
        complete = not level and len(found.certain) <= limit
        return found._replace(certain=found.certain[:limit], complete=complete)

    def _naming(self, names: set[str]) -> list[Definition]:
        """Return the types that name one of some types as a base or mix it in, those of tests last."""
        named = [*self.declarations.naming(sorted(names)), *self._mixing(names)]
        candidates = sorted(dict.fromkeys(named), key=lambda candidate: candidate.test)
        self.declarations.load_files({candidate.path for candidate in candidates})
        return candidates

    def _with_parts(self, types: Sequence[SymbolLocation]) -> dict[tuple[str, int], SymbolLocation]:
        """Return types by the places of all their parts: an extension is a part of what it extends."""
        self.declarations.load_names({short_name(row.name) for row in types})
        return {part[:2]: row for row in types for part in self._parts(row)}

    def _parts(self, row: SymbolLocation) -> list[SymbolLocation]:
        """Return the parts of a type, itself last."""
        self.declarations.load_names({short_name(row.name)})
        named = self.declarations.definitions(short_name(row.name))
        groups = apart([location(d) for d in named if d.kind in {*TYPES, "module"}])
        return [*next((group for group in groups if any(part[:2] == row[:2] for part in group)), []), row]

    def _is_meant(self, candidate: Definition, written: str, asked: str) -> bool | None:
        """Return whether a base that the repository does not define is the one that is asked; None if nothing says it.

        A name with scopes (`Rack::Utils`) is not that of another scope.
        """
        full = ".".join(parts_of(asked.lstrip("\\:")))
        if "." not in full:
            return True
        if "." in written:
            return f".{written}".endswith(f".{full}") or f".{full}".endswith(f".{written}")
        if full.rpartition(".")[0] in candidate.name:
            return True
        for imported in self.declarations.imports(candidate.path):
            for local, original in bound(imported, candidate.language):
                if local == written:
                    module = ".".join(part for part in re.split(r"[./:\\]+", imported.module) if part)
                    return f".{module}.{original or ''}".rstrip(".").endswith(f".{full}")
        return None

    def derived_from_alias(self, alias: str, path: str) -> list[SymbolLocation]:
        """Return the types that inherit by another name, which a file gives: its own, and those that import it."""
        candidates = self.declarations.naming([alias])
        self.declarations.load_files({candidate.path for candidate in candidates})
        return [
            location(candidate)
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
            location(declared)
            for folder, name in sorted(owners)
            for declared in self.declarations.definitions(name)
            if declared.kind in TYPES
            and declared.kind != "interface"
            and posixpath.dirname(declared.path) == folder
        ]

    def _mixins_of(self, path: str) -> list[Mixin]:
        """Return what the types of a file take in."""
        if path.endswith(mixins.ENDINGS) and path not in self._mixins:
            self._read_mixins([path])
        return self._mixins.get(path, [])

    def _read_mixins(self, paths: Sequence[str]) -> None:
        texts = self._context.texts([path for path in paths if path not in self._mixins])
        self._mixins |= {path: list(mixins.read(path, content)) for path, content in texts.items()}

    def _mixing(self, names: Collection[str]) -> list[Definition]:
        """Return the types of own code whose bodies take in one of some names."""
        context = self._context
        lines = git_facts.lines_with_any(context.objects(), context.snapshot.commit_oid, sorted(names))
        paths = {line.path for line in lines if line.path.endswith(mixins.ENDINGS)}
        code = code_paths(context.connection, context.snapshot, sorted(paths))
        self._read_mixins(sorted(code))
        found = [
            self.declarations.at(path, mixin.type_line, short_name(mixin.type_name))
            for path in sorted(code)
            for mixin in self._mixins.get(path, ())
            if short_name(mixin.name) in names
        ]
        return [declared for declared in found if declared is not None]

    def _is_of_others(self, declared: Definition, bases: Sequence[Base]) -> bool:
        """Return whether imports of the file say that the bases are of another library."""
        imports = [self.scopes.imported(declared, base.name.partition(".")[0]) for base in bases]
        return any(imported is not None and not imported.own for imported in imports)


def location(found: Definition) -> SymbolLocation:
    """Return where a definition is."""
    return SymbolLocation(
        found.path, found.line, found.kind, found.name, found.signature, found.end_line, found.oid
    )
