"""Tests for what no test runs of a Python function: recorded calls that reach it, in the style of the test file.

What is recorded is what the function does today, not what is right. Belongs here: which statements no test runs, which
recorded calls reach them, and the text of their tests. Does not belong here: recording (`characterisation`), whether
the tests hold and notice a change (`repository_gates.recorded_tests`).
"""

import ast
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from qflow_dagster import sandbox
from qflow_dagster.errors import QflowError
from qflow_dagster.generation import characterisation, line_trace_plugin, repository_tests
from qflow_dagster.generation.characterisation import Case
from qflow_dagster.generation.environments.protocol import Manifests
from qflow_dagster.generation.generators.protocol import RecordedTests, Request
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.generation.repository_tests import REPORT, SuiteCommand, SuiteRun
from qflow_dagster.generation.suite_gate import Suite

MAX_TESTS = 10
MAX_MUTANTS = 3
_PLUGIN = "qflow_line_trace"


def recorded(batch: Batch, request: Request) -> RecordedTests:
    """Return tests of the function that a request is about, for its test file; without any, `evidence` says why."""
    path, function_name = request.covers or ("", "")
    try:
        return _recorded(batch, request, path, function_name)
    except (sandbox.NotIsolatedError, QflowError) as error:
        return RecordedTests(path, function_name, str(error))


def traced(
    batch: Batch, command: Sequence[str], path: str, files: Mapping[str, str], seed: str = "0"
) -> tuple[SuiteRun, frozenset[int] | None]:
    """Run tests on the commit with these files, in the sandbox; return the lines of a file that ran, if known."""
    environment = batch.environments.of("python")
    variables = ("env", f"QFLOW_TRACED={path}", f"PYTHONHASHSEED={seed}")
    with batch.checkout() as folder:
        environment.prepare(folder)
        for name, text in files.items():
            (folder / name).write_bytes(text.encode())
        shutil.copyfile(line_trace_plugin.__file__, folder / f"{_PLUGIN}.py")
        arguments = (*variables, *command, "-p", _PLUGIN)
        ran = repository_tests.run(SuiteCommand("pytest", arguments), folder, environment.packages)
        content = repository_tests.content_of(folder / line_trace_plugin.RESULT.name)
    try:
        lines = frozenset(int(line) for line in json.loads(content)) if content else None
    except (ValueError, TypeError):
        lines = None
    return ran, lines


def of_file(test_path: str) -> tuple[str, ...]:
    """Return the command that runs one test file."""
    return ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={REPORT}", test_path)


def _recorded(batch: Batch, request: Request, path: str, name: str) -> RecordedTests:
    def nothing(reason: str) -> RecordedTests:
        return RecordedTests(path, name, reason)

    manifests = Manifests(batch.engine, batch.objects, batch.snapshot)
    text = manifests.text(path)
    line = _line_of(text, name)
    command = Suite(batch.engine, batch.objects, batch.snapshot, batch.environments).command
    if line is None:
        return nothing(f"{name} is no function at the top of {path}, or of a class there")
    if command is None or command.tool != "pytest":
        return nothing("its tests are not run by pytest")
    ran, covered = traced(batch, command.arguments, path, {})
    if covered is None:
        return nothing(f"which lines the tests run is not known: {ran.summary}")
    own = frozenset(characterisation.statements(text, line))
    if own <= covered:
        return nothing(f"the tests run all {len(own)} statements already")
    _, module = characterisation.importable(path, manifests.paths)
    found = characterisation.recorded_calls(batch, path, module, text, line)
    if isinstance(found, str):
        return nothing(found)
    function, calls = found
    tests = ast.parse(request.text)
    # Of what raises, pytest's way is used where the file has pytest.
    raising = _unittest(tests) or _binds(tests, "pytest")
    fit = [c for c in characterisation.fitting(function, calls) if raising or "raised" not in c.outcome]
    cases = list(_reaching(fit, own - covered))
    if not cases:
        unfit = [case for case in calls if "not" in case.outcome]
        why = f"; of others, {characterisation.why_none(unfit)}" if unfit else ""
        reached = (
            f"the tests run {len(own & covered)} of {len(own)} statements, and no recorded call runs more"
        )
        return nothing(reached + why)
    names, imports, written = tests_of(request.text, function, module, cases)
    new = {row for case in cases for row in case.outcome["lines"]} & own
    return RecordedTests(
        path, name, "", names, imports, written, tuple(_mutants(text, line, new)), own, own & covered
    )


