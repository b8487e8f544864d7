"""The work that comes in while `benchmarks.chaos` kills parts, and what the database and git say became of it.

Each kind is sent in a transaction that may be repeated, and counted once. `left` and `twice` compare what was sent with
what is recorded: neither trusts a counter of the parts that were killed.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from benchmarks.operations import decided
from benchmarks.reaction import git, pending
from qflow_dagster.agents.task_agents import ADAPTERS
from qflow_dagster.execution import task_graph
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.quantumflow import acknowledge, create_workflow, listen, register, send_with_notify
from qflow_dagster.safety import documents

JOB = register("chaos.job").name
QUEUE, OPERATION = "chaos", "chaos"
# Seconds between two jobs, errors and messages, and between two task graphs.
PAUSE, GRAPH_PAUSE = 0.2, 5.0
SHELL = (
    "{name: %s, role: admin, adapter: shell, max_attempts: 20, depends_on: [%s], arguments: {command: [pwd]}}"
)
GRAPH = f"""
name: chaos
tasks:
- {SHELL % ("before", "")}
- name: agent
  role: admin
  adapter: agent
  max_attempts: 20
  depends_on: [before]
  arguments: {{domain: learning, input_type: code, output_type: patch, complexity: simple, task: {{}}}}
- {SHELL % ("after", "agent")}
"""
TASKS_OF_GRAPH = 3

_DONE = text("""
SELECT (SELECT count(DISTINCT job) FROM chaos_effects) AS jobs,
       (SELECT count(*) FROM chaos_effects) AS effects,
       (SELECT count(*) FROM error_occurrences WHERE operation = :operation AND group_id IS NOT NULL) AS errors,
       (SELECT coalesce(sum(count), 0)::int FROM error_groups WHERE operation = :operation) AS grouped,
       (SELECT count(*) FROM workflows WHERE type = 'task_graph' AND status = 'completed') AS graphs,
       (SELECT count(*) FROM tasks t JOIN workflows w ON w.id = t.id WHERE w.status = 'completed') AS tasks,
       (SELECT count(DISTINCT parent_id) FROM workflows
        WHERE type = 'assignment' AND status = 'succeeded') AS assignments,
       (SELECT count(*) FROM workflows WHERE type = 'suggestion' AND status = 'verified') AS verified
""")
# What ended well more than once, by its history; a task whose agent did two assignments; approvals used twice.
_TWICE = text("""
SELECT (SELECT count(*) FROM (
            SELECT FROM workflow_events e JOIN workflows w ON w.id = e.workflow_id
            WHERE w.type = ANY(:types) AND e.to_status = ANY(:ends)
            GROUP BY e.workflow_id, e.to_status HAVING count(*) > 1) AS again)
     + (SELECT count(*) FROM (
            SELECT FROM workflows WHERE type = 'assignment' AND status = 'succeeded'
            GROUP BY parent_id HAVING count(*) > 1) AS again)
