"""The protocol of generators: the request that a generator gets, and the proposals that it returns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to a generator: to fix the findings of a rule in one file of a commit."""

    repository: str
    base: str
    path: str
    language: str
    text: str
    rule: Rule
    # Oldest Python supported, as ruff names it.
    target: str
    # (line, message) of each finding.
    findings: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change: new contents by path, and the usage (tokens, cost). Empty contents: nothing to change."""

    contents: dict[str, str]
    note: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


class NotApplicableError(QflowError):
    """A generator's answer is not a valid proposal; `usage` is what the answer cost."""

    def __init__(self, message: str, usage: dict[str, Any]) -> None:
        super().__init__(message)
        self.usage = usage


class Generator(Protocol):
    """Something that proposes changes."""

    name: str
    # True: called in a worker process, which has neither network settings nor secrets.
    isolated: bool
    # What one request is expected to cost, in the currency of the model's prices.
    cost: float

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it can propose changes for findings of that rule."""
        ...

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield proposals, none where there is nothing to change."""
        ...
