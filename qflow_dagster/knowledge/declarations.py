"""What the files of a snapshot declare and import, read by name as resolving calls needs it.

Belongs here: SQL, values as the database has them, and the bases that a signature names. Does not belong here: what a
call refers to (`call_targets`).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge.lookups import TEST_OF_RUST, SymbolLocation, members, short_name

TYPES = frozenset({"class", "struct", "interface", "trait", "enum", "object", "impl", "type"})
# Languages whose code can call each other.
FAMILIES = (
    ("Java", "Kotlin", "Scala", "Groovy"),
    ("C", "C++", "Objective-C", "Objective-C++"),
    ("JavaScript", "TypeScript", "TSX", "JSX", "Vue", "Svelte"),
)
_IMPLEMENTED = re.compile(r"(?:unsafe )?impl\b(?:<[^>]*>)?\s++([\w:]++).*\bfor\b")
_IN_PARENTHESES = re.compile(r"\s*+(?:\[[^\[\]]*+\]\s*+)?\(([^()]*+(?:\([^()]*+\)[^()]*+)*+)\)\s*+:?\s*+$")
# A class of Ruby as a value: `Cold = Class.new(StandardError)`.
_MADE_OF = re.compile(r"\s*+=\s*+Class\.new[\s(]\s*+([A-Z][\w:]*+)")
# Parameters of a constructor, not bases: `val size: Int`, `int size`.
_PARAMETERS_OF = re.compile(r"\w\s+\w|:")
# Parentheses in parentheses, and parameters of types in others.
MAX_NESTED = 5
_INSIDE = re.compile(r"\([^()]*\)|<[^<>]*>")
_BASE_LIST = re.compile(
    r"\b(?:extends|implements|with)\b(.*)$|(?<!:):(?!:)(.*)$|<\s+(?:::)?([\w:]+)\s*(?:$|[;#]|\.new\b|\bend\b)"
)
# What constrains or implements bases, and is none.
_AFTER_BASES = re.compile(r"\bwhere\b.*$|\bby\s+\w+")
_SCRIPTS = FAMILIES[-1]
_APPLYING = frozenset({"call", "apply"})
_FUNCTION = re.compile(r"(?!(?:this|super)$)(?:[\w$]+\.)*[\w$]+")
_SCOPE = re.compile(r"\.|::|#")
_PARAMETERS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")


class Definition(NamedTuple):
    """A symbol with its file; `name` is qualified, `holder` the kind of what it is in (`module` for the file)."""

    path: str
    line: int
    kind: str
    name: str
    signature: str
    end_line: int
    oid: str
    short: str
    language: str
    holder: str
    namespaces: tuple[str, ...]
    test: bool

    @property
    def scopes(self) -> list[str]:
        """Return the names of what it is in, outermost first, without parameters of types."""
        parts = _SCOPE.split(_PARAMETERS.sub("", self.name.removesuffix(self.short)))
        return [part for part in parts if part and part != "prototype"]

    @property
    def owner(self) -> str:
        """Return the name of the type or object it is a member of; '' at the top level."""
        return self.scopes[-1] if self.scopes else ""


class Import(NamedTuple):
    """An import of a file, with the files that it resolves to."""

    module: str
    names: list[str]
    aliases: list[str]
    kind: str
    level: int
    targets: list[str]


class Call(NamedTuple):
    """A call in a snapshot: where it is written, in which symbol, and on what."""

    path: str
    line: int
    language: str
    caller: str
    caller_line: int
    receiver: str
    name: str
    number: int
    test: bool


def bases_of(kind: str, name: str, signature: str) -> list[str]:
    """Return the types that a declaration names as bases or interfaces, without their modules and parameters."""
    return list(dict.fromkeys(base.rpartition(".")[2] for base in qualified_bases_of(kind, name, signature)))


def qualified_bases_of(kind: str, name: str, signature: str) -> list[str]:
    """Return the types that a declaration names as bases or interfaces, as it names them, with dots between names."""
    if kind == "type":
        return []
    short = name.rpartition(".")[2]
    _, _, after = signature.partition(short)
    if kind == "impl":
        match = _IMPLEMENTED.match(signature)
    elif after.lstrip().startswith((";", "#")):
        return []  # The body of a class of Ruby on the same line, a comment.
    elif (match := _MADE_OF.match(after)) is None:
        match = _IN_PARENTHESES.match(after)
        if match is None or _PARAMETERS_OF.search(match[1]):
            for _ in range(MAX_NESTED):
                after = _INSIDE.sub("", after)
            match = _BASE_LIST.search(after)
    if match is None:
        return []
    listed = next(group for group in match.groups() if group is not None)
    plain = re.sub(r"<[^<>]*>|\[[^\[\]]*\]|\([^()]*\)|\b\w+\s*=[^,]*", "", _AFTER_BASES.sub("", listed))
    names = re.findall(r"[A-Za-z_$][\w.$]*(?:::[\w$]+)*", plain)
    words = {"public", "private", "protected", "virtual", "extends", "implements", "with", "permits"}
    return list(dict.fromkeys(re.sub(r"[.:]+", ".", base).strip(".") for base in names if base not in words))


def arity(symbol: "SymbolLocation | Definition") -> int:
    """Return how many parameters a type of C# has, which it is another type by than one of its name; 0 for others."""
    if symbol.kind not in TYPES or not symbol.path.endswith(".cs"):
        return 0
    return _parameters_at(symbol.signature.partition(short_name(symbol.name))[2])[0]


