"""What single rules find, and leave, where the context of a match decides (`rule_matches.yaml`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import peer_rules
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import context, matchers
from qflow_dagster.evolution.analysis import branches
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.rules import load_rules

CASES = yaml.safe_load(Path(__file__).with_name("rule_matches.yaml").read_text())
RULES = {rule.id: rule for rule in load_rules()}


def cases() -> Iterator[tuple[str, str, int]]:
    for rule, case in CASES.items():
        yield from ((rule, text, 1) for text in case["finds"])
        yield from ((rule, text, 0) for text in case["leaves"])


@pytest.mark.parametrize(("rule", "text", "found"), list(cases()))
def test_matches(rule: str, text: str, found: int) -> None:
    language = CASES[rule].get("language", RULES[rule].language[0])
    assert len(matches_in(RULES[rule], text, "example", language)) == found


def test_every_condition_of_a_context_is_tried() -> None:
    used = {
        name
        for id_ in CASES
        for condition in RULES[id_].matcher.context
        for name in ([condition] if isinstance(condition, str) else condition)
    }
    assert used == set(context.CONDITIONS)


@pytest.mark.parametrize(
    "condition",
    [
        "own",
        "java-is",
        {"own": 1},
        {"js-global": 5},
        {"js-global": [5]},
        {"declared": {"A": "("}},
        {"declared": "A"},
        {"js-dead-branch": "A"},
        {"js-global": "A", "java-lang": "A"},
    ],
)
def test_a_condition_that_is_not_valid(condition: str | dict[str, Any]) -> None:
    matcher = RULES["javascript/no-eval"].matcher.model_copy(update={"context": (condition,)})
    with pytest.raises(UsageError, match="context"):
        matchers.check_matcher(RULES["javascript/no-eval"].model_copy(update={"matcher": matcher}))


def test_a_long_chain_of_conditions_is_looked_at_in_bounds() -> None:
    operands = " || ".join(f"a{n}" for n in range(3000))
    text = (
        "if (x) { }" + "".join(f" else if (b{n}) {{ }}" for n in range(300)) + f" else if ({operands}) {{ }}"
    )
    tree = matchers.Source(text, "a.js").tree("javascript")
    statements = tree.root.find_all(kind="if_statement")
    assert not branches.is_dead(tree, statements[-1], None)


def test_documented_differences_are_of_rules_that_are_compared() -> None:
    peers = yaml.safe_load(peer_rules.PEERS.read_text())["peers"]
    differences = yaml.safe_load(peer_rules.DIFFERENCES.read_text())
    compared = {
        f"{peer}/{name}"
        for peer, settings in peers.items()
        for name in peer_rules.named_rules(load_rules(), settings)
    }
    assert {*differences["not_compared"], *differences["suites"]} <= compared


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        ("javascript/no-eval", f"const {'[' * 3000}a{']' * 3000} = b; eval(c);", 1),
        ("javascript/no-duplicate-condition", f"if ({'(' * 3000}a{')' * 3000}) {{ }} else if (a) {{ }}", 0),
        (
            "java/string-builder-of-char",
            f"class C {{ void f() {{ var c = {'(' * 3000}'a'{')' * 3000}; new StringBuilder(c); }} }}",
            0,
        ),
    ],
)
def test_deep_nesting_costs_no_stack(rule: str, text: str, found: int) -> None:
    assert len(matches_in(RULES[rule], text, "example", RULES[rule].language[0])) == found


@pytest.mark.parametrize(
    ("detected", "path", "language"),
    [
        ("Java", "src/A.java", "java"),
        # What `.gitattributes` says of all scripts is for statistics.
        ("Java", "static/page.js", "javascript"),
        ("Java", "static/page.html", ""),
        ("Python", "bin/tool", "python"),
        ("XML", "translations/de.ts", ""),
    ],
)
def test_a_file_is_read_as_its_name_says(detected: str, path: str, language: str) -> None:
    assert matchers.rule_language(detected, path) == language
