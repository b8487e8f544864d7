"""The agents in Python, Node and shell: each is given an assignment and answers it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_commands import ok
from tests.examples.conftest import EXAMPLES

Run = Callable[..., subprocess.CompletedProcess[str]]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")


def answered(qflow: Run, program: str, path: Path) -> dict:
    """Assign the file at `path`, let the agent work, and return what became of the assignment."""
    task = json.dumps({"path": str(path)})
    id_ = ok(qflow("agent", "assign", "documentation", task, "--output", "todos", "--complexity", "simple"))
    agent = str(EXAMPLES / "agents" / program)
    options = ("-d", "documentation", "--output", "todos", "--idle", "0.1")
    ok(qflow("agent", "work", "todo-finder", *options, "--", agent))
    return json.loads(ok(qflow("agent", "assignments", id_.strip(), "--json")))


@pytest.mark.parametrize(
    "program", ["todo_agent.py", pytest.param("todo_agent.mjs", marks=needs_node), "todo_agent.sh"]
)
def test_an_agent_answers_its_assignment(program: str, qflow: Run, tmp_path: Path) -> None:
    file = tmp_path / "notes.py"
    file.write_text("# TODO: first\nx = 1\ny = 2  # TODO: second\n")
    done = answered(qflow, program, file)
    assert (done["state"], done["agent"]) == ("succeeded", "todo-finder")
    assert done["result"] == {"todos": 2, "lines": [1, 3]}
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    assert answered(qflow, program, empty)["result"] == {"todos": 0, "lines": []}
    # Tried again later, by whichever agent is there then.
    missing = answered(qflow, program, tmp_path / "missing.py")
    assert (missing["state"], missing["result"]) == ("queued", None)
    assert "missing.py" in json.dumps(missing["history"])
