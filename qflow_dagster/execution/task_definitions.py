"""The definition of a task graph as people write it, and reading it from YAML or JSON.

Belongs here: the definition as data, and everything that is refused before a row is written:
unknown names, cycles, what a role may not do. Does not belong here: rows (`task_graph`), the limits of a
role (`task_policy`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.task_arguments import ArgumentSpec, unknown_references
from qflow_dagster.execution.task_policy import PolicyViolationError, check
from qflow_dagster.safety.documents import Document

Role = Literal["coder", "tester", "critic", "researcher", "admin"]
# How many levels deep goals may be split.
MAX_DEPTH = 5
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]
# The name under which every task sees the graph's input.
INPUT = "run"
# The names under which a mapped task sees its element of the array.
OF_ELEMENTS = frozenset({"item", "index"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(_Strict):
    """One task: run by an adapter, or (a goal) split into tasks."""

    name: Name
    title: str | None = Field(default=None, max_length=500)
    description: str = Field(default="", max_length=5_000)
    type: Literal["goal", "milestone", "implementation"] = "implementation"
    role: Role = "coder"
    adapter: str | None = None
    arguments: dict[str, Any] = {}
    depends_on: tuple[Name, ...] = ()
    # Path of an array, such as `run.files` or `task.field`: one task is created per element.
    map: str | None = None
    # Run only if the task's inputs contain this JSON value (as PostgreSQL's @> has it).
    when: dict[str, Any] | None = None
    otherwise: Literal["skip", "skip_dependents", "fail"] = "skip"
    # Whether its failure blocks its dependents, or they run without its result.
    on_failure: Literal["block", "continue"] = "block"
    complexity: float = Field(default=3.0, ge=1, le=10)
    priority: int = Field(default=0, ge=-1_000, le=1_000)
    # Seconds.
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    acceptance: tuple[str, ...] = ()
    tasks: tuple["Task", ...] = ()
    # The template a goal is split by (`decomposition`).
    template: str | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "Task":
        sources = [name for name in ("adapter", "tasks", "template") if getattr(self, name)]
        if len(sources) != 1:
            raise ValueError("a task has exactly one of adapter, tasks, template")
        if self.map is not None and not self.adapter:
            raise ValueError("only a task with an adapter is mapped over an array")
        if INPUT in (self.name, *self.depends_on):
            raise ValueError(f"{INPUT!r} is the name of the graph's input")
        return self


class TaskGraph(_Strict):
    """A named set of tasks with their dependencies and the graph's input."""

    name: Name
    description: str = ""
    input: dict[str, Any] = {}
    # Time limit of the complete graph, in seconds.
    timeout: float | None = Field(default=None, gt=0)
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]


def read_graph(document: Document, adapters: Mapping[str, Any]) -> TaskGraph:
    """Read a task graph from a document.

    Raises:
        UsageError: it is not a valid graph; the message lists every problem with file, line and column.
        PolicyViolationError: a task requests what its role does not allow.
    """
    try:
        graph = TaskGraph.model_validate(document.data)
    except ValidationError as error:
        raise UsageError("\n".join(document.problems(error))) from None
    problems = [
        f"{document.location(path)}: {message}"
        for path, message in _problems(graph.tasks, ("tasks",), adapters)
    ]
    if problems:
        raise UsageError("\n".join(problems))
    refused = [
        f"{document.location(path)}: {message}" for path, message in _violations(graph.tasks, ("tasks",))
    ]
    if refused:
        raise PolicyViolationError("\n".join(refused))
    return graph


def read_tasks(document: Document) -> list[Task]:
    """Read the tasks (a list, or a single one) of an amendment from a document.

    `check_tasks` checks them later, beside the tasks of the graph.

    Raises:
        UsageError: it defines no task; the message lists every problem with file, line and column.
    """
    definitions = document.data if isinstance(document.data, list) else [document.data]
    tasks: list[Task] = []
    problems: list[str] = []
    for number, definition in enumerate(definitions):
        try:
            tasks.append(Task.model_validate(definition))
        except ValidationError as error:
            path = (number,) if isinstance(document.data, list) else ()
            problems += document.problems(error, path)
    if problems or not tasks:
        raise UsageError("\n".join(problems) or f"{document.location()}: it defines no task")
    return tasks


