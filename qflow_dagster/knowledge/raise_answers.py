"""Answers on exceptions: where one is raised, and what a function raises.

Belongs here: one function per kind of question, and the words by which a function raises. Languages that return errors
have no answer. Does not belong here: what the tree says of an error (`raising`), where exceptions are defined and
caught (`answers`, `use_answers`).
"""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qflow_dagster.knowledge import git_facts, lookups
from qflow_dagster.knowledge.assigned_errors import assigned
from qflow_dagster.knowledge.code_answers import say_cut
from qflow_dagster.knowledge.code_trees import text_of
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, UnansweredError, listed
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.mentions import MAX_FILES, at, occurrences, say_other_names
from qflow_dagster.knowledge.raising import KEPT, RAISED, RETURNED, how_used, is_matched

if TYPE_CHECKING:
    from tree_sitter import Node

# How code of a language without a grammar raises.
_RAISES = re.compile(r"\b(?:raise|reraise|throws?|rethrow|panic!?|fail)\b|\bErr\s?\(")
# How a function raises, by the language's words; Rust and Go return errors, or panic.
_WORDS = re.compile(
    r"(?<![\w$.])(?:raise|reraise|throw|rethrow|fail|panic|bail|unreachable|todo|fatalError|preconditionFailure)(?![\w$])"
    r"|(?<![\w$])reject(?=\()"
)
_ERRORS = {
    ".rs": re.compile(
        r"\b(?:panic|bail|ensure|unreachable|todo|unimplemented|assert\w*)!|\.(?:unwrap|expect|ok_or|ok_or_else|map_err)\("
    ),
    ".go": re.compile(
        r"\bpanic\(|\b(?:errors\.New|fmt\.Errorf)\(|\breturn\b.*(?:[eE]rr|Error\b|EOF\b)"
        r"|(?<![=!<>])=\s?&?(?:\w+\.)?(?:Err[A-Z]\w*|\w+Error\{)"
    ),
    ".kt": re.compile(r"(?<![\w.])(?:error|require\w*|check\w*|TODO)\s?[({]"),
    ".java": re.compile(
        r"\b(?:Objects\.requireNonNull|Preconditions\.check|checkNotNull|checkArgument|checkState)\w*\("
    ),
    ".cs": re.compile(r"\bThrow\w*\("),
    ".swift": re.compile(r"\.failure\("),
    ".cpp": re.compile(r"(?:THROW|RAISE)(?:_[A-Z0-9]{1,30}){0,4}\("),
}
_ERRORS |= dict.fromkeys((".cc", ".cxx", ".hpp", ".hh"), _ERRORS[".cpp"])
_ERR = re.compile(r"\bErr\b(?=\s?\()")
# Languages without exceptions, and without a usual way to say that something failed.
_WITHOUT = (".c", ".h", ".sh", ".bash")
# In Go, a space before a brace is that of a block: `if err == Cold {`.
_BLOCK_OF_GO = r"(?<![\w$]){0} \{{"
_RECEIVER_OF_GO = re.compile(r"func\s?\(")
_MADE = r"(?<!throws )(?:\bnew\s+(?:\w+[.:\\]+)*{0}\b|(?<![\w$]){0}\s?(?:\(|\{{|::|\.new\b)|\w::{0}\b)"
# Functions that make errors, of which calls are looked for; what many things have as their name is not.
MAX_MAKERS = 5
_OF_MANY = frozenset(
    {"new", "from", "of", "build", "create", "default", "main", "init", "make", "error", "initialize"}
)
_MAKES = re.compile(r"(?i)\w{0,60}err\w{0,60}|(?:new|make|create|build)\w+")


class _Place(NamedTuple):
    """A line that names an error or a function that makes one, in which symbol, and how (`raising`)."""

    row: Line
    symbol: str
    how: str

    def __str__(self) -> str:
        return f"{self.symbol or 'top level'} ({self.row.path}:{self.row.line})"