def titled(symbol: "SymbolLocation | Definition") -> str:
    """Return the name of a symbol, with the parameters that tell a type of C# from others of its name."""
    if not arity(symbol):
        return symbol.name
    parameters = _parameters_at(symbol.signature.partition(short_name(symbol.name))[2])[1]
    return symbol.name + re.sub(r"\b(?:in|out) ", "", parameters)


def base_arities(signature: str, name: str, base: str) -> set[int]:
    """Return with how many parameters the declaration of a type names a base."""
    after = signature.partition(short_name(name))[2]
    after = re.sub(r"\([^()]*\)", "", after[len(_parameters_at(after)[1]) :])
    return {
        _parameters_at(after[match.end() :])[0]
        for match in re.finditer(rf"\b{re.escape(base)}\b", after)
        if after.count("<", 0, match.start()) == after.count(">", 0, match.start())
    }


def _parameters_at(written: str) -> tuple[int, str]:
    """Return the number of parameters in angle brackets at the beginning of a text, and that part of it."""
    depth, commas = 0, 0
    if not written.startswith("<"):
        return 0, ""
    for position, character in enumerate(written):
        depth += (character in "<([") - (character in ">)]")
        commas += character == "," and depth == 1
        if not depth:
            return commas + 1, written[: position + 1]
    return commas + 1, written


def family(language: str) -> tuple[str, ...]:
    """Return the languages whose code can call each other, of which `language` is one."""
    return next((languages for languages in FAMILIES if language in languages), (language,))


