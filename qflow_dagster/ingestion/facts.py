"""Facts of a blob: plain values, ready to be stored.

Belongs here: the value types that extraction returns and the store writes. Their fields are
the columns of ``tables.py`` (same names, same units). Does not belong here:
extracting (``extraction``) and writing them (``store``).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

# Incremented when a change of the code changes the facts of an unchanged blob.
EXTRACTOR_VERSION = 15


class SymbolFact(NamedTuple):
    """A definition (or the file itself, ``seq`` 0); fields as in table ``symbols``."""

    seq: int
    parent_seq: int | None
    kind: str
    name: str
    qualified_name: str
    signature: str
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    docstring: bool
    calls: list[str]
    call_receivers: list[str]
    call_counts: list[int]
    call_lines: list[int]
    parameters: int | None
    decisions: int | None
    cognitive: int | None
    nesting: int | None
    code_lines: int | None
    operators: int | None
    operands: int | None
    distinct_operators: int | None
    distinct_operands: int | None


class ImportFact(NamedTuple):
    """An import as written; fields as in table ``imports``."""

    seq: int
    line: int
    module: str
    names: list[str]
    level: int
    kind: str
    aliases: list[str]
    deferred: bool = False


class ParseErrorFact(NamedTuple):
    """A syntax error found by the parser; fields as in table ``parse_errors``."""

    seq: int
    line: int
    column: int
    kind: str


class Fingerprints(NamedTuple):
    """Winnowed token fingerprints; three arrays as bytes, as in table ``fingerprints``."""

    hashes: bytes
    positions: bytes
    spans: bytes


@dataclass(slots=True)
class BlobFacts:
    """All facts of a blob read as a language; fields as in table ``blobs``."""

    language: str
    bytes: int
    missing: bool = False
    binary: bool = False
    encoding: str = ""
    lines: int = 0
    code_lines: int = 0
    comment_lines: int = 0
    blank_lines: int = 0
    generated: bool = False
    lfs_bytes: int | None = None
    parsed: bool = False
    parse_error_count: int = 0
    tokens: int = 0
    namespaces: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    symbols: list[SymbolFact] = field(default_factory=list)
    imports: list[ImportFact] = field(default_factory=list)
    parse_errors: list[ParseErrorFact] = field(default_factory=list)
    fingerprints: Fingerprints | None = None
