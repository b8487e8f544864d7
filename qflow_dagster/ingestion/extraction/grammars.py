"""Languages with a syntax tree: their grammars, queries, and differences.

Belongs here: data about languages, and loading a grammar once per process at its first use. Its query consists of
the patterns in ``queries`` (definitions, calls, imports, comments, operators) and those of its constructs.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tree_sitter import Language, Parser, Query
from tree_sitter_language_pack import SupportedLanguage, get_language

from qflow_dagster.ingestion.extraction import constructs

QUERIES = Path(__file__).parent / "queries"

# Linguist's name -> name of the grammar.
GRAMMARS: dict[str, SupportedLanguage] = {
    "Python": "python",
    "JavaScript": "javascript",
    "TypeScript": "typescript",
    "TSX": "tsx",
    "Go": "go",
    "Rust": "rust",
    "Java": "java",
    "C": "c",
    "C++": "cpp",
    "C#": "csharp",
    "Ruby": "ruby",
    "PHP": "php",
    "Elixir": "elixir",
    "Kotlin": "kotlin",
    "Swift": "swift",
    "Scala": "scala",
    "Shell": "bash",
}
# Languages where any comment right above a definition documents it; elsewhere only /** and /// do.
PLAIN_DOC_COMMENTS = frozenset({"go", "ruby", "bash", "c", "cpp"})
# Keywords with the syntax of calls.
NOT_CALLS: dict[str, frozenset[bytes]] = {
    "bash": frozenset({b"source", b"."}),
    "elixir": frozenset(
        b"def defp defmacro defmacrop defguard defguardp defdelegate defmodule defprotocol defimpl "
        b"defstruct defexception alias import use require if unless case cond with for receive try quote "
        b"unquote".split()
    ),
}
# Languages where a lifetime ('a) looks like the start of a character literal.
LIFETIMES = frozenset({"rust"})


@dataclass(frozen=True)
class Grammar:
    """A loaded grammar with its compiled query and its keywords."""

    name: str
    parser: Parser
    query: Query
    keywords: frozenset[bytes]


def grammar(language: str) -> Grammar | None:
    """Return the grammar of `language` (linguist's name), loaded once per process; None if there is none."""
    name = GRAMMARS.get(language)
    return None if name is None else _load(name)


@cache
def _load(name: SupportedLanguage) -> Grammar:
    language = get_language(name)
    files = [QUERIES / f"{file}.scm" for file in constructs.files(name)]
    definitions = "\n".join(file.read_text() for file in files)
    query = Query(language, f"{definitions}\n{constructs.patterns(name)}")
    return Grammar(name, Parser(language), query, _keywords(language))


def _keywords(language: Language) -> frozenset[bytes]:
    """Return the keywords of a grammar: its anonymous nodes that look like identifiers."""
    kinds = (language.node_kind_for_id(i) for i in range(language.node_kind_count))
    named = (language.node_kind_is_named(i) for i in range(language.node_kind_count))
    return frozenset(
        kind.encode()
        for kind, is_named in zip(kinds, named, strict=True)
        if kind and not is_named and kind.isidentifier()
    )
