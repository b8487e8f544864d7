"""What a call refers to, by what files declare: scopes, imports, packages, and the types of receivers.

A call is resolved (`certain`, with the definitions it refers to), external (`certain`, without any), or ambiguous: the
receiver's type is not declared, so that each member of that name may be meant. Never across languages. Does not belong
here: reading the database (`declarations`).
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from qflow_dagster.knowledge.declarations import (
    TYPES,
    Call,
    Declarations,
    Definition,
    bases_of,
    bound,
    family,
)
from qflow_dagster.knowledge.scopes import (
    OPEN_TYPES,
    PACKAGE,
    PROGRAM,
    SCRIPTS,
    Scopes,
    is_extension,
    is_member,
    is_module,
    is_of_file,
    is_type_name,
    module_files,
    returned_type,
)

SELF = frozenset({"self", "cls", "this", "$this", "Self", "static", "__MODULE__"})
SUPER = frozenset({"super", "super()", "parent", "base"})
# Languages where a bare name inside a class may be a method of it.
IMPLICIT_SELF = frozenset({"Java", "Kotlin", "Scala", "Groovy", "C#", "C++", "Swift", "Ruby", "Elixir"})
# Languages where objects may have members that their type does not declare.
DYNAMIC = frozenset({"Python", "Ruby", "PHP"}) | SCRIPTS
MAX_DEPTH = 5


# Types that a language writes like variables.
BUILT_IN = {
    "C#": frozenset(
        {"string", "int", "long", "bool", "char", "double", "decimal", "byte", "float", "object"}
    ),
    "Rust": frozenset(
        {"str", "char", "u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "f32", "f64"}
    ),
    **dict.fromkeys(SCRIPTS, frozenset({"JSON", "URL", "string", "number"})),
    "Python": frozenset({"str", "int", "float", "bytes", "dict", "list", "set", "tuple", "object", "type"}),
}
# What a call is made on that has no name.
EXPRESSION = "()"


class Target(NamedTuple):
    """The definitions that a call refers to, or may refer to if it is not certain."""

    definitions: tuple[Definition, ...]
    certain: bool


EXTERNAL = Target((), True)


class _Place(NamedTuple):
    """What a name before a dot refers to: types, or the files of a module; neither if it is external."""

    types: tuple[Definition, ...] = ()
    paths: tuple[str, ...] = ()


class CallResolver:
    """Resolves calls of a snapshot."""

    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self.scopes = Scopes(declarations)

    def prepare(self, calls: Sequence[Call]) -> None:
        """Read what is needed for many calls at once."""
        self.declarations.load_included({(call.path, call.language) for call in calls}, MAX_DEPTH)
        names = {call.name for call in calls}
        names |= {part for call in calls for part in re.findall(r"[\w$]+", call.receiver)}
        names |= {part for call in calls for part in re.split(r"\W+", call.caller) if part}
        self.declarations.load_names(names)

    def resolve(self, call: Call, depth: int = 0) -> Target:
        """Return what a call refers to."""
        if not call.receiver:
            return self._bare(call)
        written, _, declared = call.receiver.partition(": ")
        if written in SELF or self._is_go_receiver(call, written):
            return self._of_own_type(call)
        if written in SUPER and call.language != "Rust":
            types = [base for own in self._own_types(call) for base in self.scopes.bases(own)]
            return self._of_types(types, call) if types else EXTERNAL
        place = self._place(call, written)
        if place is None and written.partition(".")[0].lstrip("$@") not in SELF:
            beside = [d for d in self._named(call) if d.path == call.path and d.owner == written]
            if beside:
                return Target(tuple(beside), True)
        typed = declared or (written if written.endswith(")") and written != EXPRESSION else "")
        if declared and place is not None and not place.types:
            place = None  # A variable that has the name of a module, or is written like a type.
        if place is None and typed and depth < MAX_DEPTH:
            place = self._type_place(call, typed, depth)
        if place is None:
            return self._any_member(call)
        if place.paths:
            found = [d for path in place.paths for d in self.scopes.exported(path, call.name, call.language)]
            found = found or self.scopes.of_package(place.paths, call.name, call.language)
            if not found and call.language == "Rust":
                return self._any_member(call)  # A variable may have the name of a module.
            return Target(tuple(dict.fromkeys(found)), True)
        return self._of_types(place.types, call) if place.types else self._foreign(call)

    def overridden_by(self, definitions: Iterable[Definition], places: Collection[tuple[str, int]]) -> bool:
        """Return whether one of `places` (path, line) is a member that overrides one of `definitions`."""
        for definition in definitions:
            for other in self.declarations.definitions(definition.short):
                if (other.path, other.line) in places and other.owner and definition.owner:
                    if self._implements(other, definition):
                        return True
                    level = [t for t in self.scopes.declared_types(other, other.owner) if is_member(other, t)]
                    visited = set(level)
                    while level:
                        level = [b for t in level for b in self.scopes.bases(t) if b not in visited]
                        visited.update(level)
                        if any(is_member(definition, t) for t in level):
                            return True
        return False

    def _implements(self, method: Definition, declared: Definition) -> bool:
        """Return whether a method of Go is one of a type with all methods of the interface that declares another."""
        if method.language != "Go" or declared.holder != "interface" or method.holder == "interface":
            return False
        interfaces = [
            t for t in self.scopes.declared_types(declared, declared.owner) if is_member(declared, t)
        ]
        own = (posixpath.dirname(method.path), method.owner)
        for interface in interfaces:
            names = self.declarations.member_names(interface)
            self.declarations.load_names(names)
            if all(
                any((posixpath.dirname(d.path), d.owner) == own for d in self.declarations.definitions(name))
                for name in names
            ):
                return True
        return False

    # A name alone.

    def _bare(self, call: Call) -> Target:
        candidates = self._named(call)
        scopes = call.caller.split(".") if call.caller else []
        own = [d for d in candidates if d.path == call.path]
        for length in range(len(scopes), -1, -1):
            prefix = ".".join([*scopes[:length], ""])
            found = [d for d in own if d.name == f"{prefix}{d.short}" and self._usable_alone(d)]
            if found:
                return Target(tuple(found), True)
        if call.language in IMPLICIT_SELF:
            for own_type in self._own_types(call):
                found = self.scopes.members([own_type], call.name)
                if found:
                    return Target(tuple(found), True)
        top = [d for d in own if self.scopes.is_top(d)]
        if top:
            return Target(tuple(top), True)
        imported = self.scopes.imported(call, call.name)
        if imported is not None:
            return Target(tuple(imported.definitions), bool(imported.definitions) or not imported.own)
        elsewhere = [d for d in candidates if self.scopes.is_top(d) and self._in_package(d, call)]
        elsewhere = elsewhere or self.scopes.by_wildcard(call, call.name)
        if elsewhere:
            return Target(tuple(elsewhere), True)
        found = [d for d in candidates if self.scopes.is_top(d) and not is_of_file(d)]
        if call.language in PROGRAM and found:
            # The parts of a type may be in several files.
            return Target(
                tuple(found), len({d.name if d.kind in TYPES else (d.path, d.name) for d in found}) <= 1
            )
        if call.language == "Ruby" or (call.language == "C++" and not self._own_types(call)):
            # Of a module that is mixed in, of a class that a macro names.
            return self._any_member(call)
        if call.language in ("Shell", "Rust"):
            found = [d for d in candidates if d.kind == "macro" or call.language == "Shell"]
            return Target(tuple(found), call.language == "Rust" or not found)
        return EXTERNAL

    def _usable_alone(self, definition: Definition) -> bool:
        """Return whether a name in a scope around the call can be used without what it is in."""
        return definition.kind != "method" or definition.language in IMPLICIT_SELF

    def _in_package(self, definition: Definition, call: Call) -> bool:
        if call.language not in PACKAGE:
            return False
        if call.language == "Go":
            return posixpath.dirname(definition.path) == posixpath.dirname(call.path)
        return set(definition.namespaces) == set(self.declarations.namespaces(call.path))

    # A member of something.

    def _is_go_receiver(self, call: Call, written: str) -> bool:
        return call.language == "Go" and any(
            re.match(rf"func \(\s*{re.escape(written)}\s", d.signature) and d.line == call.caller_line
            for d in self.declarations.definitions(call.caller.rpartition(".")[2])
            if d.path == call.path
        )

    def _own_types(self, call: Call) -> list[Definition]:
        """Return the type that the caller is a member of, from the innermost."""
        caller = next(
            (
                d
                for d in self.declarations.definitions(re.split(r"\.|::", call.caller)[-1])
                if d.path == call.path and d.name == call.caller
            ),
            None,
        )
        scopes = (caller.scopes if caller else call.caller.split("."))[::-1]
        for owner in scopes:
            kinds = {*TYPES, "module"} if call.language in ("Ruby", "Elixir") else TYPES
            types = [
                d
                for d in self.declarations.definitions(owner)
                if d.kind in kinds and d.language in family(call.language)
            ]
            here = [d for d in types if d.path == call.path]
            folder = [d for d in types if posixpath.dirname(d.path) == posixpath.dirname(call.path)]
            if here or (call.language in OPEN_TYPES and types):
                return here or folder or types
        return []

    def _of_own_type(self, call: Call) -> Target:
        types = self._own_types(call)
        if types:
            return self._of_types(types, call)
        # An object whose functions are assigned to it.
        caller = re.split(r"\.", call.caller.replace(".prototype", ""))
        owner = caller[-2] if len(caller) > 1 else ""
        found = [d for d in self._named(call) if d.path == call.path and owner and d.owner == owner]
        return Target(tuple(found), True) if found else self._any_member(call)

    def _of_types(self, types: Sequence[Definition], call: Call) -> Target:
        found = self.scopes.members(types, call.name)
        if found:
            return Target(tuple(found), len({d.owner for d in found}) <= 1)
        if self.scopes.has_foreign_base(types):
            return self._foreign(call)
        possible = self._any_member(call)
        if call.language in DYNAMIC:
            return possible
        # A member of a type that is declared can only be of its subtypes, or an extension.
        names = {declared.short for declared in types}
        found = [
            definition
            for definition in possible.definitions
            if any(
                names & set(bases_of(t.kind, t.name, t.signature))
                for t in self.scopes.declared_types(definition, definition.owner)
            )
        ]
        return Target(tuple(found), False) if found else self._foreign(call)

    def _foreign(self, call: Call) -> Target:
        """Return the extensions that a call on a type of others may mean; none means that it is external."""
        found = [d for d in self._named(call) if is_extension(d)]
        return Target(tuple(found), not found)

    def _any_member(self, call: Call) -> Target:
        """Return every member of that name, as the type of the receiver is not declared."""
        found = [
            d
            for d in self._named(call)
            if d.kind == "method"
            or d.owner
            or (call.language in SCRIPTS and d.kind not in TYPES)
            or is_extension(d)
        ]
        found = [d for d in found if d.holder not in ("function", "method") or is_extension(d)]
        return Target(tuple(found), not found)

    # Types and modules.

    def _place(self, call: Call, written: str) -> _Place | None:
        """Return what a path of names refers to; None if it is a variable or another expression."""
        if "(" in written or written.startswith(("$", "@")):
            return None
        if written in BUILT_IN.get(call.language, ()):
            return _Place()
        parts = written.split(".")
        if parts[0] in SELF:
            return None
        if call.language == "Elixir" and len(parts) > 1:
            return self._qualified(call, written)
        # The longest beginning that the file declares or imports.
        for length in range(len(parts), 0, -1):
            place = self._module(call, ".".join(parts[:length]))
            if place is None:
                continue
            rest = ".".join(parts[length:])
            if not rest or not (place.types or place.paths):
                return place
            if place.paths:
                return self._inside_module(call, place.paths, rest)
            inner = self.scopes.declared_types(call, parts[-1])
            inner = [declared for declared in inner if parts[length - 1] in declared.scopes]
            # A variant is one of its enumeration.
            inner = inner or [declared for declared in place.types if declared.kind == "enum"]
            return _Place(tuple(inner)) if inner else None
        if call.language == "Rust" and parts[-1] in ("crate", "super"):
            inline = "." in call.caller and not self._own_types(call)
            return _Place(paths=tuple(module_files(call, parts[-1], self._named(call), inline=inline)))
        if len(parts) > 1 or call.language == "Rust" or written.endswith("Kt"):
            return self._qualified(call, written)
        # In Go, a variable of the package is written like a type; types of other packages are qualified.
        return _Place() if is_type_name(written) and call.language != "Go" else None

    def _inside_module(self, call: Call, paths: Sequence[str], rest: str) -> _Place | None:
        """Return the type or the module that a path leads to from a module."""
        above, _, last = rest.rpartition(".")
        types = [
            d for path in paths for d in self.scopes.exported(path, last, call.language) if d.kind in TYPES
        ]
        folders = tuple(posixpath.dirname(path) for path in paths)
        if not types and above:
            declared = self.scopes.declared_types(call, last)
            types = [d for d in declared if is_module(d.path, above) and d.path.startswith(folders)]
            outer = None if types else self._inside_module(call, paths, above)
            types = types or [d for d in (outer.types if outer else ()) if d.kind == "enum"]
        if types:
            return _Place(tuple(types))
        modules = [
            d.path for d in self._named(call) if is_module(d.path, last) and d.path.startswith(folders)
        ]
        return _Place(paths=tuple(dict.fromkeys(modules))) if modules else None

    def _module(self, call: Call, name: str) -> _Place | None:
        """Return what a name refers to that a file declares or imports."""
        types = self.scopes.types(call, name)
        if types:
            return _Place(tuple(types))
        for imported in self.declarations.imports(call.path):
            for local, original in bound(imported, call.language):
                if local == name:
                    if not imported.targets:
                        return _Place()
                    last = original or imported.module
                    # Of a package of Go, a file may have the name of all.
                    modules = [
                        path for path in imported.targets if call.language != "Go" and is_module(path, last)
                    ]
                    if original in (None, "default", "*") or modules:
                        return _Place(paths=tuple(modules or imported.targets))
        return None

    def _qualified(self, call: Call, written: str) -> _Place | None:
        """Return the type at the end of a path, or the module of that name."""
        last = written.rpartition(".")[2]
        if call.language == "Elixir":
            modules = [d for d in self.declarations.definitions(last) if d.kind == "module"]
            return _Place(tuple(d for d in modules if d.name == written)) if modules else _Place()
        types = self.scopes.declared_types(call, last)
        if types:
            return _Place(tuple(types))
        if last.endswith("Kt") and call.language in family("Kotlin"):
            # What a file of Kotlin declares at its top level is in a class with its name.
            found = [
                d.path for d in self._named(call) if d.language == "Kotlin" and is_module(d.path, last[:-2])
            ]
            if found:
                return _Place(paths=tuple(dict.fromkeys(found)))
        if is_type_name(last):
            # A variant is one of the enumerations that have the member.
            types = [d for d in self.scopes.imported_enumerations(call) if written == last]
            return _Place(tuple(types))
        if call.language == "Rust":
            found = [d.path for d in self._named(call) if self.scopes.is_top(d) and is_module(d.path, last)]
            if found or written.partition(".")[0] in ("std", "core", "alloc"):
                return _Place(paths=tuple(dict.fromkeys(found)))
        return None

    def _type_place(self, call: Call, declared: str, depth: int) -> _Place | None:
        """Return the type with a declared name, or that calling a function returns (`f()`)."""
        if declared == "literal":
            return _Place()
        path = declared.removesuffix("()")
        if path in SELF:
            return _Place(tuple(self._own_types(call)))
        if path == declared or re.search(r"(?:^|\.)[A-Z]", path):
            # What a function of a type returns is that type, as is usual of constructors.
            plain = (
                path if path == declared or re.search(r"(?:^|\.)[A-Z]\w*$", path) else path.rpartition(".")[0]
            )
            place = self._place(call, plain)
            if place is not None and (place.types or path == declared):
                return place
            if path == declared:
                return _Place() if re.match(r"(?:[\w.]+\.)?[A-Za-z]\w*$", path) else None
        if path in ("require", "new"):  # What they return is written in their argument.
            return None
        receiver, _, name = path.rpartition(".")
        target = self.resolve(call._replace(receiver=receiver, name=name), depth + 1)
        if not target.certain:
            return None
        if not target.definitions:
            return _Place()
        found = target.definitions[0]
        if found.kind in TYPES:
            return _Place(target.definitions)
        returned = returned_type(found)
        if returned is None:
            return None
        if returned in SELF:
            return _Place(tuple(self.scopes.declared_types(call, found.owner)))
        inside = call._replace(path=found.path, language=found.language, caller=found.name)
        return self._place(inside, returned) or _Place()

    # Imports.

    def _named(self, call: Call) -> list[Definition]:
        languages = family(call.language)
        return [d for d in self.declarations.definitions(call.name) if d.language in languages]
