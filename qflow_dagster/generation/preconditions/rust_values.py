"""Preconditions of Rust about values: traits that are imported, declared types, and how an index is used."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_FUNCTIONS = ("function_item", "closure_expression")
# Methods of str that take a byte index.
_BYTE_METHODS = ("split_at", "is_char_boundary", "get")
_READERS = re.compile(
    r"^(&\s*mut\s+)?(impl\s+(\w+::)*Read\b|(\w+::)*(File|TcpStream|UnixStream|Stdin|ChildStdout)\b)"
)
_OPENING = re.compile(r"\b(File::open|TcpStream::connect|UnixStream::connect|io::stdin|BufReader::new)\(")


_LINES = re.compile(r"^((std::)?io::)?(BufReader::(new|with_capacity)\(|stdin\(\)|(std::)?io::stdin\(\))")


def _lines(file: File, match: Match, variable: Any) -> str | None:
    """Check that lines are read by std's BufRead, which has errors: of a reader that is made here."""
    if re.search(r"\b(tokio|async_std|futures)::io\b", file.text):
        return "the reader may not be one of std"
    node = file.innermost(match.captures[variable])
    text = node.text()
    if node.kind() == "identifier":
        function = next((outer for outer in node.ancestors() if outer.kind() in _FUNCTIONS), None)
        lets = function.find_all(kind="let_declaration") if function is not None else []
        values = [let.field("value") for let in lets if text in _bound(let)]
        if len(values) != 1 or values[0] is None:
            return f"what {text} reads is not known"
        text = values[0].text()
    return None if _LINES.match(text) else "the reader is not made here"


def _imports(file: File, match: Match, patterns: Any) -> str | None:
    """`patterns` are names, of which the file imports one."""
    used = [node.text() for node in file.root.find_all(kind="use_declaration")]
    if any(re.search(rf"\b{pattern}", text) for text in used for pattern in patterns):
        return None
    return f"the file imports none of {', '.join(patterns)}"


