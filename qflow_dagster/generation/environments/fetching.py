"""Downloading packages, outside the sandbox, by the ordinary client of an ecosystem.

Belongs here: what a client is given and what limits it. A client runs in an empty folder, so that it reads no
configuration of a repository; the operator's own settings of indexes stay. Does not belong here: which packages.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from qflow_dagster.generation.environments.protocol import NotAvailableError
from qflow_dagster.safety.display import visible_line
from qflow_dagster.sandbox.usage import Usage
from qflow_dagster.settings import settings

SECONDS = 600
MEGABYTE = 1024**2
MAX_OUTPUT = 200_000
# Of our environment the client gets where programs and certificates lie, and its own settings; no secrets of ours.
_NAMES = {"PATH", "HOME", "USER", "LANG", "TMPDIR", "NETRC", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"}
_NAMES |= {"GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOENV", "GOAUTH"}
_NAMES |= {"NODE_EXTRA_CA_CERTS"}
_PREFIXES = ("PIP_", "NPM_CONFIG_", "CARGO_", "RUSTUP_", "SSL_CERT_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE"}


class FetchError(NotAvailableError):
    """A client failed; `output` is the end of what it printed."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def fetch(
    command: Sequence[str], folder: Path, *, into: Path, variables: Mapping[str, str] | None = None
) -> str:
    """Run a client in `folder`, which nobody else may write; it downloads to `into`. Return what it printed.

    Raises:
        FetchError: it is missing, failed, took too long, or wrote too much.
    """
    program = shutil.which(command[0])
    if program is None:
        raise FetchError(f"needs {command[0]}")
    limit = settings().generation.test_disk * MEGABYTE
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env={**_environment(), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
        )
        try:
            problem = _wait(process, Usage(into, limit), time.monotonic() + SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - MAX_OUTPUT))
        printed = output.read().decode("utf-8", "replace")
    name = Path(command[0]).name
    if problem:
        raise FetchError(f"{name} {problem}", printed)
    if process.returncode != 0:
        raise FetchError(f"{name} failed: {_reason(printed)}", printed)
    return printed


def _wait(process: subprocess.Popen[bytes], usage: Usage, deadline: float) -> str:
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            return ""
        if time.monotonic() > deadline:
            return f"took more than {SECONDS} seconds"
        if usage.exceeded():
            return f"wrote more than {settings().generation.test_disk} MB (QFLOW_GENERATION_TEST_DISK)"


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _NAMES or name.upper() in _PROXIES or name.upper().startswith(_PREFIXES)
    }


def _reason(printed: str) -> str:
    """Return the lines that tell most: the first that names an error, and the last of its causes."""
    lines = [line.strip() for line in printed.splitlines() if line.strip() and "log of this run" not in line]
    errors = [line for line in lines if "error" in line.lower()][:1]
    return visible_line(" ... ".join(dict.fromkeys((*errors, *lines[-1:]))) or "it printed nothing", 400)
