"""Extracting parts of functions: behaviour stays, and what is uncertain is refused."""

import ast

import pytest

from qflow_dagster.generation import extraction
from qflow_dagster.generation.generators.extract_function import lowered
from qflow_dagster.generation.remaining import measures_in

TOTALS = """
def totals(rows, limit=3, *rest, **options):
    total = 0
    names = []
    for row in rows:
        if row is None:
            continue
        value, name = row
        if value > limit:
            if name in names:
                total -= value
                for other in rest:
                    if other == name:
                        total += 1
            else:
                names.append(name)
                total += value
        elif value < 0:
            if options.get("strict"):
                raise ValueError(name)
            total = total if total > 0 else 0
    if total > 10:
        for name in names:
            if name.startswith("a"):
                if len(name) > 1:
                    return name, total
                return "short", total
        return "none", total
    return total
"""
METHOD = """
class Cart:
    rate = 2

    def price(self, items):
        found = []
        for item in items:
            if item:
                if item > 3:
                    if item % 2:
                        found.append(item * self.rate)
                    else:
                        found.append(item)
                elif item < -3:
                    if item % 2:
                        self.rate += 1
        return found, self.rate


def price(items):
    return Cart().price(items)
"""
ROWS = [
    [],
    [(5, "a"), (5, "a"), None, (1, "b")],
    [(20, "ab"), (-1, "x")],
    [(20, "a")],
    [(20, "b"), (4, "b")],
]


def outcomes(text: str, calls: list[tuple[str, tuple, dict]]) -> list[object]:
    """What calls return or raise."""
    found: list[object] = []
    for name, arguments, options in calls:
        namespace: dict = {}
        exec(compile(text, "module", "exec"), namespace)
        try:
            found.append(namespace[name](*arguments, **options))
        except Exception as error:
            found.append(repr(error))
    return found


@pytest.mark.parametrize(
    ("text", "name", "calls"),
    [
        (
            TOTALS,
            "totals",
            [
                ("totals", (rows, 3, *rest), options)
                for rows in ROWS
                for rest in ((), ("a", "b"))
                for options in ({}, {"strict": 1})
            ],
        ),
        (METHOD, "Cart.price", [("price", ([1, 5, 4, -5, -4, 0, 9],), {}), ("price", ([],), {})]),
    ],
)
def test_every_extraction_that_is_made_keeps_what_a_function_returns_and_raises(
    text: str, name: str, calls: list
) -> None:
    expected = outcomes(text, calls)
    made = 0
    for function, owner in extraction.functions(ast.parse(text)):
        for region in extraction.regions(function):
            after = extraction.extract(text, function, owner, region, "_part")
            if after is not None:
                made += 1
                assert outcomes(after, calls) == expected, after
    assert made >= 4
    for bound in (12, 8, 5):
        reached = lowered(text, name, bound)
        if reached is not None:
            assert outcomes(reached, calls) == expected
            assert all(measures["cognitive"] <= bound for _, _, measures in measures_in(reached, "Python"))
    assert lowered(text, name, 8) is not None


@pytest.mark.parametrize(
    "body",
    [
        # May be unbound after the region, or within it.
        "    if a:\n        b = 1\n    print(b)\n",
        "    for b in a:\n        if b: c = b\n    print(c)\n",
        "    if a: c = 1\n    for b in a:\n        if b: print(c)\n    return 1\n",
        # An exception would lose what was assigned.
        "    b = 0\n    try:\n        if a: b = a()\n    except ValueError:\n        pass\n    return b\n",
        # The function it stands in matters.
        "    if a:\n        yield a\n    return 1\n",
        "    if a:\n        print(locals())\n    return 1\n",
        "    global b\n    if a:\n        b = 1\n    return 1\n",
        "    b = 1\n    g = lambda: b\n    if a:\n        b = 2\n    return g()\n",
        # Another line of the region is another statement's, or within a string.
        "    if a: print(1)\n    b = 2; c = 3 if a else 4\n    return b, c\n",
        '    if a:\n        b = """\n  text\n"""\n        print(b)\n    return 1\n',
    ],
)
def test_what_is_uncertain_is_refused_or_right(body: str) -> None:
    text = f"def f(a):\n{body}"
    calls = [("f", (value,), {}) for value in (0, [], [0], [1, 2])]
    [(function, owner)] = extraction.functions(ast.parse(text))
    for region in extraction.regions(function):
        after = extraction.extract(text, function, owner, region, "_part")
        if after is not None:
            kind = [str(one).replace("_part", "f") for one in outcomes(after, calls)]
            assert kind == [str(one) for one in outcomes(text, calls)], after


def test_a_variable_that_a_loop_carries_is_returned() -> None:
    text = (
        "def f(rows):\n    first = True\n    out = []\n    for row in rows:\n        if first:\n            first = False\n"
        "            out.append(0)\n        out.append(row)\n    return out\n"
    )
    [(function, owner)] = extraction.functions(ast.parse(text))
    made = [
        after
        for region in extraction.regions(function)
        if (after := extraction.extract(text, function, owner, region, "_part"))
    ]
    calls = [("f", ([1, 2, 3],), {})]
    assert made
    assert all(outcomes(after, calls) == outcomes(text, calls) for after in made)
