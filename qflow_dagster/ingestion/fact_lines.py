"""Encoding of a blob's facts as lines for COPY, and the columns of these lines.

Imports no database, because worker processes use this module (see ``copy_format``): encoding is a large part of the
work of storing facts, and workers use all cores.
"""

from qflow_dagster.copy_format import copy_line
from qflow_dagster.ingestion.facts import EXTRACTOR_VERSION, BlobFacts, ImportFact, ParseErrorFact, SymbolFact
from qflow_dagster.ingestion.workers import BlobTask

BLOB_COLUMNS = (
    "id",
    "oid",
    "language",
    "extractor_version",
    "bytes",
    "missing",
    "binary",
    "encoding",
    "lines",
    "code_lines",
    "comment_lines",
    "blank_lines",
    "generated",
    "lfs_bytes",
    "parsed",
    "parse_error_count",
    "tokens",
    "namespaces",
    "constants",
)
# Columns of the tables that refer to a blob, in the order of writing.
FACT_COLUMNS = {
    "blobs": BLOB_COLUMNS,
    "symbols": ("blob_id", *SymbolFact._fields),
    "imports": ("blob_id", *ImportFact._fields),
    "parse_errors": ("blob_id", *ParseErrorFact._fields),
    "fingerprints": ("blob_id", "hashes", "positions", "spans"),
}


def fact_lines(task: BlobTask, facts: BlobFacts) -> dict[str, bytes]:
    """Return the COPY lines of a blob's facts, by table; the task's row id is its reserved `blobs.id`."""
    row_id = task.row_id
    own = {"id": row_id, "oid": task.oid, "extractor_version": EXTRACTOR_VERSION}
    blob = [own[name] if name in own else getattr(facts, name) for name in BLOB_COLUMNS]
    lines = {"blobs": copy_line(blob).encode()}
    for name, rows in (
        ("symbols", facts.symbols),
        ("imports", facts.imports),
        ("parse_errors", facts.parse_errors),
        ("fingerprints", [facts.fingerprints] if facts.fingerprints else []),
    ):
        if rows:
            lines[name] = "".join([copy_line((row_id, *row)) for row in rows]).encode()
    return lines
