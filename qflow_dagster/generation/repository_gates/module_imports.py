"""The gate `module imports`: each file of a cycle can be imported by itself as before.

What is not loaded with it any more must have done nothing. The gate runs for changes of cycles alone, and refuses
those where it cannot run: nothing else says that the modules still find each other. Does not belong here: the imports
themselves, which happen inside the sandbox (`module_imports_driver`).
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from qflow_dagster.generation import import_cycles
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates.drivers import Driver, report_of
from qflow_dagster.generation.repository_gates.protocol import Batch, Result, not_applicable
from qflow_dagster.generation.validation import Gate
from qflow_dagster.settings import settings

NAME = "module imports"
DRIVER = Driver(("python3", "-B"), "module_imports_driver.py", "python")
MAX_MODULES = 100


def check(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    """Import each file of the cycle of a candidate by itself, before and after the change, in the sandbox."""
    results = not_applicable(NAME, candidates, "no cycle of imports is changed")
    for candidate in candidates:
        cycle = candidate.request.surroundings.cycle
        if cycle is None:
            continue
        started = time.monotonic()
        request = candidate.request
        # The changed file first, then its neighbours in order.
        members = import_cycles.members(request.path, request.text, cycle) - {request.path}
        paths = [request.path, *sorted(members)][:MAX_MODULES]
        seconds = settings().generation.behaviour_seconds or 60
        report = report_of(batch, DRIVER, {"paths": paths, "files": dict(candidate.after)}, 4 * seconds)
        problem = _problem(report)
        counts = f"{report['after']} of {len(paths)} modules can be imported alone" if not problem else ""
        evidence = problem or f"{counts}, {report['before']} before; what they load no more had no effect"
        verdict = "failed" if problem else "passed"
        results[candidate.id] = Result(Gate(NAME, verdict, evidence, time.monotonic() - started))
    return results


def _problem(report: Any) -> str:
    """Return what speaks against a change by the report of the driver; '' if nothing does."""
    if not isinstance(report, dict):
        return "the modules were not imported: the program ended without a report"
    if report.get("broken"):
        return str(report["broken"])[:300]
    return "" if report.get("before") else f"no module can be imported here: {report.get('error')}"[:300]
