"""The repository of `qflow demo`: a small shop with two years of history, written by script in one call of git.

Planted are: a hotspot that is fixed again and again, two files that change together, code that one person alone knows,
a comparison with None, a mutable default argument on which other code relies by reading the signature, and a change
that people made by hand in most files, which is a rule to mine.
"""

import time
from pathlib import Path

from qflow_dagster.ingestion import git

ADA, BOB, CY, DEE = (f"{name} <{name.lower()}@shop.example>" for name in ("Ada", "Bob", "Cy", "Dee"))
DAY = 86_400
# Files in which sums were rounded, one commit each later by hand; the last of them still are.
REPORTS = (
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "taxes",
    "refunds",
    "stock",
    "clients",
    "offers",
    "gifts",
    "bonus",
    "fees",
)
ROUNDED_BY_HAND = 9

_RULES = (
    ("order.express", "price += 5 if order.weight > 10 else 3"),
    ("order.gift", "price += 2"),
    ("customer.club and order.total > 100", "price -= order.total // 20"),
    ("order.country != 'NL' and not order.digital", "price += 9 if order.weight > 20 else 6"),
    ("customer.debt > 50", "return None"),
    ("order.coupon and order.coupon.valid", "price -= order.coupon.value"),
    ("order.returned", "price = 0"),
    ("customer.staff and not order.gift", "price -= price // 4"),
    ("order.parts > 3 or order.fragile", "price += order.parts"),
    ("price < 0", "price = 0"),
)

_FORMS = '''"""Forms made of the signatures of functions."""

import inspect


def fields(function):
    """Return the kind of each field by its name, as the default tells it."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: type(p.default).__name__ for p in parameters if p.default is not p.empty}
'''

_CART = '''"""The cart."""


def collect(item, found=[]):
    """Return the items with one more."""
    return [*found, item]


def total(items, start=None):
    """Return the sum of the prices."""
    if start == None:
        start = 0
    return start + sum(item["price"] for item in items)
'''

_TESTS = '''"""Tests of the shop."""

import unittest

from shop import cart


class CartTest(unittest.TestCase):
    def test_collect(self):
        self.assertEqual(cart.collect(1), [1])

    def test_total(self):
        self.assertEqual(cart.total([{"price": 2}, {"price": 3}]), 5)
'''

_TESTS_OF_FORMS = '''"""Tests of forms, written after the change of the cart was verified."""

import unittest

from shop import cart, forms


class FormTest(unittest.TestCase):
    def test_a_list_is_entered_as_a_list(self):
        self.assertEqual(forms.fields(cart.collect), {"found": "list"})
'''

_MONEY = '''"""Money."""


def cents(amount):
    """Return the amount in whole cents, halves to the even one."""
    return round(amount, 2)
'''


_ORDERS = '''"""Prices of orders."""


def price_of(order, customer):
    """Return the price."""
    price = 0
    for line in order.lines:
        if line.amount:
            price += line.amount * line.price
{rules}    return price
'''

_STOCK = '''"""Parts of orders in stock."""


def reserved(order):
    """Return the number of parts."""
{kinds}    return order.parts
'''

_REPORT = '''"""The {name} report."""

from shop import money


def {name}(rows):
    """Return the sum, as printed."""
    {name}_sum = sum(rows)
    total = {call}
    return str(total) + money.__name__
'''


def _orders(rules: int) -> str:
    lines = "".join(f"    if {condition}:\n        {effect}\n" for condition, effect in _RULES[:rules])
    return _ORDERS.format(rules=lines)


def _stock(rules: int) -> str:
    kinds = (f"    if order.kind == {n}:\n        return order.parts + {n}\n" for n in range(rules))
    return _STOCK.format(kinds="".join(kinds))


def _report(name: str, *, by_hand: bool) -> str:
    call = f"money.cents({name}_sum)" if by_hand else f"round({name}_sum, 2)"
    return _REPORT.format(name=name, call=call)


def create(folder: Path) -> None:
    """Create the repository in a new folder, with its newest commit an hour ago; takes about a second.

    Raises:
        GitError: git failed.
    """
    folder.mkdir(parents=True)
    git.run(None, "init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    now = int(time.time()) - 3_600
    files = {
        "shop/__init__.py": "",
        "shop/money.py": _MONEY,
        "shop/forms.py": _FORMS,
        "tests/__init__.py": "",
    }
    files |= {"shop/orders.py": _orders(1), "shop/stock.py": _stock(1), "README.md": "# Shop\n"}
    files |= {f"shop/reports/{name}.py": _report(name, by_hand=False) for name in REPORTS}
    commits = [(700, ADA, "A shop", files)]
    for number in range(2, len(_RULES) + 1):
        author = (BOB, BOB, CY)[number % 3]
        message = f"Fix the price of orders where {_RULES[number - 1][0]}"
        commits.append(
            (
                340 - 30 * number,
                author,
                message,
                {"shop/orders.py": _orders(number), "shop/stock.py": _stock(number)},
            )
        )
    commits.append((30, DEE, "Cart", {"shop/cart.py": _CART, "tests/test_cart.py": _TESTS}))
    for number, name in enumerate(REPORTS[:ROUNDED_BY_HAND]):
        change = {f"shop/reports/{name}.py": _report(name, by_hand=True)}
        commits.append(
            (20 - 2 * number, (ADA, BOB, CY)[number % 3], f"Round the {name} report as everywhere", change)
        )
    stream = [_commit(now - days * DAY, author, message, files) for days, author, message, files in commits]
    git.run(folder, "fast-import", "--quiet", "--done", stdin=b"".join(stream) + b"done\n")
    git.run(folder, "symbolic-ref", "HEAD", "refs/heads/main")


def add_tests_of_forms(folder: Path) -> None:
    """Commit tests that show what the change of a default in `shop/cart.py` breaks, and another change of that file."""
    count = '\n\ndef count(items):\n    """Return the number of items."""\n    return len(items)\n'
    files = {"tests/test_forms.py": _TESTS_OF_FORMS, "shop/cart.py": _CART + count}
    commit = _commit(
        int(time.time()), DEE, "Count the items, test the forms", files, parent="refs/heads/main^0"
    )
    git.run(folder, "fast-import", "--quiet", "--done", stdin=commit + b"done\n")


def _commit(at: int, author: str, message: str, files: dict[str, str], parent: str = "") -> bytes:
    """Return a commit in the format of `git fast-import`."""
    parts = [
        f"commit refs/heads/main\nauthor {author} {at} +0000\ncommitter {author} {at} +0000\n".encode(),
        _data(message),
    ]
    parts += [f"from {parent}\n".encode()] if parent else []
    for path, content in files.items():
        parts += [f"M 100644 inline {path}\n".encode(), _data(content)]
    return b"".join([*parts, b"\n"])


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)
