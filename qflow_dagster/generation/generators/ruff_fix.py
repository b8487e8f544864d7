"""Ruff's own fixes of one rule."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.ruff_matcher import ruff_command, run_ruff
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Proposal, Request
from qflow_dagster.generation.narrowing import within


class RuffFix:
    """Lets ruff fix the file; ruff knows what has to change together (imports that become unused)."""

    name = "ruff-fix"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether it is a rule of ruff that ruff can fix."""
        return rule.matcher.ruff is not None and rule.fix in ("ruff", "ruff-unsafe")

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal that changes all places of the file."""
        unsafe = ["--unsafe-fixes"] if request.rule.fix == "ruff-unsafe" else []
        name = PurePosixPath(request.path).name
        command = ruff_command(
            "--fix-only",
            "--quiet",
            "--select",
            str(request.rule.matcher.ruff),
            "--target-version",
            request.target,
            *unsafe,
            "--stdin-filename",
            name if name.endswith((".py", ".pyi")) else "file.py",
            "-",
        )
        try:
            text = within(request, run_ruff(command, "/", request.text.encode()).decode() or request.text)
        except UnicodeError as error:
            raise QflowError(f"ruff did not return text: {error}") from None
        if text != request.text:
            yield Proposal(contents={request.path: text}, note=f"ruff {request.rule.matcher.ruff}")
