"""Former names of commands, options and arguments do what the present ones do, and are not shown."""

import json
import subprocess
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("former", "present", "said"),
    [
        ("sparc go-on 01a224d2 --at refinement", "sparc resume 01a224d2 --at refinement", "01a224d2"),
        ("sparc give-up 01a224d2 --reason late", "sparc abandon 01a224d2 --reason late", "01a224d2"),
        ("agent register ada --most 3", "agent register ada --max-assignments 3", "registered ada"),
        ("agent work ours", "agent work builtin", "0 routed"),
    ],
)
def test_a_former_name_does_the_same(qflow: Run, former: str, present: str, said: str) -> None:
    before, now = qflow(*former.split()), qflow(*present.split())
    assert said in now.stdout + now.stderr
    assert (before.returncode, before.stdout, before.stderr) == (now.returncode, now.stdout, now.stderr)


def test_the_former_option_has_its_effect(qflow: Run) -> None:
    qflow("agent", "register", "ada", "--most", "3")
    agents = {agent["name"]: agent for agent in json.loads(qflow("agent", "list", "--json").stdout)}
    assert agents["ada"]["max_assignments"] == 3


def test_former_names_are_not_shown(qflow: Run) -> None:
    assert "go-on" not in qflow("sparc", "--help").stdout
    assert "give-up" not in qflow("sparc", "--help").stdout
    assert "--most" not in qflow("agent", "register", "--help").stdout
