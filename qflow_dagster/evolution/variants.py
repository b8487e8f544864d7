"""Variants of a rule: narrower by what tells its denied matches from its accepted ones, wider by a constraint.

Belongs here: making the rules, holding them to their examples, counting what they do at places
that were judged. Does not belong here: what can be said of code (`constraints`), what tells places
apart (`separation`), which parts of a rule can be left out (`widening`), whether a variant is put on
trial.
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
from qflow_dagster.evolution.places import Judged, Place, matched
from qflow_dagster.evolution.rules import Matcher, Rule
from qflow_dagster.evolution.separation import Atom, Separation, separate
from qflow_dagster.evolution.widening import without_one

__all__ = ["Place", "Variant", "matched", "narrower", "wider"]

# Variants that are held to their examples before the search gives up.
TRIED = 20
_VARIABLE = re.compile(r"(?<!\$)\$([A-Z_][A-Z0-9_]*)")


class Variant(NamedTuple):
    """A rule made of another, and what it does at the places that were given.

    Places that neither matches count nowhere.
    """

    # The next version, on trial.
    rule: Rule
    # "narrower" or "wider"
    operation: str
    # What was added or dropped, for a person.
    words: str
    # Wanted places that both match, or only the parent.
    kept: int
    lost: int
    # Unwanted places that only the parent matches, or both.
    excluded: int
    remaining: int
    # Places, wanted and unwanted, that only the variant matches.
    gained: int = 0
    admitted: int = 0


class _Tighter(NamedTuple):
    """A condition on measures that takes the place of the one at `position`."""

    position: int
    words: str


_Said = Constraint | _Tighter


def narrower(rule: Rule, places: Sequence[Place], *, most: int = 3) -> list[Variant]:
    """Variants with constraints that the wanted places satisfy and unwanted ones do not, best first.

    A constraint is offered where so clean a separation would hardly come about by chance (see
    `separation`), and where the rule's examples still hold. The best says the most about which places are
    wanted for the fewest words: the simpler of two that exclude the same, and a longer one only where
    what else it excludes is worth it. Above 20 wanted places, one in 20 may be lost.

    Raises:
        UsageError: as `matched`.
    """
    matchers.check_matcher(rule)
    judged = Judged(places)
    here = judged.matched(rule)
    wanted, unwanted = (
        _bits(place.wanted is side for place in compress(places, here)) for side in (True, False)
    )
    # A condition of a rule of measures is moved, not joined by others.
    most_atoms = {"most_atoms": 1} if rule.matcher.metric else {}
    offered: list[Variant] = []
    chosen: list[Separation[_Said]] = []
    tried = 0
    for separation in separate(_atoms(rule, judged, here), wanted, unwanted, **most_atoms):
        if len(offered) >= most or tried == TRIED:
            break
        if any(better.serves(separation, wanted) for better in chosen):
            continue
        tried += 1
        said = [atom.what for atom in separation.atoms]
        variant = _with(rule, said)
        if examples.problems(variant):
            continue
        after = judged.matched(variant)
        # What is said here of a tree and what ast-grep makes of it are two programs.
        if _bits(compress(after, here)) == separation.holds:
            words = ", ".join(one.words for one in said)
            offered.append(_variant(variant, "narrower", words, places, here, after))
            chosen.append(separation)
    return offered


def wider(rule: Rule, places: Sequence[Place], *, most: int = 3) -> list[Variant]:
    """Variants without one constraint, that still find no `good` of the examples.

    First those that match the fewest more of the unwanted places, then the most more of the wanted ones.

    Raises:
        UsageError: as `matched`.
    """
    matchers.check_matcher(rule)
    judged = Judged(places)
    before = judged.matched(rule)
    variants = []
    for words, matcher in without_one(rule):
        variant = _next(rule, matcher)
        if not examples.problems(variant):
            variants.append(_variant(variant, "wider", words, places, before, judged.matched(variant)))
    return sorted(variants, key=lambda one: (one.admitted, -one.gained))[: max(most, 0)]


def _atoms(rule: Rule, judged: Judged, here: Sequence[bool]) -> list[Atom[_Said]]:
    """What can be said of the places the rule matches, and of the bad of each example, simplest first."""
    if rule.matcher.metric is not None:
        return list(_tighter(rule, list(compress(judged.measures(), here))))
    if "any" in rule.language:
        # No syntax tree to ask.
        return []
    config = json.dumps(rule.matcher.ast_grep.config()) if rule.matcher.ast_grep else ""
    variables = sorted(set(_VARIABLE.findall(config)))
    said: dict[Constraint, int] = {}
    captured: dict[str, int] = {}
    everywhere = 0
    for position, true in enumerate(_true(rule, judged, here, variables)):
        everywhere |= 1 << position
        for one in true:
            said[one] = said.get(one, 0) | 1 << position
            captured[one.of] = captured.get(one.of, 0) | 1 << position
    shown = list(_shown(rule, variables))
    atoms: list[Atom[_Said]] = []
    for one in sorted(said, key=lambda one: one.order):
        # ast-grep takes a constraint of what was not captured for true: nothing is asked of such a variable.
        if one.of and captured[one.of] != everywhere:
            continue
        # Kinds of one language are unknown to another.
        if len(rule.language) > 1 and any(matchers.refused(one.rule, name) for name in rule.language):
            continue
        for negated in (False, True):
            if all(any((one in true) is not negated for true in matches) for matches in shown):
                holds = everywhere & ~said[one] if negated else said[one]
                atoms.append(Atom(one._replace(negated=negated), one.bits, holds))
    return atoms


def _true(
    rule: Rule, judged: Judged, here: Sequence[bool], variables: Sequence[str]
) -> Iterator[set[Constraint]]:
    """What is true at each place the rule matches."""
    for place, nodes in compress(zip(judged.places, judged.nodes(rule), strict=True), here):
        yield true_of(nodes[0], place.text, variables) if nodes else set()


def _shown(rule: Rule, variables: Sequence[str]) -> Iterator[list[set[Constraint]]]:
    """What is true of each match in the bad of each example: one of them has to be found still."""
    for example in rule.examples:
        for language in rule.language:
            text, path = str(example.bad), example.path or examples.PATH
            judged = Judged(
                Place(text, path, language, match.start, match.end, True)
                for match in examples.matches_in(rule, text, path, language)
            )
            yield list(_true(rule, judged, judged.matched(rule), variables))


def _tighter(rule: Rule, rows: Sequence[dict[str, float]]) -> Iterator[Atom[_Said]]:
    """Each condition of the rule with each number that was measured and that leaves less."""
    metric = rule.matcher.metric
    if metric is None:
        return
    for position, condition in enumerate(metric.conditions()):
        for value in sorted({row[condition.measure] for row in rows}):
            if (value - condition.value) * {">": 1, "<": -1}.get(condition.operator[0], 0) <= 0:
                continue
            words = f"{condition.measure} {condition.operator} {_number(value)}"
            moved = Condition.parse(words, metric.of)
            if all(isinstance(one.bad, dict) and moved.holds(one.bad) for one in rule.examples):
                yield Atom(_Tighter(position, words), 1.0, _bits(moved.holds(row) for row in rows))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0")


def _with(rule: Rule, said: Iterable[_Said]) -> Rule:
    """The next version, with these constraints."""
    matcher = rule.matcher
    for one in said:
        if isinstance(one, _Tighter):
            if matcher.metric is not None:
                where = list(matcher.metric.where)
                where[one.position] = one.words
                metric = matcher.metric.model_copy(update={"where": tuple(where)})
                matcher = matcher.model_copy(update={"metric": metric})
        elif one.of and matcher.ast_grep is not None:
            constraints = matcher.ast_grep.constraints
            constraints = {**constraints, one.of: _both(constraints.get(one.of), one.rule)}
            ast_grep = matcher.ast_grep.model_copy(update={"constraints": constraints})
            matcher = matcher.model_copy(update={"ast_grep": ast_grep})
        else:
            matcher = matcher.model_copy(update={"where": _both(matcher.where, one.rule)})
    return _next(rule, matcher)


def _both(rule: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    if not rule:
        return other
    return {"all": [*(rule["all"] if set(rule) == {"all"} else [rule]), other]}


def _next(rule: Rule, matcher: Matcher) -> Rule:
    return rule.model_copy(update={"version": rule.version + 1, "status": "trial", "matcher": matcher})


def _bits(those: Iterable[bool]) -> int:
    return sum(1 << position for position, one in enumerate(those) if one)


def _variant(
    rule: Rule,
    operation: str,
    words: str,
    places: Sequence[Place],
    before: Sequence[bool],
    after: Sequence[bool],
) -> Variant:
    """The variant with what it does at the places: (wanted, matched by the parent, by the variant)."""
    seen = Counter(zip((place.wanted for place in places), before, after, strict=True))
    return Variant(
        rule,
        operation,
        words,
        kept=seen[True, True, True],
        lost=seen[True, True, False],
        excluded=seen[False, True, False],
        remaining=seen[False, True, True],
        gained=seen[True, False, True],
        admitted=seen[False, False, True],
    )
