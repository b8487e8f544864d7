"""Split goals into tasks by templates, one per kind of goal.

Belongs here: the templates, what becomes of a part, and when a goal is small enough for one agent. Does not belong
here: storing the parts (`task_graph`), parts that a model names (`model_decomposition`). The split of a feature into
specification, architecture, implementation and test by 20, 25, 40 and 15 % of its complexity is that of the original
QuantumFlow platform.
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


def parts(task: Task) -> list[Task]:
    """Return the tasks a goal with a template is split into, each depending on the one before, run by agents.

    A goal no more complex than `MAX_ATOMIC_COMPLEXITY` is one task. A part that is still more complex is itself a
    goal, which is split again.

    Raises:
        UsageError: unknown template.
    """
    template = TEMPLATES.get(task.template or "")
    if template is None:
        raise UsageError(f"no template {task.template!r}; there are: {', '.join(TEMPLATES)}")
    if task.complexity <= MAX_ATOMIC_COMPLEXITY:
        part = template[-2]
        whole = Task(name="whole", title=task.title or task.name, role=part.role, adapter="agent")
        arguments = {"domain": part.domain, "task": _description(task)}
        return [whole.model_copy(update={"arguments": arguments, "complexity": task.complexity})]
    before = [(), *((part.name,) for part in template)]
    return [task_of(task, part, depends_on) for part, depends_on in zip(template, before, strict=False)]


def task_of(goal: Task, part: Part, depends_on: tuple[str, ...]) -> Task:
    """Return the task of a part: for an agent; a goal again, if it is too complex for one."""
    complexity = max(1.0, round(goal.complexity * part.share, 1))
    common: dict[str, Any] = {
        "name": part.name,
        "title": f"{part.instruction}: {goal.title or goal.name}"[:500],
        "complexity": complexity,
        "depends_on": depends_on,
    }
    if complexity > MAX_ATOMIC_COMPLEXITY:
        shared = {"description": goal.description, "acceptance": goal.acceptance}
        return Task(type="goal", template=goal.template, **common, **shared)
    wanted = _description(goal) | {"part": part.name, "wanted": part.instruction}
    return Task(role=part.role, adapter="agent", arguments={"domain": part.domain, "task": wanted}, **common)


def _description(goal: Task) -> dict[str, Any]:
    return {
        "goal": goal.title or goal.name,
        "description": goal.description,
        "acceptance": list(goal.acceptance),
    }
