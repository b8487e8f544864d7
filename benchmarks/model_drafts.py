"""What becomes of a model's drafts, changes and splits beside those of facts and templates: the machinery, not a model.

    python -m benchmarks.model_drafts

There is no model: a server of the OpenAI-compatible protocol replays answers, which are good (made of facts), poor (of
the right form, and wrong) or garbage. Each author works on the same goals in the demo's repository. Prints by author:
drafts and changes that were accepted, the gates that refused the others, rounds, and seconds.
"""

import json
import re
import tempfile
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

from rich.console import Console
from sqlalchemy import Engine

from benchmarks.next_work import planned
from qflow_dagster.agents import sparc_changes, task_agents
from qflow_dagster.cli import demo_repository
from qflow_dagster.cli.output import rows_table
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.execution import (
    sparc,
    sparc_records,
    sparc_worker,
    task_graph,
    task_records,
    task_worker,
)
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.generation.generators.extract_function import lowered
from qflow_dagster.quantumflow import get_events
from qflow_dagster.safety.documents import parse
from qflow_dagster.settings import settings

# The most complex functions of the demo, and a bound below what they have.
GOALS = (("price_of", 8), ("reserved", 8))
TEMPLATES = ("feature", "bug", "refactoring", "documentation")
STRATEGIES = {
    "facts": "extract",
    "good": "model-drafted",
    "poor": "model-drafted",
    "garbage": "model-drafted",
}
PARTS = [
    {"name": "look", "role": "critic", "domain": "architecture", "share": 0.4, "instruction": "Look at it"},
    {"name": "do", "role": "coder", "domain": "code_quality", "share": 0.6, "instruction": "Do it"},
]


class Replay(BaseHTTPRequestHandler):
    """Answers of one quality to the four kinds of questions."""

    quality = "good"

    def do_POST(self) -> None:
        """Answer a question."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        instructions, question = (message["content"] for message in body["messages"])
        answer = "<html><body>502</body></html>"
        if self.quality != "garbage":
            answer = _answer(instructions, question, good=self.quality == "good")
        message = {"role": "assistant", "content": answer}
        usage = {"prompt_tokens": len(question) // 4, "completion_tokens": len(answer) // 4}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": message}], "usage": usage}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
        """Print nothing."""


def _answer(instructions: str, question: str, *, good: bool) -> str:
    if "in which order" in instructions:
        able = json.loads(question)["steps"][0]["left"]
        return json.dumps({"steps": [{"step": 1, "by": able if good else ["root"]}]})
    if "split a goal" in instructions:
        parts = [{**part, "share": part["share"] if good else 2 * part["share"] / 3} for part in PARTS]
        return json.dumps({"parts": parts})
    function, bound = next(goal for goal in GOALS if goal[0] in question)
    if "must not get worse" in instructions:
        return json.dumps({"checks": [f"parameters of {function} at most {9 if good else 0}"]})
    text = re.search(r"<file>\n(.*)\n</file>", question, re.S)
    code = text[1] if text else ""
    better = lowered(f"{code}\n", function, bound - 1) if good else code.replace("return", "return not", 1)
    return f"<file>\n{better}</file>" if better else "<none/>"


def goals(engine: Engine, strategy: str) -> dict[str, Any]:
    """Work on the goals by a strategy; return what became of them and of the drafts."""
    row: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    started = time.monotonic()
    for function, bound in GOALS:
        with engine.begin() as connection:
            description = f"cognitive complexity of {function} below {bound}"
            id_ = sparc.start(
                connection,
                requested_by="benchmark",
                repository="shop",
                description=description,
                strategy=strategy,
            )
        sparc_worker.work(engine, sparc_changes.MAKERS, sparc_changes.check_completion, worker="benchmark")
        with engine.begin() as connection:
            phases = sparc_records.show(connection, id_)["phases"]
            sparc.abandon(connection, id_, actor="benchmark", reason="the next author")
        drafts = [phase["data"]["draft"] for phase in phases if "draft" in phase["data"]]
        changes = [phase for phase in phases if phase["phase"] == "refinement"]
        row["goals"] += 1
        row["reached"] += any(phase["verdict"] == "accepted" for phase in changes)
        row["by the model"] += any(
            phase["verdict"] == "accepted" and phase["author"] == "language-model" for phase in changes
        )
        row["rounds"] += max(phase["round"] for phase in phases)
        row["drafts"] += len(drafts)
        row["accepted"] += sum(draft["verdict"] == "accepted" for draft in drafts)
        refused.update(draft["gate"] for draft in drafts if draft["verdict"] == "refused")
    by = ", ".join(f"{gate} {count}" for gate, count in refused.items())
    return {**row, "refused by": by, "seconds": round(time.monotonic() - started, 1)}


def splits(engine: Engine) -> dict[str, Any]:
    """Split a goal of each kind; return how many splits of the model were accepted, and which gates refused."""
    accepted, refused = 0, Counter[str]()
    started = time.monotonic()
    for template in TEMPLATES:
        goal = {"name": "goal", "type": "goal", "template": template, "complexity": 6}
        document = parse(json.dumps({"name": template, "tasks": [goal]}), "benchmark")
        with engine.begin() as connection:
            id_ = task_graph.submit(
                connection, read_graph(document, task_agents.ADAPTERS), requested_by="benchmark"
            )
        task_worker.work(engine, worker="benchmark", adapters=task_agents.ADAPTERS)
        decided = _decided(engine, id_)
        accepted += decided.get("verdict") == "accepted"
        refused.update([decided["gate"]] if "gate" in decided else [])
    by = ", ".join(f"{gate} {count}" for gate, count in refused.items())
    return {
        "splits": len(TEMPLATES),
        "by the model": accepted,
        "refused by": by,
        "seconds": round(time.monotonic() - started, 2),
    }


def _decided(engine: Engine, graph: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        ids = [row["id"] for row in task_records.tasks_of(connection, graph) if row["name"] == "goal"]
        events = [event.data or {} for id_ in ids for event in get_events(connection, id_)]
    return next((data["decomposition"] for data in events if "decomposition" in data), {})


def main() -> None:
    """Print the two tables."""
    server = HTTPServer(("127.0.0.1", 0), Replay)
    Thread(target=server.serve_forever, daemon=True).start()
    model, execution = settings().model, settings().execution
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    with tempfile.TemporaryDirectory(prefix="qflow-drafts-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        demo_repository.create(home / "shop")
        embedded.start(home)
        try:
            of_goals, of_splits = [], []
            for author, strategy in STRATEGIES.items():
                url = embedded.url(home, author)
                ensure_database(url)
                engine = engine_for(url)
                migrate(engine)
                planned(engine, "shop", str(home / "shop"), "HEAD")
                Replay.quality, model.name = author, None if author == "facts" else "replay"
                execution.decomposer = "templates" if author == "facts" else "model"
                of_goals.append({"author": author, **goals(engine, strategy)})
                of_splits.append({"author": author, **splits(engine)})
                engine.dispose()
            console = Console(width=140)
            console.print(
                rows_table(of_goals, title="Goals"), rows_table(of_splits, title="Goals of task graphs")
            )
        finally:
            embedded.stop(home)
            server.shutdown()


if __name__ == "__main__":
    main()
