"""The gate `recorded tests`: new tests pass twice, notice small changes of the function, and run more of it.

It runs for goals on coverage alone, and refuses a change where it cannot run.
"""

import time
from collections.abc import Sequence
from uuid import UUID

from qflow_dagster.generation import coverage_tests
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators.protocol import RecordedTests
from qflow_dagster.generation.repository_gates.protocol import Batch, Result, not_applicable
from qflow_dagster.generation.validation import Gate

NAME = "recorded tests"


def check(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    """Run the new tests of each candidate on the code as it is, and on changed code, in the sandbox."""
    results = not_applicable(NAME, candidates, "no recorded test is added")
    for candidate in candidates:
        tests = candidate.request.surroundings.recorded
        if tests is None:
            continue
        started = time.monotonic()
        problem, evidence = checked(
            batch, tests, candidate.request.path, candidate.after[candidate.request.path]
        )
        gate = Gate(NAME, "failed" if problem else "passed", problem or evidence, time.monotonic() - started)
        results[candidate.id] = Result(gate)
    return results


def checked(batch: Batch, tests: RecordedTests, path: str, text: str) -> tuple[str, str]:
    """Return what speaks against the tests ('' if nothing does), and what they bring."""
    covered: set[int] = set(tests.covered)
    command = coverage_tests.of_file(path)
    for seed in "01":
        ran, lines = coverage_tests.traced(batch, command, tests.path, {path: text}, seed)
        passed = {name.rpartition("::")[2] for name, outcome in ran.tests.items() if outcome == "passed"}
        missing = sorted(set(tests.names) - passed)
        if missing:
            return f"{', '.join(missing[:5])} do not pass on the code as it is: {ran.summary}"[:300], ""
        covered |= (lines or frozenset()) & tests.statements
    noticed = 0
    for mutant in tests.mutants:
        ran, _ = coverage_tests.traced(batch, command, tests.path, {path: text, tests.path: mutant})
        noticed += bool(set(tests.names) & {name.rpartition("::")[2] for name in ran.failed})
    if not noticed:
        return f"the tests notice none of {len(tests.mutants)} small changes of {tests.function}", ""
    total, before = len(tests.statements), len(tests.covered)
    if len(covered) <= before:
        return f"the tests run no more than {before} of {total} statements of {tests.function}", ""
    share = f"{before / total:.0%} before, {len(covered) / total:.0%} after"
    return "", (
        f"coverage of {tests.function}: {share} ({before} and {len(covered)} of {total} statements); "
        f"{len(tests.names)} tests pass twice, and notice {noticed} of {len(tests.mutants)} small changes"
    )
