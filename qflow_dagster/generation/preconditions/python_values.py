"""Preconditions of Python about values that go into a text: a digest, a command, a statement of SQL, a prefix."""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match, apply_edits
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_classes import types_of, unknown
from qflow_dagster.generation.preconditions.python_modules import qualified
from qflow_dagster.generation.preconditions.python_syntax import is_literal, names_in, node_of

_OTHER_DATABASES = {
    "psycopg",
    "psycopg2",
    "MySQLdb",
    "pymysql",
    "asyncpg",
    "aiosqlite",
    "sqlalchemy",
    "duckdb",
}
# Builtins of the shells of POSIX and Windows, and programs that are scripts there.
_BUILTINS = frozenset(
    """
    cd export source alias ulimit umask type set unset eval exec exit trap wait read echo printf test time command
    dir copy del move mkdir md rmdir rd type start call cls ren rename mklink
    npm npx yarn pnpm node gulp grunt tsc eslint ng vue
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)


def expression_is(file: File, match: Match, expected: Mapping[str, Sequence[str]]) -> str | None:
    """Check the types of expressions: `expected` is {metavariable: [types]}."""
    reasons = [
        unknown(file, [file.innermost(match.captures[variable])], set(types))
        for variable, types in expected.items()
        if variable in match.captures
    ]
    return next(filter(None, reasons), None)


def stripped_word(file: File, match: Match, argument: None) -> str | None:
    """Check that a text is stripped by what can only be meant as a prefix or suffix."""
    call = node_of(file, match, "call")
    if call is None:
        return "the call was not understood"
    function, arguments = named_children(call)
    receiver, method = named_children(function)
    reason = unknown(file, [receiver], {"str"})
    if method.text() == "strip":
        return "strip removes from both ends, which no other method does"
    try:
        word = ast.literal_eval(named_children(arguments)[0].text())
    except (ValueError, SyntaxError):
        return "what is stripped is not a text"
    letters = {character for character in word if character.isalpha()}
    if len(letters) < 3 or any(character.isspace() for character in word):
        return "these may be meant as single characters"
    if version_of(file.target) < (3, 9):
        return "Python 3.8 has no removeprefix"
    return reason


def version_of(target: str) -> tuple[int, int]:
    """Return the version of Python that ruff names like this (py311)."""
    digits = target.removeprefix("py")
    return int(digits[0]), int(digits[1:] or 0)


def digests(file: File, match: Match, argument: None) -> str | None:
    """Check that compare_digest takes both operands, and answers like the comparison."""
    form = digest_form(file, match)
    return None if form in ("plain", "encoded") else form


def digest_form(file: File, match: Match) -> str:
    """Return `plain` if compare_digest takes both operands as they are, `encoded` if as bytes, or why it does not."""
    comparison = node_of(file, match, "comparison_operator")
    operands = named_children(comparison) if comparison is not None else []
    if len(operands) != 2:
        return "several comparisons in a row"
    types = [types_of(file, operand) for operand in operands]
    # A digest in hexadecimal digits is ASCII; any other text need not be.
    if all(operand.text().endswith(".hexdigest()") for operand in operands) or types == [
        {"bytes"},
        {"bytes"},
    ]:
        return "plain"
    if types == [{"str"}, {"str"}]:
        return "encoded"
    return unknown(file, operands, {"bytes"}) or "one operand is a text, and the other is bytes"


class Command(NamedTuple):
    """A command of a shell, put together from values: its call, the text, and the arguments as Python."""

    call: SgNode
    text: SgNode
    words: list[str]
    values: list[SgNode]


def shell_command(file: File, match: Match) -> Command | str:
    """Return the command of a call with shell=True, or why its words are not known."""
    call = node_of(file, match, "call")
    if call is None or not (qualified(file, named_children(call)[0]) or "").startswith("subprocess."):
        return "this is not known to be a call of subprocess"
    arguments = named_children(named_children(call)[-1])
    keywords = {
        child.text().partition("=")[0].strip() for child in arguments if child.kind() == "keyword_argument"
    }
    text = arguments[0]
    if (
        "executable" in keywords
        or "*" in text.text()[:1]
        or not any(child.text().replace(" ", "") == "shell=True" for child in arguments)
    ):
        return "which program runs the command is not known"
    if text.kind() != "string" or text.children()[0].text().lower() not in ('f"', "f'"):
        return "the command is not an f-string"
    words: list[str] = []
    values: list[SgNode] = []
    word, quoted = "", 0
    for part in _parts(text):
        if isinstance(part, str):
            for character in part:
                if character == " ":
                    words += [word] if word else []
                    word = ""
                else:
                    word += character
        else:
            values.append(part)
            word += "\0"
    words += [word] if word else []
    replaced, position = [], 0
    for word in words:
        if "\0" in word:
            if word not in ("'\0'", '"\0"'):
                return "a value is not quoted, and may be several words, or a pattern"
            replaced.append(values[position].text())
            position += 1
            quoted += 1
        elif (
            not all(character.isalnum() or character in "_-./:=,@+" for character in word)
            or not word.isascii()
        ):
            return f"the shell gives `{word}` a meaning of its own"
        else:
            replaced.append(f'"{word}"')
    if not quoted:
        return "the command has no values"
    program = words[0]
    if "\0" in program or "=" in program or program.lower() in _BUILTINS:
        return "the program may be a part of the shell, or a script that needs one"
    return Command(call, text, replaced, values)


def _parts(string: SgNode) -> list[str | SgNode]:
    """Return the parts of an f-string: texts, and the values of plain braces. A format becomes a NUL character."""
    parts: list[str | SgNode] = []
    for child in string.children()[1:-1]:
        if child.kind() != "interpolation":
            text = child.text()
            parts.append("\0" if "\\" in text or "{{" in text or "}}" in text or "\0" in text else text)
        elif len(child.children()) == 3 and named_children(child)[0].kind() in _VALUES:
            parts.append(named_children(child)[0])
        else:
            parts.append("\0")
    return parts


_VALUES = ("identifier", "attribute", "subscript", "call")


def shell_values(file: File, match: Match, argument: None) -> str | None:
    """Check that the words of a command are known, and its values are texts or paths."""
    command = shell_command(file, match)
    if isinstance(command, str):
        return command
    return unknown(file, command.values, {"str", "Path", "PosixPath", "PurePath"})


class Statement(NamedTuple):
    """A statement of SQL put together from values: the text, and each value with the span of it and its quotes."""

    text: SgNode
    values: list[tuple[SgNode, tuple[int, int]]]


def sql_statement(file: File, match: Match) -> Statement | str:
    """Return the statement of a call of execute, or why its values cannot become parameters."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    if len(arguments) != 1 or arguments[0].kind() != "string":
        return "there are other arguments"
    text = arguments[0]
    if text.children()[0].text().lower() not in ('f"', "f'", 'f"""', "f'''"):
        return "the statement is not an f-string"
    if any(isinstance(part, str) and ("\0" in part or "?" in part or "--" in part) for part in _parts(text)):
        return "the statement has other placeholders, comments, escapes or formats"
    values: list[tuple[SgNode, tuple[int, int]]] = []
    before = ""
    at = span_of(text.children()[0])[1]
    for part in of_kinds(text, ("interpolation",)):
        start, end = span_of(part)
        before += file.text[at:start]
        quote = before[-1:] == "'" and file.text[end : end + 1] == "'"
        before = before.removesuffix("'") if quote else before
        # An odd number of quotes: the value is within a text of SQL.
        if before.count("'") % 2 or not _is_value_expected(before):
            return "a value may be part of a text, or a name"
        values.append((named_children(part)[0], (start - quote, end + quote)))
        before += "?"
        at = end + quote
    rest = file.text[at : span_of(text)[1]]
    return (
        Statement(text, values) if values and (before + rest).count("'") % 2 == 0 else "there are no values"
    )


# Of quotes that are doubled by hand.
_ESCAPED = re.compile(r"""\.replace\(\s*(?:"'"|'\\''|"\\'")""")
_ESCAPING = re.compile(r"(?i)escape|quote|saniti")


def _is_value_expected(before: str) -> bool:
    head = before.rstrip().upper()
    if head.endswith(("=", "<", ">", " LIKE", " LIMIT", " OFFSET")):
        return True
    opening = head.rfind("(")
    listed = head[:opening].rstrip().endswith(("VALUES", " IN")) and ")" not in head[opening:]
    return opening >= 0 and listed and head.endswith((",", "("))


def sql_values(file: File, match: Match, argument: None) -> str | None:
    """Check that values in quotes are texts and the others integers, for a cursor of sqlite3."""
    statement = sql_statement(file, match)
    if isinstance(statement, str):
        return statement
    if "sqlite3" not in names_in(file.root) or _OTHER_DATABASES & names_in(file.root):
        return "which database it is for, and so how it marks parameters, is not known"
    call = node_of(file, match, "call")
    receiver = named_children(named_children(call)[0])[0] if call is not None else None
    if _ESCAPED.search(file.text) or any(_ESCAPING.search(value.text()) for value, _ in statement.values):
        return "quotes in a value may be escaped already"
    reasons = [None if receiver is None else unknown(file, [receiver], {"Cursor", "Connection"})]
    for value, (start, _) in statement.values:
        reasons.append(unknown(file, [value], {"str"} if file.text[start] == "'" else {"int"}))
    return next(filter(None, reasons), None)


_GROWING = ("append", "extend", "insert", "add", "update", "setdefault", "appendleft")


def changed_collection(file: File, match: Match, argument: None) -> str | None:
    """Check that what a loop removes from is a builtin collection, of which a copy can be gone over."""
    loop = node_of(file, match, "for_statement")
    iterated = loop.field("right") if loop is not None else None
    if loop is None or iterated is None:
        return "the loop was not understood"
    collection = iterated
    if iterated.kind() == "call":
        collection = named_children(named_children(iterated)[0])[0]
    name = collection.text()
    grows = any(
        node.text().startswith(tuple(f"{name}.{method}(" for method in _GROWING))
        for node in of_kinds(loop, ("call",))
    ) or any(
        (left := node.field("left")) is not None and left.text().startswith((f"{name}[", name))
        for node in of_kinds(loop, ("assignment", "augmented_assignment"))
    )
    if grows:
        return f"what the loop adds to `{name}` may be meant to be gone over too"
    target = loop.field("left")
    own = re.split(r"\W+", target.text().strip("( "))[0] if target is not None else ""
    removed = re.findall(
        rf"(?:\bdel\s+{re.escape(name)}\[|\b{re.escape(name)}\.(?:remove|discard|pop)\()\s*(.*)", loop.text()
    )
    if not all(re.match(rf"{own}\s*[,)\]]", rest) for rest in removed):
        return "what the loop removes is not the element that it is at: a copy would still have it"
    removes = any(
        node.text().startswith(f"{collection.text()}.remove(")
        or node.text().startswith(f"{collection.text()}.discard(")
        for node in of_kinds(loop, ("call",))
    )
    return unknown(
        file, [collection], {"list", "set"} if removes else {"dict", "defaultdict", "OrderedDict", "Counter"}
    )


def same_text(file: File, match: Match, argument: None) -> str | None:
    """Check that the text of a literal is the same after the edits, by Python's own parser."""
    string = node_of(file, match, "string")
    if string is None:
        return "the text was not understood"
    start, end = span_of(string)
    edits = [edit._replace(start=edit.start - start, end=edit.end - start) for edit in match.edits or ()]
    if any(edit.start < 0 or edit.end > end - start for edit in edits):
        return "the change goes beyond the text"
    before = string.text()
    values = {_value(before), _value(apply_edits(before, edits))}
    return None if len(values) == 1 and None not in values else "the text would be another one"


def _value(literal: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.dump(ast.parse(literal, mode="eval"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def empty_value(file: File, match: Match, argument: None) -> str | None:
    """Check that the value of every key is an empty collection, or one of constants."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    if len(arguments) != 2 or not (
        is_literal(arguments[1]) or arguments[1].text() in ("list()", "dict()", "set()")
    ):
        return "the value is computed once, and would be computed for every key"
    return None


PRECONDITIONS = {
    "expression-is": Precondition("the expressions are of these types", expression_is, True),
    "stripped-word": Precondition("a text is stripped by a word", stripped_word, True),
    "digests": Precondition("both operands are digests of one type", digests, True),
    "shell-values": Precondition("the words of the command are known", shell_values, True),
    "sql-values": Precondition("texts are in quotes, and numbers are not", sql_values, True),
    "changed-collection": Precondition("the collection is a builtin", changed_collection, True),
    "same-text": Precondition("the text of the literal stays the same", same_text),
    "empty-value": Precondition("the value is a constant", empty_value),
}
