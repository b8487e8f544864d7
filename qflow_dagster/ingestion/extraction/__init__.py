"""Extraction of a blob's facts: lines, symbols, imports, calls, structure, tokens. Executes no code of it.

Belongs here: everything that depends on a blob's bytes alone. Does not belong here: reading blobs and
storing facts (``workers``, ``store``), detection of languages (``languages``). The patterns of a language
are data: a query per grammar in ``queries/``.
"""

from qflow_dagster.ingestion.extraction import comments, generated, grammars, syntax, text, tokens
from qflow_dagster.ingestion.facts import BlobFacts

__all__ = ["extract"]


def extract(data: bytes, language: str, *, timeout: float = 10.0, parse_limit: int = 2_000_000) -> BlobFacts:
    """Return the facts of a blob read as `language` (linguist's name, '' if unknown).

    `timeout` is the time a parse may take in seconds, `parse_limit` the size in bytes beyond
    which only lines are counted. Any bytes are accepted; content that cannot be parsed has lines only.
    """
    facts = BlobFacts(language=language, bytes=len(data))
    facts.lfs_bytes = text.lfs_size(data)
    if facts.lfs_bytes is not None:
        return facts
    facts.encoding = text.encoding(data)
    if not facts.encoding:
        facts.binary = True
        return facts
    source = text.as_utf8(data, facts.encoding)
    facts.generated = generated.is_generated(source, language)
    grammar = grammars.grammar(language) if len(source) <= parse_limit else None
    parsed = grammar and syntax.parse(grammar, source, timeout)
    if not grammar or not parsed:
        count_lines(facts, text.Lines(source, comments.comment_spans(source, language)))
        return facts
    facts.parsed = True
    tree, lacking = parsed
    extraction = syntax.read(grammar, tree, source, lacking)
    lines = text.Lines(source, extraction.comments)
    count_lines(facts, lines)
    lexed = tokens.lex(lines.code_text, grammar, extraction.function_spans)
    facts.tokens = lexed.token_count
    facts.symbols = extraction.symbols(lines, lexed)
    facts.imports, facts.namespaces = extraction.imports, extraction.namespaces
    facts.constants = extraction.constants
    facts.parse_errors, facts.parse_error_count = extraction.errors, extraction.error_count
    if not facts.generated:
        facts.fingerprints = tokens.fingerprints(lexed)
    return facts


def count_lines(facts: BlobFacts, lines: text.Lines) -> None:
    """Enter the line counts."""
    facts.lines, facts.blank_lines = lines.count, lines.blank
    facts.code_lines = lines.code
    facts.comment_lines = lines.count - lines.code - lines.blank
