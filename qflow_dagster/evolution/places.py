"""Places in code that were judged, and which of them a rule matches.

Belongs here: asking a rule about given places instead of whole files. Does not belong here: where
judgements are kept, what is made of them (`variants`).
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.rules import Rule


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


def matched(rule: Rule, places: Sequence[Place]) -> list[bool]:
    """Whether the rule matches at each place: that very span.

    Raises:
        UsageError: the rule is refused by its engine; a place of a rule of measures has none.
    """
    matchers.check_matcher(rule)
    return Judged(places).matched(rule)


class Judged:
    """Places that many rules are asked about: each text is parsed once, each engine asked once.

    Rules that differ in their `where` only are the same to an engine.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = list(places)
        self._sources = {place[:3]: matchers.Source(place.text, place.path) for place in self.places}
        self._nodes: dict[str, list[list[SgNode] | None]] = {}

    def matched(self, rule: Rule) -> list[bool]:
        """Whether the rule matches at each place."""
        if rule.matcher.metric is not None:
            conditions = rule.matcher.metric.conditions()
            return [all(one.holds(row) for one in conditions) for row in self.measures()]
        where = rule.matcher.where
        return [
            nodes is not None and (where is None or any(node.matches(**where) for node in nodes))
            for nodes in self.nodes(rule)
        ]

    def nodes(self, rule: Rule) -> list[list[SgNode] | None]:
        """The nodes at each place that the rule may mean, before its `where`; None where it finds nothing.

        Of a pattern they know what was captured. A rule for any language means no node.
        """
        plain = rule.model_copy(update={"matcher": rule.matcher.model_copy(update={"where": None})})
        key = plain.model_dump_json(include={"language", "matcher"})
        if key not in self._nodes:
            self._nodes[key] = self._by_pattern(plain) if plain.matcher.ast_grep else self._by_span(plain)
        return self._nodes[key]

    def measures(self) -> list[dict[str, float]]:
        """What was measured at each place.

        Raises:
            UsageError: the text of one is not that.
        """
        return [_measures(place) for place in self.places]

    def _by_pattern(self, rule: Rule) -> list[list[SgNode] | None]:
        found: dict[tuple[str, str, str], dict[tuple[int, int], list[SgNode]]] = {}
        for (text, path, language), source in self._sources.items():
            spans = found[text, path, language] = {}
            if rule.matcher.ast_grep is not None and matchers.applies(rule, language):
                for node in source.root(language).find_all(rule.matcher.ast_grep.config()):  # type: ignore[arg-type]
                    span = node.range()
                    spans.setdefault((span.start.index, span.end.index), []).append(node)
        return [found[place[:3]].get((place.start, place.end)) for place in self.places]

    def _by_span(self, rule: Rule) -> list[list[SgNode] | None]:
        found: set[tuple[tuple[str, str, str], int, int]] = set()
        if rule.matcher.ruff is not None:
            python = [key for key in self._sources if key[2] == "python"]
            texts = [self._sources[key] for key in python]
            for position, match in matchers.find_with_ruff(texts, [rule], examples.TARGET):
                found.add((python[position], match.start, match.end))
        else:
            for key, source in self._sources.items():
                found |= {(key, match.start, match.end) for match in matchers.find(source, key[2], [rule])}
        return [
            None
            if (place[:3], place.start, place.end) not in found
            else []
            if "any" in rule.language
            else [matchers.covering(self._sources[place[:3]].root(place.language), place.start, place.end)]
            for place in self.places
        ]


def _measures(place: Place) -> dict[str, float]:
    try:
        measures = json.loads(place.text)
    except ValueError:
        measures = None
    if not isinstance(measures, dict) or not all(isinstance(one, int | float) for one in measures.values()):
        raise UsageError(f'{place.path}: a place of a rule of measures is their JSON, {{"cognitive": 20}}')
    return measures
