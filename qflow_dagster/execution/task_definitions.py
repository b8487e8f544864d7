"""What a task graph is as people write it, and reading it from YAML or JSON.

Belongs here: the definition as data and everything that can be refused before a row is written:
unknown names, cycles, a role that may not. Does not belong here: rows (`task_graph`), what a role
may do (`task_policy`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.task_arguments import Takes, unseen
from qflow_dagster.execution.task_policy import PolicyViolationError, check
from qflow_dagster.safety.documents import Document

Role = Literal["coder", "tester", "critic", "researcher", "admin"]
# A goal is split at most so often.
MAX_DEPTH = 5
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]
# What every task sees besides what it depends on, under this name.
INPUT = "run"
# What a task that maps sees of its element.
OF_ELEMENTS = frozenset({"item", "index"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(_Strict):
    """One task: done by an adapter, or (a goal) by the tasks it is split into."""

    name: Name
    title: str | None = Field(default=None, max_length=500)
    description: str = Field(default="", max_length=5_000)
    type: Literal["goal", "milestone", "implementation"] = "implementation"
    role: Role = "coder"
    adapter: str | None = None
    arguments: dict[str, Any] = {}
    depends_on: tuple[Name, ...] = ()
    # Made into a task per element of the array there: `run.files`, or `task.field`.
    map: str | None = None
    # Done only if what it sees contains this (a JSON value within another, as PostgreSQL's @>).
    when: dict[str, Any] | None = None
    otherwise: Literal["skip", "skip_dependents", "fail"] = "skip"
    # Whether what depends on it is blocked when it failed, or goes on without it.
    on_failure: Literal["block", "continue"] = "block"
    complexity: float = Field(default=3.0, ge=1, le=10)
    priority: int = Field(default=0, ge=-1_000, le=1_000)
    # Seconds.
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    acceptance: tuple[str, ...] = ()
    tasks: tuple["Task", ...] = ()
    # Tasks to split a goal into, by the kind of goal (`decomposition`).
    template: str | None = None

    @model_validator(mode="after")
    def _done_somehow(self) -> "Task":
        ways = [name for name in ("adapter", "tasks", "template") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError("a task has exactly one of adapter, tasks, template")
        if self.map is not None and not self.adapter:
            raise ValueError("only a task with an adapter is mapped over an array")
        if INPUT in (self.name, *self.depends_on):
            raise ValueError(f"{INPUT!r} is the name of the graph's input")
        return self


class TaskGraph(_Strict):
    """A named set of tasks with what they depend on, and their input."""

    name: Name
    description: str = ""
    input: dict[str, Any] = {}
    # Of the whole graph, in seconds.
    timeout: float | None = Field(default=None, gt=0)
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]


def read_graph(document: Document, adapters: Mapping[str, Any]) -> TaskGraph:
    """The task graph a document defines.

    Raises:
        UsageError: it is none; every problem with file, line and column.
        PolicyViolationError: a role may not do what one of its tasks does.
    """
    try:
        graph = TaskGraph.model_validate(document.data)
    except ValidationError as error:
        raise UsageError("\n".join(document.problems(error))) from None
    problems = [
        f"{document.location(path)}: {words}" for path, words in _problems(graph.tasks, ("tasks",), adapters)
    ]
    if problems:
        raise UsageError("\n".join(problems))
    refused = [f"{document.location(path)}: {words}" for path, words in _violations(graph.tasks, ("tasks",))]
    if refused:
        raise PolicyViolationError("\n".join(refused))
    return graph


def read_tasks(document: Document) -> list[Task]:
    """The tasks (a list, or one) that a document defines, for an amendment; `check_tasks` checks them.

    Raises:
        UsageError: it defines none; every problem with file, line and column.
    """
    given = document.data if isinstance(document.data, list) else [document.data]
    tasks: list[Task] = []
    problems: list[str] = []
    for number, one in enumerate(given):
        try:
            tasks.append(Task.model_validate(one))
        except ValidationError as error:
            above = (number,) if isinstance(document.data, list) else ()
            problems += document.problems(error, above)
    if problems or not tasks:
        raise UsageError("\n".join(problems) or f"{document.location()}: there is no task")
    return tasks


def check_tasks(
    tasks: Sequence[Task], adapters: Mapping[str, Any], *, depth: int = 0, beside: Collection[str] = ()
) -> None:
    """The same for tasks that no document defines (a split, an amendment) and come to be `beside` others.

    Raises:
        UsageError: names are unknown or twice, a cycle, an adapter that is not there, too deep.
        PolicyViolationError: a role may not.
    """
    for _, words in _problems(tasks, (), adapters, depth, beside):
        raise UsageError(words)
    for _, words in _violations(tasks, ()):
        raise PolicyViolationError(words)


Path = tuple[str | int, ...]


def _problems(
    tasks: Sequence[Task],
    path: Path,
    adapters: Mapping[str, Any],
    depth: int = 0,
    beside: Collection[str] = (),
) -> Iterator[tuple[Path, str]]:
    known = {*(task.name for task in tasks), *beside}
    seen = set(beside)
    for number, task in enumerate(tasks):
        here = (*path, number)
        if task.name in seen:
            yield (*here, "name"), f"task {task.name!r} is there twice"
        seen.add(task.name)
        for place, other in enumerate(task.depends_on):
            if other not in known:
                near = ", ".join(sorted(known - {task.name})[:10]) or "none"
                yield (
                    (*here, "depends_on", place),
                    f"{task.name!r} depends on {other!r}, which is no task beside it (there are: {near})",
                )
        source = task.map.partition(".")[0] if task.map is not None else INPUT
        if source != INPUT and source not in task.depends_on:
            yield (*here, "map"), f"{task.name!r} maps over {source!r} and does not depend on it"
        if task.adapter and task.adapter not in adapters:
            yield (
                (*here, "adapter"),
                f"{task.name!r} has the adapter {task.adapter!r}; there are: {', '.join(sorted(adapters))}",
            )
        yield from ((((*here, *place)), words) for place, words in _argument_problems(task, adapters))
        if task.tasks or task.template:
            if depth + 1 >= MAX_DEPTH:
                yield (
                    here,
                    f"{task.name!r} would be split at depth {depth + 1}; {MAX_DEPTH} levels are allowed",
                )
            else:
                yield from _problems(task.tasks, (*here, "tasks"), adapters, depth + 1)
    try:
        TopologicalSorter({task.name: set(task.depends_on) & known for task in tasks}).prepare()
    except CycleError as error:
        yield path, f"the tasks depend on each other in a circle: {' -> '.join(error.args[1])}"


def _argument_problems(task: Task, adapters: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    takes = getattr(adapters.get(task.adapter or ""), "takes", None)
    if isinstance(takes, Takes):
        for place, words in takes.problems(task.adapter or "", task.arguments, filled=False):
            yield ("arguments", *place), f"{task.name!r}: {words}"
    sees = {INPUT, *task.depends_on}
    for place, words in unseen(task.arguments, sees | (OF_ELEMENTS if task.map is not None else set())):
        yield ("arguments", *place), f"{task.name!r}: {words}"
    for name in sorted(set(task.when or {}) - sees):
        yield (
            ("when", name),
            f"{task.name!r} is done when {name!r} contains something, and does not see it; "
            f"it sees: {', '.join(sorted(sees))}",
        )


def _violations(tasks: Sequence[Task], path: Path) -> Iterator[tuple[Path, str]]:
    for number, task in enumerate(tasks):
        here = (*path, number)
        if task.adapter:
            try:
                check(task.role, task.adapter, task.arguments, task.timeout, filled=False)
            except PolicyViolationError as violation:
                yield here, f"{task.name!r}: {violation}"
        yield from _violations(task.tasks, (*here, "tasks"))
