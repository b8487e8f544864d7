"""Parsing of import statements: a reader per grammar, from the text of the captured node.

Does not belong here: the files of the repository that they refer to (``resolution``).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tree_sitter import Node

from qflow_dagster.ingestion.facts import ImportFact

QUOTED = re.compile(r"""["'`<]([^"'`<>\n]+)["'`>]""")
MAX_NAMES_PER_STATEMENT = 200


class Read(NamedTuple):
    """One import out of a statement; `kind` only where it differs from the capture's.

    `aliases` are the names that the file gives to `names`, or to the module if there are none; '' for the same.
    """

    module: str
    names: list[str]
    level: int = 0
    kind: str = ""
    aliases: list[str] | None = None


def _renamed(
    module: str, parts: Iterable[str], level: int = 0, kind: str = "", word: str = r"\sas\s"
) -> Read:
    """Return the import of `name as alias` parts, or of the module if there are none."""
    pairs = [(*(text.strip() for text in re.split(word, part)), "")[:2] for part in parts if part.strip()]
    return Read(module, [name for name, _ in pairs], level, kind, [alias for _, alias in pairs])


def read(grammar: str, captures: dict[str, list[Node]], source: bytes) -> list[ImportFact]:
    """Return the imports of a file in order."""
    reader = READERS.get(grammar)
    if reader is None:
        return []
    inline = [node.byte_range for node in captures.get("def.module", [])] if grammar == "rust" else []
    statements = sorted(
        (*_span(node), node.start_point[0] + 1, capture[7:], grammar == "python" and _deferred(node))
        for capture, nodes in captures.items()
        if capture.startswith("import.")
        for node in nodes
    )
    facts: list[ImportFact] = []
    for start, end, line, kind, deferred in statements:
        statement = source[start:end].decode("utf-8", "replace")
        for count, imports in enumerate(reader(statement, kind)):
            if count == MAX_NAMES_PER_STATEMENT:
                break
            if imports.module or imports.level:
                level = imports.level + sum(first <= start < last for first, last in inline)
                aliases = imports.aliases if imports.aliases and any(imports.aliases) else []
                kind_read = imports.kind or kind
                facts.append(
                    ImportFact(
                        len(facts), line, imports.module, imports.names, level, kind_read, aliases, deferred
                    )
                )
    return facts


def _deferred(node: Node) -> bool:
    """Return whether a Python import does not run with its file: it is in a function, or for type checkers alone."""
    inner, outer = node, node.parent
    while outer is not None:
        if outer.type == "function_definition":
            return True
        if outer.type == "if_statement" and inner == outer.child_by_field_name("consequence"):
            condition = outer.child_by_field_name("condition")
            if condition is not None and (condition.text or b"").split(b".")[-1] == b"TYPE_CHECKING":
                return True
        inner, outer = outer, outer.parent
    return False


def _span(node: Node) -> tuple[int, int]:
    """Return where a statement begins and ends, with what belongs to it.

    That is the name that `require` is bound to and the member that is taken of it; in Rust the attributes before a
    module, which name its file.
    """
    above, last = node.parent, node
    while above is not None and above.type == "member_expression":
        above, last = above.parent, above
    if above is not None and above.type == "variable_declarator":
        return above.start_byte, last.end_byte
    start = node
    sibling = node.prev_named_sibling if node.type == "mod_item" else None
    while sibling is not None and sibling.type == "attribute_item":
        start, sibling = sibling, sibling.prev_named_sibling
    return start.start_byte, node.end_byte


def _python(statement: str, kind: str) -> Iterator[Read]:
    text = re.sub(r"#[^\n]*|\\\n", " ", statement)
    if kind == "import":
        for part in text.removeprefix("import").split(","):
            module, _, alias = part.partition(" as ")
            yield Read(module.strip(), [], aliases=[alias.strip()])
        return
    match = re.match(r"\s*+from\s*+(\.*+)\s*+([\w.]*)\s*+import\s*+(.*)", text, re.DOTALL)
    if match:
        yield _renamed(match[2], match[3].strip("() \n\t").split(","), len(match[1]))


def _javascript(statement: str, kind: str) -> Iterator[Read]:
    nodes = QUOTED.findall(statement)
    if not nodes:
        return
    clause, closed, _ = statement.partition("{")[2].partition("}")
    before = statement.partition("{")[0] if closed else statement
    bound = _SCRIPT_BOUND.match(before)
    parts = clause.split(",") if closed else []
    parts = [re.sub(r"^type\s+", "", part.strip()) for part in parts]
    if bound and bound["star"]:
        yield Read(nodes[-1], [], aliases=[bound["star"]])
    elif bound and bound["default"]:
        # Of a module of CommonJS, the whole is bound.
        member = _REQUIRED_MEMBER.search(statement) if kind == "require" else None
        parts.insert(
            0, f"{member[1] if member else 'default'}{':' if kind == 'require' else ' as '}{bound['default']}"
        )
    if not (bound and bound["star"]):
        yield _renamed(nodes[-1], parts, word=r"\sas\s|:" if kind == "require" else r"\sas\s")


# `require(...).x`
_REQUIRED_MEMBER = re.compile(r"\)\s*+\.\s*+([\w$]++)$")
# `import x, ...`, `import * as x`, `x = require(...)`.
_SCRIPT_BOUND = re.compile(
    r"(?:import\s++(?:type\s++)?+)?(?:\*\s*as\s+(?P<star>[\w$]+)|(?P<default>[\w$]+)\s*(?:,|from\b|=|$))"
)


def _go(statement: str, kind: str) -> Iterator[Read]:
    match = QUOTED.search(statement)
    if match:
        yield Read(match[1], [], aliases=[statement[: match.start()].strip()])


def _quoted(statement: str, kind: str) -> Iterator[Read]:
    match = QUOTED.search(statement)
    if match:
        yield Read(match[1], [])


def _c(statement: str, kind: str) -> Iterator[Read]:
    match = QUOTED.search(statement)
    if match:
        yield Read(match[1], [], 0, "include_system" if match[0].startswith("<") else "include")


def _rust(statement: str, kind: str) -> Iterator[Read]:
    if kind == "mod":
        path = re.search(r'#\[\s*path\s*=\s*"([^"\n]+)"', statement)
        match = re.search(r"\bmod\s+(\w+)\s*;", statement)
        if path:
            yield Read(path[1], [], 0, "mod_path")
        elif match:
            yield Read(match[1], [])
        return
    if kind == "crate":
        match = re.search(r"\bcrate\s++(\w++)(?:\s++as\s++(\w++))?", statement)
        if match:
            yield Read(match[1], [], aliases=[match[2] or ""])
        return
    match = re.search(r"\buse\s+(.*)", re.sub(r"//[^\n]*", "", statement), re.DOTALL)
    if match:
        for path, alias in _rust_tree(re.sub(r"\s+", " ", match[1].rstrip().removesuffix(";")).strip(), 0):
            yield Read(path, [], aliases=[alias])


def _rust_tree(tree: str, depth: int) -> Iterator[tuple[str, str]]:
    """`a::{b, c::d}` -> a::b, a::c::d, each with its alias, `*` for all that is in it."""
    opening = tree.find("{")
    if opening < 0 or depth > 20:
        path, _, alias = tree.partition(" as ")
        path = path.strip().removesuffix("::*").removesuffix("::self")
        if path and path != "*":
            yield path, alias.strip() or ("*" if tree.strip().endswith("::*") else "")
        return
    prefix = tree[:opening].strip()
    level, start = 0, opening + 1
    for position in range(opening, len(tree)):
        character = tree[position]
        if character == "{":
            level += 1
        elif character == "}":
            level -= 1
        if (character == "," and level == 1) or level == 0:
            part = tree[start:position].strip()
            if part:
                yield from _rust_tree(
                    prefix.removesuffix("::") if part == "self" else prefix + part, depth + 1
                )
            start = position + 1
            if level == 0:
                return


def _java(statement: str, kind: str) -> Iterator[Read]:
    match = re.match(r"import\s+(static\s+)?(\w+(?:\s*\.\s*\w+)*(?:\s*\.\s*\*)?)", statement)
    if match:
        yield Read(re.sub(r"\s", "", match[2]), [], 0, "import_static" if match[1] else "import")


def _csharp(statement: str, kind: str) -> Iterator[Read]:
    match = re.match(r"(?:global\s+)?using\s+(?:static\s+|unsafe\s+)*(?:(\w+)\s*=\s*)?([\w.]+)", statement)
    if match:
        yield Read(match[2], [], aliases=[match[1] or ""])


def _ruby(statement: str, kind: str) -> Iterator[Read]:
    match = QUOTED.search(statement)
    if match:
        yield Read(
            match[1], [], 0, "require_relative" if statement.startswith("require_relative") else "require"
        )


def _php(statement: str, kind: str) -> Iterator[Read]:
    if kind == "require":
        match = QUOTED.search(statement)
        if match:
            yield Read(match[1].lstrip("/"), [])
        return
    text = re.sub(r"^\s*use\s+(?:function\s+|const\s+)?|;\s*$", "", statement)
    group = re.match(r"([\w\\]+)\\\{(.*)\}", text, re.DOTALL)
    for part in (group[2] if group else text).split(","):
        name, _, alias = part.strip().lstrip("\\").partition(" as ")
        name = name.strip()
        yield Read(f"{group[1]}\\{name}" if group else name, [], aliases=[alias.strip()])


def _elixir(statement: str, kind: str) -> Iterator[Read]:
    match = re.match(
        r"(alias|import|use|require)\s*+(?:\(\s*+)?([\w.]+?)(?:\.?\{([^}]*)\})?(?:[,)\s]|$)", statement
    )
    if not match:
        return
    for part in match[3].split(",") if match[3] else [""]:
        module = f"{match[2]}.{part.strip()}" if part.strip() else match[2]
        alias = re.search(r"\bas:\s*+(\w++)", statement) if not match[3] else None
        yield Read(module, [], 0, match[1], [alias[1] if alias else ""])


def _jvm(statement: str, kind: str) -> Iterator[Read]:
    match = re.match(
        r"import\s+([\w.`$]+?)(?:\.\{([^}]*)\}|\.(\*|_))?(?:\s++as\s++(\w++))?\s*+(?:;\s*+)?$", statement
    )
    if match:
        module = match[1].replace("`", "") + (".*" if match[3] else "")
        if match[4]:
            yield Read(module, [], aliases=[match[4]])
        else:
            yield _renamed(module, (match[2] or "").split(","), word=r"=>|\sas\s")


def _kotlin(statement: str, kind: str) -> Iterator[Read]:
    # The grammar counts a comment after the last import to it.
    yield from _jvm(statement.partition("\n")[0].partition("//")[0], kind)


def _swift(statement: str, kind: str) -> Iterator[Read]:
    match = re.search(
        r"\bimport\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?([\w.]+)", statement
    )
    if match:
        yield Read(match[1], [])


def _shell(statement: str, kind: str) -> Iterator[Read]:
    if not statement.startswith("<("):
        yield Read(statement.strip("\"'"), [])


READERS: dict[str, Callable[[str, str], Iterator[Read]]] = {
    "python": _python,
    "javascript": _javascript,
    "typescript": _javascript,
    "tsx": _javascript,
    "go": _go,
    "rust": _rust,
    "java": _java,
    "c": _c,
    "cpp": _c,
    "csharp": _csharp,
    "ruby": _ruby,
    "php": _php,
    "elixir": _elixir,
    "kotlin": _kotlin,
    "scala": _jvm,
    "swift": _swift,
    "bash": _shell,
}
