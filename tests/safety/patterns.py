"""Every regular expression of the package, and inputs made to make each of them slow.

A pattern is super-linear where it can read the same characters in several ways, or begins anew at
each of them. So the inputs repeat what the pattern itself is made of: each part, and parts that
stand side by side, after whatever the pattern wants before them, and with an end that fits nothing.
"""

import ast
import importlib
import pkgutil
import re
import re._constants as constants
import re._parser as parser
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import qflow_dagster

ROOT = Path(qflow_dagster.__file__).parent
CALLS = ("search", "match", "fullmatch", "sub", "split", "findall", "finditer", "compile")
# What no pattern names and many classes hold.
COMMON = ("a", "0", " ", "\n", "_", ".", "/", '"', "\\", "A", "-", "é")
# Ends that make what was read so far useless.
ENDS = ("", "\x01", "\n!")


class Found(NamedTuple):
    """A pattern, where it is, and whether all that use it begin at the beginning of the text."""

    where: str
    pattern: re.Pattern[Any]
    anchored: bool


def all_patterns() -> list[Found]:
    """Those in the global names of every module, however deep, and those written in a call."""
    found: dict[tuple[str | bytes, int], Found] = {}
    for info in pkgutil.walk_packages([str(ROOT)], "qflow_dagster."):
        if ".migrations" in info.name or info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        path = Path(module.__file__ or "")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        methods = _methods(tree)
        for name, value in vars(module).items():
            for pattern in _within(value, 4):
                used = methods.get(name, {"finditer"})
                _add(found, Found(f"{info.name}.{name}", pattern, used <= {"match", "fullmatch"}))
        for where, pattern, method in _inline(tree, info.name):
            if method == "compile" and (pattern.pattern, pattern.flags) in found:
                continue
            _add(found, Found(where, pattern, method in ("match", "fullmatch")))
    return sorted(found.values(), key=lambda one: one.where)


def _add(found: dict[tuple[str | bytes, int], Found], one: Found) -> None:
    key = (one.pattern.pattern, one.pattern.flags)
    # One that is searched anywhere has to be linear there.
    if key not in found or found[key].anchored:
        found[key] = one


def _within(value: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from _within(item, depth - 1)
    # Dagster's records are tuples that may not be walked.
    elif depth and isinstance(value, list | tuple | set | frozenset) and not _is_foreign(value):
        for item in value:
            yield from _within(item, depth - 1)


def _is_foreign(value: Any) -> bool:
    return type(value).__module__.split(".")[0] not in ("builtins", "qflow_dagster")


def _methods(tree: ast.AST) -> dict[str, set[str]]:
    """What is called of each global name: NAME.search(...) -> {"NAME": {"search"}}."""
    methods: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            methods.setdefault(node.value.id, set()).add(node.attr)
    return methods


def _inline(tree: ast.AST, module: str) -> Iterator[tuple[str, re.Pattern[Any], str]]:
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in CALLS
        ):
            continue
        if not isinstance(node.args[0], ast.Constant):
            continue
        given = [ast.unparse(one) for one in (*node.args[1:], *(keyword.value for keyword in node.keywords))]
        flags = [words for words in given if re.fullmatch(r"re\.[A-Z]+(?: \| re\.[A-Z]+)*", words)]
        value = sum(getattr(re, words.removeprefix("re.")) for words in flags[0].split(" | ")) if flags else 0
        yield f"{module}:{node.lineno}", re.compile(node.args[0].value, value), node.func.attr


def inputs(pattern: re.Pattern[Any], *sizes: int) -> Iterator[list[str | bytes]]:
    """Texts of about so many characters, each of a part of the pattern over and over; the same part in each size."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    tree = parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags)
    units, befores = _units(tree), _befores(tree)
    seen = set()
    for unit in units:
        for before in befores:
            for end in ENDS:
                texts = [before + unit * max(1, size // len(unit)) + end for size in sizes]
                if texts[-1] not in seen:
                    seen.add(texts[-1])
                    yield (
                        [t.encode("latin-1", "replace") for t in texts]
                        if isinstance(source, bytes)
                        else texts
                    )


def _units(tree: Any) -> list[str]:
    found: dict[str, None] = {}
    for items in _sequences(tree):
        samples = [_sample(item) for item in items]
        for length in (1, 2, 3, len(samples)):
            for start in range(len(samples) - length + 1):
                found["".join(samples[start : start + length])] = None
        # Nearly what is wanted, over and over: all but the end, and all up to what repeats something.
        found["".join(samples[:-1])] = None
        for position, item in enumerate(items):
            if _repeats(item):
                found["".join(samples[:position])] = None
    units = [unit for unit in found if 0 < len(unit) < 200]
    common = [unit for unit in COMMON if unit not in found]
    return (units[:40] + common)[:50]


def _befores(tree: Any) -> list[str]:
    """Nothing, and what the pattern wants before each of its parts that repeats something."""
    found = {"": None}
    for position, item in enumerate(tree):
        if _repeats(item):
            found["".join(_sample(one) for one in list(tree)[:position])] = None
    return list(found)[:4]


def _repeats(item: Any) -> bool:
    return any(
        operator in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)
        for items in _sequences([item])
        for operator, _ in items
    )


def _sequences(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Every sequence of parts in a pattern, the whole first."""
    items = list(items)
    yield items
    for operator, argument in items:
        if operator is constants.SUBPATTERN:
            yield from _sequences(argument[3])
        elif operator in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            yield from _sequences(argument[2])
        elif operator is constants.BRANCH:
            for one in argument[1]:
                yield from _sequences(one)
        elif operator in (constants.ASSERT, constants.ASSERT_NOT):
            yield from _sequences(argument[1])
        elif operator is constants.ATOMIC_GROUP:
            yield from _sequences(argument)


