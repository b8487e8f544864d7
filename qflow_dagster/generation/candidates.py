"""A candidate: a proposed patch on its way through the gates. Storing it is `candidate_records`."""

from dataclasses import dataclass, field
from uuid import UUID

from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.patches import Patch
from qflow_dagster.generation.validation import Gate
from qflow_dagster.quantumflow import uuid7


@dataclass
class Candidate:
    """A proposed patch: what it is for, who proposed it, what the gates said, and its rank."""

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
    def standing(self) -> bool:
        """Whether no gate has failed it so far."""
        return all(gate.verdict != "failed" for gate in self.gates)
