"""Restrict a change to the places that a narrowed rule matches.

A generator that fixes a complete file (ruff, a codemod) ignores a rule's `where`: its changes
at places that the rule excludes are undone. Does not belong here: generators.
"""

from difflib import SequenceMatcher

from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Request


def within(request: Request, text: str) -> str:
    """Return the changed text with those hunks undone that only touch lines the rule excludes."""
    rule = request.rule
    if rule.matcher.where is None:
        return text
    plain = rule.model_copy(update={"matcher": rule.matcher.model_copy(update={"where": None})})
    included = _lines(rule, request)
    excluded = _lines(plain, request) - included
    before, after = request.text.splitlines(keepends=True), text.splitlines(keepends=True)
    parts: list[str] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        # Lines count from 1; an insertion belongs to the line before it.
        touched = set(range(i1 + 1, max(i2, i1 + 1) + 1))
        undone = tag != "equal" and touched & excluded and not touched & included
        parts += before[i1:i2] if undone else after[j1:j2]
    return "".join(parts)


def _lines(rule: Rule, request: Request) -> set[int]:
    matches = matches_in(rule, request.text, request.path, request.language)
    return {line for match in matches for line in range(match.line, match.end_line + 1)}
