"""Tests of Python tools: pyupgrade's parameters, LibCST's codemods, ruff's snapshots."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.peer_cases.cases import Case, changed_lines

_LOCATION = re.compile(r"^\s+--> ([^:\n]+):(\d+):\d+$", re.MULTILINE)
# What a file may be called for; the version it is for is that of our examples.
_VALID, _INVALID = ("s",), ("s", "expected")


def pyupgrade(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the parameters of pyupgrade's tests: `s` stays as it is, or becomes `expected`."""
    for file in files:
        for test in ast.parse(file.read_text()).body:
            for names, values in _parameters(test):
                if names not in (_VALID, _INVALID):
                    continue
                for number, value in enumerate(values, 1):
                    texts = [text for text in value if isinstance(text, str)]
                    name = f"{file.relative_to(root)}:{test.lineno} {number}"
                    if len(texts) == len(names) == len(value):
                        yield _pair(name, *texts) if names == _INVALID else Case(name, "python", texts[0])


def _parameters(test: ast.stmt) -> Iterator[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    for decorator in test.decorator_list if isinstance(test, ast.FunctionDef) else ():
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize"):
            names, values = decorator.args[:2]
            if isinstance(values, ast.Tuple | ast.List):
                yield tuple(map(str, _literals(names))), [_literals(value) for value in values.elts]


def _literals(node: ast.expr) -> tuple[object, ...]:
    """Return the value of a literal, those of a tuple or of `pytest.param`; nothing for other expressions."""
    if isinstance(node, ast.Call):
        return tuple(value for argument in node.args for value in _literals(argument))
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _pair(name: str, before: str, after: str) -> Case:
    return Case(name, "python", before, changed_lines(before, after), (after,))


def libcst(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the texts before and after a codemod of LibCST's tests."""
    for file in files:
        for test in ast.walk(ast.parse(file.read_text())):
            if not isinstance(test, ast.FunctionDef):
                continue
            texts: dict[str, str] = {}
            for statement in test.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                        texts[name] = textwrap.dedent(text).strip("\n") + "\n"
                    case ast.Expr(value=ast.Call(args=[ast.Name(id=old), ast.Name(id=new)], keywords=[])) if (
                        old in texts and new in texts
                    ):
                        before, after = texts[old], texts[new]
                        name = f"{file.relative_to(root)}:{test.lineno}"
                        yield Case(name, "python", before) if before == after else _pair(name, before, after)


def ruff(root: Path, files: Iterable[Path]) -> Iterator[Case]:
    """Yield the fixtures of ruff, with the lines that its snapshots report."""
    for file in files:
        text = file.read_text()
        reported: dict[str, list[int]] = {}
        for name, line in _LOCATION.findall(text):
            reported.setdefault(name, []).append(int(line))
        for name, lines in reported.items():
            linter = file.parent.parent.name
            fixture = next((root / "crates/ruff_linter/resources/test/fixtures" / linter).rglob(name), None)
            if fixture is not None:
                yield Case(
                    str(fixture.relative_to(root)), "python", fixture.read_text(), tuple(lines), path=name
                )
