"""The test runners that scripts of npm call: how each of them is made to write a report of its tests.

Belongs here: recognising the runner, and the arguments it gets. Does not belong here: running it, and reading the
reports (`repository_tests`).
"""

import re
import shlex
from pathlib import PurePosixPath
from typing import NamedTuple

# What npm appends goes to the last command of a script.
_LAST = re.compile(r"&&|\|\||;")


class Runner(NamedTuple):
    """A test runner: the arguments appended to the script, and variables of its environment."""

    name: str
    arguments: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


def runner_of(script: str, report: str) -> Runner | None:
    """Return the runner that a script calls last, with what makes it write `report`; None: it is not recognised."""
    try:
        words = shlex.split(_LAST.split(script)[-1])
    except ValueError:
        return None
    names = [PurePosixPath(word).name for word in words]
    if "node" in names and "--test" in words:
        # Behind the names of files, node reads no options.
        return Runner(
            "node", (), (f"NODE_OPTIONS=--test-reporter=junit --test-reporter-destination={report}",)
        )
    arguments = {
        "mocha": ("--reporter", "xunit", "--reporter-options", f"output={report}"),
        "jest": ("--json", f"--outputFile={report}"),
        "vitest": ("--run", "--reporter=junit", f"--outputFile={report}"),
    }
    name = next((name for name in names if name in arguments), None)
    return None if name is None else Runner(name, arguments[name])
