"""Codemods of Python that close what is opened, by a ``with`` block, and that open it as it should be."""

from collections.abc import Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import alone_on_its_lines, indent_of, newline, step
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_modules import qualified
from qflow_dagster.generation.preconditions.python_syntax import (
    called,
    is_chain,
    is_literal,
    names_in,
    node_of,
)

# Names for what is opened; the first one that the source file does not use is taken.
_FILE_NAMES = ("file", "stream", "opened")
_OTHER_NAMES = {
    "urlopen": ("response", "reply", "opened"),
    "ZipFile": ("archive", "zipped", "opened"),
    "tarfile.open": ("archive", "tarred", "opened"),
}
# They read all of what they get, and do nothing else: it does not matter whether the file is closed before or after.
_READERS = frozenset(
    """
    json.load json.loads pickle.load pickle.loads yaml.safe_load yaml.load yaml.safe_load_all tomllib.load
    tomllib.loads plistlib.load ast.parse ast.literal_eval hashlib.md5 hashlib.sha1 hashlib.sha256 hashlib.sha512
    base64.b64encode base64.b64decode json.dump pickle.dump yaml.dump yaml.safe_dump len int float str bytes list
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_OF_TEXTS = {
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "replace",
    "lower",
    "upper",
    "decode",
    "startswith",
}


def read_within(file: File, match: Match) -> list[Edit] | str | None:
    """Close the file of ``return open(p).read()`` or ``x = urlopen(u).read()`` by ``with``."""
    call = node_of(file, match, "call")
    opened = named_children(named_children(call)[0])[0] if call is not None else None
    return "the call was not understood" if opened is None else _within(file, opened)


def passed_within(file: File, match: Match) -> list[Edit] | str | None:
    """Close the file of ``x = json.load(open(p))`` and ``json.dump(x, open(p, "w"))`` by ``with``."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    opened = [
        argument
        for argument in arguments
        if called(argument) in ("open", "urlopen", "urllib.request.urlopen")
    ]
    if len(opened) != 1:
        return "the call was not understood"
    before = [argument for argument in arguments if span_of(argument) < span_of(opened[0])]
    if not all(is_literal(argument) or argument.kind() == "identifier" for argument in before):
        return "an argument before the file is computed before it is opened"
    return _within(file, opened[0])


def _within(file: File, opened: SgNode) -> list[Edit] | str:
    statement = _statement_begun_by(file, opened)
    if isinstance(statement, str):
        return statement
    if not alone_on_its_lines(file, statement):
        return "it is not a statement on a line of its own"
    if _has_text_of_several_lines(statement) or file.source.line_of(
        span_of(statement)[0]
    ) != file.source.line_of(span_of(statement)[1]):
        return "the statement has several lines"
    names = names_in(file.root)
    function = called(opened)
    candidates = next((own for end, own in _OTHER_NAMES.items() if function.endswith(end)), _FILE_NAMES)
    name = next((name for name in candidates if name not in names), None)
    if name is None:
        return "every name for the file is taken"
    indent = indent_of(file, statement)
    start = span_of(statement)[0]
    opening = f"with {opened.text()} as {name}:{newline(file)}{indent}{step(indent)}"
    return [Edit(start, start, opening), Edit(*span_of(opened), name)]


def _statement_begun_by(file: File, opened: SgNode) -> SgNode | str:
    """Return the statement in which nothing is computed before this call, and nothing but reading happens after it."""
    node = opened
    for parent in opened.ancestors():
        kind = parent.kind()
        children = named_children(parent)
        first = bool(children) and span_of(children[0]) == span_of(node)
        if kind == "for_in_clause" and _only_reads_texts(file, parent, opened):
            # What a comprehension goes over is computed before all else in it.
            node = parent
            continue
        if kind in ("list_comprehension", "set_comprehension", "dictionary_comprehension"):
            first = len(children) > 1 and span_of(children[1]) == span_of(node)
            if not first:
                return _LARGER
            node = parent
            continue
        if kind in ("return_statement", "expression_statement"):
            return parent
        if kind == "assignment":
            target = children[0]
            if not is_chain(target) or parent.field("type") is not None:
                return "only a plain variable can be assigned in a block"
        elif kind == "argument_list":
            others = [child for child in children if span_of(child) != span_of(node)]
            if not all(
                is_literal(other) or other.kind() in ("identifier", "keyword_argument") for other in others
            ):
                return _LARGER
        elif kind == "call" and not first:
            if qualified(file, children[0]) not in _READERS:
                return f"{children[0].text()}(...) would run while the file is still open"
        elif kind not in ("attribute", "call", "subscript", "parenthesized_expression") or not first:
            return _LARGER
        node = parent
    return _LARGER


