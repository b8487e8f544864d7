"""Split goals into tasks by templates, one per kind of goal.

Belongs here: the templates, and when a goal is small enough for one agent. Does not belong here:
storing the parts (`task_graph`). The split of a feature into specification, architecture,
implementation and test by 20, 25, 40 and 15 % of its complexity is that of the original QuantumFlow
platform.
"""

from typing import Any, NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.task_definitions import Role, Task

# A goal of at most this complexity is one task.
MAX_ATOMIC_COMPLEXITY = 5.0


class Part(NamedTuple):
    """A part of a goal: who works on it, its share of the complexity, and the instruction."""

    name: str
    role: Role
    domain: str
    share: float
    instruction: str


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
    """Return the tasks a goal with a template is split into, each depending on the one before, run by agents.

    A goal no more complex than `MAX_ATOMIC_COMPLEXITY` is one task. A part that is still more complex is itself a
    goal, which is split again.

    Raises:
        UsageError: unknown template.
    """
    template = TEMPLATES.get(task.template or "")
    if template is None:
        raise UsageError(f"no template {task.template!r}; there are: {', '.join(TEMPLATES)}")
    goal = task.title or task.name
    description = {"goal": goal, "description": task.description, "acceptance": list(task.acceptance)}
    if task.complexity <= MAX_ATOMIC_COMPLEXITY:
        part = template[-2]
        arguments = {"domain": part.domain, "task": description}
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
    tasks: list[Task] = []
    for part in template:
        complexity = max(1.0, round(task.complexity * part.share, 1))
        before = (tasks[-1].name,) if tasks else ()
        title = f"{part.instruction}: {goal}"[:500]
        if complexity > MAX_ATOMIC_COMPLEXITY:
            tasks.append(
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
        arguments = {
            "domain": part.domain,
            "task": description | {"part": part.name, "wanted": part.instruction},
        }
        tasks.append(
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
    return tasks
