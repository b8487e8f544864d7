"""Targets of goals: a measure and its bound, read from a description, measured on a snapshot.

Does not belong here: working towards them (`sparc`).
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import findings, goal_rules
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.metrics import queries as metrics
from qflow_dagster.quantumflow.tables import workflows

MEASURES = (
    *("cognitive", "cyclomatic", "code_lines", "maintainability", "nesting", "parameters", "findings"),
    *("duplicated_lines", "cycle_size"),
)
_OF_FUNCTIONS, _OF_FILES = ("nesting", "parameters"), ("findings", "duplicated_lines", "cycle_size")
OPERATOR_PHRASES = {
    "<": ("below", "under", "less than", "fewer than"),
    "<=": ("at most", "no more than"),
    ">": ("above", "over", "more than"),
    ">=": ("at least", "no less than"),
}
_NAMES = {
    "cognitive complexity": "cognitive",
    "cyclomatic complexity": "cyclomatic",
    "complexity": "cognitive",
    "lines of code": "code_lines",
    "duplicated lines": "duplicated_lines",
    "import cycle": "cycle_size",
    "code lines": "code_lines",
    "lines": "code_lines",
    "maintainability index": "maintainability",
    "nesting depth": "nesting",
    **{name: name for name in MEASURES},
}
_OPERATORS = {
    word: operator for operator, phrases in OPERATOR_PHRASES.items() for word in (operator, *phrases)
}
_DESCRIPTION = re.compile(
    rf"(?P<measure>{'|'.join(sorted(map(re.escape, _NAMES), key=len, reverse=True))})\s+(?:of|in)\s+"
    r"(?:the\s+)?(?:(?:file|module|function|method|class)\s+)?(?P<what>\S+)\s+(?:is\s+|to\s+(?:be\s+)?)?"
    rf"(?P<operator>{'|'.join(sorted(map(re.escape, _OPERATORS), key=len, reverse=True))})\s*"
    r"(?P<value>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"\b(?:break|cut|dissolve|remove|resolve)\s+the\s+(?:import\s+)?cycle\s+(?:of\s+imports\s+)?(?:between|of|around)\s+"
    r"(\S+)(?:\s+and\s+(\S+))?",
    re.IGNORECASE,
)
SYNTAX = (
    "'<measure> of <file or function> below <number>', as in 'cognitive complexity of src/app.py below 15'"
)


class Target(BaseModel):
    """A measure of a file or function and its bound; or that a rule has no findings; or that a work item is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["measure", "rule", "work_item"]
    # One of `MEASURES`, or the id of a rule.
    measure: str = ""
    path: str = ""
    function: str | None = None
    operator: Literal["<", "<=", ">", ">="] = "<="
    value: float = 0.0
    work_item: str | None = None

    @property
    def description(self) -> str:
        """Return the target as a sentence that is true once it is reached."""
        if self.kind == "work_item":
            return f"work item {self.work_item} is done"
        if self.kind == "rule":
            return f"{self.measure} has no finding in {self.path}"
        what = f"{self.function} ({self.path})" if self.function else self.path
        return f"{self.measure.replace('_', ' ')} of {what} {self.operator} {self.value:g}"

    def holds(self, value: float | None) -> bool:
        """Return whether a measured value reaches the target; None (not measurable) does not."""
        if value is None:
            return False
        return {
            "<": value < self.value,
            "<=": value <= self.value,
            ">": value > self.value,
            ">=": value >= self.value,
        }[self.operator]


