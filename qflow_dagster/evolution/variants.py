"""Variants of a rule: narrower by added constraints that separate its denied matches, or wider by one removed.

Each variant is checked against the rule's examples and evaluated on labelled locations. Candidate
constraints are in `constraints`, their selection in `separation`, removable ones in `widening`;
`rule_evolver` puts variants on trial.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.conditions import Condition
from qflow_dagster.evolution.constraints import Constraint, true_of
from qflow_dagster.evolution.locations import Location, LocationSet, matched
from qflow_dagster.evolution.rules import Matcher, Rule
from qflow_dagster.evolution.separation import Atom, Separation, separate
from qflow_dagster.evolution.widening import without_one

__all__ = ["Location", "Variant", "matched", "narrower", "wider"]

# Candidates checked against the examples before the search ends.
MAX_CANDIDATES = 20
_VARIABLE = re.compile(r"(?<!\$)\$([A-Z_][A-Z0-9_]*)")


class Variant(NamedTuple):
    """A rule derived from another, and how the two differ on labelled locations.

    Locations that neither matches are not counted.
    """

    # The next version, on trial.
    rule: Rule
    # "narrower" or "wider"
    operation: str
    # What was added or removed.
    description: str
    # Wanted locations that both match, or only the parent.
    kept: int
    lost: int
    # Unwanted locations that only the parent matches, or both.
    excluded: int
    remaining: int
    # Locations, wanted and unwanted, that only the variant matches.
    gained: int = 0
    admitted: int = 0


class _Tighter(NamedTuple):
    """A condition on measures that replaces the one at `position`."""

    position: int
    description: str


_Addition = Constraint | _Tighter


def narrower(rule: Rule, locations: Sequence[Location], *, max_variants: int = 3) -> list[Variant]:
    """Return variants with constraints that wanted locations satisfy and unwanted ones do not, best first.

    A constraint is added only if its separation is unlikely by chance (see `separation`) and the rule's
    examples still hold. Of two constraints that exclude the same locations the simpler is preferred, and a
    longer one only if what it excludes in addition outweighs its length. Above 20 wanted locations, one in
    20 may be lost.

    Raises:
        UsageError: See `matched`.
    """
    matchers.check_matcher(rule)
    labelled = LocationSet(locations)
    before = labelled.matched(rule)
    wanted, unwanted = (
        _bits(location.wanted is side for location in compress(locations, before)) for side in (True, False)
    )
    # A condition of a rule of measures is moved, not joined by others.
    max_atoms = {"max_atoms": 1} if rule.matcher.metric else {}
    offered: list[Variant] = []
    accepted: list[Separation[_Addition]] = []
    checked = 0
    for separation in separate(_atoms(rule, labelled, before), wanted, unwanted, **max_atoms):
        if len(offered) >= max_variants or checked == MAX_CANDIDATES:
            break
        if any(better.serves(separation, wanted) for better in accepted):
            continue
        checked += 1
        additions = [atom.content for atom in separation.atoms]
        variant = _with(rule, additions)
        if examples.problems(variant):
            continue
        after = labelled.matched(variant)
        # The separation was computed from the syntax tree: check that ast-grep evaluates it equally.
        if _bits(compress(after, before)) == separation.holds:
            description = ", ".join(addition.description for addition in additions)
            offered.append(_variant(variant, "narrower", description, locations, before, after))
            accepted.append(separation)
    return offered


def wider(rule: Rule, locations: Sequence[Location], *, max_variants: int = 3) -> list[Variant]:
    """Return variants with one constraint removed that still satisfy the examples.

    Sorted by the fewest additional unwanted locations, then by the most additional wanted ones.

    Raises:
        UsageError: See `matched`.
    """
    matchers.check_matcher(rule)
    labelled = LocationSet(locations)
    before = labelled.matched(rule)
    variants = []
    for description, matcher in without_one(rule):
        variant = _next(rule, matcher)
        if not examples.problems(variant):
            variants.append(
                _variant(variant, "wider", description, locations, before, labelled.matched(variant))
            )
    return sorted(variants, key=lambda variant: (variant.admitted, -variant.gained))[: max(max_variants, 0)]


def _atoms(rule: Rule, labelled: LocationSet, matching: Sequence[bool]) -> list[Atom[_Addition]]:
    """Return the properties of the locations the rule matches that fit its examples, simplest first."""
    if rule.matcher.metric is not None:
        return list(_tighter(rule, list(compress(labelled.measures(), matching))))
    if "any" in rule.language:
        # There is no syntax tree.
        return []
    config = json.dumps(rule.matcher.ast_grep.config()) if rule.matcher.ast_grep else ""
    variables = sorted(set(_VARIABLE.findall(config)))
    holding: dict[Constraint, int] = {}
    captured: dict[str, int] = {}
    everywhere = 0
    for position, true in enumerate(_true(rule, labelled, matching, variables)):
        everywhere |= 1 << position
        for constraint in true:
            holding[constraint] = holding.get(constraint, 0) | 1 << position
            captured[constraint.of] = captured.get(constraint.of, 0) | 1 << position
    by_example = list(_true_of_examples(rule, variables))
    atoms: list[Atom[_Addition]] = []
    for constraint in sorted(holding, key=lambda constraint: constraint.order):
        # ast-grep treats a constraint on a variable that was not captured as true: such variables are skipped.
        if constraint.of and captured[constraint.of] != everywhere:
            continue
        # A node kind of one language may not exist in another.
        if len(rule.language) > 1 and any(
            matchers.problem_of(constraint.rule, name) for name in rule.language
        ):
            continue
        for negated in (False, True):
            if all(any((constraint in true) is not negated for true in matches) for matches in by_example):
                holds = everywhere & ~holding[constraint] if negated else holding[constraint]
                atoms.append(Atom(constraint._replace(negated=negated), constraint.bits, holds))
    return atoms


def _true(
    rule: Rule, labelled: LocationSet, matching: Sequence[bool], variables: Sequence[str]
) -> Iterator[set[Constraint]]:
    """Yield the constraints that hold at each location the rule matches."""
    for location, nodes in compress(zip(labelled.locations, labelled.nodes(rule), strict=True), matching):
        yield true_of(nodes[0], location.text, variables) if nodes else set()


def _true_of_examples(rule: Rule, variables: Sequence[str]) -> Iterator[list[set[Constraint]]]:
    """Yield the constraints that hold for each match in the `bad` of an example: one match must remain."""
    for example in rule.examples:
        for language in rule.language:
            text, path = str(example.bad), example.path or examples.PATH
            labelled = LocationSet(
                Location(text, path, language, match.start, match.end, True)
                for match in examples.matches_in(rule, text, path, language)
            )
            yield list(_true(rule, labelled, labelled.matched(rule), variables))


def _tighter(rule: Rule, rows: Sequence[dict[str, float]]) -> Iterator[Atom[_Addition]]:
    """Yield each condition of the rule with each measured value that makes it stricter."""
    metric = rule.matcher.metric
    if metric is None:
        return
    for position, condition in enumerate(metric.conditions()):
        for value in sorted({row[condition.measure] for row in rows}):
            if (value - condition.value) * {">": 1, "<": -1}.get(condition.operator[0], 0) <= 0:
                continue
            description = f"{condition.measure} {condition.operator} {_number(value)}"
            moved = Condition.parse(description, metric.of)
            if all(isinstance(example.bad, dict) and moved.holds(example.bad) for example in rule.examples):
                yield Atom(_Tighter(position, description), 1.0, _bits(moved.holds(row) for row in rows))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0")


def _with(rule: Rule, additions: Iterable[_Addition]) -> Rule:
    """Return the next version with these constraints."""
    matcher = rule.matcher
    for addition in additions:
        if isinstance(addition, _Tighter):
            if matcher.metric is not None:
                where = list(matcher.metric.where)
                where[addition.position] = addition.description
                metric = matcher.metric.model_copy(update={"where": tuple(where)})
                matcher = matcher.model_copy(update={"metric": metric})
        elif addition.of and matcher.ast_grep is not None:
            constraints = matcher.ast_grep.constraints
            constraints = {**constraints, addition.of: _both(constraints.get(addition.of), addition.rule)}
            ast_grep = matcher.ast_grep.model_copy(update={"constraints": constraints})
            matcher = matcher.model_copy(update={"ast_grep": ast_grep})
        else:
            matcher = matcher.model_copy(update={"where": _both(matcher.where, addition.rule)})
    return _next(rule, matcher)


def _both(rule: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    if not rule:
        return other
    return {"all": [*(rule["all"] if set(rule) == {"all"} else [rule]), other]}


def _next(rule: Rule, matcher: Matcher) -> Rule:
    return rule.model_copy(update={"version": rule.version + 1, "status": "trial", "matcher": matcher})


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << position for position, flag in enumerate(flags) if flag)


def _variant(
    rule: Rule,
    operation: str,
    description: str,
    locations: Sequence[Location],
    before: Sequence[bool],
    after: Sequence[bool],
) -> Variant:
    """Return the variant with its counts by (wanted, matched by the parent, matched by the variant)."""
    counts = Counter(zip((location.wanted for location in locations), before, after, strict=True))
    return Variant(
        rule,
        operation,
        description,
        kept=counts[True, True, True],
        lost=counts[True, True, False],
        excluded=counts[False, True, False],
        remaining=counts[False, True, True],
        gained=counts[True, False, True],
        admitted=counts[False, False, True],
    )
