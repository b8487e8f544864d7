"""Where a text that a question quotes comes from: a message of an error, a line of a log.

Belongs here: quoted texts, and the strings of code that have them, whole or in part. Does not belong here: quoted names
(`question_names`), how code raises (`raising`).
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qflow_dagster.knowledge import code_trees, git_facts, lookups
from qflow_dagster.knowledge.code_trees import text_of
from qflow_dagster.knowledge.evidence import MAX_ROWS, NOT_KNOWN, Answer, QuestionContext, listed, parts_of
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.mentions import MAX_FILES
from qflow_dagster.knowledge.question_names import Names
from qflow_dagster.knowledge.questions import ParsedQuestion
from qflow_dagster.knowledge.raising import RAISED, how_used

if TYPE_CHECKING:
    from tree_sitter import Node

# Kinds of questions, as they are read without the text, that may ask where it comes from.
KINDS = frozenset(
    ["calls", "defined", "describe", "members", "purpose", "raised", "raises", "search", "used", "word"]
)
# Single quotes are apostrophes, too.
_QUOTED = re.compile(
    r"\"([^\"]{3,300})\"|\u201c([^\u201c\u201d]{3,300})\u201d|`([^`]{3,300})`|\u2018([^\u2018\u2019]{3,300})\u2019|"
    r"(?<![\w'])'([^']{3,300})'(?![\w'])"
)
# What else such a question may ask.
_MORE = re.compile(
    r"\b(?:when (?:was|were|did)|who|whom|whose|tests?|commit|release|calls?)\b", re.IGNORECASE
)
# Of a message with values in it, so many words in a row are looked for; of a short one, two.
MIN_WORDS = 3
MAX_WORDS = 40
MAX_TEXT = 200
_STRING = re.compile(r"string|template|heredoc|char_literal|preproc_arg|encapsed")
# What statements are in.
_BODIES = re.compile(
    r"block|body|^statements$|statement_list|compound_statement|^program$|module|source_file|translation_unit|"
    r"declaration_list|^(?:if|elif|else|while|for|switch|case|when|unless|try)_|^(?:if|else|unless|then|when)$|"
    r"(?:function|method)_(?:item|definition|declaration)|arrow_function|lambda|closure"
)


class _Place(NamedTuple):
    """A line whose string has the text, in which symbol, whether it is raised there, and the statement."""

    row: Line
    symbol: str
    raised: bool
    statement: str

    def __str__(self) -> str:
        return f"{self.symbol or 'top level'} ({self.row.path}:{self.row.line}: {self.statement})"


def quoted(question: str) -> str:
    """Return the first text of two or more words that a question has in quotes; '' if it has none."""
    texts = (next(filter(None, match.groups())).strip() for match in _QUOTED.finditer(question))
    return next((text for text in texts if len(text.split()) > 1), "")


def answer(
    context: QuestionContext, question: str, understood: ParsedQuestion, names: Names
) -> Answer | None:
    """Say in which strings of code a text is that the question quotes; None if it quotes none, or no code has it.

    Those in what the question names are said first. Of a text that no code has, a word is no name that is asked about.
    """
    text = quoted(question)
    if not text:
        return None
    found = _places(context, [text], [text])
    if not found:
        runs, found = _in_part(context, text)
        if found:
            context.limit(f"no line has all of the text; these have {listed([repr(run) for run in runs])}")
    if not found and understood.subject in re.findall(r"\w+", text):
        said = f"no string of code has the text {text!r}, or several words of it in a row"
        return Answer(understood._replace(kind=NOT_KNOWN), said, [])
    if not found:
        return None
    if _MORE.search(question.replace(text, "")):
        context.limit("of the question, only where the text comes from is answered")
    asked = [*names.names, *names.unknown, names.place]
    own = [place for place in found if any(_is_in(place, name) for name in asked if name)]
    groups = (own or found, [place for place in found if own and place not in own])
    parts: list[str] = []
    for group, also in zip(groups, ("", "elsewhere "), strict=True):
        for raised, verb in ((True, "raised in"), (False, "in")):
            if places := [str(place) for place in group if place.raised == raised]:
                parts.append(f"{also}{verb} {listed(places)}")
    kind = "raised" if any(place.raised for place in groups[0]) else "word"
    evidence = [
        context.at(place.row.path, place.row.line, place.row.text) for place in [*groups[0], *groups[1]]
    ]
    sentence = f"read as 'where does the text {text!r} come from': it is {'; '.join(parts)}"
    return Answer(ParsedQuestion(kind, text), sentence, evidence[: 2 * MAX_ROWS])


def _is_in(place: _Place, name: str) -> bool:
    """Return whether a place is in what has a name: a symbol, a file, a folder."""
    around = [posixpath.splitext(part)[0] for part in place.row.path.split("/")]
    short = parts_of(posixpath.splitext(name.rstrip("/"))[0].rpartition("/")[2])[-1]
    return short in around or short in parts_of(place.symbol)


def _in_part(context: QuestionContext, text: str) -> tuple[list[str], list[_Place]]:
    """Return the longest runs of words of a text that strings of code have, and where; in any case."""
    words = text.lower().split()[:MAX_WORDS]
    least = min(MIN_WORDS, max(2, len(words) // 2))
    starts = range(len(words) - least + 1)
    shortest = [" ".join(words[start : start + least]) for start in starts]
    rows = git_facts.lines_having(context.objects(), context.snapshot.commit_oid, shortest, any_case=True)
    longest: dict[Line, str] = {}
    for row in rows:
        line = row.text.lower()
        runs = (
            " ".join(words[start:end]) for start in starts for end in range(start + least, len(words) + 1)
        )
        if run := max((run for run in runs if run in line), key=len, default=""):
            longest[row] = run
    for length in sorted({len(run) for run in longest.values()}, reverse=True):
        runs = list(dict.fromkeys(run for run in longest.values() if len(run) == length))
        if places := _places(context, runs, shortest):
            return runs, places
    return [], []


def _places(context: QuestionContext, texts: Sequence[str], sought: Sequence[str]) -> list[_Place]:
    """Return the strings of code that have one of some texts, those of tests only if no other one has it.

    `sought`: what is looked for, of which the texts are among what is found; in any case, if it is another one.
    """
    any_case = texts != sought
    rows = git_facts.lines_having(context.objects(), context.snapshot.commit_oid, sought, any_case=any_case)
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    having: dict[str, list[tuple[Line, str]]] = {}
    for row in rows:
        line = row.text.lower() if any_case else row.text
        if row.path in code and (text := next((text for text in texts if text in line), "")):
            having.setdefault(row.path, []).append((row, text))
    paths = sorted(having, key=lambda path: code[path])
    around = lookups.enclosing(
        context.connection,
        context.snapshot,
        [(row.path, row.line) for each in having.values() for row, _ in each],
    )
    found: list[_Place] = []
    for path, content in context.texts(paths[:MAX_FILES]).items():
        if found and code[path][0]:
            break
        for row, node in _strings(path, content, having[path], any_case=any_case):
            raised = node is not None and how_used(path, node, made=True) == RAISED
            statement = _statement(node) if node is not None else row.text
            found.append(_Place(row, around[path, row.line], raised, " ".join(statement.split())[:MAX_TEXT]))
    if len(paths) > MAX_FILES:
        context.limit(f"{len(paths) - MAX_FILES} more files that have the text were not looked at")
    return found


def _strings(
    path: str, content: str, having: Sequence[tuple[Line, str]], *, any_case: bool
) -> "Iterator[tuple[Line, Node | None]]":
    """Yield the lines that have a text in a string, each with its node; without a grammar, after a quote."""
    tree = code_trees.read(path, content.encode(), plain=True)
    lines = content.split("\n")
    for row, text in having:
        line = lines[row.line - 1]
        start = (line.lower() if any_case else line).find(text)
        if tree is None:
            if re.search(r"[\"'`]", line[: max(start, 0)]):
                yield row, None
            continue
        before = sum(len(each.encode()) + 1 for each in lines[: row.line - 1])
        first = before + len(line[:start].encode())
        node = tree.tree.root_node.descendant_for_byte_range(
            first, first + len(line[start : start + len(text)].encode())
        )
        if node is not None and (string := _string_around(path, node)) is not None:
            yield row, string


def _string_around(path: str, node: "Node") -> "Node | None":
    """Return the outermost string that a node is in, None in code, comments and prose."""
    string: Node | None = None
    around: Node | None = node
    while around is not None and not _BODIES.search(around.type):
        if "comment" in around.type:
            return None
        if _STRING.search(around.type):
            string = around
        around = around.parent
    # A string that is a statement is a document of Python.
    alone = string is not None and string.parent is not None and string.parent.type in ("module", "block")
    return None if alone and path.endswith((".py", ".pyi")) else string


def _statement(node: "Node") -> str:
    """Return the text of the statement that a node is in."""
    for _ in range(12):
        if node.parent is None or _BODIES.search(node.parent.type):
            break
        node = node.parent
    return text_of(node)
