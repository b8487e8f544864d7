"""Characterisation tests: what a Python function does today, as a pytest module that can be run after each change.

The inputs are those of the gate `behaviour`; its driver records in the sandbox what two processes agree on. Left out:
what depends on the clock, chance, files or other calls, and results that are no short literals. What is recorded is
data of hostile code: it is read as literals and names, and written again.
"""

import ast
import builtins
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sqlalchemy import Engine

from qflow_dagster import sandbox
from qflow_dagster.errors import QflowError
from qflow_dagster.generation import repository_tests
from qflow_dagster.generation.environments.protocol import Manifests
from qflow_dagster.generation.repository_gates.behaviour import SUPPORTED
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan, InputTask, plan_batch
from qflow_dagster.generation.repository_gates.drivers import report_of
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.generation.repository_tests import REPORT, SuiteCommand, SuiteRun
from qflow_dagster.generation.validation import Gate
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.settings import settings

NAME = "characterisation"
MAX_CASES = 20
MAX_LITERAL = 1_000
MODULE = "test_characterisation.py"
# Instead of the repository's own, in the same folder.
SETTINGS = ".qflow-pytest.ini"
# What a function raises for an input of a type that it is not for.
_UNFIT = ("TypeError", "AttributeError")


class Characterisation(NamedTuple):
    """A pytest module ('' if nothing can be recorded), the folder it imports from, its number of tests, evidence."""

    module: str
    root: str
    tests: int
    evidence: str


class Case(NamedTuple):
    """A recorded call: its input, and what it returned or raised, with the lines that it ran."""

    input: str
    outcome: Mapping[str, Any]


def characterise(engine: Engine, objects: Path, snapshot: Snapshot, path: str, line: int) -> Characterisation:
    """Return what the function at a line of a file does today, as tests that pass on the unchanged code."""
    if settings().generation.behaviour_seconds == 0:
        return _nothing("QFLOW_GENERATION_BEHAVIOUR_SECONDS is 0")
    manifests = Manifests(engine, objects, snapshot)
    text = manifests.text(path)
    root, module = importable(path, manifests.paths)
    try:
        with Batch(engine, objects, snapshot) as batch:
            found = recorded_calls(batch, path, module, text, line)
            if isinstance(found, str):
                return _nothing(found)
            function, recorded = found
            cases = _chosen(function, recorded)
            written = _module(function, module, snapshot.commit_oid, cases)
            first = _run(batch, written, root, {}) if cases else None
            if first is not None and first.ran:
                # What fails without a change says nothing of a change.
                tests = _tests(function, cases)
                cases = [c for c, name in zip(cases, tests, strict=True) if name in _passed(first)]
                written = _module(function, module, snapshot.commit_oid, cases)
    except (sandbox.NotIsolatedError, QflowError) as error:
        return _nothing(str(error))
    if not cases:
        kept = "no recorded call does the same in pytest"
        return _nothing(kept if first is not None and first.ran else why_none(recorded))
    reached = {row for case in cases for row in case.outcome["lines"]}
    own = statements(text, line)
    evidence = f"{len(cases)} calls, which run {len(own & reached)} of {len(own)} statements"
    if first is not None and not first.ran:
        evidence += f"; not run: {first.summary}"
    return Characterisation(written, root, len(cases), evidence)


def check(
    engine: Engine, objects: Path, snapshot: Snapshot, checks: Mapping[str, Any], after: Mapping[str, str]
) -> Gate:
    """Return whether the tests of a characterisation pass on changed files (content by path)."""
    try:
        with Batch(engine, objects, snapshot) as batch:
            ran = _run(batch, checks["module"], checks["root"], after)
    except (sandbox.NotIsolatedError, QflowError) as error:
        return Gate(NAME, "skipped", str(error), 0.0)
    if not ran.ran:
        return Gate(NAME, "skipped", ran.summary, ran.seconds)
    passed = len(_passed(ran))
    good = passed == checks["tests"]
    failed = "" if good else f"; not {', '.join(sorted(name.rpartition('::')[2] for name in ran.failed)[:5])}"
    evidence = f"{passed} of {checks['tests']} recorded calls do as before{failed}"
    return Gate(NAME, "passed" if good else "failed", evidence, ran.seconds)


