"""What a rule's matcher is without one of its constraints.

Belongs here: which parts of a matcher can be left out so that it matches all it did, and more. Does
not belong here: whether that is any good (`variants`).

Alternatives (`any`) and what is under a `not` or a relation stay as they are: left out there, a part
could make the rule match less.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from qflow_dagster.evolution.rules import AstGrep, Matcher, Rule

# What says which node it is: a rule without any of these would match everything around as well.
_ANCHORS = ("pattern", "kind", "matches")
_VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)|\{([A-Z_][A-Z0-9_]*)\}")
MAX_DESCRIPTION_LENGTH = 120


def without_one(rule: Rule) -> Iterator[tuple[str, Matcher]]:
    """Words for what was left out, and the matcher without it; in the order the rule is written in."""
    matcher = rule.matcher
    if matcher.metric is not None and len(matcher.metric.where) > 1:
        where = matcher.metric.where
        for position, condition in enumerate(where):
            metric = matcher.metric.model_copy(update={"where": where[:position] + where[position + 1 :]})
            yield f"without {condition}", matcher.model_copy(update={"metric": metric})
    if matcher.ast_grep is not None:
        for words, ast_grep in _patterns(matcher.ast_grep, rule.fix or ""):
            yield words, matcher.model_copy(update={"ast_grep": ast_grep})
    for key, value, rest in _parts(matcher.where or {}):
        yield _words(key, value), matcher.model_copy(update={"where": rest or None})


def _patterns(matcher: AstGrep, fix: str) -> Iterator[tuple[str, AstGrep]]:
    for key, value, rest in _parts(matcher.rule):
        wider = matcher.model_copy(update={"rule": rest})
        # What a `not` mentions it does not capture; what else captures a variable that is used stays.
        free = key == "not" or not _variables(value) & _variables(wider.model_dump(), fix)
        if free and _anchored(rest):
            yield _words(key, value), wider
    for name, constraint in matcher.constraints.items():
        for key, value, rest in _parts(constraint):
            others = {one: said for one, said in matcher.constraints.items() if one != name}
            constraints = {**others, name: rest} if rest else others
            wider = matcher.model_copy(update={"constraints": constraints})
            if key == "not" or not _variables(value) & _variables(wider.model_dump(), fix):
                yield f"${name} {_words(key, value)}", wider


def _parts(rule: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each of what must hold together: its key, its value, and the rule without it."""
    for key, value in rule.items():
        others = {one: said for one, said in rule.items() if one != key}
        if key != "all":
            yield key, value, others
            continue
        for position, item in enumerate(value):
            for inner, said, rest in _parts(item):
                left = [*value[:position], *([rest] if rest else []), *value[position + 1 :]]
                yield inner, said, {**others, "all": left} if left else others


def _anchored(rule: dict[str, Any]) -> bool:
    return (
        any(key in rule for key in _ANCHORS)
        or any(_anchored(item) for item in rule.get("all", ()))
        or ("any" in rule and all(_anchored(item) for item in rule["any"]))
    )


def _variables(*said: Any) -> set[str]:
    return {one or other for one, other in _VARIABLE.findall(json.dumps(said))}


def _words(key: str, value: Any) -> str:
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    words = " ".join(f"without {key}: {flow.removesuffix('...' + chr(10))}".split())
    return words if len(words) <= MAX_DESCRIPTION_LENGTH else f"{words[: MAX_DESCRIPTION_LENGTH - 1]}…"
