"""Extracting parts of functions: behaviour stays, and what is uncertain is refused."""

import ast

import pytest

from qflow_dagster.generation import extraction, guard_clauses, regions
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
    for function, owner in regions.functions(ast.parse(text)):
        for region in regions.regions(function):
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


def inversions(text: str) -> list[str]:
    """Every text after one inversion, two, and so on."""
    found = [
        after
        for function, _ in regions.functions(ast.parse(text))
        for after in guard_clauses.flattened(text, function)
    ]
    return [*found, *(later for after in found for later in inversions(after))]


def test_every_inversion_keeps_what_a_function_returns_and_raises() -> None:
    calls = [
        ("totals", (rows, 3, *rest), {"strict": strict})
        for rows in ROWS
        for rest in ((), ("a", "b"))
        for strict in (0, 1)
    ]
    made = [(TOTALS, after, calls) for after in inversions(TOTALS)]
    made += [(METHOD, after, [("price", ([1, 5, 4, -5, -4, 0, 9],), {})]) for after in inversions(METHOD)]
    made += [
        (SEARCH, after, [("search", (n,), {}) for n in (-1, 0, 1, 4, 9)]) for after in inversions(SEARCH)
    ]
    for before, after, these in made:
        assert outcomes(after, these) == outcomes(before, these), after
    assert {before for before, _, _ in made} == {TOTALS, METHOD, SEARCH}
    flat = lowered(SEARCH, "search", 21, rewrites=[guard_clauses.flattened], extract="none")
    assert flat is not None
    assert "        if not (i % 2 == 0):\n            continue\n        # Even.\n        for j" in flat
    assert "if not ((item or None) is None):" in flat


SEARCH = """
def search(n):
    \"\"\"Search
    in two lines.\"\"\"
    seen = []
    for i in range(n):
        if i % 2 == 0:
            # Even.
            for j in range(i):
                if j not in seen:
                    if j > 1:
                        seen.append(j)
                    else:
                        seen.append(-j)
    if not seen:
        return None
    else:
        if n > 5:
            seen.reverse()
        for item in seen:
            if (item or None) is None:
                if n > 3:
                    return "zero", seen
    return seen
"""


@pytest.mark.parametrize(
    "body",
    [
        # What ends another statement does not end the function.
        "    with a:\n        if b:\n            if a: b()\n    return 1\n",
        "    if a:\n        if b:\n            if a: b()\n    else:\n        b()\n    c()\n",
        # A comment, a condition over lines, an elif.
        "    if a:  # because\n        if b: c()\n",
        "    if (a\n            and b):\n        if b: c()\n",
        "    if a:\n        c()\n    elif b:\n        if c: a()\n",
        "    if a:\n        return 1\n    # Otherwise.\n    else:\n        c()\n    d()\n",
        "    if a:\n        return 1\n    elif b:\n        c()\n    d()\n",
        # Nothing is gained.
        "    if a:\n        b()\n",
    ],
)
def test_an_inversion_that_would_change_something_is_not_made(body: str) -> None:
    assert inversions(f"def f(a, b, c, d):\n{body}") == []


def test_a_negation_is_exact() -> None:
    text = "def f(a, b):\n    if {0}:\n        if b:\n            b()\n"
    for condition, negated in (
        ("a", "not a"),
        ("not a", "a"),
        ("a is None", "a is not None"),
        ("a not in b", "a in b"),
        ("a == b", "not (a == b)"),
        ("(a or b) is None", "not ((a or b) is None)"),
        ("a and b", "not (a and b)"),
        ("0 < a < b", "not (0 < a < b)"),
    ):
        [after, *_] = inversions(text.replace("{0}", condition))
        assert f"    if {negated}:\n        return\n    if b:\n        b()\n" in after


