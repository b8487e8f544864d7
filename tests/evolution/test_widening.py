"""Wider variants: what a rule finds without one of its constraints, and what carries it."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.variants import Location, matched, narrower, wider
from qflow_dagster.evolution.widening import without_one
from tests.evolution.judgements import (
    COGNITIVE,
    NONE,
    PREFERENCES,
    PRINT,
    TESTS,
    judged,
    places_of,
    recounted,
    rule_of,
    spans,
)

RULES = load_rules()
SEEDS = st.integers(0, 10_000)
WIDE = rule_of(
    {
        "ast-grep": {
            "rule": {
                "pattern": "print($A)",
                "all": [
                    {"inside": {"kind": "function_definition", "stopBy": "end"}},
                    {"not": {"inside": {"kind": "for_statement", "stopBy": "end"}}},
                ],
                "not": {"regex": "name"},
            },
            "constraints": {"A": {"kind": "string", "regex": "^'t"}},
        },
        "where": {"all": [{"not": {"has": {"kind": "subscript", "stopBy": "end"}}}, {"regex": "text"}]},
    },
    "def f():\n    print('text')\n",
)


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_a_wider_variant_matches_more_anywhere_and_is_counted_right(seed: int) -> None:
    lot = random.Random(seed)
    places = judged(places_of(PRINT, 10, seed), lambda place: lot.random() < 0.4)
    elsewhere = "".join(place.text for place in places) + "print('text')\n"
    offered = wider(WIDE, places, max_variants=99)
    # Three of the rule, two of the constraint, two of `where`.
    assert len(offered) == 7
    for one in offered:
        assert one[3:] == recounted(WIDE, one, places)
        assert (one.lost, one.excluded) == (0, 0)
        assert spans(one.rule, elsewhere) >= spans(WIDE, elsewhere)


# Of each language, all the code that rules have as examples, in a file.
CODE = {
    language: "\n".join(
        str(text)
        for rule in RULES
        if language in rule.language and (rule.matcher.ast_grep or rule.matcher.ruff)
        for example in rule.examples
        for text in (example.bad, example.good)
    )
    for rule in RULES
    for language in rule.language
}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.matcher.ast_grep], ids=lambda rule: rule.id)
def test_of_every_rule_shipped_what_is_left_out_matches_more(rule: Rule) -> None:
    for language in rule.language:
        matches = spans(rule, CODE[language], language)
        assert matches
        for _, matcher in without_one(rule):
            less = rule.model_copy(update={"matcher": matcher})
            assert spans(less, CODE[language], language) >= matches


# A constraint less


def test_what_is_dropped_is_said_and_what_it_would_admit_counted() -> None:
    rule = rule_of(
        {"ast-grep": {"rule": {"pattern": "print($A)"}, "constraints": {"A": {"kind": "string"}}}},
        "print('x')\n",
    )
    text = "print('a')\nprint(b)\nprint(1)\n"
    places = [
        Location(text, "a.py", "python", text.index(part), text.index(part) + len(part), wanted)
        for part, wanted in (("print('a')", True), ("print(b)", False), ("print(1)", True))
    ]
    assert [one[1:] for one in wider(rule, places)] == [
        ("wider", "$A without kind: string", 1, 0, 0, 0, 1, 1)
    ]


def test_a_narrower_variant_made_wider_is_its_parent_again() -> None:
    places = judged(places_of(NONE, 60, seed=3), PREFERENCES[TESTS])
    [back] = wider(narrower(NONE, places)[0].rule, places)
    assert back.rule.matcher == NONE.matcher
    assert back.rule.version == NONE.version + 2
    assert back.admitted == sum(
        here and not place.wanted for place, here in zip(places, matched(NONE, places), strict=True)
    )


def test_what_finds_a_good_example_is_not_offered() -> None:
    rule = rule_of(
        {"ast-grep": {"rule": {"pattern": "print($A)"}, "constraints": {"A": {"kind": "string"}}}},
        "print('x')\n",
        "print(x)\n",
    )
    assert wider(rule, []) == []


def test_what_admits_the_fewest_unwanted_places_is_first() -> None:
    places = [
        Location(json.dumps({"cognitive": cognitive, "hotspot_rank": rank}), "a.py", "any", 0, 0, False)
        for cognitive, rank in ((20, 30), (20, 40), (10, 5))
    ]
    rule = COGNITIVE.model_copy(
        update={
            "examples": (
                COGNITIVE.examples[0].model_copy(update={"good": {"cognitive": 1, "hotspot_rank": 90}}),
            )
        }
    )
    assert [(one.description, one.admitted) for one in wider(rule, places)] == [
        ("without cognitive > 15", 1),
        ("without hotspot_rank <= 20", 2),
    ]


@pytest.mark.parametrize(
    "matcher",
    [
        # Nothing would say which node it is.
        {"rule": {"pattern": "print($A)"}},
        {"rule": {"all": [{"kind": "call"}]}},
        {"rule": {"any": [{"pattern": "print($A)", "not": {"regex": "x"}}]}},
        # $B would mean anything.
        {
            "rule": {"pattern": "print($A)", "inside": {"pattern": "class $B: $$$", "stopBy": "end"}},
            "message": "{B}",
        },
    ],
)
def test_what_carries_the_rule_is_not_dropped(matcher: dict[str, Any]) -> None:
    assert list(without_one(rule_of({"ast-grep": matcher}))) == []


def test_rules_of_ruff_have_nothing_to_drop() -> None:
    assert wider(NONE, places_of(NONE, 3, seed=1)) == []