def _line_of(text: str, name: str) -> int | None:
    owner, _, last = name.rpartition(".")
    body: Iterable[ast.stmt] = ast.parse(text).body
    if owner:
        body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == owner), [])
    found = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((node.lineno for node in found if node.name == last), None)


def _reaching(cases: Sequence[Case], uncovered: frozenset[int]) -> Iterator[Case]:
    """Yield the cases that run further statements, those that run most first."""
    left, kept = set(uncovered), list(cases)
    for _ in range(MAX_TESTS):
        best = max(kept, key=lambda case: len(left.intersection(case.outcome["lines"])), default=None)
        if best is None or not left.intersection(best.outcome["lines"]):
            return
        left.difference_update(best.outcome["lines"])
        kept.remove(best)
        yield best


def tests_of(
    test_text: str, function: CallPlan, module: str, cases: Sequence[Case]
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return the names of the tests, the imports that the test file lacks, and the text to append to it."""
    tree = ast.parse(test_text)
    taken = {getattr(node, "name", "") for node in ast.walk(tree)}
    of_class = _unittest(tree)
    prefix, imports = _reference(tree, module, function.name.partition(".")[0])
    base = "test_" + "".join(c if c.isalnum() else "_" for c in function.name.lower()).strip("_")
    numbers = (number for number in range(1, 10_000) if f"{base}_recorded_{number}" not in taken)
    names = tuple(f"{base}_recorded_{number}" for number, _ in zip(numbers, cases, strict=False))
    bodies = [characterisation.body(function, case, prefix, of_class=of_class) for case in cases]
    indent, self_, lines = ("    ", "self", []) if of_class else ("", "", [])
    if of_class:
        owner = next(f"Recorded{n}Test" for n in ["", *range(2, 100)] if f"Recorded{n}Test" not in taken)
        lines += ["", "", f"class {owner}({_base_of(tree)}):"]
    for number, (name, rows) in enumerate(zip(names, bodies, strict=True)):
        lines += ([] if of_class and number == 0 else [""] if of_class else ["", ""]) + [
            f"{indent}def {name}({self_}):",
            *(f"{indent}    {row}" for row in rows),
        ]
    return names, imports, "\n".join([*lines, ""])


def _unittest(tree: ast.Module) -> bool:
    """Return whether a test file is written with unittest: it has test cases, and no test functions."""
    functions = any(isinstance(n, ast.FunctionDef) and n.name.startswith("test") for n in tree.body)
    return bool(_base_of(tree)) and not functions


def _base_of(tree: ast.Module) -> str:
    """Return how a test file names unittest's TestCase; '' if it has none."""
    for node in tree.body:
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            if ast.unparse(base) in ("TestCase", "unittest.TestCase"):
                return ast.unparse(base)
    return ""


def _reference(tree: ast.Module, module: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Return what stands before a name of a module in the test file, and the import that it takes."""
    package, _, last = module.rpartition(".")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if (node.module, alias.name, alias.asname) == (module, name, None):
                    return "", ()
                if (node.module, alias.name) == (package, last):
                    return f"{alias.asname or last}.", ()
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == module:
                    return f"{alias.asname or module}.", ()
    if _binds(tree, name):
        return f"{module}.", (f"import {module}",)
    return "", (f"from {module} import {name}",)


def _binds(tree: ast.Module, name: str) -> bool:
    aliases = (
        alias for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    )
    return any((alias.asname or alias.name) == name for alias in aliases) or any(
        getattr(node, "name", "") == name for node in tree.body
    )


def _mutants(text: str, line: int, lines: set[int]) -> Iterator[str]:
    """Yield the text with one small change each, in the statements of a function that the tests run."""
    rows = text.split("\n")
    found: list[tuple[ast.expr, str]] = []
    for node in ast.walk(ast.parse(text)):
        if getattr(node, "lineno", 0) not in lines:
            continue
        if isinstance(node, ast.Return) and node.value is not None:
            constant = isinstance(node.value, ast.Constant) and node.value.value is None
            found.append((node.value, "1" if constant else "None"))
        elif isinstance(node, ast.If | ast.IfExp):
            found.append((node.test, f"not ({ast.get_source_segment(text, node.test)})"))
    for value, new in found[:MAX_MUTANTS]:
        if value.lineno == value.end_lineno:
            row = rows[value.lineno - 1].encode()
            changed = row[: value.col_offset] + new.encode() + row[value.end_col_offset :]
            yield "\n".join([*rows[: value.lineno - 1], changed.decode(), *rows[value.lineno :]])
