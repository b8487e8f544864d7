"""Codemods of Python that repair a call: its name, or how an argument is passed."""

import re

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.python import mutable_default
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import called, node_of

_BOUND = re.compile(r"\s*(<|>=)\s*[1-9][0-9_]*")
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


def whole_span(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``int((now - then).total_seconds())`` for ``(now - then).seconds``."""
    node = node_of(file, match, "attribute")
    around = node.parent() if node is not None else None
    call = around.parent() if around is not None and around.kind() == "argument_list" else None
    name = match.end - len("seconds")
    whole = call is not None and called(call) in ("int", "float") and len(named_children(around or call)) == 1
    # Of a bound such as `< 3600`, a fraction of a second changes nothing.
    compared = around is not None and around.kind() == "comparison_operator"
    start, end = span_of(around) if around is not None else (0, 0)
    if whole or (compared and start == match.start and _BOUND.fullmatch(file.text[match.end : end])):
        return [Edit(name, match.end, "total_seconds()")]
    # A number of whole seconds, as before.
    return [Edit(match.start, match.start, "int("), Edit(name, match.end, "total_seconds())")]


def contains(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``".torrent" in url`` for ``url.find(".torrent")`` as a condition."""
    return [Edit(match.start, match.end, f"{file.captured(match, 'S')} in {file.captured(match, 'X')}")]


def tuple_of_one(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``in ("DATE",)`` for ``in ("DATE")``."""
    end = match.captures["S"][1]
    return [Edit(end, end, ",")]


def assigned(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``name = name.strip()`` for ``name.strip()``."""
    return [Edit(match.start, match.start, f"{file.captured(match, 'X')} = ")]


def uncalled(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``default=datetime.now`` for ``default=datetime.now()``."""
    text = file.text[match.start : match.end]
    if text.endswith("()"):
        return [Edit(match.end - 2, match.end, "")]
    return [Edit(match.start, match.start, "lambda: ")]


CODEMODS: dict[str, EditsOf] = {
    "python/column-default-computed-once": uncalled,
    "python/default-computed-once": mutable_default,
    "python/find-as-condition": contains,
    "python/flags-as-count": flags_by_name,
    "python/seconds-without-days": whole_span,
    "python/strip-of-a-word": remove_word,
    "python/text-method-dropped": assigned,
    "python/tuple-without-comma": tuple_of_one,
}
