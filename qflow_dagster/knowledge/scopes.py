"""What names refer to in a file, by what files declare and import: types, their members and bases, imported names.

Does not belong here: calls (`call_targets`), reading the database (`declarations`).
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qflow_dagster.knowledge.declarations import (
    TYPES,
    Call,
    Declarations,
    Definition,
    arity,
    base_arities,
    bound,
    family,
    is_wildcard,
    qualified_bases_of,
)
from qflow_dagster.knowledge.lookups import short_name

SCRIPTS = frozenset({"JavaScript", "TypeScript", "TSX"})
# Languages where the parts of a type may be in several files.
OPEN_TYPES = frozenset({"C++", "C#", "Swift", "Ruby", "Rust", "Go", "Kotlin"})
# Languages where names of other files are usable without an import: of the whole program, or of the package.
PROGRAM = frozenset({"C", "C++", "Swift", "Ruby", "C#"})
PACKAGE = frozenset({"Go", "Java", "Kotlin", "Scala", "Groovy", "PHP", "C#"})
# Languages where a file offers what it imports.
OFFERING_AGAIN = frozenset({"Python", "C", "C++", "Rust", "Ruby", "Shell"}) | SCRIPTS
MAX_DEPTH = 5
# Files that a package is imported by.
_ENTRIES = re.compile(r"(?:^|/)(?:__init__\.pyi?|index\.(?:d\.)?[cm]?[jt]sx?)$")
# Files of Rust with the modules that lie beside them.
_ROOTS = ("mod.rs", "lib.rs", "main.rs")
# The type that a signature says that a function returns.
_RETURNS = re.compile(r"(?:->|\)\s*:)\s*[&*'\"]*(?:(?:mut|dyn|impl)\s+)?(?P<type>[\w.:]+)")


class ImportedName(NamedTuple):
    """The definitions that an imported name refers to, if they are seen; `own`: it is of the repository."""

    definitions: list[Definition]
    own: bool


class Scopes:
    """Looks names up as a file sees them."""

    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self._offered: dict[tuple[str, str], list[Definition]] = {}
        self._seen_types: dict[tuple[str, str, str], list[Definition]] = {}

    def is_top(self, definition: Definition) -> bool:
        """Return whether a definition is usable without a type or object that it is in."""
        if definition.kind in TYPES:
            return True
        if definition.holder != "module" or definition.kind == "method":
            return False
        if definition.language == "C++":  # A namespace is no type.
            return not self.declared_types(definition, definition.owner)
        return not definition.owner or definition.language in ("Elixir", "Rust", "PHP", "C#", "Ruby")

    def members(self, types: Sequence[Definition], name: str) -> list[Definition]:
        """Return the members of that name of types, or else of what they inherit from, nearest first."""
        definitions = self.declarations.definitions(name)
        level, visited = list(types), set(types)
        while level and definitions:
            found = [d for declared in level for d in definitions if is_member(d, declared)]
            if found:
                return list(dict.fromkeys(found))
            level = [base for declared in level for base in self.bases(declared) if base not in visited]
            visited.update(level)
        return []

    def bases(self, declared: Definition) -> list[Definition]:
        """Return the types of the repository that a type inherits from."""
        return [
            base
            for name in qualified_bases_of(declared.kind, declared.name, declared.signature)
            for base in self.base_types(declared, name)
        ]

    def base_types(self, declared: Definition, written: str) -> list[Definition]:
        """Return the types that a declaration may mean by a base, which it may name with the module or type it is in.

        Of several in its file, those in the nearest scope around the type are meant. No type is its own base.
        """
        found = self._base_types(declared, written)
        if declared.language == "C#" and len(found) > 1:
            arities = base_arities(declared.signature, declared.name, short_name(written))
            return [d for d in found if arity(d) in arities] or found
        return found

    def _base_types(self, declared: Definition, written: str) -> list[Definition]:
        """Return the types that have the name of a base, with any parameters."""
        *path, short = written.split(".")
        found = self._inside(declared, path, short) if path else self.types(declared, short)
        found = [d for d in found if (d.path, d.line) != (declared.path, declared.line)]
        if declared.language == "Ruby" and not path:
            # A constant is that of the nearest module around, in whatever file.
            scopes = [*declared.scopes, declared.short]
            if (nearest := max((_common(d.scopes, scopes) for d in found), default=0)) > 0:
                return [d for d in found if _common(d.scopes, scopes) == nearest]
        if path or any(d.path != declared.path for d in found):
            # What is in another type is not usable without that.
            alone = [d for d in found if not d.owner or not self.declared_types(d, d.owner)]
            return found if path else alone or found
        nearest = max((_common(d.scopes, declared.scopes) for d in found), default=0)
        return [d for d in found if _common(d.scopes, declared.scopes) == nearest]

    def _inside(self, declared: Definition, path: Sequence[str], short: str) -> list[Definition]:
        """Return the types of a name that are in a type, or in a module, that a file names by a path."""
        types = self.declared_types(declared, short)
        owners = self.types(declared, path[-1])
        within = [d for d in types if any(d.path == owner.path and d.owner == path[-1] for owner in owners)]
        if within:
            return within
        for imported in self.declarations.imports(declared.path):
            for local, original in bound(imported, declared.language):
                if local in (path[0], ".".join(path)):
                    modules = [
                        target
                        for target in imported.targets
                        if declared.language != "Go" and is_module(target, original or path[-1])
                    ]
                    found = [
                        d
                        for target in modules or imported.targets
                        for d in self.exported(target, short, declared.language)
                        if d in types
                    ]
                    # The module may be deeper than what is imported.
                    return found or [d for d in types if is_module(d.path, path[-1]) and imported.targets]
        namespace = ".".join(path)
        return [
            d
            for d in types
            if d.owner == path[-1]
            or any(f".{space.replace('::', '.')}".endswith(f".{namespace}") for space in d.namespaces)
            or (declared.language in ("Rust", "Ruby", "Elixir") and is_module(d.path, path[-1]))
        ]

    def has_foreign_base(self, types: Iterable[Definition]) -> bool:
        """Return whether a type inherits from what is not of the repository, directly or not."""
        pending, visited = list(types), set()
        while pending:
            declared = pending.pop()
            if (declared.path, declared.name) in visited:
                continue
            visited.add((declared.path, declared.name))
            for name in qualified_bases_of(declared.kind, declared.name, declared.signature):
                bases = self.base_types(declared, name)
                if not bases:
                    return True
                pending += bases
        return False

    def declared_types(self, place: Call | Definition, name: str) -> list[Definition]:
        """Return the types of a name that code in a language can use."""
        kinds = {*TYPES, "module"} if place.language in ("Ruby", "Elixir") else TYPES
        languages = family(place.language)
        return [d for d in self.declarations.definitions(name) if d.kind in kinds and d.language in languages]

    def imported_enumerations(self, place: Call | Definition) -> list[Definition]:
        """Return the enumerations of which a file imports all variants (`use Unit::*`)."""
        names = [
            imported.module.rpartition("::")[2]
            for imported in self.declarations.imports(place.path)
            if place.language == "Rust" and is_wildcard(imported, place.language)
        ]
        return [d for name in names for d in self.declared_types(place, name) if d.kind == "enum"]

    def types(self, place: Call | Definition, name: str) -> list[Definition]:
        """Return the types that a name refers to in a file."""
        key = place.path, place.language, name
        if key not in self._seen_types:
            self._seen_types[key] = self._types_seen_by(place, name)
        return self._seen_types[key]

    def _types_seen_by(self, place: Call | Definition, name: str) -> list[Definition]:
        types = self.declared_types(place, name)
        if not types and place.language not in SCRIPTS and place.language not in ("Python", "Elixir", "PHP"):
            return []
        here = [d for d in types if d.path == place.path]
        if here:
            return here
        imported = self.imported(place, name)
        if imported is not None:
            return [d for d in imported.definitions if d.kind in TYPES or d.kind == "module"]
        if place.language in PACKAGE:
            namespaces = set(self.declarations.namespaces(place.path))
            folder = posixpath.dirname(place.path)
            beside = [
                d
                for d in types
                if (
                    posixpath.dirname(d.path) == folder
                    if place.language == "Go"
                    else set(d.namespaces) == namespaces
                )
            ]
            if beside:
                return beside
        wild = [d for d in self.by_wildcard(place, name) if d.kind in TYPES]
        if wild:
            return wild
        if place.language in PROGRAM or place.language in ("Rust",):
            return types
        if place.language == "Elixir":
            return [d for d in types if d.name == name]
        return []

    def imported(self, place: Call | Definition, name: str) -> ImportedName | None:
        """Return what an imported name refers to; None if no import has the name."""
        for imported in self.declarations.imports(place.path):
            for local, original in bound(imported, place.language):
                if local == name:
                    parts = re.split(r"[./:\\]", imported.module)
                    wanted = name if original == "default" else original or parts[-1]
                    found = [
                        d for path in imported.targets for d in self.exported(path, wanted, place.language)
                    ]
                    if original == "default" and not found:
                        found = [d for path in imported.targets for d in self.default_export(path)]
                    named = self.declarations.definitions(wanted)
                    # A static member; a module of the same file.
                    found = found or [
                        d for d in named if d.path in imported.targets and d.owner in parts[-2:-1]
                    ]
                    found = found or [d for d in named if d.path == place.path and d.name == imported.module]
                    found = found or self.of_package(imported.targets, wanted, place.language)
                    return ImportedName(list(dict.fromkeys(found)), bool(imported.targets))
        return None

    def default_export(self, path: str) -> list[Definition]:
        """Return what a file of JavaScript most likely exports as its default.

        What has no name, what has the name of the file or its folder, else the only thing that it defines.
        """
        own = [d for d in self.declarations.of_file(path) if d.language in SCRIPTS]
        unnamed = [d for d in own if d.name == "module.exports"]
        values = [d for d in own if self.is_top(d) and d.kind not in ("type", "interface")]
        parts = {
            re.sub(r"\W|_", "", part).lower()
            for part in (_stem(path), posixpath.basename(posixpath.dirname(path)))
        }
        named = [d for d in values if d.short.lower() in parts]
        return unnamed or named or (values if len(values) == 1 else [])

    def exported(self, path: str, name: str, language: str, depth: int = 0) -> list[Definition]:
        """Return what a file offers by a name: declares at its top level, or imports from others."""
        key = path, name
        if key not in self._offered:
            self._offered[key] = []  # A circle of imports ends here.
            self._offered[key] = self._offered_by(path, name, language, depth)
        return self._offered[key]

    def _offered_by(self, path: str, name: str, language: str, depth: int) -> list[Definition]:
        definitions = self.declarations.definitions(name)
        found = [d for d in definitions if d.path == path and self.is_top(d)]
        found = found or [d for d in definitions if d.path == path and d.kind != "method" and not d.owner]
        if found or depth == MAX_DEPTH or language not in OFFERING_AGAIN:
            return found
        for imported in self.declarations.imports(path):
            for local, original in bound(imported, language):
                if local == name:
                    for target in imported.targets:
                        found += self.exported(target, original or name, language, depth + 1)
            if not found and is_wildcard(imported, language):
                for target in imported.targets:
                    found += self.exported(target, name, language, depth + 1)
        return list(dict.fromkeys(found))

    def of_package(self, paths: Sequence[str], name: str, language: str) -> list[Definition]:
        """Return what the package of an imported file has by a name that the file was not found to export.

        What a package is imported by may be built, or lead to others by code. If files of the package declare the name
        more than once, it is not known which is meant.
        """
        folders = tuple(
            f"{posixpath.dirname(path)}/"
            for path in paths
            if _ENTRIES.search(path) and posixpath.dirname(path)
        )
        found = [
            d
            for d in self.declarations.definitions(name)
            if folders
            and d.path.startswith(folders)
            and d.language in family(language)
            and self.is_top(d)
            and not d.test
        ]
        return found if len({(d.path, d.name) for d in found}) == 1 else []

    def by_wildcard(self, place: Call | Definition, name: str) -> list[Definition]:
        """Return what a file can use because it imports everything of others."""
        if not self.declarations.definitions(name):
            return []
        found = [
            definition
            for imported in self.declarations.imports(place.path)
            if is_wildcard(imported, place.language)
            for target in imported.targets
            for definition in self.exported(target, name, place.language)
        ]
        return [d for d in dict.fromkeys(found) if d.language in family(place.language)]


def _common(scopes: Sequence[str], others: Sequence[str]) -> int:
    """Return how many scopes are around both of two definitions; -1 if the first is in one that the other is not in."""
    shared = len(posixpath.commonprefix([list(scopes), list(others)]))
    return shared if shared == len(scopes) else -1


def is_member(definition: Definition, declared: Definition) -> bool:
    """Return whether a definition is a member of a type, whose parts may be in several files."""
    if definition.owner != declared.name.rpartition(".")[2].partition("<")[0]:
        return False
    if definition.path == declared.path:
        return True
    if declared.language not in OPEN_TYPES or definition.language not in family(declared.language):
        return False
    if definition.namespaces != declared.namespaces:
        return False
    return declared.language != "Go" or posixpath.dirname(definition.path) == posixpath.dirname(declared.path)


def is_module(path: str, name: str) -> bool:
    """Return whether a file is the module with that last name."""
    last = re.split(r"[./:\\]", name)[-1]
    folder, file = posixpath.split(path)
    stem = file.partition(".")[0]
    return stem == last or (
        stem in ("__init__", "mod", "index", "lib") and posixpath.basename(folder) == last
    )


def _stem(path: str) -> str:
    return posixpath.basename(path).partition(".")[0]


def is_type_name(name: str) -> bool:
    """Return whether a name is one of a type by convention; if nothing declares it, it is of others."""
    return re.match(r"[A-Z]\w*[a-z]", name) is not None


def returned_type(definition: Definition) -> str | None:
    """Return the type that a signature says that a function returns; None if it says none."""
    signature = definition.signature
    if definition.language in ("Java", "C#", "C", "C++"):
        before = signature.partition(f"{definition.short}(")[0].split()
        return re.sub(r"<.*|[*&?]", "", before[-1]) if before else None
    if definition.language == "Go":
        before, _, last = signature.rpartition(")")
        if not last:
            before, _, last = before.rpartition("(")
            last = last.partition(",")[0] if before.rstrip().endswith(")") else ""
        return last.strip(" *[]") or None
    match = _RETURNS.search(signature)
    return re.sub(r"::", ".", match["type"]) if match else None


def is_of_file(definition: Definition) -> bool:
    """Return whether other files of the program cannot use a definition: static functions, macros outside headers."""
    if definition.kind == "macro":
        return definition.path.endswith((".c", ".cc", ".cpp", ".cxx"))
    return definition.signature.startswith("static ")


def is_extension(definition: Definition) -> bool:
    """Return whether a function is written to be called on objects of another type."""
    if definition.language == "C#":
        return "(this " in definition.signature or definition.owner == "extension"
    if definition.language == "Kotlin":
        return bool(re.search(rf"\bfun\b[^(]*\.{re.escape(definition.short)}\(", definition.signature))
    return False


def module_files(call: Call, module: str, definitions: Iterable[Definition], *, inline: bool) -> list[str]:
    """Return the files of the root of a crate of Rust (`crate`), or of the module around that of a call (`super`).

    Of files that have one of `definitions` at their top level. What the root exports again is in another file of it.
    `inline`: the call is in a module that is written inside its file.
    """
    tops = list(dict.fromkeys(d.path for d in definitions if d.holder == "module" and d.kind != "method"))
    folder, name = posixpath.split(call.path)
    if module == "super":
        if inline:
            return [path for path in tops if path == call.path]
        if name in _ROOTS:
            folder = posixpath.dirname(folder)
        return [
            path
            for path in tops
            if path == f"{folder}.rs" or (posixpath.dirname(path) == folder and path.endswith(_ROOTS))
        ]
    roots = [
        path
        for path in tops
        if path.endswith(("lib.rs", "main.rs")) and f"{folder}/".startswith(f"{posixpath.dirname(path)}/")
    ]
    return roots or (tops if len(tops) == 1 else [])
