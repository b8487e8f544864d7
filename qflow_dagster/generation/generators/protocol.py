"""What a generator is: the request it gets, the proposals it answers with, and the protocol it follows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a generator is asked: to mend what a rule found in one file of a commit."""

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
    """A change: new contents by path; and what it cost. Without contents: asked, and nothing to change."""

    contents: dict[str, str]
    note: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


class NotApplicableError(QflowError):
    """A generator was asked and answered with what is no proposal; `usage` is what that cost."""

    def __init__(self, message: str, usage: dict[str, Any]) -> None:
        super().__init__(message)
        self.usage = usage


class Generator(Protocol):
    """Something that proposes changes."""

    name: str
    # True: called in a worker process, which has no network settings and no secrets.
    isolated: bool
    # What one request is expected to cost, in the currency of the model's prices.
    cost: float

    def fits(self, rule: Rule, language: str) -> bool:
        """Whether it has something to propose for findings of that rule."""
        ...

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Proposals, none where there is nothing to do."""
        ...
