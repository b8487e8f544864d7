"""Generators: whatever proposes a change for a finding. Further ones come as entry points.

A package that offers one names it under the entry point group `qflow_dagster.generators`; it is
loaded beside those of this folder. Does not belong here: running them (`orchestrator`),
judging what they propose (`validation`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule, evaluated, load_rules

GROUP = "qflow_dagster.generators"


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


class NoUse(QflowError):  # noqa: N818
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


def mending() -> list[str]:
    """Rules that some generator may mend whether or not the finding brings a fix."""
    # Those that carry out a rule's own fix have nothing to propose where a finding has none.
    own = {"rule-fix", "ruff-fix", "codemod"}
    asked = [generator for name, generator in generators().items() if name not in own]
    return [
        rule.id
        for rule in evaluated(load_rules())
        if any(generator.fits(rule, language) for generator in asked for language in rule.language)
    ]


@cache
def generators() -> dict[str, Generator]:
    """Every generator there is, by name."""
    from qflow_dagster.generation.generators import codemod, language_model, ruff_fix, rule_fix

    found: dict[str, Generator] = {}
    for one in (rule_fix.RuleFix(), ruff_fix.RuffFix(), codemod.Codemod(), language_model.LanguageModel()):
        found[one.name] = one
    for point in entry_points(group=GROUP):
        generator = point.load()()
        found[generator.name] = generator
    return found
