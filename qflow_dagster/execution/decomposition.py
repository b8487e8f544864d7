"""Splitting a goal into tasks by templates, one per kind of goal.

Belongs here: the templates, and when a goal is small enough to be done by one agent. Does not
belong here: storing the parts (`task_graph`). The split of a piece of software into specification,
architecture, implementation and test by 20, 25, 40 and 15 % of its complexity is the platform's.
"""

from typing import Any, NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.task_definitions import Role, Task

# A goal at or below is done whole.
ATOMIC = 5.0


class Part(NamedTuple):
    """A part of a goal: who does it, what share of the complexity it is, what it is for."""

    name: str
    role: Role
    domain: str
    share: float
    words: str


TEMPLATES: dict[str, tuple[Part, ...]] = {
    "feature": (
        Part("specification", "critic", "documentation", 0.20, "Say what has to be true when it is done"),
        Part(
            "architecture", "critic", "architecture", 0.25, "Say which parts change, and what depends on them"
        ),
        Part("implementation", "coder", "code_quality", 0.40, "Make the change"),
        Part("test", "tester", "testing", 0.15, "Show that it works and that nothing else broke"),
    ),
    "bug": (
        Part("reproduce", "tester", "testing", 0.25, "Make it fail where it can be seen"),
        Part("diagnose", "critic", "code_quality", 0.30, "Find the cause"),
        Part("repair", "coder", "code_quality", 0.30, "Remove the cause"),
        Part("verify", "tester", "testing", 0.15, "Show that it does not fail any more"),
    ),
    "refactoring": (
        Part("measure", "critic", "code_quality", 0.15, "Measure what is to become better"),
        Part("characterise", "tester", "testing", 0.25, "Hold what it does today in tests"),
        Part("change", "coder", "refactoring", 0.45, "Change the structure, not what it does"),
        Part("compare", "tester", "testing", 0.15, "Compare tests and measures with before"),
    ),
    "documentation": (
        Part("gather", "critic", "knowledge", 0.35, "Gather what is true of the code"),
        Part("write", "coder", "documentation", 0.45, "Write it down"),
        Part("review", "critic", "documentation", 0.20, "Hold it against the code"),
    ),
}


def parts(task: Task, seen: dict[str, Any]) -> list[Task]:
    """The tasks a goal with a template is split into, each after the one before it, done by agents.

    A goal no more complex than `ATOMIC` is one task. A part that is still more complex is a goal
    itself, and split again.

    Raises:
        UsageError: there is no such template.
    """
    template = TEMPLATES.get(task.template or "")
    if template is None:
        raise UsageError(f"no template {task.template!r}; there are: {', '.join(TEMPLATES)}")
    goal = task.title or task.name
    what = {"goal": goal, "description": task.description, "acceptance": list(task.acceptance)}
    if task.complexity <= ATOMIC:
        part = template[-2]
        arguments = {"domain": part.domain, "task": what}
        return [
            Task(
                name="whole",
                title=goal,
                role=part.role,
                adapter="agent",
                arguments=arguments,
                complexity=task.complexity,
            )
        ]
    made: list[Task] = []
    for part in template:
        complexity = max(1.0, round(task.complexity * part.share, 1))
        before = (made[-1].name,) if made else ()
        title = f"{part.words}: {goal}"[:500]
        if complexity > ATOMIC:
            made.append(
                Task(
                    name=part.name,
                    title=title,
                    type="goal",
                    template=task.template,
                    complexity=complexity,
                    depends_on=before,
                    description=task.description,
                    acceptance=task.acceptance,
                )
            )
            continue
        arguments = {"domain": part.domain, "task": what | {"part": part.name, "wanted": part.words}}
        made.append(
            Task(
                name=part.name,
                title=title,
                role=part.role,
                adapter="agent",
                arguments=arguments,
                complexity=complexity,
                depends_on=before,
            )
        )
    return made