""")
TYPES = [JOB, "task_graph", "task_admin", "assignment", "suggestion", "edit_approval"]
ENDS = ["completed", "succeeded", "applied", "verified", "used"]


def persist(action: Callable[[], object], seconds: float = 120.0) -> None:
    """Do something that may be repeated, again while the server is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class Work:
    """Senders of each kind of work, and a receiver of messages, in threads until `stop`."""

    def __init__(self, engine: Engine, shop: Path, approvals: list[UUID], seconds: float) -> None:
        self._engine, self._shop = engine, shop
        self._approvals, self._between_decisions = approvals, seconds / (len(approvals) + 1)
        self._stop = threading.Event()
        self.sent = self.graphs = 0
        self.decided: list[UUID] = []
        self.received: list[int] = []
        self._problems: list[BaseException] = []
        senders = (self._send_small, self._send_graphs, self._decide)
        self._threads = [
            threading.Thread(target=self._guarded, args=(send,), daemon=True) for send in senders
        ]
        for thread in (*self._threads, threading.Thread(target=self._receive, daemon=True)):
            thread.start()

    def stop(self) -> None:
        """Send nothing more.

        Raises:
            RuntimeError: a sender ended before: less came in than should have.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._problems:
            raise RuntimeError("work could not be sent") from self._problems[0]

    def pieces(self) -> dict[str, int]:
        """Return how much was sent, of each kind."""
        return {
            **dict.fromkeys(("jobs", "errors", "messages"), self.sent),
            "task graphs": self.graphs,
            "changes": len(self.decided),
        }

    def left(self) -> dict[str, int]:
        """Return what is not done yet, of each kind; below zero: more was done than sent."""
        done = self._row(_DONE, operation=OPERATION)
        return {
            "jobs": self.sent - done["jobs"],
            "errors": self.sent - done["errors"],
            "messages": self.sent - len(set(self.received)),
            "task graphs": self.graphs - done["graphs"],
            "tasks": self.graphs * TASKS_OF_GRAPH - done["tasks"],
            "assignments": self.graphs - done["assignments"],
            "commits": len(self._approved() ^ set(self._commits())),
            "verified commits": len(self.decided) - done["verified"],
        }

    def twice(self) -> dict[str, int]:
        """Return what was done more than once: by effects, by histories, by git."""
        done = self._row(_DONE, operation=OPERATION)
        again = self._row(_TWICE, types=TYPES, ends=ENDS)
        commits = self._commits()
        branches = git(self._shop, "for-each-ref", "--format=%(refname)", "refs/heads/qflow").split()
        files = [
            name
            for branch in branches
            for name in git(self._shop, "diff", "--name-only", "main", branch).split()
        ]
        return {
            "effects of jobs": done["effects"] - done["jobs"],
            "errors in groups": done["grouped"] - done["errors"],
            "messages, or out of order": sum(
                a >= b for a, b in zip(self.received, self.received[1:], strict=False)
            ),
            "ends in a history": next(iter(again.values())),
            "commits": len(commits) - len(set(commits)) + abs(len(branches) - len(commits)),
            "changed files": len(files) - len(set(files)),
        }

    def _approved(self) -> set[str]:
        """Return the ids of the suggestions that were approved."""
        ids: set[str] = set()

        def read() -> None:
            with self._engine.connect() as connection:
                query = text("SELECT id::text FROM suggestions WHERE approval_id = ANY(:approvals)")
                ids.update(connection.scalars(query, {"approvals": list(self.decided)}))

        persist(read)
        return ids

    def _commits(self) -> list[str]:
        """Return the suggestion of each commit that is on a branch of ours and not on the main branch."""
        suggestion = "--format=%(trailers:key=Qflow-Suggestion,valueonly,separator=%x2C)"
        return git(self._shop, "log", suggestion, "--branches=qflow/*", "--not", "main").split()

    def _row(self, query: Any, **parameters: Any) -> Mapping[str, int]:
        rows: list[Mapping[str, int]] = []

        def read() -> None:
            with self._engine.connect() as connection:
                rows.append(dict(connection.execute(query, parameters).mappings().one()))

        persist(read)
        return rows[-1]

    def _guarded(self, send: Callable[[], None]) -> None:
        try:
            send()
        except BaseException as problem:
            self._problems.append(problem)

    def _send_small(self) -> None:
        while not self._stop.wait(PAUSE):
            number = self.sent

            def send(connection: Connection, number: int = number) -> None:
                # The key makes it harmless to send again what was committed without an answer.
                query = text("SELECT FROM workflows WHERE type = :type AND key = :key")
                if connection.execute(query, {"type": JOB, "key": str(number)}).first():
                    return
                create_workflow(connection, JOB, actor="chaos", key=str(number), max_attempts=100)
                track_errors(connection, [Occurrence(operation=OPERATION, message="something broke")])
                send_with_notify(connection, QUEUE, [number])

            self._persist(send)
            self.sent += 1

    def _send_graphs(self) -> None:
        graph = read_graph(documents.parse(GRAPH, "graph"), ADAPTERS)
        while not self._stop.wait(GRAPH_PAUSE):
            key = f"chaos {self.graphs}"
            self._persist(
                lambda connection, key=key: task_graph.submit(
                    connection, graph, requested_by="chaos", key=key
                )
            )
            self.graphs += 1

    def _decide(self) -> None:
        for approval in self._approvals:
            if self._stop.wait(self._between_decisions):
                return

            def approve(connection: Connection, approval: UUID = approval) -> None:
                if approval in pending(connection):
                    decided(connection, approval)

            self._persist(approve)
            self.decided.append(approval)

    def _persist(self, action: Callable[[Connection], object]) -> None:
        def transaction() -> None:
            with self._engine.begin() as connection:
                action(connection)

        persist(transaction)

    def _receive(self) -> None:
        for message in listen(self._engine, QUEUE, "chaos"):
            with suppress(OperationalError), self._engine.begin() as connection:
                acknowledge(connection, "chaos", message)
            self.received.append(message.payload)
