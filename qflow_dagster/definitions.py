"""The Dagster definitions of the project, and how tests and the CLI replace their resources."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import dagster as dg

from qflow_dagster.assets.catalog import catalogued
from qflow_dagster.errors import UsageError
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.settings import settings

# The asset groups, in the order of the loop. What Dagster's page shows of the group `rules` is defined in
# assets/rules.py, jobs/rules.py, sensors/rules.py, schedules/rules.py and checks/rules.py, where they exist.
GROUPS = (
    "ingestion",
    "metrics",
    "rules",
    "execution",
    "generation",
    "approvals",
    "agents",
    "knowledge",
    "infrastructure",
    "evolution",
)


def of_all_groups(kind: str) -> list[Any]:
    """Return the definitions of a kind ("assets", "jobs", ...): the lists of that name in its modules."""
    names = [f"qflow_dagster.{kind}.{group}" for group in GROUPS]
    return [item for name in names if find_spec(name) for item in getattr(import_module(name), kind)]


def chosen_executor(name: str) -> dg.ExecutorDefinition:
    """Return the executor of all jobs: `in_process`, `multiprocess`, or one that is given as `module:name`.

    The default is `in_process`: a step in a process of its own costs seconds of imports, and work that wants processes
    (parsing) makes its own.

    Raises:
        UsageError: There is no executor of that name.
    """
    builtin = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}
    if name in builtin:
        return builtin[name]
    module, _, attribute = name.partition(":")
    try:
        executor = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"QFLOW_DAGSTER_EXECUTOR={name}: {error}") from None
    if not isinstance(executor, dg.ExecutorDefinition):
        raise UsageError(
            f"QFLOW_DAGSTER_EXECUTOR={name} is a {type(executor).__name__}, not an executor of Dagster"
        )
    return executor


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return a fresh set of all definitions; `resources` replaces resources by name."""
    return dg.Definitions(
        assets=catalogued(of_all_groups("assets")),
        asset_checks=of_all_groups("checks"),
        jobs=of_all_groups("jobs"),
        sensors=of_all_groups("sensors"),
        schedules=of_all_groups("schedules"),
        resources={"database": Database(), "progress": Progress(), **(resources or {})},
        executor=chosen_executor(settings().dagster.executor),
    )


definitions = build_definitions()
