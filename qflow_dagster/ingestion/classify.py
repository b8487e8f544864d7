"""Flags of a file by its path: test, example, vendored, generated, documentation.

Belongs here: matching paths with the patterns in ``linguist.tsv`` and ``languages.tsv``, which hold whole parts of a
path, never parts of words. Does not belong here: attributes, by which a project says it itself (``attributes``),
generated files by content (``extraction.generated``).
"""

from functools import cache
from typing import Any, NamedTuple

import re2

from qflow_dagster.ingestion import languages


class Flags(NamedTuple):
    """The flags of a file according to its path."""

    test: bool
    vendored: bool
    generated: bool
    documentation: bool
    example: bool


def classify(path: str) -> Flags:
    """Return the flags of the file at `path` (as `paths.quote_path` writes it)."""
    matched = _patterns().Match(path) or ()
    flags = Flags(*(position in matched for position in range(len(Flags._fields))))
    # README and LICENSE may be names of modules too.
    if DOCUMENTS in matched and not languages.is_program(path):
        flags = flags._replace(documentation=True)
    return flags


# The position after those of the flags.
DOCUMENTS = len(Flags._fields)


@cache
def _patterns() -> Any:
    """Return the patterns of each flag, in their order; those of documents that lie anywhere are the last."""
    by_flag = languages.tables().paths
    folders = [pattern for pattern in by_flag["documentation"] if pattern.endswith("/")]
    documents = [pattern for pattern in by_flag["documentation"] if not pattern.endswith("/")]
    # One automaton: a match of each pattern in turn would take ten times as long.
    patterns = re2.Set.SearchSet()
    for alternatives in (*({**by_flag, "documentation": folders}[flag] for flag in Flags._fields), documents):
        patterns.Add("|".join(f"(?:{pattern})" for pattern in alternatives))
    patterns.Compile()
    return patterns
