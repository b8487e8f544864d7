"""Codemods of Python that repair a call: its name, or how an argument is passed."""

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import node_of

_METHODS = {"lstrip": "removeprefix", "rstrip": "removesuffix"}


def remove_word(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``url.removeprefix("http://")`` for ``url.lstrip("http://")``."""
    call = node_of(file, match, "call")
    method = named_children(named_children(call)[0])[-1] if call is not None else None
    if method is None or method.text() not in _METHODS:
        return "no method removes a word from both ends"
    return [Edit(*span_of(method), _METHODS[method.text()])]


def flags_by_name(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``re.sub(p, r, s, flags=re.I)`` for ``re.sub(p, r, s, re.I)``."""
    start = match.captures["FLAG"][0]
    return [Edit(start, start, "flags=")]


CODEMODS: dict[str, EditsOf] = {
    "python/flags-as-count": flags_by_name,
    "python/strip-of-a-word": remove_word,
}
