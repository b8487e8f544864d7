"""Removing one constraint from a rule's matcher, so that it matches everything it did, and more.

`variants` decides whether the wider rule is useful. Alternatives (`any`) and parts under a `not`
or a relation are not removed: without them the rule could match less.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from qflow_dagster.evolution.rules import AstGrep, Matcher, Rule

# A rule without any of these keys would match surrounding nodes as well.
_ANCHORS = ("pattern", "kind", "matches")
_NAME = re.compile(r"\b[A-Z_][A-Z0-9_]*\b")
_VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)|\{([A-Z_][A-Z0-9_]*)\}")
MAX_DESCRIPTION_LENGTH = 120


def without_one(rule: Rule) -> Iterator[tuple[str, Matcher]]:
    """Yield (description, matcher) for each constraint that can be removed, in the order of the rule."""
    matcher = rule.matcher
    if matcher.metric is not None and len(matcher.metric.where) > 1:
        where = matcher.metric.where
        for position, condition in enumerate(where):
            metric = matcher.metric.model_copy(update={"where": where[:position] + where[position + 1 :]})
            yield f"without {condition}", matcher.model_copy(update={"metric": metric})
    if matcher.ast_grep is not None:
        for description, ast_grep in _patterns(matcher.ast_grep, _used(rule)):
            yield description, matcher.model_copy(update={"ast_grep": ast_grep})
    for key, value, rest in _parts(matcher.where or {}):
        yield _description(key, value), matcher.model_copy(update={"where": rest or None})


def _used(rule: Rule) -> set[str]:
    """Return the variables that the fix and its preconditions need captured."""
    arguments = [argument for _, argument in rule.requirements]
    return _variables(rule.fix or "") | set(_NAME.findall(json.dumps(arguments)))


def _patterns(matcher: AstGrep, used: set[str]) -> Iterator[tuple[str, AstGrep]]:
    for key, value, rest in _parts(matcher.rule):
        wider = matcher.model_copy(update={"rule": rest})
        # Variables in a `not` are not captured; a part that captures a used variable is not removed.
        needed = used | set(matcher.constraints) | _variables(wider.model_dump())
        free = key == "not" or not _variables(value) & needed
        if free and _anchored(rest):
            yield _description(key, value), wider
    for name, constraint in matcher.constraints.items():
        for key, value, rest in _parts(constraint):
            others = {key_: value_ for key_, value_ in matcher.constraints.items() if key_ != name}
            constraints = {**others, name: rest} if rest else others
            wider = matcher.model_copy(update={"constraints": constraints})
            if key == "not" or not _variables(value) & (used | _variables(wider.model_dump())):
                yield f"${name} {_description(key, value)}", wider


def _parts(rule: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield each conjunct of a rule object: its key, its value, and the rule object without it."""
    for key, value in rule.items():
        others = {other: part for other, part in rule.items() if other != key}
        if key != "all":
            yield key, value, others
            continue
        for position, item in enumerate(value):
            for inner, part, rest in _parts(item):
                remaining = [*value[:position], *([rest] if rest else []), *value[position + 1 :]]
                yield inner, part, {**others, "all": remaining} if remaining else others


def _anchored(rule: dict[str, Any]) -> bool:
    return (
        any(key in rule for key in _ANCHORS)
        or any(_anchored(item) for item in rule.get("all", ()))
        or ("any" in rule and all(_anchored(item) for item in rule["any"]))
    )


def _variables(*values: Any) -> set[str]:
    return {name or placeholder for name, placeholder in _VARIABLE.findall(json.dumps(values))}


def _description(key: str, value: Any) -> str:
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    description = " ".join(f"without {key}: {flow.removesuffix('...' + chr(10))}".split())
    if len(description) > MAX_DESCRIPTION_LENGTH:
        return f"{description[: MAX_DESCRIPTION_LENGTH - 1]}…"
    return description
