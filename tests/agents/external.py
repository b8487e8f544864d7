"""One external agent, in a process of its own; killed at random by the test."""

import sys

from sqlalchemy import make_url

from qflow_dagster.agents import agent_program
from qflow_dagster.agents.coordination import Capability
from qflow_dagster.database import engine_for

# Each hears the number of its task and says it again, after a while in which it may be killed.
PROGRAMS = {
    "python": [
        sys.executable,
        "-c",
        "import json, sys, time; task = json.load(sys.stdin)['task']; time.sleep(0.2);"
        "json.dump({'heard': task['number'], 'by': 'python'}, sys.stdout)",
    ],
    "node": [
        "node",
        "-e",
        "let s = ''; process.stdin.on('data', d => s += d).on('end', () => setTimeout(() =>"
        "console.log(JSON.stringify({heard: JSON.parse(s).task.number, by: 'node'})), 200))",
    ],
    "shell": [
        "sh",
        "-c",
        r"""n=$(sed -n 's/.*"number": \([0-9]*\).*/\1/p'); sleep 0.2; printf '{"heard": %s, "by": "shell"}' "$n" """,
    ],
}


def work(url: str, name: str, language: str) -> None:
    """Do assignments until killed."""
    agent = Capability(
        name=name, domains=("refactoring",), output_types=("patch",), complexity="complex", heartbeat=2.0
    )
    agent_program.work(engine_for(make_url(url)), agent, PROGRAMS[language], poll=0.2)
