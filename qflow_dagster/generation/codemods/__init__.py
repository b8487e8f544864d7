"""Codemods: changes that no template expresses, as edits of one location.

Belongs here: functions that return the edits of a match, or a text that says why there are none, each registered under
the rule whose finding it fixes. Everything else in the file stays byte for byte. Does not belong here: fixes that are a
template (part of the rule) or ruff's, and the conditions of a fix (`preconditions`).
"""

from qflow_dagster.generation.codemods import (
    go,
    java,
    java_streams,
    javascript,
    javascript_bugs,
    javascript_expressions,
    python,
    python_calls,
    python_files,
    python_messages,
    python_names,
    python_security,
    python_statements,
    rust,
)
from qflow_dagster.generation.fixes import EditsOf

CODEMODS: dict[str, EditsOf] = {
    **python.CODEMODS,
    **python_calls.CODEMODS,
    **python_files.CODEMODS,
    **python_messages.CODEMODS,
    **python_names.CODEMODS,
    **python_security.CODEMODS,
    **python_statements.CODEMODS,
    **go.CODEMODS,
    **java.CODEMODS,
    **java_streams.CODEMODS,
    **javascript.CODEMODS,
    **javascript_bugs.CODEMODS,
    **rust.CODEMODS,
    **javascript_expressions.CODEMODS,
}
