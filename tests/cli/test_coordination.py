"""Task graphs, goals, agents and knowledge as a person or a script works them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.test_commands import ok
from tests.cli.test_operations import refused
from tests.ingestion.conftest import GitRepository

Run = Callable[..., subprocess.CompletedProcess[str]]
GRAPH = """\
name: release
input: {names: [ada, bob]}
tasks:
  - {name: greet, map: run.names, adapter: shell, arguments: {command: [echo, "hello ${item}"]}}
  - {name: count, role: tester, adapter: shell, depends_on: [greet], arguments: {command: [python3, -c, "print(2)"]}}
"""


@pytest.fixture
def project(home: Path, qflow: Run) -> Path:
    repository = GitRepository(home / "project")
    repository.commit({"a.py": "def collect(item, found=[]):\n    return [*found, item]\n"})
    ok(qflow("run", str(repository.path), "--items", "0", "--json"))
    return repository.path


def test_a_graph_from_its_file_to_its_picture(qflow: Run, home: Path) -> None:
    file = home / "release.yaml"
    file.write_text(GRAPH)
    id_ = ok(qflow("tasks", "submit", str(file), "--key", "one")).strip()
    assert ok(qflow("tasks", "submit", str(file), "--key", "one")).strip() == id_
    assert "3 completed" in ok(qflow("tasks", "work")) or "tasks" in ok(qflow("tasks", "list"))
    [row] = json.loads(ok(qflow("tasks", "list", "--json")))
    assert (row["name"], row["state"], row["tasks"], row["completed"]) == ("release", "completed", 4, 4)
    shown = ok(qflow("tasks", "show", id_[:20]))
    assert "✓ greet" in shown
    assert "critical path" in shown
    whole = json.loads(ok(qflow("tasks", "show", id_, "--json")))
    assert whole["critical_path"] == ["greet", "count"]
    assert "greet" in ok(qflow("tasks", "graph", id_))
    picture = home / "graph.svg"
    ok(qflow("tasks", "graph", id_, "--svg", str(picture)))
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_failed_task_is_retried_amended_or_its_graph_cancelled(qflow: Run, home: Path) -> None:
    file = home / "g.json"
    task = {"name": "bad", "adapter": "shell", "max_attempts": 1, "arguments": {"command": ["false"]}}
    file.write_text(
        json.dumps({"name": "g", "tasks": [task, {**task, "name": "after", "depends_on": ["bad"]}]})
    )
    id_ = ok(qflow("tasks", "submit", str(file))).strip()
    ok(qflow("tasks", "work"))
    found = json.loads(ok(qflow("tasks", "show", id_, "--json")))
    assert {task["name"]: task["state"] for task in found["tasks"]} == {"bad": "failed", "after": "blocked"}
    assert "1 tasks" in ok(qflow("tasks", "retry", id_, "--reason", "again"))
    ok(qflow("tasks", "work"))
    bad = str(next(task["id"] for task in found["tasks"] if task["name"] == "bad"))
    refused(
        qflow("tasks", "amend", bad, "--arguments", "{", "--reason", "r"), 2, "--arguments is not valid JSON"
    )
    words = json.dumps({"command": ["rm", "-rf", "/"]})
    refused(qflow("tasks", "amend", bad, "--arguments", words, "--reason", "r"), 1, "rm")
    refused(qflow("tasks", "amend", bad, "--arguments", "[1]", "--reason", "r"), 2, "is not a JSON object")
    refused(qflow("tasks", "amend", bad, "--reason", "r"), 2, "--arguments, --split or --before")
    parts = home / "parts.yaml"
    parts.write_text("- {name: one, adapter: shell}\n- {name: two, adaptor: shell}\n")
    refused(
        qflow("tasks", "amend", bad, "--split", str(parts), "--reason", "r"), 2, "parts.yaml:2:24: adaptor"
    )
    parts.write_text("- {name: one, adapter: shell, arguments: {command: ['true']}}\n")
    ok(qflow("tasks", "amend", bad, "--split", str(parts), "--before", str(parts), "--reason", "too big"))
    ok(qflow("tasks", "cancel", id_, "--reason", "no more"))


def test_a_failed_task_gets_other_arguments(qflow: Run, home: Path) -> None:
    file = home / "g.json"
    task = {"name": "bad", "adapter": "shell", "max_attempts": 1, "arguments": {"command": ["false"]}}
    file.write_text(json.dumps({"name": "g", "tasks": [task]}))
    id_ = ok(qflow("tasks", "submit", str(file))).strip()
    ok(qflow("tasks", "work"))
    [row] = json.loads(ok(qflow("tasks", "show", id_, "--json")))["tasks"]
    bad = str(row["id"])
    ok(
        qflow(
            "tasks",
            "amend",
            bad,
            "--arguments",
            json.dumps({"command": ["true"]}),
            "--reason",
            "it was wrong",
        )
    )
    ok(qflow("tasks", "cancel", id_, "--reason", "no more"))
    assert json.loads(ok(qflow("tasks", "show", id_, "--json")))["state"] == "cancelled"


def test_what_is_wrong_with_a_graph_is_said_with_its_place(qflow: Run, home: Path) -> None:
    file = home / "g.yaml"
    file.write_text(GRAPH.replace("[greet]", "[greeting]"))
    refused(qflow("tasks", "submit", str(file)), 2, "g.yaml:5:")
    refused(qflow("tasks", "submit", str(home / "none.yaml")), 2, "none.yaml")
    file.write_text(GRAPH)
    refused(qflow("tasks", "submit", str(file), "--input", "[1]"), 2, "--input is not a JSON object")


def test_what_a_role_may_not_is_refused_and_recorded(qflow: Run, home: Path) -> None:
    file = home / "g.yaml"
    file.write_text("name: g\ntasks:\n  - {name: a, adapter: shell, arguments: {command: [rm, -rf, /]}}\n")
    refused(
        qflow("tasks", "submit", str(file), actor="mallory"), 1, "g.yaml:3:5: 'a': a coder may not run 'rm'"
    )
    assert json.loads(ok(qflow("tasks", "list", "--json"))) == []
    [seen] = json.loads(ok(qflow("errors", "list", "--json")))
    assert (seen["operation"], seen["kind"]) == ("tasks.submit", "PolicyViolationError")


def test_a_goal_from_a_work_item_to_a_suggestion(qflow: Run, project: Path) -> None:
    [item] = json.loads(ok(qflow("work", "list", "--json")))
    goal = ok(qflow("sparc", "start", "--item", item["id"][:24], "--strategy", "together")).strip()
    assert "5 phases" in ok(qflow("sparc", "work"))
    assert "completion" in ok(qflow("sparc", "list"))
    shown = ok(qflow("sparc", "show", goal[:20], "--artifacts"))
    assert f"work item {item['id']} is done" in shown
    assert "+def collect(item, found=None):" in shown
    [suggestion] = json.loads(ok(qflow("suggestions", "list", "--json")))
    assert suggestion["state"] == "awaiting_approval"
    rows = json.loads(ok(qflow("sparc", "strategies", "--json")))
    assert {row["strategy"]: row.get("uses") for row in rows}["together"] == 1
    ok(qflow("sparc", "abandon", goal, "--reason", "enough"))
    assert json.loads(ok(qflow("sparc", "list", "--json")))[0]["state"] == "given_up"


def test_questions_are_answered_and_requests_are_listed(qflow: Run, project: Path) -> None:
    said = ok(qflow("ask", "-r", "project", "where is collect defined?"))
    assert "a.py:1" in said
    found = json.loads(ok(qflow("ask", "-r", "project", "who knows a.py?", "--json")))
    assert "Ann" in found["answer"]
    assert len(json.loads(ok(qflow("knowledge", "list", "--json")))) == 2
    for question, kind in (("where is decode_all defined", "not known"), ("how to collect", "search")):
        asked = qflow("ask", "-r", "project", question, "--json")
        assert (asked.returncode, json.loads(asked.stdout)["kind"]) == (3, kind)
    assert "Not known: " in qflow("ask", "-r", "project", "zzzqqq").stdout
    ok(qflow("knowledge", "add", "signature", '{"symbol": "zzzqqq"}', "-r", "project"))
    ok(qflow("knowledge", "work"))
    failed = json.loads(ok(qflow("knowledge", "list", "--state", "failed", "--json")))
    ok(qflow("knowledge", "retry", failed[0]["id"]))
    ok(qflow("knowledge", "resolve", failed[0]["id"], "--answer", "it means nothing"))
    assert "it means nothing" in ok(qflow("knowledge", "show", failed[0]["id"]))


def test_an_assignment_for_a_program_in_any_language(qflow: Run) -> None:
    id_ = ok(
        qflow(
            "agent",
            "assign",
            "refactoring",
            '{"file": "a.py"}',
            "--output",
            "patch",
            "--complexity",
            "simple",
        )
    )
    ok(qflow("agent", "register", "mender", "-d", "refactoring", "--output", "patch"))
    program = ["sh", "-c", 'cat >/dev/null; echo \'{"patch": "none needed"}\'']
    worked = ok(
        qflow(
            "agent", "work", "mender", "-d", "refactoring", "--output", "patch", "--idle", "1", "--", *program
        )
    )
    assert "1 done" in worked
    found = json.loads(ok(qflow("agent", "assignments", id_.strip(), "--json")))
    assert (found["state"], found["agent"], found["result"]) == (
        "succeeded",
        "mender",
        {"patch": "none needed"},
    )
    assert "mender" in ok(qflow("agent", "statistics"))
    assert "knowledge-answerer" in ok(qflow("agent", "list"))
    ok(qflow("agent", "availability", "mender", "offline"))
    assert json.loads(ok(qflow("agent", "show", "mender", "--json")))["availability"] == "offline"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("tasks", "show", "zzz"), 2, "matches no task graph"),
        (("sparc", "start"), 2, "a goal needs a work item, or a description and a repository"),
        (("sparc", "start", "--item", "zzz"), 2, "matches no work item"),
        (("sparc", "show", "zzz"), 2, "matches no goal"),
        (("agent", "work", "mender"), 2, "no program"),
        (("agent", "work", "planner", "--", "true"), 2, "a built-in agent"),
        (("agent", "assign", "cooking", "{}"), 2, "unknown domain 'cooking'"),
        (("agent", "message", "nobody", "hello"), 2, "there is no agent 'nobody'"),
        (("knowledge", "add", "gossip", "{}"), 2, "unknown kind 'gossip'"),
        (("ask", "-r", "nowhere", "why?"), 1, "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_with_what_to_do(
    qflow: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused(qflow(*arguments), code, words)