def _only_reads_texts(file: File, clause: SgNode, opened: SgNode) -> bool:
    """Return whether all that a comprehension does is to take texts apart, so that the file may still be open."""
    comprehension = clause.parent()
    if comprehension is None or comprehension.kind() == "generator_expression":
        return False
    for call in of_kinds(comprehension, ("call",)):
        inside = span_of(call)[0] <= span_of(opened)[0] and span_of(opened)[1] <= span_of(call)[1]
        function = named_children(call)[0]
        method = named_children(function)[-1].text() if function.kind() == "attribute" else ""
        if not inside and method not in _OF_TEXTS and qualified(file, function) not in _READERS:
            return False
    return True


_LARGER = "it is part of a larger expression, whose order of evaluation would change"


def loop_within(file: File, match: Match) -> list[Edit] | str | None:
    """Close the file of ``for line in open(p):`` by ``with``, and indent the loop."""
    loop = node_of(file, match, "for_statement")
    opened = loop.field("right") if loop is not None else None
    if loop is None or opened is None:
        return "the loop was not understood"
    if not alone_on_its_lines(file, loop) or any(child.kind() == "async" for child in loop.children()):
        return "it is not a loop on lines of its own"
    if _has_text_of_several_lines(loop):
        return "a text of several lines would be indented too"
    names = names_in(file.root)
    name = next((name for name in _FILE_NAMES if name not in names), None)
    if name is None:
        return "every name for the file is taken"
    indent = indent_of(file, loop)
    more = step(indent)
    start, end = span_of(loop)
    first, last = file.source.line_of(start), file.source.line_of(end - 1)
    edits = [Edit(start, start, f"with {opened.text()} as {name}:{newline(file)}{indent}{more}")]
    edits += [
        Edit(at, at, more)
        for at, following in zip(
            file.source.starts[first:last], [*file.source.starts[first + 1 :], len(file.text)], strict=False
        )
        if file.text[at:following].strip()
    ]
    return [*edits, Edit(*span_of(opened), name)]


def _has_text_of_several_lines(node: SgNode) -> bool:
    return any("\n" in text.text() for text in of_kinds(node, ("string",)))


def without_newlines(file: File, match: Match) -> list[Edit] | str | None:
    """Add ``newline=""`` to the call that opens a file for a writer of csv."""
    statement = node_of(file, match, "with_statement")
    calls: Sequence[SgNode] = of_kinds(statement, ("call",)) if statement is not None else ()
    opened = next((call for call in calls if called(call) == "open"), None)
    arguments = named_children(named_children(opened)[-1]) if opened is not None else []
    if not arguments or any("*" in argument.text()[:1] for argument in arguments):
        return "the arguments of open are not all written out"
    end = span_of(arguments[-1])[1]
    return [Edit(end, end, ', newline=""')]


def race(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``os.makedirs(d, exist_ok=True)`` for ``if not os.path.exists(d): os.makedirs(d)``."""
    statement = node_of(file, match, "if_statement")
    body = statement.field("consequence") if statement is not None else None
    if statement is None or body is None or statement.field("alternative") is not None:
        return "the condition has an else"
    call = named_children(named_children(body)[0])[0]
    arguments = named_children(named_children(call)[-1])
    if any("exist_ok" in argument.text() or argument.text().startswith("*") for argument in arguments):
        return "its arguments say already what to do"
    text = call.text()
    if "\n" in text:
        return "the call is written on several lines"
    inner = text[:-1].rstrip().removesuffix(",")
    separator = ", " if arguments else ""
    return [Edit(*span_of(statement), f"{inner}{separator}exist_ok=True)")]


CODEMODS: dict[str, EditsOf] = {
    "python/check-before-makedirs": race,
    "python/csv-file-with-newlines": without_newlines,
    "python/file-as-argument": passed_within,
    "python/loop-over-open-file": loop_within,
    "python/open-without-with": read_within,
    "python/response-not-closed": read_within,
}
