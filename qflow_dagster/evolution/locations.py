"""Labelled locations in code, and evaluating rules on them instead of on complete files.

They are stored in `location_records` and used in `variants`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers, ruff_matcher
from qflow_dagster.evolution.rules import Rule


class Location(NamedTuple):
    """A labelled match: the text it is in, its span, and whether a change there was wanted.

    `language` is the name that rules use; `start` and `end` count characters of `text`. For a metric rule the
    text is its measures as JSON, such as `{"cognitive": 20}`.
    """

    text: str
    path: str
    language: str
    start: int
    end: int
    wanted: bool


def matched(rule: Rule, locations: Sequence[Location]) -> list[bool]:
    """Return whether the rule matches exactly the span of each location.

    Raises:
        UsageError: The engine rejects the rule, or a location of a metric rule has no measures.
    """
    matchers.check_matcher(rule)
    return LocationSet(locations).matched(rule)


class LocationSet:
    """Locations on which many rules are evaluated: each text is parsed once.

    Rules that differ only in `where` run their engine once.
    """

    def __init__(self, locations: Iterable[Location]) -> None:
        self.locations = list(locations)
        self._sources = {
            location[:3]: matchers.Source(location.text, location.path) for location in self.locations
        }
        self._nodes: dict[str, list[list[SgNode] | None]] = {}

    def matched(self, rule: Rule) -> list[bool]:
        """Return whether the rule matches at each location."""
        if rule.matcher.metric is not None:
            conditions = rule.matcher.metric.conditions()
            return [all(condition.holds(row) for condition in conditions) for row in self.measures()]
        where = rule.matcher.where
        return [
            nodes is not None and (where is None or any(node.matches(**where) for node in nodes))
            for nodes in self.nodes(rule)
        ]

    def nodes(self, rule: Rule) -> list[list[SgNode] | None]:
        """Return the nodes matched at each location before `where` is applied; None where nothing matches.

        Nodes matched by a pattern carry its captures. A rule for any language has no nodes.
        """
        plain = rule.model_copy(update={"matcher": rule.matcher.model_copy(update={"where": None})})
        key = plain.model_dump_json(include={"language", "matcher"})
        if key not in self._nodes:
            self._nodes[key] = self._by_pattern(plain) if plain.matcher.ast_grep else self._by_span(plain)
        return self._nodes[key]

    def measures(self) -> list[dict[str, float]]:
        """Return the measures at each location.

        Raises:
            UsageError: The text of a location is not a JSON object of numbers.
        """
        return [_measures(location) for location in self.locations]

    def _by_pattern(self, rule: Rule) -> list[list[SgNode] | None]:
        nodes_by_text: dict[tuple[str, str, str], dict[tuple[int, int], list[SgNode]]] = {}
        for (text, path, language), source in self._sources.items():
            nodes_by_span = nodes_by_text[text, path, language] = {}
            if rule.matcher.ast_grep is not None and matchers.applies(rule, language):
                for node in source.root(language).find_all(rule.matcher.ast_grep.config()):  # type: ignore[arg-type]
                    span = node.range()
                    nodes_by_span.setdefault((span.start.index, span.end.index), []).append(node)
        return [
            nodes_by_text[location[:3]].get((location.start, location.end)) for location in self.locations
        ]

    def _by_span(self, rule: Rule) -> list[list[SgNode] | None]:
        spans: set[tuple[tuple[str, str, str], int, int]] = set()
        if rule.matcher.ruff is not None:
            python = [key for key in self._sources if key[2] == "python"]
            texts = [self._sources[key] for key in python]
            for position, match in ruff_matcher.find_with_ruff(texts, [rule], examples.TARGET):
                spans.add((python[position], match.start, match.end))
        else:
            for key, source in self._sources.items():
                spans |= {(key, match.start, match.end) for match in matchers.find(source, key[2], [rule])}
        return [
            None
            if (location[:3], location.start, location.end) not in spans
            else []
            if "any" in rule.language
            else [
                matchers.covering(
                    self._sources[location[:3]].root(location.language), location.start, location.end
                )
            ]
            for location in self.locations
        ]


def _measures(location: Location) -> dict[str, float]:
    try:
        measures = json.loads(location.text)
    except ValueError:
        measures = None
    if not isinstance(measures, dict) or not all(
        isinstance(value, int | float) for value in measures.values()
    ):
        raise UsageError(f'{location.path}: a location of a metric rule is JSON, such as {{"cognitive": 20}}')
    return measures
