"""Whatever an agent's program prints: its attempt succeeds or fails, and the next assignment is done."""

import sys
from typing import Any

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.agents import agent_program, assignments, coordination
from qflow_dagster.agents.coordination import Capability, Requirement

# What is printed for a task, and what its result is; a text where the attempt fails.
ANSWERS: dict[str, tuple[str, Any, str | None]] = {
    "nan": ("print('NaN')", None, "JSON that cannot be stored"),
    "infinite": ("print('1e999')", None, "JSON that cannot be stored"),
    "half": (r"""print('{"a":"\\ud800"}')""", {"a": "\ufffd"}, None),
    "nul": (r"""print('{"a\\u0000":"x\\u0000y"}')""", {"a\ufffd": "x\ufffdy"}, None),
    "deep": ("print('['*200_000)", None, "not print valid JSON"),
    "deep but whole": ("print('{\"a\":'*5_000+'1'+'}'*5_000)", ..., None),
    "integer": ("print('9'*200_000)", "[integer of 200000 digits]", None),
    "cost is no number": ("print('{\"cost\": NaN}')", {"cost": None}, None),
    "cost is infinite": ("print('{\"cost\": 1e400}')", {"cost": None}, None),
    "cost is huge": ("print('{\"cost\": 1'+'0'*400+'}')", {"cost": "[integer of 401 digits]"}, None),
    "cost is large": ("print('{\"cost\": 1'+'0'*300+'}')", {"cost": 10**300}, None),
    "cost is negative": ("print('{\"cost\": -5}')", {"cost": -5}, None),
    "cost is true": ("print('{\"cost\": true}')", {"cost": True}, None),
    "no UTF-8": ("sys.stdout.buffer.write(bytes(range(256)))", None, "not print valid JSON"),
    "nothing": ("", None, None),
    "says NUL": ("sys.stderr.buffer.write(b'a\\0b bad'); sys.exit(3)", None, "ended with 3: a\ufffdb bad"),
    "says bytes": ("sys.stderr.buffer.write(bytes(range(256)) * 9); sys.exit(3)", None, "ended with 3"),
}
PROGRAM = "import json, sys\ntask = json.load(sys.stdin)['task']\n" + "".join(
    f"if task == {name!r}:\n    {code or 'pass'}\n" for name, (code, _, _) in ANSWERS.items()
)


@pytest.mark.timeout(120)
def test_whatever_a_program_prints_the_next_assignment_is_done(engine: Engine) -> None:
    wanted = Requirement("refactoring", "code", "patch", "simple")
    with engine.begin() as connection:
        ids = {name: assignments.create(connection, name, wanted, requested_by="test") for name in ANSWERS}
        connection.execute(text("UPDATE workflows SET max_attempts = 1"))
    agent = Capability(name="liar", domains=("refactoring",), output_types=("patch",), complexity="complex")
    agent_program.work(engine, agent, [sys.executable, "-c", PROGRAM], idle=0.5, poll=0.1, timeout=20)
    with engine.connect() as connection:
        for name, (_, result, problem) in ANSWERS.items():
            shown = assignments.show(connection, ids[name])
            assert shown["state"] == ("failed" if problem else "succeeded"), name
            if problem:
                assert problem in shown["error"]["message"]
            elif result is not ...:
                assert shown["result"] == result, name
        costs = connection.execute(text("SELECT min(cost), max(cost), count(*) FROM outcomes")).one()
        assert coordination.show(connection, "liar").success_rate > 0
    assert tuple(costs) == (0.0, 1e300, len(ANSWERS))
