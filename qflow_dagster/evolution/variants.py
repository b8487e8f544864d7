"""Variants of a rule: narrower by what tells its denied matches from its accepted ones, wider by a constraint.

Belongs here: making the rules, holding them to their examples, counting what they do at places
that were judged. Does not belong here: what can be said of code (`constraints`), what tells places
apart (`separation`), which parts of a rule can be left out (`widening`), where judgements are kept and
whether a variant is put on trial.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.conditions import Condition
from qflow_dagster.evolution.constraints import Constraint, true_of
from qflow_dagster.evolution.rules import Matcher, Rule
from qflow_dagster.evolution.separation import Atom, separate
from qflow_dagster.evolution.widening import without_one

# Separations whose variants may fail their examples before the search gives up.
TRIED = 20
_VARIABLE = re.compile(r"(?<!\$)\$([A-Z_][A-Z0-9_]*)")


class Place(NamedTuple):
    """A match that was judged: the text it is in, where, and whether a change there was wanted.

    `language` is as rules name it; `start` and `end` count characters of `text`. Of a rule of measures
    the text is their JSON, `{"cognitive": 20}`.
    """

    text: str
    path: str
    language: str
    start: int
    end: int
    wanted: bool


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


def matched(rule: Rule, places: Sequence[Place]) -> list[bool]:
    """Whether the rule matches at each place: that very span.

    Raises:
        UsageError: the rule is refused by its engine; a place of a rule of measures has none.
    """
    matchers.check_matcher(rule)
    return _matched(rule, places, _sources(places))


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
    sources = _sources(places)
    here = _matched(rule, places, sources)
    atoms = _atoms(rule, list(compress(places, here)), sources)
    wanted, unwanted = (
        _bits(place.wanted is side for place in compress(places, here)) for side in (True, False)
    )
    # A condition of a rule of measures is moved, not joined by others.
    most_atoms = {"most_atoms": 1} if rule.matcher.metric else {}
    offered: list[Variant] = []
    for separation in separate(atoms, wanted, unwanted, **most_atoms)[:TRIED]:
        if len(offered) >= most:
            break
        said = [atom.what for atom in separation.atoms]
        variant = _with(rule, said)
        if examples.problems(variant):
            continue
        after = _matched(variant, places, sources)
        if _bits(compress(after, here)) == separation.holds:
            words = ", ".join(one.words for one in said)
            offered.append(_variant(variant, "narrower", words, places, here, after))
    return offered


def wider(rule: Rule, places: Sequence[Place], *, most: int = 3) -> list[Variant]:
    """Variants without one constraint, that still find no `good` of the examples.

    First those that match the fewest more of the unwanted places, then the most more of the wanted ones.

    Raises:
        UsageError: as `matched`.
    """
    matchers.check_matcher(rule)
    sources = _sources(places)
    before = _matched(rule, places, sources)
    variants = []
    for words, matcher in without_one(rule):
        variant = _next(rule, matcher)
        if not examples.problems(variant):
            after = _matched(variant, places, sources)
            variants.append(_variant(variant, "wider", words, places, before, after))
    return sorted(variants, key=lambda one: (one.admitted, -one.gained))[: max(most, 0)]


class _Tighter(NamedTuple):
    """A condition on measures that takes the place of the one at `position`."""

    position: int
    words: str


_Said = Constraint | _Tighter

# A text with its path and language: parsed once, however many places are in it.
_Key = tuple[str, str, str]


def _sources(places: Iterable[Place]) -> dict[_Key, matchers.Source]:
    return {key: matchers.Source(key[0], key[1]) for key in dict.fromkeys(place[:3] for place in places)}


def _matched(rule: Rule, places: Sequence[Place], sources: dict[_Key, matchers.Source]) -> list[bool]:
    if rule.matcher.metric is not None:
        conditions = rule.matcher.metric.conditions()
        rows = {key: _measures(key) for key in sources}
        return [all(one.holds(rows[place[:3]]) for one in conditions) for place in places]
    spans: dict[_Key, set[tuple[int, int]]] = {key: set() for key in sources}
    if rule.matcher.ruff is not None:
        python = [key for key in sources if key[2] == "python"]
        texts = [sources[key] for key in python]
        for position, match in matchers.find_with_ruff(texts, [rule], examples.TARGET):
            spans[python[position]].add((match.start, match.end))
    else:
        for key, source in sources.items():
            spans[key] = {(match.start, match.end) for match in matchers.find(source, key[2], [rule])}
    return [(place.start, place.end) in spans[place[:3]] for place in places]


def _measures(key: _Key) -> dict[str, float]:
    try:
        measures = json.loads(key[0])
    except ValueError:
        measures = None
    if not isinstance(measures, dict) or not all(isinstance(one, int | float) for one in measures.values()):
        raise UsageError(f'{key[1]}: a place of a rule of measures is their JSON, {{"cognitive": 20}}')
    return measures


def _atoms(rule: Rule, places: Sequence[Place], sources: dict[_Key, matchers.Source]) -> list[Atom[_Said]]:
    """What can be said of the places, and of the bad of each example: the variant has to find it."""
    if rule.matcher.metric is not None:
        return list(_tighter(rule, [_measures(place[:3]) for place in places]))
    if "any" in rule.language:
        # No syntax tree to ask.
        return []
    config = json.dumps(rule.matcher.ast_grep.config()) if rule.matcher.ast_grep else ""
    variables = sorted(set(_VARIABLE.findall(config)))
    said: dict[Constraint, int] = {}
    captured: dict[str, int] = {}
    for position, node in enumerate(_nodes(rule, places, sources)):
        bit = 1 << position
        for one in true_of(node, places[position].text, variables):
            said[one] = said.get(one, 0) | bit
            captured[one.of] = captured.get(one.of, 0) | bit
    everywhere = (1 << len(places)) - 1
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


def _nodes(rule: Rule, places: Iterable[Place], sources: dict[_Key, matchers.Source]) -> Iterator[SgNode]:
    """The node at each place, which the rule matches; one of a pattern knows what was captured."""
    found: dict[_Key, dict[tuple[int, int], SgNode]] = {}
    for place in places:
        key, root = place[:3], sources[place[:3]].root(place.language)
        if rule.matcher.ast_grep is None:
            yield matchers.covering(root, place.start, place.end)
            continue
        if key not in found:
            nodes = root.find_all(rule.matcher.ast_grep.config())  # type: ignore[arg-type]
            # The first of a span last: it stays.
            found[key] = {
                (span.start.index, span.end.index): node
                for node in reversed(nodes)
                for span in [node.range()]
            }
        yield found[key][place.start, place.end]


def _shown(rule: Rule, variables: Sequence[str]) -> Iterator[list[set[Constraint]]]:
    """What is true of each match in the bad of each example."""
    for example in rule.examples:
        for language in rule.language:
            text, path = str(example.bad), example.path or examples.PATH
            places = [
                Place(text, path, language, match.start, match.end, True)
                for match in examples.matches_in(rule, text, path, language)
            ]
            yield [true_of(node, text, variables) for node in _nodes(rule, places, _sources(places))]


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
