"""Metavariables of ast-grep in a rule: which its matcher binds, and which its fix, message and conditions use.

A fix with a variable that nothing binds would silently put nothing in its place: ast-grep itself accepts that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# `$$$NAME` stands for any number of nodes, `$NAME` for one. A name that begins with _ captures nothing.
VARIABLE = re.compile(r"\$\$\$([A-Z_][A-Z0-9_]*)|\$([A-Z_][A-Z0-9_]*)")
# In a fix, `$$$` without a name would stand as it is.
_IN_TEMPLATE = re.compile(rf"{VARIABLE.pattern}|\$\$\$")
_PLACE = re.compile(rf"(?:{VARIABLE.pattern}|\$\$\$)+")
PLACEHOLDER = re.compile(r"\{([A-Z_][A-Z0-9_]*)\}")
# Values of these keys are no patterns, or bind nothing outside themselves.
_NO_PATTERNS = frozenset({"regex", "kind", "field", "selector", "stopBy", "not", "matches", "nthChild"})


def bound(matcher: Mapping[str, Any]) -> list[str]:
    """Return the variables that a matcher (its rule, constraints, utils and transform) binds, each as it is written.

    A variable that a pattern has twice is there twice.
    """
    transform = matcher.get("transform") or {}
    patterns = [matcher.get("rule"), matcher.get("constraints"), matcher.get("utils")]
    return [*(name for part in patterns for name in _in_patterns(part)), *(f"${name}" for name in transform)]


def unbound(template: str, matcher: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return (offset, variable, reason) of each place in a template that a match could leave empty.

    Of variables side by side (`$A$B`) every alternative of the matcher has to bind one.
    """
    names = {name for name in bound(matcher) if not name.lstrip("$").startswith("_")}
    always = {f"${name}" for name in matcher.get("transform") or {}}
    parts = [matcher.get("rule"), matcher.get("constraints"), matcher.get("utils")]
    problems = []
    for place in _PLACE.finditer(template):
        variables = [found[0] for found in _IN_TEMPLATE.finditer(place[0])]
        for name in variables:
            if name not in names | always:
                captures = name.lstrip("$") and not name.lstrip("$").startswith("_")
                reason = "the matcher does not bind" if captures else "captures nothing"
                problems.append((place.start() + place[0].index(name), name, reason))
        if not (always.intersection(variables) or any(_binds_one(part, variables) for part in parts)):
            problems.append((place.start(), place[0], "not every alternative of the matcher binds"))
    return problems


def unbound_message(template: str, matcher: Mapping[str, Any]) -> str | None:
    """Return why a fix template cannot be filled in, with line and column within it; None: every variable is bound."""
    problems = unbound(template, matcher)
    if not problems:
        return None
    offset, name, reason = problems[0]
    line, column = template.count("\n", 0, offset) + 1, offset - template.rfind("\n", 0, offset)
    names = sorted(set(bound(matcher)))
    bare = name.lstrip("$")
    similar = [
        other
        for other in names
        if bare
        and other != name
        and (other.lstrip("$").startswith(bare) or bare.startswith(other.lstrip("$")))
    ]
    hint = f"; is {similar[0]} meant?" if similar else ""
    return (
        f"line {line}, column {column} of the fix has {name}, which {reason} "
        f"(it binds {', '.join(names) or 'nothing'}){hint}"
    )


def unused(matcher: Mapping[str, Any], others: Any) -> list[str]:
    """Return the variables that a matcher binds once and neither it nor `others` (fix, conditions) mentions again."""
    written = list(_strings([matcher.get("transform"), others]))
    used = {
        name for value in written for found in VARIABLE.finditer(value) for name in (found[1] or found[2],)
    }
    used |= {name for value in written for name in (*PLACEHOLDER.findall(value), value)}
    used |= set(matcher.get("constraints") or {})
    names = bound(matcher)
    return sorted(
        {
            name
            for name in names
            if names.count(name) == 1
            and name.lstrip("$") not in used
            and not name.lstrip("$").startswith("_")
        }
    )


def _in_patterns(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (found[0] for found in VARIABLE.finditer(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_PATTERNS:
                yield from _in_patterns(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _in_patterns(item)


def _binds_one(value: Any, names: Sequence[str]) -> bool:
    """Return whether every match of a part of a matcher binds one of these variables."""
    if isinstance(value, Mapping):
        return any(
            all(_binds_one(alternative, names) for alternative in item)
            if key == "any" and isinstance(item, list | tuple)
            else _binds_one(item, names)
            for key, item in value.items()
            if key not in _NO_PATTERNS
        )
    if isinstance(value, list | tuple):
        return any(_binds_one(item, names) for item in value)
    return any(name in names for name in _in_patterns(value))


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