def _byte_index(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {text: S, index: I}: in the loop, the index is used as a byte index of the text only."""
    text, index = (file.captured(match, argument[name]) or "" for name in ("text", "index"))
    loop = next((node for node in file.node(match).ancestors() if node.kind() == "for_expression"), None)
    body = loop.field("body") if loop is not None else None
    if body is None:
        return "it is not the value of a loop"
    uses = body.find_all(any=[{"kind": "identifier", "regex": f"^{index}$"}, {"kind": "macro_invocation"}])
    for use in uses:
        line = file.source.line_of(span_of(use)[0])
        if use.kind() == "macro_invocation":
            if re.search(rf"\b({index}|{re.escape(text)})\b", use.text()):
                return f"line {line} uses it in a macro"
        elif not _indexes(use, text):
            return f"line {line} uses {index} for something else than a slice of {text}"
    assigned = body.find_all(any=[{"kind": "assignment_expression"}, {"kind": "let_declaration"}])
    if any(name in (index, text) for node in assigned for name in _bound(node)):
        return f"{text} or {index} is assigned in the loop"
    return None if len(uses) else f"{index} is not used"


def _indexes(use: SgNode, text: str) -> bool:
    parent = use.parent()
    if parent is not None and parent.kind() == "range_expression":
        use, parent = parent, parent.parent()
        if parent is not None and parent.kind() == "index_expression":
            return named_children(parent)[0].text() == text and span_of(named_children(parent)[0]) != span_of(
                use
            )
    call = parent.parent() if parent is not None and parent.kind() == "arguments" else None
    function = call.field("function") if call is not None else None
    methods = [
        f"{text}.{name}" for name in _BYTE_METHODS if name != "get" or use.kind() == "range_expression"
    ]
    return function is not None and function.text() in methods


def _bound(node: SgNode) -> list[str]:
    target = node.field("left") or node.field("pattern")
    return [target.text()] if target is not None else []


def _reader(file: File, match: Match, variable: Any) -> str | None:
    """Check that a value is a reader of the standard library, by what its function says."""
    name = (file.captured(match, variable) or "").removeprefix("&mut ")
    function = next((node for node in file.node(match).ancestors() if node.kind() == "function_item"), None)
    written = _types(function, name)
    generics = _generics(function)
    if written and all(_READERS.search(generics.get(text.replace("&mut ", ""), text)) for text in written):
        return None
    values = _values(function, name)
    if not written and values and all(_OPENING.search(value) for value in values):
        return None
    return f"that {name} is a reader of the standard library is not declared in this function"


def _same_width(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {signed: X, unsigned: T}: the value is declared as the signed type of T's width."""
    name, unsigned = (file.captured(match, argument[part]) or "" for part in ("signed", "unsigned"))
    function = next((node for node in file.node(match).ancestors() if node.kind() == "function_item"), None)
    written = _types(function, name)
    if function is not None and written == {unsigned.replace("u", "i", 1)}:
        declared = {
            span_of(pattern) for node in _patterns(function, name) if (pattern := node.field("pattern"))
        }
        names = [node for node in function.find_all(kind="identifier") if node.text() == name]
        if not any(_binds(node) and span_of(node) not in declared for node in names) and all(
            node.field("type") is not None for node in _patterns(function, name)
        ):
            return None
    return f"that {name} is of type {unsigned.replace('u', 'i', 1)} is not declared in this function"


def _binds(node: SgNode) -> bool:
    """Return whether an identifier is (part of) a pattern that binds it."""
    parent = node.parent()
    if parent is None:
        return False
    pattern = parent.field("pattern")
    return (
        parent.kind().endswith("_pattern")
        or parent.kind() == "closure_parameters"
        or (pattern is not None and span_of(pattern) == span_of(node))
    )


def _types(function: SgNode | None, name: str) -> set[str]:
    """Return the types with which a function declares a name."""
    if function is None:
        return set()
    written = [node.field("type") for node in _patterns(function, name)]
    return {node.text() for node in written if node is not None}


def _values(function: SgNode | None, name: str) -> list[str]:
    if function is None:
        return []
    values = [node.field("value") for node in _patterns(function, name)]
    return [value.text() if value is not None else "" for value in values]


def _patterns(function: SgNode, name: str) -> list[SgNode]:
    kinds = ("parameter", "let_declaration")
    found = function.find_all(any=[{"kind": kind} for kind in kinds])
    return [
        node for node in found if (pattern := node.field("pattern")) is not None and pattern.text() == name
    ]


def _generics(function: SgNode | None) -> dict[str, str]:
    """Return the type parameters of a function that are readers."""
    readers = {}
    for node in function.find_all(kind="type_parameter") if function is not None else ():
        name, _, bounds = node.text().partition(":")
        if re.search(r"\bRead\b", bounds):
            readers[name.strip()] = "impl Read"
    return readers


def _line_untouched(file: File, match: Match, variable: Any) -> str | None:
    """Check that a text is new, that read_line fills it before, and that nothing else changes or cuts it in between."""
    name = file.captured(match, variable) or ""
    function = next((node for node in file.node(match).ancestors() if node.kind() in _FUNCTIONS), None)
    if function is None:
        return "it is outside a function"
    uses = [
        use
        for use in function.find_all(kind="identifier", regex=f"^{name}$")
        if span_of(use)[0] < match.start
    ]
    before = [parent.text() for use in uses if (parent := use.parent()) is not None]
    if not uses or not re.match(rf"let mut {name}(: String)? = String::new\(\);$", before[0]):
        return f"{name} is not a new String"
    if before[1:] != [f"&mut {name}"]:
        return f"something else is done with {name} before"
    return None


PRECONDITIONS = {
    "rust-lines": Precondition("The lines are those of a reader of std that is made here.", _lines),
    "rust-imports": Precondition("The file imports one of these names.", _imports),
    "rust-byte-index": Precondition("The number is used as a byte index of the text only.", _byte_index),
    "rust-reader": Precondition("The function declares the value as a reader of std.", _reader),
    "rust-same-width": Precondition("The value is declared with the signed type of that width.", _same_width),
    "rust-line-untouched": Precondition("The text is a line as read_line returned it.", _line_untouched),
}