class Declarations:
    """An index of definitions by name and imports by file, filled as names and files are needed."""

    def __init__(self, connection: Connection, snapshot: Snapshot) -> None:
        self.connection, self.snapshot = connection, snapshot
        self._definitions: dict[str, list[Definition]] = {}
        self._imports: dict[str, list[Import]] = {}
        self._namespaces: dict[str, tuple[str, ...]] = {}
        self._of_files: dict[str, list[Definition]] = {}

    def definitions(self, name: str) -> list[Definition]:
        """Return what has a name, without scopes."""
        if name not in self._definitions:
            self.load_names({name})
        return self._definitions[name]

    def imports(self, path: str) -> list[Import]:
        """Return the imports of a file."""
        if path not in self._imports:
            self.load_files({path})
        return self._imports[path]

    def namespaces(self, path: str) -> tuple[str, ...]:
        """Return the namespaces or packages of a file."""
        self.imports(path)
        return self._namespaces.get(path, ())

    def load_names(self, names: Collection[str]) -> None:
        """Read the definitions of several names at once."""
        missing = [name for name in names if name not in self._definitions]
        self._definitions.update({name: [] for name in missing})
        for found in self._read("s.name = ANY(:names)", {"names": missing}):
            self._definitions[found.short].append(found)

    def at(self, path: str, line: int, name: str | None = None) -> Definition | None:
        """Return the outermost definition that begins at a line; `name`: the one that has it, without scopes."""
        condition = (
            "f.path = :path AND s.start_line = :line AND (CAST(:name AS text) IS NULL OR s.name = :name)"
        )
        return next(self._read(condition, {"path": path, "line": line, "name": name}), None)

    def of_file(self, path: str) -> list[Definition]:
        """Return what a file defines."""
        if path not in self._of_files:
            self._of_files[path] = list(self._read("f.path = :path", {"path": path}))
        return self._of_files[path]

    def member_names(self, declared: Definition) -> set[str]:
        """Return the names of the symbols that are directly within a type; in Go in its package."""
        return {short_name(member.name) for member in members(self.connection, self.snapshot, declared)}

    def naming(self, names: Sequence[str]) -> list[Definition]:
        """Return the types of own code in whose declarations one of `names` is."""
        condition = """s.kind = ANY(:kinds) AND NOT f.vendored
            AND EXISTS (SELECT FROM unnest(CAST(:names AS text[])) n(name) WHERE strpos(s.signature, n.name) > 0)"""
        return list(self._read(condition, {"kinds": [*TYPES, "module"], "names": list(names)}))

    def _read(self, condition: str, parameters: dict[str, Any]) -> Iterator[Definition]:
        query = text(f"""
            SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid, s.name,
                   b.language, coalesce(p.kind, 'module'), b.namespaces, f.test
            FROM symbols s JOIN files f ON f.blob_id = s.blob_id JOIN blobs b ON b.id = f.blob_id
            LEFT JOIN symbols p ON p.blob_id = s.blob_id AND p.seq = s.parent_seq
            WHERE {IN_SNAPSHOT} AND s.seq > 0 AND {condition} ORDER BY f.path, s.start_line, s.seq
        """)
        for row in self.connection.execute(query, {**self.snapshot.interval, **parameters}):
            yield Definition(*row)._replace(namespaces=tuple(row.namespaces))

    def load_files(self, paths: Collection[str]) -> None:
        """Read the imports of several files at once."""
        missing = [path for path in paths if path not in self._imports]
        if not missing:
            return
        self._imports.update({path: [] for path in missing})
        parameters = {**self.snapshot.interval, "paths": missing}
        query = text(f"""
            SELECT f.path, i.module, i.names, i.aliases, i.kind, i.level,
                   array(SELECT d.target_path FROM dependencies d
                         WHERE d.repository_id = f.repository_id AND d.source_path = f.path AND d.line = i.line
                           AND d.module = i.module AND d.target_path IS NOT NULL AND d.from_seq <= :seq
                           AND (d.to_seq IS NULL OR d.to_seq > :seq)) AS targets
            FROM files f JOIN imports i ON i.blob_id = f.blob_id
            WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) ORDER BY f.path, i.seq
        """)
        for path, *columns in self.connection.execute(query, parameters):
            self._imports[path].append(Import(*columns))
        query = text(f"""
            SELECT f.path, b.namespaces FROM files f JOIN blobs b ON b.id = f.blob_id
            WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths)
        """)
        for path, namespaces in self.connection.execute(query, parameters):
            self._namespaces[path] = tuple(namespaces)

    def load_included(self, files: Collection[tuple[str, str]], depth: int) -> None:
        """Read the imports of files (path, language), and of what they import all of, level by level."""
        reached = level = set(files)
        for _ in range(depth):
            self.load_files({path for path, _ in level})
            level = {
                (target, language)
                for path, language in level
                for imported in self.imports(path)
                if is_wildcard(imported, language)
                for target in imported.targets
            } - reached
            reached = reached | level

    def calls(
        self,
        names: Collection[str] | None = None,
        *,
        within: Sequence[SymbolLocation | Definition] | None = None,
    ) -> list[Call]:
        """Return the calls of some names (None: of all), or those within some definitions, of own code.

        `f.call(...)` and `f.apply(...)` of JavaScript are calls of `f`.
        """
        named, rows = "true", "cardinality(s.calls) > 0"
        if names is not None:
            named = """(c.name_called = ANY(:names) OR (c.name_called = ANY(:applying) AND b.language = ANY(:scripts)
                AND regexp_replace(split_part(c.receiver, ': ', 1), '^.*\\.', '') = ANY(:names)))"""
            rows = (
                "(s.calls && CAST(:names AS text[]) OR (s.calls && :applying AND b.language = ANY(:scripts)))"
            )
        parameters = {
            **self.snapshot.interval,
            "names": list(names or ()),
            "applying": list(_APPLYING),
            "scripts": list(_SCRIPTS),
        }
        if within is not None:
            rows += """ AND EXISTS (SELECT FROM unnest(CAST(:paths AS text[]), CAST(:starts AS int[]),
                CAST(:ends AS int[])) w(path, first, last)
                WHERE f.path = w.path AND s.start_line BETWEEN w.first AND w.last) AND f.path = ANY(:paths)"""
            parameters |= {
                "paths": [symbol.path for symbol in within],
                "starts": [symbol.line for symbol in within],
                "ends": [symbol.end_line for symbol in within],
            }
        query = text(f"""
            SELECT f.path, c.line, b.language, s.qualified_name AS caller, s.start_line, c.receiver,
                   c.name_called, c.number,
                   f.test OR (b.language = 'Rust' AND s.qualified_name ~ '{TEST_OF_RUST}') AS test
            FROM files f JOIN blobs b ON b.id = f.blob_id JOIN symbols s ON s.blob_id = f.blob_id
            CROSS JOIN LATERAL unnest(s.calls, s.call_receivers, s.call_lines, s.call_counts)
                AS c(name_called, receiver, line, number)
            WHERE {IN_SNAPSHOT} AND NOT f.vendored AND {rows} AND {named} ORDER BY test, path, line
        """)
        return [_of_function(Call(*row)) for row in self.connection.execute(query, parameters)]

    def aliases_of(self, name: str) -> set[str]:
        """Return the other names under which files import something."""
        query = text(f"""
            SELECT DISTINCT a.alias FROM files f JOIN imports i ON i.blob_id = f.blob_id
            CROSS JOIN LATERAL unnest(CASE WHEN cardinality(i.names) > 0 THEN i.names
                ELSE ARRAY[regexp_replace(i.module, '^.*[.:/\\\\]', '')] END, i.aliases) AS a(name, alias)
            WHERE {IN_SNAPSHOT} AND cardinality(i.aliases) > 0 AND a.name = ANY(:names) AND a.alias NOT IN ('', '*')
        """)
        return set(self.connection.scalars(query, {**self.snapshot.interval, "names": [name]}))

    def names_of_default(self, paths: Collection[str]) -> set[str]:
        """Return the names that files of JavaScript give to what they import as the default of some files."""
        query = text(f"""
            SELECT DISTINCT a.alias FROM files f JOIN imports i ON i.blob_id = f.blob_id
            JOIN dependencies d ON d.repository_id = f.repository_id AND d.source_path = f.path AND d.line = i.line
             AND d.module = i.module AND d.from_seq <= :seq AND (d.to_seq IS NULL OR d.to_seq > :seq)
            CROSS JOIN LATERAL unnest(i.names, i.aliases) AS a(name, alias)
            WHERE {IN_SNAPSHOT} AND d.target_path = ANY(:paths) AND a.name = 'default' AND a.alias NOT IN ('', '*')
        """)
        return set(self.connection.scalars(query, {**self.snapshot.interval, "paths": list(paths)}))


