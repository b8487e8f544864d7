"""The registry: what must be unique is, and is written nowhere else."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import qflow_dagster
from qflow_dagster.database.locks import lock
from qflow_dagster.quantumflow import checkpoint, registered_types
from qflow_dagster.registry import Lock, Queue, WorkflowTypeName

PACKAGE = Path(qflow_dagster.__file__).parent


def constants() -> Iterator[tuple[str, str | int]]:
    """Every string and integer in the package's code, with where it stands; not the registry's own."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "registry.py" and "migrations" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.value


@pytest.mark.parametrize("registry", [WorkflowTypeName, Queue, Lock])
def test_values_are_distinct(registry: type[WorkflowTypeName] | type[Queue] | type[Lock]) -> None:
    values = [member.value for member in registry.__members__.values()]
    assert len(values) == len(set(values))


def test_registered_workflow_types_are_those_of_the_registry() -> None:
    for module in pkgutil.walk_packages([str(PACKAGE)], "qflow_dagster."):
        if ".migrations." not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    types = [declared for declared in registered_types() if not declared.name.startswith("test.")]
    assert {declared.name for declared in types} == set(WorkflowTypeName)
    assert {declared.queue for declared in types if declared.queue} <= set(Queue)


def test_queues_are_named_in_the_registry_alone() -> None:
    # The same word is the name of a table and of a sensor.
    names = set(Queue) - {Queue.KNOWLEDGE_REQUESTS}
    assert [found for found in constants() if found[1] in names] == []


def test_workflow_types_are_named_in_the_registry_alone() -> None:
    names = "|".join(WorkflowTypeName)
    statement = re.compile(rf"\btype\s*(?:=|<>|!=|IN\s*\()\s*'(?:{names})'")
    assert [found for found in constants() if statement.search(str(found[1]))] == []
    registering = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "register"
        and call.args
        and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert registering == []


def test_advisory_locks_are_taken_by_one_module_with_the_numbers_of_the_registry() -> None:
    numbers = set(Lock)
    assert [found for found in constants() if type(found[1]) is int and found[1] in numbers] == []
    elsewhere = [found for found in constants() if "advisory" in str(found[1]) and "pg_" in str(found[1])]
    assert {place.split(":")[0] for place, _ in elsewhere} == {"database/locks.py"}


@pytest.mark.parametrize("key", [key for key in Lock if key is not Lock.SEALS])
def test_no_other_operation_blocks_sealing(engine: Engine, key: Lock) -> None:
    with engine.begin() as other, engine.begin() as sealing:
        lock(other, key)
        sealing.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert checkpoint(sealing).id == 1
