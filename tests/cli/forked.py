"""`qflow` in a process of its own for each call, without importing everything for each.

Run as a program, this imports what the commands need, and then forks once per line of its
standard input: the fork becomes `qflow` with the arguments, environment and standard streams the
line names, and ends as the program does. No database is reached, and no setting kept, before
(`Forked` checks it). The installed program itself is started by tests of its own, and in tests/e2e.
"""

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Forked:
    """The program that forks, started when it is first needed."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[str] | None = None

    def run(
        self, arguments: tuple[str, ...], environment: dict[str, str], stdin: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `qflow` with `arguments` in `/`; what `subprocess.run` would return."""
        with tempfile.TemporaryDirectory(prefix="qflow-streams-") as made:
            streams = [Path(made) / name for name in ("in", "out", "err")]
            streams[0].write_text(stdin)
            request = {
                "arguments": arguments,
                "environment": environment,
                "streams": [str(path) for path in streams],
            }
            code = self._ask(json.dumps(request))
            return subprocess.CompletedProcess(
                ["qflow", *arguments], code, streams[1].read_text(), streams[2].read_text()
            )

    def _ask(self, line: str) -> int:
        if self._program is None:
            self._program = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        try:
            print(line, file=self._program.stdin, flush=True)
            return int(self._program.stdout.readline())
        except BaseException:
            # Its answer would be taken for the next one's.
            self._program.kill()
            self.close()
            raise

    def close(self) -> None:
        """End the program."""
        if self._program is not None:
            self._program.communicate()
            self._program = None


def fork_until_forked() -> None:
    """Fork once per line, until this is a fork; ends with the input."""
    import qflow_dagster.definitions  # noqa: F401
    from qflow_dagster.database import engine, ready_engine
    from qflow_dagster.settings import settings

    assert threading.active_count() == 1, "a fork has none of the other threads"
    assert not any(connected.cache_info().currsize for connected in (engine, ready_engine))
    # Owners and links of the definitions stay those of this process; every command reads its own settings.
    settings.cache_clear()
    # What lies there is left alone, and so stays shared with the forks.
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            become(**json.loads(line))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def become(arguments: list[str], environment: dict[str, str], streams: list[str]) -> Any:
    """Be a process that was started so."""
    read, write = os.O_RDONLY, os.O_WRONLY | os.O_CREAT
    for number, (path, mode) in enumerate(zip(streams, (read, write, write), strict=True)):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")
    sys.argv = ["qflow", *arguments]


if __name__ == "__main__":
    fork_until_forked()
    from qflow_dagster.cli import main

    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # To take apart all that was imported takes ten times as long as most commands.
    os._exit(code)