def _of_function(call: Call) -> Call:
    """Return `f.call()` of JavaScript as a call of `f`; other calls as they are."""
    # A receiver stands before its declared type.
    written = call.receiver.partition(": ")[0]
    if call.name not in _APPLYING or call.language not in _SCRIPTS or not _FUNCTION.fullmatch(written):
        return call
    receiver, _, name = written.rpartition(".")
    return call._replace(receiver=receiver, name=name)


def bound(imported: Import, language: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names that an import gives to things in a file, each with its own name (None: the module itself)."""
    if imported.names:
        aliases = imported.aliases or [""] * len(imported.names)
        for name, alias in zip(imported.names, aliases, strict=True):
            yield alias or name, name
        return
    alias = imported.aliases[0] if imported.aliases else ""
    if alias and alias != "*":
        yield alias, None
        return
    if language == "Python":
        yield imported.module, None
    last = re.split(r"[./:\\]", re.sub(r"/v\d+$|\.\*$", "", imported.module))[-1]
    if language not in ("Python", "C", "C++", "Ruby", "Shell", "C#", "JavaScript", "TypeScript", "TSX"):
        yield last, None


def is_wildcard(imported: Import, language: str) -> bool:
    """Return whether an import makes everything in its targets usable by name alone."""
    if imported.names:
        return imported.names == ["*"]
    if language in ("C", "C++", "Ruby", "Shell", "Swift"):
        return True
    if language in ("JavaScript", "TypeScript", "TSX"):
        return imported.kind == "export"
    if language in ("Elixir", "PHP"):
        return imported.kind in ("import", "use", "require") and (
            language == "Elixir" or imported.kind != "use"
        )
    if language == "C#":
        return not any(imported.aliases)
    return imported.module.endswith(".*") or imported.aliases == ["*"]
