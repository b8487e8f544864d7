"""Running a driver: a program of this project that runs a repository's code or tools in the sandbox, on a checkout.

A driver reads its jobs from a JSON file, and prints its report as one line of JSON after a mark. Belongs here: what
all drivers share. Does not belong here: what they do (`behaviour_driver`).
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster import sandbox
from qflow_dagster.generation.repository_gates.protocol import Batch
from qflow_dagster.settings import settings

MARK = "qflow-report:"
JOBS = ".qflow-jobs.json"


class Driver(NamedTuple):
    """A driver: the command that runs it, its file beside this module, and whose packages it sees."""

    command: tuple[str, ...]
    file: str
    ecosystem: str

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(__file__).with_name(self.file)


def report_of(batch: Batch, driver: Driver, jobs: object, seconds: float) -> Any:
    """Return what a driver reports of jobs; None if it ended without a report.

    Raises:
        NotIsolatedError: there is no sandbox.
    """
    configured = settings().generation
    limits = sandbox.Limits(
        seconds=seconds,
        memory=configured.test_memory * 1_000_000,
        processes=configured.test_processes,
        disk=configured.test_disk * 1_000_000,
    )
    environment = batch.environments.of(driver.ecosystem)
    with batch.checkout() as folder:
        environment.prepare(folder)
        name = f".qflow-{driver.file}"
        shutil.copyfile(driver.path, folder / name)
        (folder / JOBS).write_text(json.dumps(jobs))
        ran = sandbox.run([*driver.command, name, JOBS], folder, limits=limits, packages=environment.packages)
    return report_in(ran.output)


def report_in(output: str) -> Any:
    """Return the report in the output of a driver; None if there is none."""
    _, mark, report = output.rpartition(MARK)
    try:
        return json.loads(report.splitlines()[0]) if mark else None
    except (ValueError, IndexError):
        return None