def recorded_calls(
    batch: Batch, path: str, module: str, text: str, line: int
) -> tuple[CallPlan, list[Case]] | str:
    """Return the function at a line of a file, and what it does with each input; text: why that is not known."""
    task = InputTask(0, text, "python", (line,))
    [(_, [function])] = in_processes(
        plan_batch, None, [[task]], 1, lost=_lost, stall=settings().generation.timeout
    )
    if not function.inputs or (function.kind, function.name.rpartition(".")[2]) == ("method", "__init__"):
        return f"it cannot be called: {function.reason or 'it makes objects'}"
    if not all(part.isidentifier() for part in module.split(".")):
        return "the name of its module is no identifier"
    recorded = _recorded(batch, path, function)
    return recorded if isinstance(recorded, str) else (function, recorded)


def _nothing(reason: str) -> Characterisation:
    return Characterisation("", "", 0, f"nothing is recorded: {reason}")


def _lost(task: InputTask, code: int | None) -> LostResult:
    return LostResult(result=(0, [CallPlan("", "", task.lines, (), f"its parser ended with code {code}")]))


def _recorded(batch: Batch, path: str, function: CallPlan) -> list[Case] | str:
    """Return what the function does with each input, or why that is not known."""
    seconds = settings().generation.behaviour_seconds
    called = {
        "path": path,
        "name": function.name,
        "kind": function.kind,
        "inputs": function.inputs,
        "record": True,
    }
    report = report_of(
        batch,
        SUPPORTED[0].driver,
        [{"record": True, "seconds": seconds, "functions": [called]}],
        seconds + 30,
    )
    try:
        [[found]] = report
        if isinstance(found, str):
            return found[:200]
        return [Case(text, _outcome(found[text])) for text in function.inputs if text in found]
    except (TypeError, ValueError, KeyError, SyntaxError, RecursionError, MemoryError):
        return "its program ended without a report"


def _outcome(text: str) -> Mapping[str, Any]:
    """Return what was recorded of a call.

    Raises:
        ValueError: it is no literal, or no name.
    """
    try:
        outcome = json.loads(text)
    except ValueError:
        return {"not": "the call did not end"}
    if "not" in outcome:
        return {"not": str(outcome["not"])[:80]}
    found: dict[str, Any] = {"lines": [int(line) for line in outcome["lines"]]}
    if "raised" in outcome:
        if not str(outcome["raised"]).isidentifier():
            raise ValueError
        found["raised"] = str(outcome["raised"])
    for key in ("returned", "after"):
        if key in outcome and len(outcome[key]) < MAX_LITERAL:
            # Written as a literal again, whatever the text was.
            found[key] = ast.literal_eval(outcome[key])
    return found


def fitting(function: CallPlan, recorded: Iterable[Case]) -> list[Case]:
    """Return the cases that say what the function does: with inputs that it is for, and plain results."""
    return [
        case
        for case in recorded
        if "not" not in case.outcome and (function.typed or case.outcome.get("raised") not in _UNFIT)
    ]


def _chosen(function: CallPlan, recorded: Iterable[Case]) -> list[Case]:
    """Return the cases to keep: first those that run further lines, then those with another outcome."""
    fit = fitting(function, recorded)
    kept: list[Case] = []
    lines: set[int] = set()
    for case in fit:
        if not lines.issuperset(case.outcome["lines"]):
            lines.update(case.outcome["lines"])
            kept.append(case)
    seen = {_shown(case) for case in kept}
    for case in fit:
        if _shown(case) not in seen:
            seen.add(_shown(case))
            kept.append(case)
    return kept[:MAX_CASES]


def _shown(case: Case) -> str:
    return repr({key: value for key, value in case.outcome.items() if key != "lines"})


def why_none(recorded: Iterable[Case]) -> str:
    """Return the most frequent reason for which a call says nothing."""
    reasons = [str(case.outcome["not"]) for case in recorded if "not" in case.outcome]
    return max(set(reasons), key=reasons.count) if reasons else "every input is refused"


def importable(path: str, paths: Mapping[str, str]) -> tuple[str, str]:
    """Return the folder that a file is imported from, and the name of its module."""
    file = PurePosixPath(path)
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while str(folder / "__init__.py") in paths and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(parts)


