"""Rules, places where they match, and people who like some of them and others not."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from qflow_dagster.evolution import examples
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.variants import Location, Variant, matched


def rule_of(matcher: dict[str, Any], bad: Any = "print(x)\n", good: Any = "log(x)\n", **more: Any) -> Rule:
    return Rule.model_validate(
        {
            "id": "own/rule",
            "version": 3,
            "title": "A rule of our own",
            "rationale": "Because it is ours.",
            "language": "python",
            "category": "correctness",
            "severity": "warning",
            "matcher": matcher,
            "confidence": 0.9,
            "source": "us",
            "owner": "me",
            "pack": "own",
            "examples": [{"bad": bad, "good": good}],
        }
        | more
    )


PRINT = rule_of({"ast-grep": {"rule": {"pattern": "print($A)"}}})
NONE = rule_of({"ruff": "E711"}, "y = x == None\n", "y = x is None\n", fix="ruff-unsafe")
COGNITIVE = rule_of(
    {"metric": {"of": "function", "where": ["cognitive > 15", "hotspot_rank <= 20"]}},
    {"cognitive": 80, "hotspot_rank": 1},
    {"cognitive": 2, "hotspot_rank": 1},
)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def function_with(statement: str, lot: random.Random) -> str:
    """A function, perhaps of a class, with the statement somewhere in it."""
    block = f"{statement}\n"
    for _ in range(lot.randint(0, 2)):
        around = lot.choice(
            [
                "for i in xs:\n{}",
                "while go:\n{}",
                "if ok:\n{}",
                "with open(p):\n{}",
                "try:\n    f()\nexcept OSError:\n{}",
            ]
        )
        block = around.format(indented(block))
    before, after = lot.choice(["", "a = f(2)\n", "import os\n"]), lot.choice(["", "return 1\n"])
    name = lot.choice(["run", "test_run", "load_all", "test_load", "_private", "get", "testing"])
    text = f"{lot.choice(['def', 'def', 'async def'])} {name}(a):\n{indented(before + block + after)}"
    if lot.random() < 0.4:
        text = f"class {lot.choice(['RunTest', 'Base', 'Model'])}:\n{indented(text)}"
    return text


ARGUMENTS = ("x", "self.name", "'text'", "1", "a + b", "f(x)", "xs[0]", "'more'")


def places_of(rule: Rule, count: int, seed: int) -> list[Location]:
    """Places the rule matches, all wanted so far."""
    lot = random.Random(seed)
    places = []
    for number in range(count):
        argument = lot.choice(ARGUMENTS)
        statement, part = (
            (f"print({argument})", f"print({argument})")
            if rule is PRINT
            else (f"y = {argument} == None", "None")
        )
        text = function_with(statement, lot)
        start = text.index(part)
        places.append(Location(text, f"f{number}.py", "python", start, start + len(part), True))
    return places


def judged(places: list[Location], denied: Callable[[Location], bool]) -> list[Location]:
    return [place._replace(wanted=not denied(place)) for place in places]


def before(place: Location) -> str:
    return place.text[: place.start]


TESTS = "not inside a function definition named ^test_"
LOOPS = "not inside a for statement"
PREFERENCES: dict[str, Callable[[Location], bool]] = {
    TESTS: lambda place: "def test_" in before(place),
    "not inside an except clause": lambda place: "except" in before(place),
    LOOPS: lambda place: "for i" in before(place),
    r"not inside a function definition that begins ^async\b": lambda place: "async" in before(place),
    "inside a class definition": lambda place: "class" not in before(place),
    # Both kinds of match, the second by its node's own neighbour.
    "not where $A is a string": lambda place: "('" in place.text[place.start : place.end],
}


def recounted(rule: Rule, variant: Variant, places: list[Location]) -> tuple[int, ...]:
    parent, child = matched(rule, places), matched(variant.rule, places)
    seen = Counter(zip([place.wanted for place in places], parent, child, strict=True))
    return tuple(
        seen[key]
        for key in (
            (True, True, True),
            (True, True, False),
            (False, True, False),
            (False, True, True),
            (True, False, True),
            (False, False, True),
        )
    )


def spans(rule: Rule, text: str, language: str = "python") -> set[tuple[int, int]]:
    return {(match.start, match.end) for match in examples.matches_in(rule, text, "a.py", language)}