_CATEGORY = {
    constants.CATEGORY_DIGIT: "0",
    constants.CATEGORY_SPACE: " ",
    constants.CATEGORY_WORD: "a",
    constants.CATEGORY_NOT_DIGIT: "a",
    constants.CATEGORY_NOT_SPACE: "a",
    constants.CATEGORY_NOT_WORD: "-",
}


def _sample(item: Any) -> str:
    """A text that the part fits, the shortest but one: what may be left out is there once."""
    operator, argument = item
    if operator is constants.LITERAL:
        return chr(argument)
    if operator is constants.NOT_LITERAL:
        return "b" if argument != ord("b") else "c"
    if operator is constants.ANY:
        return "a"
    if operator is constants.IN:
        return _member(argument)
    if operator in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
        return "".join(_sample(one) for one in argument[2]) * min(max(argument[0], 1), 100)
    if operator is constants.SUBPATTERN:
        return "".join(_sample(one) for one in argument[3])
    if operator is constants.ATOMIC_GROUP:
        return "".join(_sample(one) for one in argument)
    if operator is constants.BRANCH:
        return "".join(_sample(one) for one in argument[1][0])
    return ""


def _member(argument: list[Any]) -> str:
    if argument[0][0] is constants.NEGATE:
        taken = {_single(one) for one in argument[1:]}
        return next(character for character in "ab0 -\x01" if character not in taken)
    return _single(argument[0])


def _single(one: Any) -> str:
    operator, argument = one
    if operator is constants.LITERAL:
        return chr(argument)
    if operator is constants.RANGE:
        return chr(argument[0])
    return _CATEGORY.get(argument, "a")


def slow_input(one: Found, size: int, seconds: float) -> tuple[str, float] | None:
    """The input that takes longer than `seconds` of this process's time each time, by its beginning, and how long."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    # The time of this process, not of the clock: other tests run beside it.
    def seconds_for(given: str | bytes) -> float:
        started = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds * 4)
        try:
            if one.anchored:
                one.pattern.match(given)
                one.pattern.fullmatch(given)
            else:
                for _ in one.pattern.finditer(given):
                    pass
        except TimeoutError:
            pass
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return time.process_time() - started

    previous = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        for fortieth, tenth, whole in inputs(one.pattern, size // 40, size // 10, size):
            # What is quadratic takes a hundredth for the tenth; what takes less than a third of that is not tried in
            # full. The same of the smaller one, which keeps most of them from being tried at all.
            if seconds_for(fortieth) <= seconds / 4_800 or seconds_for(tenth) <= seconds / 300:
                continue
            # Beside other tests a core may be slow for a moment: what is quadratic is slow each time.
            took = seconds_for(whole)
            for _ in range(2):
                took = min(took, seconds_for(whole)) if took > seconds else took
            if took > seconds:
                return repr(whole[:60]), took
    finally:
        signal.signal(signal.SIGVTALRM, previous)
    return None


if __name__ == "__main__":
    # `python -m tests.safety.patterns SIZE SECONDS`: all of them on inputs of that size.
    size, seconds = int(sys.argv[1]), float(sys.argv[2])
    tried = bad = given = 0
    for one in all_patterns():
        tried += 1
        given += sum(1 for _ in inputs(one.pattern, 10))
        if slow := slow_input(one, size, seconds):
            bad += 1
            print(f"{one.where}: {one.pattern.pattern!r}\n    {slow[1]:.2f} s: {slow[0]}", flush=True)
    print(f"{tried} patterns, {given} inputs of {size} characters, {bad} slow")
