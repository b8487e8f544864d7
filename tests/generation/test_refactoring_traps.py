"""Functions whose behaviour depends on how they are written: whatever is made of them does the same."""

import ast
import contextlib
import doctest
import inspect
import io
import types
from collections.abc import Iterator

import pytest

from qflow_dagster.generation import conditions, extraction, regions
from qflow_dagster.generation.conditions import named
from qflow_dagster.generation.function_names import decorators_known
from qflow_dagster.generation.generators.extract_function import lowered
from qflow_dagster.generation.guard_clauses import flattened
from qflow_dagster.generation.simplification import simplified

ALL = (0, 1, 2, 3, -1, 7)
# Each: a module that defines `f`, called with these arguments.
TRAPS = {
    "global": """
COUNT = 0


def f(a):
    global COUNT
    if a:
        COUNT += a
        if COUNT > 3:
            COUNT = 0
    return COUNT
""",
    "a global that is read before a local of that name in another function": """
LIMIT = 2


def f(a):
    for n in range(a):
        if n > LIMIT:
            if n % 2:
                return n
    return LIMIT
""",
    "nonlocal": """
def f(a):
    total = 0

    def add(n):
        nonlocal total
        if n > 1:
            total += n
        else:
            total -= 1

    for n in range(a):
        if n != 2:
            add(n)
            if total > 5:
                total = 5
    return total
""",
    "generator": """
def g(a):
    last = None
    for n in range(a):
        if n % 2:
            if n > 2:
                last = yield n
            elif last:
                yield last
        else:
            if n == 4:
                return


def f(a):
    return list(g(a))
""",
    "a generator that is read later": """
def f(a):
    factor = 2
    rows = (n * factor for n in range(abs(a)))
    if a > 1:
        if a > 2:
            factor = 10
    return list(rows)
""",
    "a lambda in a list": """
def f(a):
    made = []
    for n in range(abs(a)):
        if n:
            if n > 1:
                made.append(lambda: n)
    return [one() for one in made]
""",
    "del": """
def f(a):
    value = a
    if a > 0:
        if a > 1:
            del value
    try:
        return value
    except UnboundLocalError:
        return "gone"
""",
    "walrus": """
def f(a):
    if (half := a // 2) > 0:
        if half > 1:
            return half
    if a and (more := half + 1):
        if more:
            return more, half
    return half
""",
    "walrus in a comprehension": """
def f(a):
    seen = 0
    if a:
        if [seen := n for n in range(abs(a))]:
            return seen
    return seen
""",
    "match": """
def f(a):
    found = None
    if a is not None:
        match [a, a + 1]:
            case [0, found]:
                pass
            case [n, *rest] if n > 1:
                found = rest
            case _:
                if a:
                    found = "other"
    return found
""",
    "a name of a handler": """
def f(a):
    error = None
    try:
        if a:
            if a > 1:
                raise ValueError(a)
    except ValueError as error:
        if a > 2:
            return str(error)
    try:
        return error
    except UnboundLocalError:
        return "unbound"
""",
    "the traceback": """
import sys
import traceback


def f(a):
    try:
        for n in range(abs(a)):
            if n > 1:
                if n > 2:
                    raise KeyError(n)
    except KeyError as error:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return None
""",
    "how deep a traceback is": """
def f(a):
    try:
        if a > 0:
            if a > 1:
                raise KeyError(a)
            a += 1
    except KeyError as error:
        if a > 2:
            return error.__traceback__.tb_next is None
        return error.__traceback__.tb_frame.f_code.co_name
    return a
""",
    "exc_info": """
import sys


def f(a):
    if a > 0:
        try:
            if a > 1:
                raise ValueError(a)
        except ValueError:
            if a > 2:
                frame = sys.exc_info()[2].tb_frame
                return frame.f_code.co_name, sorted(frame.f_locals)
            return sys.exc_info()[1]
    return sys.exc_info()
""",
    "locals": """
def f(a):
    b = a + 1
    if a:
        if a > 1:
            c = b
            b += 1
    return sorted(locals().items())
""",
    "eval": """
def f(a):
    b = a + 1
    if a > 0:
        if a > 1:
            return eval("b + a")
    return eval("b")
""",
    "format_map with vars": """
def f(a):
    if a > 0:
        b = "x"
        if a > 1:
            return "{a} {b}".format(**vars())
    return "none"
""",
    "super": """
class Base:
    def price(self, a):
        return a


class Cart(Base):
    def price(self, a):
        if a > 0:
            if a > 1:
                return super().price(a) * 2
            return __class__.__name__
        return super().price(a)


def f(a):
    return Cart().price(a)
""",
    "mangled names": """
class Cart:
    __rate = 3

    def price(self, a):
        __seen = 0
        for n in range(abs(a)):
            if n > 0:
                if n > 1:
                    __seen += self.__rate
                else:
                    self.__rate += 1
        return __seen, self.__rate


def f(a):
    return Cart().price(a), Cart._Cart__rate
""",
    "a property": """
class Cart:
    def __init__(self, a):
        self.a = a

    @property
    def price(self):
        if self.a:
            if self.a > 1:
                if self.a > 2:
                    return 3
                return 2
            return 1
        return 0


def f(a):
    return Cart(a).price
""",
    "a class method and a static one": """
class Cart:
    rate = 2

    @classmethod
    def make(cls, a):
        if a:
            if a > 1:
                cls.rate += 1
                return cls.rate
        return cls()

    @staticmethod
    def level(a):
        if a:
            if a > 1:
                return "two"
            return "one"
        return "none"


def f(a):
    return str(Cart.make(a))[:5], Cart.level(a), Cart.rate
""",
    "a receiver that is not called self": """
class Cart:
    def price(this, a, self=3):
        for n in range(abs(a)):
            if n > 0:
                if n > self:
                    this.n = n
        return getattr(this, "n", self)


def f(a):
    return Cart().price(a)
""",
    "a metaclass that lists what a class has": """
class Listed(type):
    def __new__(meta, name, bases, space):
        made = super().__new__(meta, name, bases, space)
        made.names = sorted(key for key in space if not key.startswith("__"))
        return made


class Cart(metaclass=Listed):
    def price(self, a):
        if a > 0:
            if a > 1:
                if a > 2:
                    return 3
                return 2
        return 0


def f(a):
    return Cart.names, Cart().price(a)
""",
    "a protocol that is checked when it runs": """
from typing import Protocol, runtime_checkable


@runtime_checkable
class Priced(Protocol):
    def price(self, a):
        if a > 0:
            if a > 1:
                if a > 2:
                    return 3
                return 2
        return 0


class Other:
    def price(self, a):
        return a


def f(a):
    return isinstance(Other(), Priced)
""",
    "a decorator that reads the source": """
def compiled(function):
    names = set(function.__code__.co_names) | set(function.__code__.co_varnames)

    def call(a):
        return function(a), len(names), len(function.__code__.co_consts)

    return call


@compiled
def f(a):
    total = 0
    for n in range(abs(a)):
        if n > 1:
            if n % 2:
                total += n
    return total
""",
    "a decorator that knows no other function": """
import types


def alone(function):
    return types.FunctionType(function.__code__, {"__builtins__": __builtins__})


@alone
def f(a):
    total = 0
    for n in range(abs(a)):
        if n > 1:
            if n % 2:
                total += n
    return total
""",
    "a decorator of another package": """
from numba import njit


@njit
def f(a):
    total = 0
    for n in range(abs(a)):
        if n > 1:
            if n % 2:
                total += n
    return total
""",
    "async": """
import asyncio


async def g(a):
    total = 0
    for n in range(abs(a)):
        if n > 1:
            await asyncio.sleep(0)
            if n > 2:
                total += n
    return total


def f(a):
    return asyncio.run(g(a))
""",
    "a docstring that is a test": '''
def f(a):
    """Return twice, or none.

    >>> f(2)
    4
    >>> f(0) is None
    True
    """
    if a:
        if a > 1:
            text = """
    two lines
"""
            return a * 2 + len(text) * 0
    else:
        if a == 0:
            return None
    return 1
''',
    "a recursion limit": """
import sys


def f(a):
    if a <= 0:
        return len(__import__("inspect").stack()) * 0
    if a > 1:
        if a > 2:
            return f(a - 1)
    return f(a - 1) + 1
""",
    "what a comparison returns": """
class Odd:
    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return [self.a] if self.a else []

    def __contains__(self, other):
        return self.a

    def __bool__(self):
        print("asked", self.a)
        return self.a > 1


def f(a):
    odd = Odd(a)
    if odd:
        if odd == 1:
            print("equal")
    if odd == 1:
        return True
    return False


def g(a):
    if a in Odd(a):
        return True
    return False
""",
    "unreachable code that makes a name local": """
x = 5


def f(a):
    if a > 1:
        return a
        x = 1
    try:
        return x
    except UnboundLocalError:
        return "local"
""",
    "unreachable code that makes a generator": """
def g(a):
    if a:
        return a
    return 3
    yield


def f(a):
    return type(g(a)).__name__
""",
    "a dead branch that binds": """
def f(a):
    if False:
        b = 1
    if a:
        try:
            return b
        except NameError as error:
            return type(error).__name__
    if 0:
        return 9
    else:
        if a == 0:
            return 3
    if True:
        if a < 0:
            return 4
    return 5
    return 6
""",
    "the else of a loop": """
def f(a):
    for n in range(abs(a)):
        if n > 1:
            if n == 3:
                break
            continue
    else:
        if a:
            return "all"
    while a > 0:
        a -= 1
        if a == 2:
            break
    else:
        return "done"
    return a
""",
    "finally": """
def f(a):
    out = []
    for n in range(abs(a)):
        try:
            if n == 2:
                return out
            if n == 1:
                continue
            out.append(n)
        finally:
            if n:
                out.append("end")
    return out
""",
    "a context manager that swallows": """
import contextlib


def f(a):
    found = 0
    with contextlib.suppress(ValueError):
        if a > 0:
            found = a
            if a > 1:
                raise ValueError
            found += 10
    return found
""",
    "star arguments and keywords": """
def h(*rows, limit=2, **more):
    for row in rows:
        if row > limit:
            rows = rows[1:]
            if more.get("all"):
                more["seen"] = row
    return rows, more


def f(a):
    return h(a, a + 1, a + 2, limit=a, all=a)
""",
    "a default that keeps": """
def f(a, seen=[]):
    if a:
        if a not in seen:
            if a > 1:
                seen.append(a)
    return list(seen)
""",
    "an import that binds": """
def f(a):
    if a > 0:
        import os.path
        if a > 1:
            import json as os
    try:
        return os.__name__
    except UnboundLocalError:
        return "unbound"
""",
    "annotations": """
def f(a):
    b: int
    if a:
        b: int = a
        if a > 1:
            b += 1
    try:
        return b
    except UnboundLocalError:
        return "unbound"
""",
    "an assert and its line": """
import sys


def f(a):
    try:
        if a:
            if a > 1:
                assert a > 2, a
                return a
        assert a
    except AssertionError as error:
        return error.args
    return None
""",
    "nested functions of one name": """
def f(a):
    def _f_a(n):
        return n * 100

    if a:
        if a > 1:
            if a > 2:
                return _f_a(a)
    return _f_a(1)
""",
    "a class within": """
def f(a):
    b = a

    class C:
        b = b if isinstance(b, str) else "own" if a else None

        def get(self):
            return b

    if a:
        if a > 1:
            b = 10
    return C().get(), C.b
""",
    "tabs and odd lines": """
def f(a):
\tif a: return 1; b = 2
\tif (a or
\t\tNone):
\t\tif a: return 3
\telse:
\t\tif a == 0: return 4
\treturn \\
\t\t5
""",
    "a name of a pattern that is read later": """
def f(a):
    match [a, [a, 2]]:
        case [n, [_, *rest]] if n:
            pass
        case {"a": 1, **rest}:
            pass
    if a:
        if n > 1:
            return n, rest
    return a
""",
    "a function that makes objects": """
class Cart:
    def __new__(cls, a):
        made = super().__new__(cls)
        made.rows = []
        for n in range(abs(a)):
            if n > 0:
                if n > 1:
                    made.rows.append((cls.__name__, n))
        return made

    def __init_subclass__(cls, **more):
        cls.more = {}
        for key, value in more.items():
            if value:
                if value > 1:
                    cls.more[key] = value


class Small(Cart, b=1, c=2):
    pass


def f(a):
    return Small(a).rows, Small.more
""",
    "a method that another class takes": """
class Cart:
    def price(self, a):
        if a > 0:
            if a > 1:
                if a > 2:
                    return self.rate
                return 2
        return 0


class Other:
    rate = 9
    price = Cart.price


def f(a):
    return Other().price(a)
""",
    "a class that calls its method while it is made": """
class Cart:
    def level(a):
        if a > 0:
            if a > 1:
                if a > 2:
                    return 3
                return 2
        return 0

    levels = [level(3), level(1)]


def f(a):
    return Cart.levels
""",
    "a subclass that has a name": """
class Base:
    def price(self, a):
        for n in range(abs(a)):
            if n > 1:
                if n > 2:
                    self.n = n
        return self.__dict__


class Cart(Base):
    _part = 3
    _price_n = 4

    def __getattribute__(self, name):
        if name.startswith("_p"):
            raise AttributeError(name)
        return super().__getattribute__(name)


def f(a):
    return Cart().price(a)
""",
    "a nested function with a global of the outer's name": """
n = 100


def f(a):
    n = a

    def inner():
        global n
        n += 1
        return n

    if a > 0:
        if n > 1:
            n = n + 1
    return n, globals()["n"] * 0
""",
    "groups of exceptions": """
def f(a):
    found = []
    try:
        if a:
            if a > 1:
                found = [a]
                raise ExceptionGroup("x", [ValueError(a)])
    except* ValueError as group:
        if a > 2:
            found += [len(group.exceptions)]
    return found
""",
    "asynchronous comprehensions": """
import asyncio


async def rows(a):
    for n in range(abs(a)):
        yield n


async def g(a):
    found = []
    if a:
        if a > 1:
            found = [n async for n in rows(a) if n]
    async for n in rows(a):
        if n > 1:
            if n > 2:
                found.append(n)
    async with asyncio.Lock():
        if a > 2:
            if a > 3:
                found = found[1:]
    return found


def f(a):
    return asyncio.run(g(a))
""",
    "strings over lines": '''
def f(a):
    out = ""
    if a:
        if a > 1:
            out += """
  two
      lines {a}
""" + f"""
  {a
     + 1}
""" + ("one"
                "two") + 'x\\
y'
            if a > 2:
                return (out,
     a)
    return out
''',
    "an import in what moves": """
def f(a):
    found = None
    if a > 0:
        if a > 1:
            import json
            from os import path as found
            found = json.dumps(found.__name__)
    return found
""",
    "a comprehension that reads a class": """
class Cart:
    rate = 3

    def price(self, a, rate=2):
        if a > 0:
            if a > 1:
                return [n * rate for n in range(a) if n != self.rate]
        return rate


def f(a):
    return Cart().price(a)
""",
    "StopIteration in a generator": """
def g(a):
    rows = iter(range(abs(a)))
    while True:
        yield a
        if a > 1:
            if a > 2:
                next(rows)
                next(rows)
        else:
            return a


def f(a):
    try:
        return [n for n, _ in zip(g(a), range(4))]
    except RuntimeError as error:
        return str(error)
""",
    "an object that ends with its variable": """
import os
import tempfile
import weakref


class Thing:
    pass


def f(a):
    name, seen = "", None
    if a > 0:
        if a > 1:
            folder = tempfile.TemporaryDirectory()
            name = folder.name
    if a:
        if a > 2:
            thing = Thing()
            seen = weakref.ref(thing)
    return os.path.exists(name), seen and seen() is None
""",
    "a function within that assigns what is read after its call": """
def f(a):
    total = 0

    def add(n):
        nonlocal total
        total += n

    out = []
    for n in range(abs(a)):
        add(n)
        if total > 2 and n:
            out.append(total)
    return out
""",
    "a generator that assigns when it is read": """
def f(a):
    last = None
    rows = (last := n for n in range(abs(a)))
    for n in rows:
        if n and last:
            if last > 1:
                return last, n
    return last
""",
    "objects that count how often they are tested": """
class Counted:
    tests = 0

    def __init__(self, value):
        self.value = value

    def __bool__(self):
        Counted.tests += 1
        return self.value

    def __eq__(self, other):
        return Counted(self.value)


def f(a):
    Counted.tests = 0
    no, yes = Counted(False), Counted(True)
    if a and (no and yes or yes == no):
        if not (yes and no) and no or yes == 1:
            return 1, Counted.tests
    while no or yes and not (a == 1 or no):
        return 2, Counted.tests
    if no and yes:
        return 3
    if no and yes:
        return 4
    return Counted.tests
""",
    "a condition that is no longer true": """
def f(a):
    b, done = None, a in (1, 2)
    found = []
    for n in range(3):
        if b is None and not done:
            found.append(n)
            b = n if n == a else None
        if b is None and not done:
            found.append(-n)
            done = n in (a, 1)
        if b is None and not done:
            found.append("end")
    if b is None and not done:
        return found
    b = []
    if b is None and not done:
        return "never"
    return found, b, done
""",
    "a condition of names that may be unbound": """
def f(a):
    if a > 1:
        b = None
    if a > 2 and b is None or a > 6:
        return 2
    for n in range(abs(a) - 6):
        c = n
    if a > 6 and (c is None or a is b):
        return 3
    if a > 7 and (c is None or a is b):
        return 4
    return a
""",
    "another bool": """
def bool(value):
    return "not a bool"


def f(a):
    if a and a > 1 or a == 7:
        return 1
    return 2
""",
    "words of another alphabet": """
def f(a):
    naïve = "ü€𝄞"; ж = a
    if ж:
        if ж > 1:
            if ж > 2: return naïve * ж
            naïve += "ß"
    return naïve, ж
""",
}  # fmt: skip


