"""Answers on exceptions: where one is raised, and what a function raises.

Belongs here: one function per kind of question, and how each language raises. Languages that return errors have no
answer. Does not belong here: where exceptions are defined and caught (`answers`, `use_answers`).
"""

import re

from qflow_dagster.knowledge import git_facts, lookups
from qflow_dagster.knowledge.code_answers import say_cut
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, UnansweredError, listed
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.mentions import at, occurrences, say_other_names

_RAISES = re.compile(
    r"\b(?:raise|reraise|throws?|rethrow|panic!?|fail)\b|\b(?:Err|bail!|ensure!)\s?\(|\breturn\b"
)
# How a function raises, by the language's words; Rust and Go return errors, or panic.
_WORDS = re.compile(r"(?<![\w$.])(?:raise|reraise|throw|rethrow|fail|panic|bail|unreachable|todo)(?![\w$])")
_ERRORS = {
    ".rs": re.compile(
        r"\bErr\s?\(|\b(?:panic|bail|ensure|unreachable|todo|unimplemented|assert\w*)!|\.(?:unwrap|expect)\("
    ),
    ".go": re.compile(r"\bpanic\(|\b(?:errors\.New|fmt\.Errorf)\(|\breturn\b.*\b[eE]rr\w*"),
    ".kt": re.compile(r"(?<![\w.])(?:error|require\w*|check\w*|TODO)\s?[({]"),
}
# Languages without exceptions, and without a usual way to say that something failed.
_WITHOUT = (".c", ".h", ".sh", ".bash")
_MADE = r"(?:\bnew\s+(?:\w+[.:\\]+)*{0}\b|(?<![\w$]){0}\s?(?:\(|\{{|::|\.new\b))"


def raised(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that raise or throw an exception, and those that make it for another line to raise.

    Raises:
        UnansweredError: None is found.
    """
    name = context.short_name
    lines = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    say_cut(context, lines)
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in lines])
    lines = sorted(
        (row for row in lines if row.path in code and _is_code(row)), key=lambda row: code[row.path]
    )
    rows = [row for row in lines if _RAISES.search(row.text.partition(name)[0]) and _raises(row, name)]
    say_other_names(context, lines)
    made = re.compile(_MADE.format(re.escape(name)))
    others = [row for row in lines if row not in rows and made.search(row.text[:1_000])]
    if others:
        context.limit(f"whether what {listed(at(others))} makes is raised there, too, is not looked at")
    if not rows:
        if not lines:
            raise UnansweredError(f"no code has the word {name}")
        raise UnansweredError(
            f"no line raises {name} by name" + (f"; {listed(at(others))} may" if others else "")
        )
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    places = [f"{around[row.path, row.line] or 'top level'} ({row.path}:{row.line})" for row in rows]
    return f"{name} is raised in {listed(places)}", [
        context.at(row.path, row.line, row.text) for row in [*rows, *others][: 2 * MAX_ROWS]
    ]


def _is_code(row: Line) -> bool:
    return not row.text.startswith(
        ("#", "//", "*", "/*", "class ", "import ", "from ", "use ", "except ", "catch ")
    )


def _raises(row: Line, name: str) -> bool:
    """Return whether a line raises what it names; errors that are returned count in languages that do so."""
    before = row.text.partition(name)[0]
    if re.search(r"\breturn\b", before) and not re.search(r"\bErr\s?\(|\bthrow\b|\braise\b", before):
        return row.path.endswith(".go")
    # `throws X` declares, in Java, what may be thrown.
    return not re.search(r"\bthrows\b", before)


def raises(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines within a function or type that raise, throw or return an error.

    Raises:
        UnansweredError: The language has no exceptions.
    """
    symbol = context.definition()
    where = f"{symbol.name} ({symbol.path}:{symbol.line})"
    if symbol.path.endswith(_WITHOUT):
        raise UnansweredError(f"{where} is of a language without exceptions")
    content = context.texts([symbol.path]).get(symbol.path, "")
    lines = content.splitlines()[: symbol.end_line]
    # Not in comments and prose.
    numbers = {found.line for found in occurrences(symbol.path, content, _WORDS)}
    errors = _ERRORS.get(symbol.path[symbol.path.rfind(".") :])
    rows = [
        (number, line.strip())
        for number, line in enumerate(lines[symbol.line - 1 :], symbol.line)
        if number in numbers or (errors and _is_code(Line("", 0, line.strip())) and errors.search(line[:500]))
    ]
    if not rows:
        return f"no line of {where} raises by itself; what it calls may", [
            context.at(symbol.path, symbol.line, symbol.signature)
        ]
    items = [f"{line[:100]} (line {number})" for number, line in rows]
    return f"{where} raises: {listed(items)}; what it calls may raise more", [
        context.at(symbol.path, number, line) for number, line in rows[: 2 * MAX_ROWS]
    ]