def raised(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that raise, throw or return an error, also by a function or macro that makes it.

    Raises:
        UnansweredError: None is found.
    """
    name = context.short_name
    made, block = (re.compile(pattern.format(re.escape(name))) for pattern in (_MADE, _BLOCK_OF_GO))
    found = _places(context, name, made)
    say_other_names(context, [place.row for place in found])
    rows = [place for place in found if place.how == RAISED]
    parts = [f"{name} is raised in {listed(list(map(str, rows)))}"] if rows else []
    evidence = [place.row for place in rows]
    told: set[str] = set()
    for maker, kind in _makers(context, name, found):
        short = lookups.short_name(maker.symbol)
        through = [
            place
            for place in _places(context, short, re.compile(rf"\b{re.escape(short)}\b"))
            if place.symbol != maker.symbol and (place.how == RAISED or kind == "macro")
        ]
        if through:
            what = "used" if kind == "macro" else "raised"
            parts.append(f"{kind} {maker} makes {name}, and is {what} in {listed(list(map(str, through)))}")
            told.add(maker.symbol)
            evidence += [maker.row, *(place.row for place in through)]
    others = [
        place.row
        for place in found
        if place.how != RAISED
        and place.symbol not in told
        and made.search(place.row.text[:1_000])
        and not (place.row.path.endswith(".go") and block.search(place.row.text[:1_000]))
    ]
    if others:
        context.limit(f"whether what {listed(at(others))} makes is raised there, too, is not looked at")
        if not parts:
            made_in = [str(place) for place in found if place.row in others]
            parts.append(f"no line raises {name} by name; it is made in {listed(made_in)}")
    kept = [place.row for place in found if place.how == KEPT and not place.row.path.endswith("_test.go")]
    if kept:
        context.limit(f"whether an error that is kept in {listed(at(kept))} is raised later is not known")
    if not parts:
        if not found:
            raise UnansweredError(f"no code{context.where} has the word {name}")
        raise UnansweredError(f"no line{context.where} raises {name} by name")
    return "; ".join(parts), [
        context.at(row.path, row.line, row.text)
        for row in dict.fromkeys([*evidence, *others][: 2 * MAX_ROWS])
    ]


def _places(context: QuestionContext, name: str, made: "re.Pattern[str]") -> list[_Place]:
    """Return the lines of own code that name an error and do not declare it, those of tests last."""
    lines = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    say_cut(context, lines)
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in lines])
    rows = {
        (row.path, row.line): row
        for row in sorted(lines, key=lambda row: code.get(row.path, ()))
        if row.path in code and context.keeps(row.path)
    }
    paths = list(dict.fromkeys(path for path, _ in rows))
    if len(paths) > MAX_FILES:
        context.limit(f"{len(paths) - MAX_FILES} more files that have the name {name} were not looked at")
    around = lookups.enclosing(context.connection, context.snapshot, list(rows))
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    # The type of Rust that a variant is of.
    owner = context.subject.rpartition("::")[0].rpartition("::")[2]
    owner = owner if owner[:1].isupper() else ""
    found: dict[tuple[str, int], _Place] = {}
    for path, content in context.texts(paths[:MAX_FILES]).items():
        for each in occurrences(path, content, word):
            row = rows.get((path, each.line))
            if row is None or each.declares or (owner and _is_of_another(each.node, owner)):
                if row is not None and "#[from]" in row.text:
                    context.limit(f"`?` makes {name} without naming it, of what it is declared `#[from]`")
                continue
            how = ""
            if each.node is not None:
                how = how_used(path, each.node, made=bool(made.search(row.text[:1_000])))
            elif _RAISES.search(row.text.partition(name)[0]):
                how = RAISED
            if (path, each.line) not in found or how == RAISED:
                found[path, each.line] = _Place(row, around[path, each.line], how)
    return list(found.values())


def _is_of_another(node: "Node | None", owner: str) -> bool:
    """Return whether a name is qualified by a type that is not the one asked for, in Rust."""
    if node is None or node.parent is None or node.parent.type != "scoped_identifier":
        return False
    path = node.prev_named_sibling
    last = text_of(path).rpartition("::")[2] if path else ""
    return last[:1].isupper() and last not in (owner, "Self")


def _makers(context: QuestionContext, name: str, found: Sequence[_Place]) -> list[tuple[_Place, str]]:
    """Return the functions and macros that make an error for others to raise: each once, with what it is."""
    makers: dict[str, tuple[_Place, str]] = {}
    for place in found:
        short = lookups.short_name(place.symbol)
        if short == name or short in _OF_MANY or len(makers) == MAX_MAKERS or not short:
            continue
        owner = lookups.short_name(place.symbol.removesuffix(f".{short}"))
        if owner == name and _RECEIVER_OF_GO.match(place.row.text[:500]):
            continue  # A method of the error itself does not make it by its receiver.
        symbols = lookups.symbols(context.connection, context.snapshot, f"{place.row.path}:{place.symbol}")
        kind = next((s.kind for s in symbols if s.line <= place.row.line <= s.end_line), "")
        returns = place.how == RETURNED or (place.row.path.endswith(".go") and _MAKES.fullmatch(short))
        if kind == "macro" or (returns and kind in ("function", "method")):
            makers.setdefault(place.symbol, (place, kind))
    return list(makers.values())


def _is_code(row: Line) -> bool:
    return not row.text.startswith(
        ("#", "//", "*", "/*", "class ", "import ", "from ", "use ", "except ", "catch ")
    )


def raises(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines within a function or type that raise, throw or return an error.

    Raises:
        UnansweredError: The language has no exceptions.
    """
    symbol = context.definition()
    # Overloads raise each by itself.
    parts = [part for part in context.meant or (symbol,) if part.path == symbol.path]
    within = {number for part in parts for number in range(part.line, part.end_line + 1)}
    where = f"{symbol.name} ({symbol.path}:{symbol.line})"
    if symbol.path.endswith(_WITHOUT):
        raise UnansweredError(f"{where} is of a language without exceptions")
    content = context.texts([symbol.path]).get(symbol.path, "")
    lines = content.splitlines()
    # Not in comments and prose.
    numbers = {found.line for found in occurrences(symbol.path, content, _WORDS)}
    errors = _ERRORS.get(symbol.path[symbol.path.rfind(".") :])
    if symbol.path.endswith(".rs"):
        # Where errors are matched, they are handled.
        numbers |= {
            found.line for found in occurrences(symbol.path, content, _ERR) if not is_matched(found.node)
        }
    numbers |= _matching(errors, symbol.path, content, within) if errors else set()
    rows = [
        (number, lines[number - 1].strip()) for number in sorted(numbers & within) if number <= len(lines)
    ]
    if not rows:
        return f"no line of {where} raises by itself; what it calls may", [
            context.at(symbol.path, symbol.line, symbol.signature)
        ]
    places = [(symbol.path, number) for number, _ in rows]
    around = lookups.enclosing_symbols(context.connection, context.snapshot, places)
    items, evidence = [], []
    for number, line in rows:
        inner = around.get((symbol.path, number), symbol)
        held = assigned(symbol.path, content, number, range(inner.line, inner.end_line + 1))
        items.append(f"{line[:100]} (line {number})" + (f" with {_of_lines(held)} assigned" if held else ""))
        evidence += [(number, line), *((each, lines[each - 1]) for each, _ in held)]
    return f"{where} raises: {listed(items)}; what it calls may raise more", [
        context.at(symbol.path, number, line) for number, line in evidence[: 2 * MAX_ROWS]
    ]


def _of_lines(held: Sequence[tuple[int, str]]) -> str:
    """Return the errors of some lines as text, each once."""
    names = dict.fromkeys(name for _, name in held)
    lines = {name: listed([str(line) for line, other in held if other == name]) for name in names}
    return " or ".join(f"{name} (line{'s' if ',' in found else ''} {found})" for name, found in lines.items())


def _matching(errors: "re.Pattern[str]", path: str, content: str, within: Collection[int]) -> set[int]:
    """Return the lines that fail by a call, and do not declare what has such a name."""
    found: dict[int, list[str]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if number in within and _is_code(Line("", 0, line.strip())):
            for match in errors.finditer(line[:500]):
                found.setdefault(number, []).append(match[0])
    names = {name[:-1] for each in found.values() for name in each if re.fullmatch(r"\w+\(", name)}
    words = re.compile(rf"(?<![\w$])(?:{'|'.join(map(re.escape, sorted(names)))})(?![\w$])")
    declaring = {each.line for each in occurrences(path, content, words) if each.declares} if names else set()
    return {number for number, each in found.items() if number not in declaring or each[1:]}