def test_a_section_between_comments_becomes_a_function() -> None:
    text = 'def f(a):\n    """Do."""\n    b = a + 1\n    c = b * 2\n    # Then.\n    d = c + a\n    e = d - 1\n\n    return e, b\n'
    after = lowered(text, "f", 5, "code_lines")
    assert after is not None
    assert outcomes(after, [("f", (3,), {})]) == [(10, 4)]
    assert all(measures["code_lines"] <= 5 for _, _, measures in measures_in(after, "Python"))


def test_of_a_function_with_overloads_what_is_run_becomes_smaller() -> None:
    overloads = "@typing.overload\ndef totals(rows): ...\n@overload\ndef totals(rows, limit): ...\n"
    text = f"import typing\nfrom typing import overload\n\n\n{overloads}{TOTALS.lstrip()}"
    after = lowered(text, "totals", 10)
    assert after is not None
    assert f"{overloads}def totals(rows, limit=3, *rest, **options):\n" in after
    assert max(measures["cognitive"] for _, _, measures in measures_in(after, "Python")) <= 10


@pytest.mark.parametrize(
    "body",
    [
        # May be unbound after the region, or within it.
        "    if a:\n        b = 1\n    print(b)\n",
        "    for b in a:\n        if b: c = b\n    print(c)\n",
        "    if a: c = 1\n    for b in a:\n        if b: print(c)\n    return 1\n",
        # An exception would lose what was assigned.
        "    b = 0\n    try:\n        if a: b = a()\n    except ValueError:\n        pass\n    return b\n",
        "    n = 0\n    try:\n        if a:\n            n = 1\n            a()\n            raise KeyError\n"
        "    except (KeyError, TypeError):\n        return -n\n    return n\n",
        # A comprehension has a variable of the same name; a generator reads its variables later.
        "    x = 7\n    if a:\n        y = [x for x in a if x]\n        if y: x = y[0]\n    return x\n",
        "    k = 1\n    g = (k * v for v in [1, 2])\n    if a:\n        if a[0]: k = 10\n    return list(g)\n",
        # Deleted, also by the end of a handler.
        "    b = 1\n    if a: del b\n    try:\n        if a: return b\n    except NameError:\n        return 0\n    return 1\n",
        "    b = 1\n    if a:\n        try:\n            a()\n        except TypeError as b:\n            pass\n"
        "    try:\n        return b\n    except NameError:\n        return 0\n",
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
    [(function, owner)] = regions.functions(ast.parse(text))
    for region in regions.regions(function):
        after = extraction.extract(text, function, owner, region, "_part")
        if after is not None:
            kind = [str(one).replace("_part", "f") for one in outcomes(after, calls)]
            assert kind == [str(one) for one in outcomes(text, calls)], after


@pytest.mark.parametrize(
    ("call", "made"),
    [
        ('warnings.warn("old")', True),
        ("log.info(stack)", True),
        # Who called is seen, or reported.
        ('warnings.warn("old", DeprecationWarning, 2)', False),
        ('log.info("old", stacklevel=2)', False),
        ("b = sys._getframe(1)", False),
        ("b = inspect.stack()", False),
        ("traceback.print_stack()", False),
    ],
)
def test_what_depends_on_the_callers_stays_in_its_function(call: str, made: bool) -> None:
    text = f"def f(a):\n    b = 1\n    if a:\n        if a > 1:\n            {call}\n    return b\n"
    [(function, owner)] = regions.functions(ast.parse(text))
    texts = [extraction.extract(text, function, owner, r, "_part") for r in regions.regions(function)]
    assert any(texts) is made


def test_a_variable_that_a_loop_carries_is_returned() -> None:
    text = (
        "def f(rows):\n    first = True\n    out = []\n    for row in rows:\n        if first:\n            first = False\n"
        "            out.append(0)\n        out.append(row)\n    return out\n"
    )
    [(function, owner)] = regions.functions(ast.parse(text))
    made = [
        after
        for region in regions.regions(function)
        if (after := extraction.extract(text, function, owner, region, "_part"))
    ]
    calls = [("f", ([1, 2, 3],), {})]
    assert made
    assert all(outcomes(after, calls) == outcomes(text, calls) for after in made)
