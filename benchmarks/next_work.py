"""What the plan proposes next on real repositories, beside what a lead named before.

    python -m benchmarks.next_work NAME=PATH ...

NAME is the last part of a URL in `next_work.yaml`, PATH a clone of it. Each repository is ingested, measured, searched
by all rules and planned. Prints the first items with their reasoning, how many of their files the lead named, and
whether an item is among the first that no lead would put there.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from sqlalchemy import Connection, Engine

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.execution import next_work, safe_work_planner, work_items
from qflow_dagster.ingestion import history, pipeline, repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics.pipeline import compute_all

LABELS = Path(__file__).with_name("next_work.yaml")
NUMBER = 5

console = Console(soft_wrap=True, highlight=False)


def planned(engine: Engine, name: str, path: str, commit: str) -> Snapshot:
    """Run everything that the plan is made of on a repository."""
    with engine.begin() as connection:
        registered = repositories.register(connection, path, name)
    result = pipeline.ingest(engine, name, commit)
    history.ingest_history(engine, registered.id, result.commit_oid)
    compute_all(engine, result.snapshot_id)
    evaluation = rule_engine.evaluate(engine, name)
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, name)
        findings.update(connection, snapshot, evaluation)
        safe_work_planner.plan(connection, snapshot)
    return snapshot


def compare(engine: Engine, snapshot: Snapshot, lead: list[list[str]], never: re.Pattern[str]) -> str:
    """Print the first items of a plan; return how they agree with the lead's."""
    named = [path for path, _ in lead]
    with engine.begin() as connection:
        ids = next_work.get_next_work(
            connection, actor="benchmark", repository_id=snapshot.repository_id, limit=NUMBER, claim=False
        )
        items = [work_items.show(connection, id_) for id_ in ids]
        for item in items:
            mark = "lead" if item["path"] in named else "NEVER" if never.search(item["path"] or "") else "-"
            console.print(f"{mark:>6}  {item['title']}", markup=False)
            for line in next_work.reasoning(connection, item["id"]):
                console.print(f"          {line}", markup=False)
        for missed in [path for path in named if path not in [item["path"] for item in items]]:
            console.print(f"missed  {missed}: {_place(connection, snapshot, missed)}", markup=False)
    paths = [item["path"] or "" for item in items]
    agreed = len(set(named) & set(paths))
    first = "named by the lead" if paths[:1] and paths[0] in named else "not named by the lead"
    wrong = sum(bool(never.search(path)) for path in paths)
    return f"{agreed} of {len(named)} agree; the first is {first}; {wrong} of {len(paths)} that no lead would name"


def _place(connection: Connection, snapshot: Snapshot, path: str) -> str:
    """Return where the feature of a file is in the plan, and what its score is made of."""
    ids = next_work.get_next_work(
        connection, actor="benchmark", repository_id=snapshot.repository_id, limit=10_000, claim=False
    )
    for place, id_ in enumerate(ids, 1):
        item = work_items.show(connection, id_)
        if item["path"] == path:
            return f"place {place}; {next_work.reasoning(connection, id_)[1]}"
    return "no finding, so no item"


def main() -> None:
    """Print the items and the agreement of each repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="NAME=PATH")
    arguments = parser.parse_args()
    document: dict[str, Any] = yaml.safe_load(LABELS.read_text(encoding="utf-8"))
    labels = {row["url"].rpartition("/")[2]: row for row in document["repositories"]}
    never = re.compile("|".join(document["never"]))
    with tempfile.TemporaryDirectory(prefix="qflow-next-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            url = embedded.url(home, "next")
            ensure_database(url)
            engine = engine_for(url)
            migrate(engine)
            for argument in arguments.repositories:
                name, _, path = argument.partition("=")
                label = labels[name]
                console.rule(name)
                snapshot = planned(engine, name, path, label["commit"])
                console.print(compare(engine, snapshot, label["lead"], never))
        finally:
            embedded.stop(home)


if __name__ == "__main__":
    main()