def check_tasks(
    tasks: Sequence[Task], adapters: Mapping[str, Any], *, depth: int = 0, beside: Collection[str] = ()
) -> None:
    """Check tasks that no document defines (a split, an amendment) and that will stand `beside` others.

    Raises:
        UsageError: unknown or duplicate names, a cycle, an unknown adapter, or too many levels.
        PolicyViolationError: a task requests what its role does not allow.
    """
    for _, message in _problems(tasks, (), adapters, depth, beside):
        raise UsageError(message)
    for _, message in _violations(tasks, ()):
        raise PolicyViolationError(message)


Path = tuple[str | int, ...]


def _problems(
    tasks: Sequence[Task],
    path: Path,
    adapters: Mapping[str, Any],
    depth: int = 0,
    beside: Collection[str] = (),
) -> Iterator[tuple[Path, str]]:
    names = {*(task.name for task in tasks), *beside}
    earlier_names = set(beside)
    for number, task in enumerate(tasks):
        location = (*path, number)
        if task.name in earlier_names:
            yield (*location, "name"), f"task {task.name!r} is defined twice"
        earlier_names.add(task.name)
        for index, other in enumerate(task.depends_on):
            if other not in names:
                candidates = ", ".join(sorted(names - {task.name})[:10]) or "none"
                yield (
                    (*location, "depends_on", index),
                    f"{task.name!r} depends on {other!r}, which is not a task beside it (there are: {candidates})",
                )
        source = task.map.partition(".")[0] if task.map is not None else INPUT
        if source != INPUT and source not in task.depends_on:
            yield (*location, "map"), f"{task.name!r} maps over {source!r} and does not depend on it"
        if task.adapter and task.adapter not in adapters:
            yield (
                (*location, "adapter"),
                f"{task.name!r} has the adapter {task.adapter!r}; there are: {', '.join(sorted(adapters))}",
            )
        yield from ((((*location, *index)), words) for index, words in _argument_problems(task, adapters))
        if task.tasks or task.template:
            if depth + 1 >= MAX_DEPTH:
                yield (
                    location,
                    f"{task.name!r} would be split at depth {depth + 1}; {MAX_DEPTH} levels are allowed",
                )
            else:
                yield from _problems(task.tasks, (*location, "tasks"), adapters, depth + 1)
    try:
        TopologicalSorter({task.name: set(task.depends_on) & names for task in tasks}).prepare()
    except CycleError as error:
        yield path, f"the tasks depend on each other in a cycle: {' -> '.join(error.args[1])}"


def _argument_problems(task: Task, adapters: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    spec = getattr(adapters.get(task.adapter or ""), "argument_spec", None)
    if isinstance(spec, ArgumentSpec):
        for path, message in spec.problems(task.adapter or "", task.arguments, filled=False):
            yield ("arguments", *path), f"{task.name!r}: {message}"
    visible = {INPUT, *task.depends_on}
    for path, message in unknown_references(
        task.arguments, visible | (OF_ELEMENTS if task.map is not None else set())
    ):
        yield ("arguments", *path), f"{task.name!r}: {message}"
    for name in sorted(set(task.when or {}) - visible):
        yield (
            ("when", name),
            f"{task.name!r} has a condition on {name!r}, which is not visible to it; "
            f"visible are: {', '.join(sorted(visible))}",
        )


def _violations(tasks: Sequence[Task], path: Path) -> Iterator[tuple[Path, str]]:
    for number, task in enumerate(tasks):
        location = (*path, number)
        if task.adapter:
            try:
                check(task.role, task.adapter, task.arguments, task.timeout, filled=False)
            except PolicyViolationError as violation:
                yield location, f"{task.name!r}: {violation}"
        yield from _violations(task.tasks, (*location, "tasks"))
