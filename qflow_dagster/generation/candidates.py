"""A candidate: a proposed patch on its way through the gates. `candidate_records` stores it."""

from dataclasses import dataclass, field
from uuid import UUID

from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.patches import Patch
from qflow_dagster.generation.validation import Gate
from qflow_dagster.quantumflow import uuid7


@dataclass
class Candidate:
    """A proposed patch: its work item and request, the generators that proposed it, its gate results and rank."""

    work_item_id: UUID
    repository_id: int
    repository: str
    base: str
    patch: Patch
    request: Request
    after: dict[str, str]
    sources: list[str]
    score: float = 0.0
    gates: list[Gate] = field(default_factory=list)
    status: str = "not_needed"
    id: UUID = field(default_factory=uuid7)

    @property
    def viable(self) -> bool:
        """Return whether no gate has failed so far."""
        return all(gate.verdict != "failed" for gate in self.gates)
