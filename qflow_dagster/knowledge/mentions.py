"""Where text has a name, beside what the facts say of it: the check that an answer leaves nothing out.

Facts come from definitions, calls and imports. A name may also be passed as a value, be the type of a variable, be in a
macro, a string or a template, or in a file that is not read as code. An answer is complete if each line that has the
name is accounted for. Does not belong here: what a call refers to (`call_targets`), the fields of types (`fields`),
answers (`answers`).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qflow_dagster.knowledge import code_trees, fields, git_facts, lookups
from qflow_dagster.knowledge.code_trees import CodeTree
from qflow_dagster.knowledge.evidence import QuestionContext, listed
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.lookups import SymbolLocation

if TYPE_CHECKING:
    from tree_sitter import Node

# Names in more files than this say little, and take long to read.
MAX_FILES = 60
# Nodes of which a name declares something, instead of using it.
_DECLARES = re.compile(
    r"defin|declar|^preproc_def|_item$|_spec$|parameter|keyword_argument|assignment|^method$|^function$|^enumerator$|enum_variant|"
    r"enum_constant|enum_entry|const_element|alias|^pair$|field_definition|property_element"
)
# These give a new value to what another line declares; an assignment of Python or Ruby may declare a variable.
_SETS = re.compile(
    r"assign|^update_expression$|^(?:inc|dec)_statement$|^field_initializer$|^keyed_element$|^initializer_pair$"
)
_INCREMENTS = re.compile(r"^(?:postfix|prefix)_(?:unary_)?expression$|^unary_expression$")
# Around the name of a member in what an assignment has on its left.
_ACCESS = re.compile(
    r"^attribute$|member_|^field_(?:expression|access|designator)$|^selector_expression$|^navigation_|assignable|"
    r"(?:expression|assignment|pattern)_list|^variable_name$|^call$|property_access|^literal_element$"
)
# What declarations of C and C++ have around the name.
_AROUND_NAMES = ("pointer_declarator", "init_declarator", "array_declarator")
_ATTRIBUTES = ("instance_variable", "class_variable")

# `Name = {}`, `type Name = {};`, `using Name = module.{};`
_OTHER_NAME = (
    r"(?:(?:export|pub|public|global|type|using|const|let|var|val|typealias)\s+)*(?P<name>[A-Z]\w*)\s*(?::[\s\w.\[\]]*)?"
    r"=\s*(?:\w+(?:\.|::))*{0}\s*;?\s*(?:(?:#|//).*)?$"
)
_IMPORTS = re.compile(r"import|^use_declaration|using_directive|namespace_use|preproc_include|export_clause")
# An import is not deeper around a name of it.
MAX_DEPTH = 5

CALLED, SET, PASSED, TAKEN_IN = "called", "set", "passed as a value", "taken in"
# How a name is used, by what it stands in, from the inside; nothing of these: it is a value.
_ROLES = (
    (re.compile(r"interpolation|template_substitution"), "used"),
    (re.compile(r"string|heredoc|template_literal"), "in a string"),
    (re.compile(r"preproc"), "in a macro"),
    (
        re.compile(r"decorator|^(?:marker_)?annotation$|^attribute_(?:item|list|group)$|^modifier$"),
        "as a decorator",
    ),
    (
        re.compile(
            r"^(?:primitive_|generic_|nullable_|optional_|array_|pointer_|user_)?type|heritage|superclass|base_"
            r"|extends|implements|instanceof|cast|delegation_spec|inheritance"
        ),
        "as a type",
    ),
    (re.compile(r"^use_declaration$"), TAKEN_IN),
    (re.compile(r"^return"), "returned"),
    (re.compile(r"^(?:throw|raise)"), "raised"),
    (
        re.compile(
            r"argument|method_reference|callable_reference|^pair$|pair_pattern|array|(?<!expression_)list|dictionary|literal_element"
            r"|composite_literal|assign|initializer|declarator|^(?:const|var|let)_|_declaration$"
        ),
        PASSED,
    ),
    (
        re.compile(
            r"^(?:block|body|.*statement|program|module|source_file|.*function.*|.*method.*|lambda.*)$"
        ),
        "used",
    ),
)


class Occurrence(NamedTuple):
    """A name in code, with its line; `declares`: there the name is given to something."""

    name: str
    line: int
    declares: bool
    node: "Node | None" = None


class Mentions(NamedTuple):
    """The lines that have a name: uses, declarations, and comments or prose in own code; lines that are not code.

    `complete` is false if the name is in more lines or files than are looked at, `roles` is how each of `uses` uses it.
    """

    uses: list[Line]
    declarations: list[Line]
    unread: list[Line]
    complete: bool
    prose: Sequence[Line] = ()
    roles: Mapping[tuple[str, int], str] = {}


def mentions(context: QuestionContext, name: str, known: Collection[tuple[str, int]] = ()) -> Mentions:
    """Return the lines that have a name, but those at `known` places (path, line), code of the program before tests."""
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    complete = len(rows) < git_facts.MAX_LINES
    rows = [row for row in rows if context.keeps(row.path)]
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    wanted: dict[str, list[Line]] = {}
    for row in rows:
        if row.path in code and (row.path, row.line) not in known:
            wanted.setdefault(row.path, []).append(row)
    paths = sorted(wanted, key=lambda path: code[path])
    uses, declarations, prose = [], [], []
    roles: dict[tuple[str, int], str] = {}
    symbols = lookups.places_of(context.connection, context.snapshot, name)
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    # PHP has its properties with a dollar, and its functions without one.
    property_of_php = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    functions_of_php = any(path.endswith(".php") for path, _ in symbols)
    for path, content in context.texts(paths[:MAX_FILES]).items():
        found: dict[int, Occurrence] = {}
        code_tree = code_trees.read(path, content.encode(), plain=True)
        words = property_of_php if path.endswith(".php") and not functions_of_php else word
        for occurrence in _occurrences(code_tree, content, words):
            # A line that declares a name and uses it declares it.
            if occurrence.declares or occurrence.line not in found:
                found[occurrence.line] = occurrence
        for row in wanted[path]:
            occurrence = found.get(row.line)
            if occurrence is None:
                prose.append(row)
            # What is a symbol is known already.
            elif (path, row.line) not in symbols:
                (declarations if occurrence.declares else uses).append(row)
                roles[path, row.line] = _role(code_tree, occurrence)
    others = lookups.unread_paths(context.connection, context.snapshot, [row.path for row in rows])
    unread = [row for row in rows if row.path in others and (row.path, row.line) not in known]
    return Mentions(uses, declarations, unread, complete and len(paths) <= MAX_FILES, prose, roles)


def other_names(rows: Sequence[Line], name: str) -> dict[str, Line]:
    """Return the names that lines give to a type (`HTTPError = ClientError`), each with the first such line."""
    gives = re.compile(_OTHER_NAME.format(re.escape(name)))
    found: dict[str, Line] = {}
    for row in rows:
        match = gives.match(row.text[:500])
        if match and match["name"] != name:
            found.setdefault(match["name"], row)
    return found


def say_other_names(context: QuestionContext, rows: Sequence[Line]) -> None:
    """Say that what is meant has other names, which were not looked for."""
    for name, row in other_names(rows, context.short_name).items():
        context.limit(f"{name} is another name of it ({row.path}:{row.line}), which was not looked for")


def say_what_is_unread(context: QuestionContext, found: Mentions) -> None:
    """Say which lines have a name in files that are not read as code, and whether there are too many lines."""
    if found.unread:
        context.limit(f"files that are not read as code have the name, too: {listed(at(found.unread))}")
    if not found.complete:
        context.limit("the name is in too many lines to look at each that is no call")


def using(context: QuestionContext, names: Sequence[str], extension: str) -> list[Line]:
    """Return the first line of each file of own code with an extension that uses one of the names."""
    rows = git_facts.lines_with_any(context.objects(), context.snapshot.commit_oid, names) if names else []
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    wanted = {row.path for row in rows if row.path in code and row.path.endswith(f".{extension}")}
    words = re.compile(rf"(?<![\w$])(?:{'|'.join(map(re.escape, names))})(?![\w$])")
    first: dict[str, int] = {}
    for path, content in context.texts(sorted(wanted, key=lambda path: code[path])[:MAX_FILES]).items():
        for found in occurrences(path, content, words):
            if not found.declares:
                first.setdefault(path, found.line)
    if len(wanted) > MAX_FILES:
        context.limit(f"{len(wanted) - MAX_FILES} more files that have the names were not looked at")
    return [row for row in rows if first.get(row.path) == row.line]


def occurrences(path: str, text: str, words: re.Pattern[str]) -> Iterator[Occurrence]:
    """Yield the names that code uses or declares, each with its line: not what it says in prose."""
    yield from _occurrences(code_trees.read(path, text.encode(), plain=True), text, words)


def _occurrences(code: CodeTree | None, text: str, words: re.Pattern[str]) -> Iterator[Occurrence]:
    offset = 0
    for number, line in enumerate(text.split("\n"), 1):
        for match in words.finditer(line):
            start = offset + len(line[: match.start()].encode())
            node = (
                code.tree.root_node.descendant_for_byte_range(start, start + len(match[0].encode()))
                if code
                else None
            )
            declares = _declares(node, code.grammar.name) if code else False
            if declares is not None:
                yield Occurrence(match[0], number, declares, node)
        offset += len(line.encode()) + 1


def _role(code: CodeTree | None, occurrence: Occurrence) -> str:
    """Return how a name is used where it stands: called, passed as a value, as a type."""
    node = occurrence.node
    if code is None or node is None:
        return "used"
    if node in code.calls(occurrence.line, occurrence.line):
        return CALLED
    if _is_set(node):
        return SET
    if node.parent is not None and node.parent.type == "variable_name" and not _is_property(node.parent):
        return "as a variable"
    around: Node | None = node
    while around is not None:
        for pattern, role in _ROLES:
            if pattern.search(around.type):
                return role
        around = around.parent
    return "used"


def _is_set(node: "Node") -> bool:
    """Return whether a name, or the member of that name, gets a value where it stands."""
    inner, around = node, node.parent
    while around is not None and _ACCESS.search(around.type):
        if inner.end_byte != around.end_byte and not around.type.endswith("_list"):
            return False  # `heat.level = 1` sets level.
        inner, around = around, around.parent
    if around is None or inner.start_byte != around.start_byte:
        return around is not None and around.type == "update_expression"
    increments = _INCREMENTS.search(around.type) and re.search(rb"\+\+|--", around.text or b"")
    return bool(_SETS.search(around.type) or increments)


def _is_property(node: "Node") -> bool:
    """Return whether a variable of PHP is the property of a type: `self::$heat`."""
    return node.parent is not None and "property" in node.parent.type


def _declares(node: "Node | None", language: str) -> bool | None:
    """Return whether a name declares something where it stands; None in prose."""
    if node is None or "comment" in node.type:
        return None
    if "string" in node.type or "heredoc" in node.type:
        # A name in a string may register it (`__all__`, routes, mocks); prose does not.
        return None if re.search(rb"\s", (node.text or b"").strip()) else False
    parent = node.parent
    if _is_import(node):
        return None
    if parent is not None and parent.type == "use_declaration":
        return False  # A trait, which a type takes in.
    if fields.is_field(language, node):
        return True
    if node.type in _ATTRIBUTES or (parent is not None and parent.type == "assignment_expression"):
        return False
    while parent is not None and (parent.type in _AROUND_NAMES or _names_a_function(parent, node)):
        node, parent = parent, parent.parent
    return parent is not None and bool(_DECLARES.search(parent.type)) and _is_declared(parent, node)


def _names_a_function(qualified: "Node", name: "Node") -> bool:
    """Return whether C++ defines a function by its qualified name there: `MACRO bool Oven::bake() {`."""
    around = qualified.parent
    if qualified.type != "qualified_identifier" or around is None or name.end_byte != qualified.end_byte:
        return False
    return around.type in ("function_declarator", "qualified_identifier")


# The fields of grammars in which names are.
_NAMING = ("name", "declarator", "left", "key")


def _is_import(node: "Node") -> bool:
    """Return whether a name stands in an import, which the facts have."""
    around = node
    for _ in range(MAX_DEPTH):
        if around is not None and around.type == "use_declaration" and _is_in_body(around):
            return False  # A type of PHP takes in a trait.
        if around is None or _IMPORTS.search(around.type):
            return around is not None
        around = around.parent  # pyright: ignore[reportAssignmentType]
    return False


def _is_in_body(node: "Node") -> bool:
    return node.parent is not None and node.parent.type in ("declaration_list", "enum_declaration_list")


def _is_declared(parent: "Node", node: "Node") -> bool:
    named = [child for field in _NAMING for child in parent.children_by_field_name(field)]
    return node in named if named else node == _first_identifier(parent)


def _first_identifier(node: "Node") -> "Node | None":
    """Return the name of a declaration in a grammar that does not say which of its parts is the name."""
    if any(node.field_name_for_child(index) for index in range(node.child_count)):
        return None
    return next((child for child in node.children if re.search(r"identifier$|^name$", child.type)), None)


def where(how: str, symbol: str, row: Line) -> str:
    """Return how a line uses a name, in which symbol, and where that is, as text."""
    around = f"{'by' if how == TAKEN_IN else 'in'} {symbol}" if symbol else "at top level"
    return f"{how} {around} ({row.path}:{row.line})"


def at(rows: Sequence[Line | SymbolLocation]) -> list[str]:
    """Return where lines or symbols are, as text."""
    return [f"{row.path}:{row.line}" for row in rows]
