"""What a model drafts for a goal, and what it splits a goal into, passes gates, or the facts and the template stay."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine

from qflow_dagster.agents import sparc_changes, sparc_drafts, task_agents
from qflow_dagster.execution import sparc, sparc_strategies, task_graph, task_records, task_worker
from qflow_dagster.execution.sparc import PHASES, Gate, Goal, PhaseResult
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.quantumflow import get_events
from qflow_dagster.safety.documents import parse
from qflow_dagster.settings import settings
from tests.agents.test_sparc import BELOW, begin, shown, work
from tests.improvement_loop import Loop
from tests.model_server import Model

CHECKS, STEPS, CHANGE = "must not get worse", "in which order", "You fix one kind"
GOAL = "cognitive complexity of chosen below 6"


@pytest.fixture
def planned(loop: Loop) -> Loop:
    loop.repository.commit({"a.py": BELOW, "b.py": "x = 1\n"})
    loop.find()
    loop.plan()
    return loop


def enough(engine: Engine, goal: Goal) -> PhaseResult:
    return PhaseResult("", {}, "test", Gate("test", "rejected", "the phase before is what is tested"))


def phases_of(loop: Loop, *tested: str) -> dict[str, Any]:
    """Work on a goal up to these phases; return the first of each."""
    goal = begin(loop, repository="project", description=GOAL, strategy="model-drafted")
    work(loop, {phase: maker if phase in tested else enough for phase, maker in sparc_changes.MAKERS.items()})
    phases: dict[str, Any] = {}
    for phase in shown(loop.engine, goal)["phases"]:
        phases.setdefault(phase["phase"], phase)
    with loop.engine.begin() as connection:
        sparc.abandon(connection, goal, actor="ada", reason="the next answer")
    return phases


def test_checks_that_a_model_adds_can_be_measured_and_hold(planned: Loop, model: type[Model]) -> None:
    for answer, gate, reason in (
        ('{"checks": ["nesting of chosen at most 4", "parameters of chosen at most 2"]}', None, ""),
        ('Sure! {"checks": ["code lines of chosen below 20"], "confidence": 1} Anything else?', None, ""),
        ('{"checks": ["nesting of chosen at most 1"]}', "facts", "does not hold today"),
        ('{"checks": ["cognitive complexity of chosen at least 5"]}', "facts", "does not hold today"),
        ('{"checks": ["nesting of root at most 3"]}', "facts", "root"),
        ('{"checks": ["cognitive complexity of b.py below 9"]}', "facts", "is not of a function in a.py"),
        ('{"checks": ["it is faster"]}', "facts", "names no target"),
        ('{"checks": []}', "form", "not of the form"),
        ("<html>login</html>", "form", "not of the form"),
    ):
        model.answers = {CHECKS: answer}
        phase = phases_of(planned, "specification")["specification"]
        draft = phase["data"]["draft"]
        assert (draft["verdict"], draft.get("gate")) == ("refused" if gate else "accepted", gate), answer
        assert reason in draft.get("reason", ""), answer
        # The facts are there in either case, and decide whether the phase is accepted.
        assert phase["verdict"] == "accepted"
        assert phase["data"]["checks"][0]["description"] == "cognitive of chosen (a.py) < 6"
        assert (phase["author"] == "model m") == (gate is None)
        assert ("model_checks" in phase["data"]) == (gate is None)
        assert phase["cost"] == 0.002
    with planned.engine.connect() as connection:
        [row] = sparc_drafts.statistics(connection)
    assert (row["author"], row["drafts"], row["accepted"], row["refused_by"]) == (
        "model m",
        9,
        2,
        "facts, form",
    )


def test_steps_that_a_model_orders_are_those_that_somebody_can_do(planned: Loop, model: type[Model]) -> None:
    good = '{"steps": [{"step": 1, "by": ["guard-clauses"]}]}'
    for answer, gate in (
        (good, None),
        ('{"steps": [{"step": 1, "by": ["root"]}]}', "router"),
        ('{"steps": [{"step": 2, "by": ["guard-clauses"]}]}', "router"),
        ('{"steps": [{"step": 1, "by": ["guard-clauses"]}, {"step": 1, "by": ["guard-clauses"]}]}', "router"),
        ('{"steps": "all of them"}', "form"),
        ('data: {"choices": []}', "form"),
    ):
        model.answers = {STEPS: answer}
        phase = phases_of(planned, "specification", "pseudocode")["pseudocode"]
        assert phase["data"]["draft"].get("gate") == gate, answer
        [step] = phase["data"]["steps"]
        assert (step["left"] == ["guard-clauses"]) == (gate is None), answer


def test_a_change_that_breaks_what_a_model_said_must_stay_is_rejected_and_another_round_reaches_the_goal(
    planned: Loop, model: type[Model]
) -> None:
    flat = (
        "def chosen(rows, limit, deep=None):\n    total = sum(map(abs, rows))\n    return min(total, limit)\n"
    )
    model.answers = {
        CHECKS: '{"checks": ["parameters of chosen at most 2"]}',
        STEPS: "no",
        CHANGE: f"<file>\n{flat}</file>",
    }
    phases = phases_of(planned, *PHASES)
    refinement = phases["refinement"]
    assert (refinement["gate"], refinement["verdict"]) == ("facts", "rejected"), refinement["artifact"]
    assert "parameters of chosen (a.py) <= 2, and it is 3" in refinement["reason"]
    [suggestion] = planned.waiting()
    assert suggestion["sources"] != ["language-model"]


def test_without_a_model_nobody_asks_one(loop: Loop) -> None:
    names = [strategy.name for strategy in sparc_strategies.matching("metric", "Python", "cognitive")]
    assert "extract" in names
    assert "model-drafted" not in names


def part(name: str, share: float, **given: Any) -> dict[str, Any]:
    return {
        "name": name,
        "role": "coder",
        "domain": "code_quality",
        "share": share,
        "instruction": f"Do {name}",
        **given,
    }


GOOD = [part("look", 0.4, role="critic"), part("do", 0.6, depends_on=["look"])]


def test_a_goal_is_split_as_a_model_says_or_by_its_template(
    engine: Engine, model: type[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().execution, "decomposer", "model")
    for parts, gate in (
        (GOOD, None),
        ([part("a", 0.2), part("b", 0.2)], "shares"),
        ([part("a", 0.5), part("a", 0.5)], "graph"),
        ([part("a", 0.5, depends_on=["b"]), part("b", 0.5, depends_on=["a"])], "graph"),
        ([part("a", 0.5), part("b", 0.5, depends_on=["c"])], "graph"),
        ([part("a", 0.5), part("b", 0.5, domain="root")], "graph"),
        ([part("a", 0.5), part("b", 0.5, role="admin")], "form"),
        ([part("a", 0.5), part("b", 0.5, instruction="Print ${run.secret}")], "form"),
        ([part("all", 0.99)], "form"),
        (None, "form"),
    ):
        model.answer = "<!doctype html>" if parts is None else json.dumps({"parts": parts})
        names, decided = split(engine)
        assert (decided["verdict"], decided.get("gate")) == ("refused" if gate else "accepted", gate), parts
        assert names == ({"look", "do"} if gate is None else {"reproduce", "diagnose", "repair", "verify"})
        assert decided["by"] == ("model m" if gate is None else "template bug")
        assert decided["cost"] == 0.002


def split(engine: Engine) -> tuple[set[str], dict[str, Any]]:
    """Submit a goal and split it; return the names of its parts, and who decided on them."""
    goal = {"name": "goal", "type": "goal", "template": "bug", "complexity": 6}
    document = parse(json.dumps({"name": "test", "tasks": [goal]}), "test.yaml")
    with engine.begin() as connection:
        definition = read_graph(document, task_agents.ADAPTERS)
        id_ = task_graph.submit(connection, definition, requested_by="tester")
    task_worker.work(engine, worker="worker", adapters=task_agents.ADAPTERS)
    with engine.connect() as connection:
        rows = {row["name"]: row["id"] for row in task_records.tasks_of(connection, id_)}
        events = get_events(connection, rows.pop("goal"))
    [decided] = [event.data["decomposition"] for event in events if "decomposition" in (event.data or {})]
    return set(rows), decided
