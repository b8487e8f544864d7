"""External agents whose output is a patch, as generators: their patches meet the same gates as all others.

Belongs here: an assignment for a request, and its patch as a proposal. Does not belong here: running the agent's
program (`agent_program`), which generators to call (`builtin_agents`).
"""

import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from qflow_dagster.agents import assignments, coordination
from qflow_dagster.agents.coordination import Agent, Requirement
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import generators, patches
from qflow_dagster.generation.generators.protocol import NotApplicableError, Proposal, Request
from qflow_dagster.generation.remaining import fixable_findings
from qflow_dagster.ingestion import checkouts, repositories
from qflow_dagster.quantumflow import cancel
from qflow_dagster.settings import settings

INPUT, OUTPUT = "code", "patch"
POLL_SECONDS = 0.2


class AgentGenerator:
    """Gives an agent an assignment with the rule, the findings and the file, and waits for its patch."""

    isolated = False

    def __init__(self, engine: Engine, agent: Agent, others: tuple[str, ...], domain: str) -> None:
        self.name = agent.name
        self.cost = agent.cost
        self._engine = engine
        # The router must not give the assignment to these.
        self._others = others
        self._domain = domain

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether a change of the text can fix findings of the rule."""
        return bool(language) and fixable_findings(rule)

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield the agent's patch as a proposal.

        Raises:
            QflowError: the agent failed or did not answer in time, or its patch cannot be applied.
        """
        if request.embedded is not None:
            return
        task = {
            "repository": request.repository,
            "commit": request.base,
            "path": request.path,
            "language": request.language,
            "rule": {"id": request.rule.id, "title": request.rule.title, "rationale": request.rule.rationale},
            "findings": [{"line": line, "message": message} for line, message in request.findings],
            "text": request.text,
        }
        requirement = Requirement(self._domain, INPUT, OUTPUT, "simple")
        with self._engine.begin() as connection:
            id_ = assignments.create(
                connection, task, requirement, requested_by="generation", excluded=self._others
            )
        text = self._patch(self._wait(id_))
        try:
            patch = patches.read(text)
            if patch.paths != (request.path,):
                raise QflowError(f"it changes {', '.join(patch.paths)}, and may change {request.path} only")
            with self._engine.connect() as connection:
                objects = repositories.find(connection, request.repository).objects
            with checkouts.scratch(objects) as store:
                tree = patches.apply(store, request.base, patch)
                after = patches.contents(store, tree, patch.paths)[request.path].decode()
        except (QflowError, UnicodeDecodeError) as error:
            raise NotApplicableError(f"the patch of {self.name} cannot be used: {error}", {}) from None
        yield Proposal(contents={request.path: after} if after != request.text else {}, note=self.name)

    def _wait(self, id_: UUID) -> dict[str, Any]:
        deadline = time.monotonic() + settings().generation.timeout
        while time.monotonic() < deadline:
            with self._engine.begin() as connection:
                assignments.route(connection)
                row = assignments.show(connection, id_)
            if row["state"] == "succeeded" and row["agent"] == self.name:
                return row
            if row["state"] in ("succeeded", "failed", "cancelled"):
                error = (row["error"] or {}).get("message", f"the assignment is {row['state']}")
                raise QflowError(f"agent {self.name}: {error}")
            time.sleep(POLL_SECONDS)
        with self._engine.begin() as connection:
            cancel(connection, [id_], actor="generation")
        raise QflowError(f"agent {self.name} did not answer in {settings().generation.timeout} s")

    def _patch(self, row: dict[str, Any]) -> str:
        result = row["result"]
        if not isinstance(result, dict) or not isinstance(result.get("patch"), str):
            raise NotApplicableError(f'agent {self.name} did not answer with {{"patch": "..."}}', {})
        return result["patch"]


def register_available(connection: Connection, domains: Iterable[str]) -> list[Agent]:
    """Make the external agents that can be given work generators, and no others; return them."""
    agents = coordination.agents(connection)
    available = [
        agent
        for agent in agents
        if not agent.strict and OUTPUT in agent.output_types and agent.availability != "offline"
    ]
    own = set(domains)
    made = []
    for agent in available:
        domain = next((name for name in agent.domains if name in own), sorted(own)[0])
        others = tuple(other.name for other in agents if other.name != agent.name)
        made.append(AgentGenerator(connection.engine, agent, others, domain))
    generators.set_external(made)
    return available
