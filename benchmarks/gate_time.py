"""CPU time of generation and gates per location: `python -m benchmarks.gate_time REPOSITORY` (a path).

The repository's own tests and the gate `behaviour` are off. It measures the code of the folder that it is started in,
so that an older version can be measured by the same program: `--code FOLDER`, a work tree of that version.
"""

import argparse
import inspect
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

LOCATIONS = text("""
    SELECT count(DISTINCT f.*) FROM findings f
    JOIN candidates c ON c.rule_id = f.rule_id AND f.path = ANY(c.paths) WHERE f.state = 'open'
""")


def cpu_seconds() -> float:
    """Return the CPU time of this process, and of its worker processes that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(repository: Path, items: int) -> str:
    """Return what the generation of changes for work items of a repository took."""
    # Of the version that is measured.
    from benchmarks.loop import NAME, prepare
    from qflow_dagster.agents import self_improvement
    from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
    from qflow_dagster.evolution import findings, rule_engine
    from qflow_dagster.execution import safe_work_planner
    from qflow_dagster.generation import orchestrator
    from qflow_dagster.settings import settings

    generation: Any = settings().generation
    generation.tests = "off"
    if hasattr(generation, "behaviour_seconds"):
        generation.behaviour_seconds = 0.0
    options: dict[str, Any] = {}
    if "limits_of" in inspect.signature(orchestrator.work).parameters:
        options["limits_of"] = self_improvement.limits_of
    with tempfile.TemporaryDirectory(prefix="qflow-time-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            url = embedded.url(home, "gate_time")
            ensure_database(url)
            engine = engine_for(url)
            migrate(engine)
            snapshot = prepare(engine, repository)
            evaluation: Any = rule_engine.evaluate(engine, NAME)
            wanted = list(inspect.signature(findings.update).parameters)[2]
            with engine.begin() as connection:
                findings.update(connection, snapshot, evaluation.rules if wanted == "rules" else evaluation)
                safe_work_planner.plan(connection, snapshot)
                orchestrator.request_generation(connection, snapshot, limit=items)
            before, started = cpu_seconds(), time.perf_counter()
            done = orchestrator.work(
                engine, worker="benchmark", accept=lambda connection, candidate: None, limit=items, **options
            )
            used, seconds = cpu_seconds() - before, time.perf_counter() - started
            with engine.connect() as connection:
                locations = connection.execute(LOCATIONS).scalar_one()
        finally:
            embedded.stop(home)
    return (
        f"{done.items} items, {done.candidates} candidates, {locations} locations: {used:.1f} s of CPU time "
        f"in {seconds:.1f} s, {1_000 * used / max(1, locations):.0f} ms of CPU time per location"
    )


def main() -> None:
    """Print what it took, with this code or that of another folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--items", type=int, default=100, help="work items to generate changes for")
    parser.add_argument("--code", type=Path, help="a work tree of another version, whose code is measured")
    arguments = parser.parse_args()
    if arguments.code is None:
        sys.stdout.write(f"{measure(arguments.repository.resolve(), arguments.items)}\n")
        return
    program = [sys.executable, str(Path(__file__).resolve()), str(arguments.repository.resolve())]
    path = os.pathsep.join(filter(None, [str(arguments.code.resolve()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(
        [*program, "--items", str(arguments.items)], cwd=arguments.code, env=environment, check=True
    )


if __name__ == "__main__":
    main()