def _tests(function: CallPlan, cases: Iterable[Case]) -> list[str]:
    name = "".join(c if c.isalnum() else "_" for c in function.name.lower()).strip("_")
    return [f"test_{name}_{number}" for number, _ in enumerate(cases, 1)]


def _module(function: CallPlan, module: str, commit: str, cases: list[Case]) -> str:
    """Return the text of a pytest module with one test for each case."""
    imported = function.name.partition(".")[0]
    lines = [
        f'"""What `{function.name}` did at {commit[:10]}: recorded, not specified."""',
        "",
        *(["import pytest", ""] if any("raised" in case.outcome for case in cases) else []),
        f"from {module} import {imported}",
    ]
    for name, case in zip(_tests(function, cases), cases, strict=True):
        lines += ["", "", f"def {name}():", *(f"    {line}" for line in body(function, case))]
    return "\n".join([*lines, ""])


def body(function: CallPlan, case: Case, prefix: str = "", *, of_class: bool = False) -> list[str]:
    """Return the statements of a test of one case.

    `prefix`: what the function is an attribute of, with a dot; `of_class`: in the style of unittest.
    """
    constructor, arguments, keywords = ast.literal_eval(case.input)
    owner, _, name = f"{prefix}{function.name}".rpartition(".")
    if function.kind in ("method", "property"):
        owner = f"{owner}({', '.join(map(repr, constructor))})"
    outcome = case.outcome

    def equal(value: str, expected: object) -> str:
        is_ = expected is None or isinstance(expected, bool)
        if of_class:
            return f"self.assert{'Is' if is_ else 'Equal'}({value}, {expected!r})"
        return f"assert {value} {'is' if is_ else '=='} {expected!r}"

    if "after" in outcome:
        passed = "*arguments, **keywords"
        before = [f"arguments, keywords = {arguments!r}, {keywords!r}"]
        after = [equal("(arguments, keywords)", outcome["after"])]
    else:
        passed = ", ".join([*map(repr, arguments), *(f"{key}={value!r}" for key, value in keywords.items())])
        before = after = []
    called = f"{owner}.{name}" if owner else name
    call = called if function.kind == "property" else f"{called}({passed})"
    if "raised" not in outcome:
        return [*before, equal(call, outcome["returned"]), *after]
    error, raises = outcome["raised"], "self.assertRaises" if of_class else "pytest.raises"
    if isinstance(getattr(builtins, error, None), type):
        return [*before, f"with {raises}({error}):", f"    {call}", *after]
    seen = "raised.exception.__class__.__name__" if of_class else "raised.typename"
    ended = [f'self.assertEqual({seen}, "{error}")' if of_class else f'assert {seen} == "{error}"']
    return [*before, f"with {raises}(Exception) as raised:", f"    {call}", *ended, *after]


def statements(text: str, line: int) -> set[int]:
    """Return the first lines of the statements of the innermost function at a line."""
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and min([node.lineno, *(d.lineno for d in node.decorator_list)]) <= line <= (node.end_lineno or 0)
    ]
    body = max(functions, key=lambda node: node.lineno).body
    statements = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.stmt)]
    return {
        node.lineno
        for node in statements
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not isinstance(node, ast.Global | ast.Nonlocal)
    }


def _run(batch: Batch, module: str, root: str, after: Mapping[str, str]) -> SuiteRun:
    """Run a pytest module in the sandbox, on the commit with these files replaced; not by the repository's settings."""
    environment = batch.environments.of("python")
    options = ("-q", "-p", "no:cacheprovider", "--noconftest", "-c", SETTINGS, f"--junitxml={REPORT}")
    command = SuiteCommand("pytest", ("python3", "-m", "pytest", *options, MODULE))
    with batch.checkout() as folder:
        environment.prepare(folder)
        for path, text in {**after, MODULE: module, SETTINGS: f"[pytest]\npythonpath = {root}\n"}.items():
            (folder / path).write_bytes(text.encode())
        return repository_tests.run(command, folder, environment.packages)


def _passed(run: SuiteRun) -> set[str]:
    return {name.rpartition("::")[2] for name, outcome in run.tests.items() if outcome == "passed"}