def outcomes(text: str) -> list[object]:
    """What `f`, and `g`, do: results, exceptions, what is printed, and the doctests that fail."""
    module = types.ModuleType("trap")
    found: list[object] = []
    try:
        exec(compile(text, "trap", "exec"), vars(module))
    except ImportError as error:
        return [repr(error)]
    for name in ("f", "g"):
        for value in ALL if hasattr(module, name) else ():
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                try:
                    returned = getattr(module, name)(value)
                    result = repr(returned).partition(" at 0x")[0]
                    if inspect.iscoroutine(returned):
                        returned.close()
                except Exception as error:
                    result = f"raised {error!r}"
            found.append((name, value, result, printed.getvalue()))
    found.append(tuple(doctest.testmod(module)))
    return found


def steps(text: str) -> Iterator[str]:
    """Every text that one step makes of a module."""
    tree = ast.parse(text)
    for function, owner in regions.functions(tree):
        if not decorators_known(tree, function):
            continue
        yield from flattened(text, function)
        yield from simplified(text, function)
        yield from named(text, function)
        for test, region in conditions.tests(function):
            name = f"_part{text.count('def _part')}"
            after = conditions.as_function(text, function, owner, test, region, name, text)
            if after is not None:
                yield after
        for region in [*regions.regions(function), *regions.regions(function, by_lines=True)]:
            name = f"_part{text.count('def _part')}"
            after = extraction.extract(text, function, owner, region, name)
            if after is not None:
                yield after


@pytest.mark.parametrize("text", TRAPS.values(), ids=TRAPS)
def test_whatever_is_made_of_it_does_the_same(text: str) -> None:
    expected = outcomes(text)
    made = set(steps(text))
    for function, owner in regions.functions(ast.parse(text)):
        name = f"{owner.name}.{function.name}" if owner else function.name
        for bound in (1, 3, 5):
            for rewrites in ((), (simplified, flattened, named)):
                after = lowered(text, name, bound, "cognitive", rewrites)
                made |= {after} if after else set()
            after = lowered(text, name, bound, "cyclomatic", (), extract="conditions")
            made |= {after} if after else set()
    for after in made:
        assert outcomes(after) == expected, after