def read(connection: Connection, snapshot: Snapshot, sentence: str) -> Target:
    """Return the target that a sentence names; the file or function is looked up.

    Raises:
        UsageError: the sentence names no target; the message shows the syntax.
        QflowError: no file or function has that name, or several have.
    """
    if cycle := _BREAK.search(sentence):
        return _cycle(connection, snapshot, cycle)
    match = _DESCRIPTION.search(sentence)
    if match is None:
        raise UsageError(
            f"the goal names no target that can be measured; write {SYNTAX}, "
            f"with a measure of {', '.join(MEASURES)}"
        )
    measure = _NAMES[match["measure"].lower()]
    operator = _OPERATORS[match["operator"].lower()]
    metric = metrics.metrics_of(connection, snapshot.repository_id, match["what"].strip("`'\"").rstrip(",;:"))
    function = metric["name"] if metric["kind"] == "function" else None
    if function is None and measure in _OF_FUNCTIONS:
        raise UsageError(f"{measure} is measured for functions, and {metric['path']} is a file")
    if function is not None and measure in _OF_FILES:
        counted = measure.replace("_", " ")
        raise UsageError(
            f"{counted} are counted for files, and {function} is a function; write {metric['path']}"
        )
    return Target.model_validate(
        {
            "kind": "measure",
            "measure": measure,
            "path": metric["path"],
            "function": function,
            "operator": operator,
            "value": match["value"],
        }
    )


def _cycle(connection: Connection, snapshot: Snapshot, match: re.Match[str]) -> Target:
    """Return the target that a file is in no cycle of imports, and refuse one that is in none with the other."""
    names = [name.strip("`'\"").rstrip(".,;:") for name in match.groups() if name]
    paths = [metrics.metrics_of(connection, snapshot.repository_id, name)["path"] for name in names]
    cycles = [
        metrics.file_metrics(connection, snapshot.repository_id, path).get("size", {}).get("cycle")
        for path in paths
    ]
    if len(paths) > 1 and (cycles[0] is None or cycles[0] != cycles[1]):
        raise QflowError(f"{' and '.join(paths)} do not import each other in a cycle")
    return Target(kind="measure", measure="cycle_size", path=paths[0], operator="<", value=1)


def measure(connection: Connection, snapshot: Snapshot, target: Target) -> float | None:
    """Return the target's measure in the snapshot; None if the file or function no longer exists."""
    if target.kind == "work_item":
        status = connection.scalar(select(workflows.c.status).where(workflows.c.id == target.work_item))
        return None if status is None else float(status != "done")
    if target.kind == "rule" or target.measure == "findings":
        if target.kind == "measure" and not _exists(connection, snapshot, target.path):
            return None
        rule = target.measure if target.kind == "rule" else None
        rows = findings.find(connection, snapshot.repository_id, rule=rule, path=target.path, limit=100_000)
        return float(sum(row["path"] == target.path for row in rows))
    if not _exists(connection, snapshot, target.path):
        return None
    file_metrics = metrics.file_metrics(connection, snapshot.repository_id, target.path)
    if target.measure == "duplicated_lines":
        # A file without clones has no row.
        value = (file_metrics.get("duplication") or {}).get(target.measure, 0)
    elif target.function is None:
        value = (file_metrics.get("size") or {}).get(target.measure)
    else:
        functions = [row for row in file_metrics["functions"] if row["function"] == target.function]
        value = functions[0].get(target.measure) if functions else None
    return None if value is None else float(value)


def _exists(connection: Connection, snapshot: Snapshot, path: str) -> bool:
    query = text(f"SELECT true FROM files f WHERE {IN_SNAPSHOT} AND f.path = :path")
    return bool(connection.scalar(query, {**snapshot.interval, "path": path}))


def of_work_item(item: dict[str, object]) -> Target:
    """Return the target of a work item (a row of `work_items.show`).

    Raises:
        QflowError: the item belongs to no repository.
    """
    if item.get("repository") is None:
        raise QflowError(f"work item {item['id']} belongs to no repository; a goal needs one")
    if item["source"] == "findings" and item["rule"] and item["path"]:
        return Target(kind="rule", measure=str(item["rule"]), path=str(item["path"]))
    measure = "coverage" if item["rule"] == goal_rules.COVERAGE else ""
    return Target(kind="work_item", measure=measure, path=str(item["path"] or ""), work_item=str(item["id"]))
