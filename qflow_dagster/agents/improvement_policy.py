"""When the agent acts by itself, how far it may reach, and how risky a change is: pure.

The numbers are the original platform's. Does not belong here: granting an approval (`arbiter`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qflow_dagster.approvals.policy import blast_radius

MIN_OUTCOMES = 8
POOR = 0.75
STAGNATION = 30
BACKOFF_CYCLES = 10
HOPELESS = 0.3
LONG_STAGNATION = 100


@dataclass(frozen=True)
class Record:
    """How a repository's edits did: outcomes (True: verified), cycles without one, cycles since a failure."""

    outcomes: Sequence[bool]
    cycles_without_improvement: int
    cycles_since_failure: int | None

    @property
    def success_rate(self) -> float | None:
        """Share of verified edits; None without any outcome."""
        return sum(self.outcomes) / len(self.outcomes) if self.outcomes else None


def should_act(record: Record, *, forced: bool = False) -> tuple[bool, str]:
    """Whether to look for improvements in this cycle, and why (not)."""
    if forced:
        return True, "asked for"
    if record.cycles_since_failure is not None and record.cycles_since_failure < BACKOFF_CYCLES:
        return False, f"{record.cycles_since_failure} cycles since a failure; {BACKOFF_CYCLES} are waited"
    rate = record.success_rate
    if rate is not None and len(record.outcomes) >= MIN_OUTCOMES and rate < POOR:
        return True, f"success rate {rate:.2f} over {len(record.outcomes)} outcomes is below {POOR}"
    if record.cycles_without_improvement >= STAGNATION:
        return True, f"no improvement in {record.cycles_without_improvement} cycles"
    return False, "nothing calls for it"


def is_experimental(record: Record) -> bool:
    """Whether what is suggested now is an experiment, that no policy may approve."""
    rate = record.success_rate
    hopeless = rate is not None and len(record.outcomes) >= MIN_OUTCOMES and rate < HOPELESS
    return hopeless or record.cycles_without_improvement > LONG_STAGNATION


@dataclass(frozen=True)
class SafetyProfile:
    """What an agent of a kind may do: errors that revert it, reach, and how long it is watched (seconds)."""

    error_threshold: float
    largest_files: int
    largest_lines: int
    automatic_revert: bool
    window: float
    # Public definitions whose lines change.
    largest_symbols: int = 50


PROFILES = {
    "self_improving": SafetyProfile(0.02, 20, 1_000, True, 600.0),
    "code_quality": SafetyProfile(0.01, 5, 500, True, 180.0),
    "refactoring": SafetyProfile(0.01, 20, 2_000, True, 300.0),
    "default": SafetyProfile(0.02, 10, 1_000, True, 300.0),
}
# Which agent a category of rules is the business of.
AGENTS = {
    "correctness": "code_quality",
    "security": "code_quality",
    "maintainability": "refactoring",
    "performance": "refactoring",
    "modernisation": "refactoring",
}


def exceeds(profile: SafetyProfile, patch: str, symbols: int = 0) -> str | None:
    """Why a patch (that touches so many public symbols) reaches further than allowed; None where it does not."""
    files, lines = blast_radius(patch)
    if files > profile.largest_files:
        return f"it changes {files} files, {profile.largest_files} are allowed"
    if lines > profile.largest_lines:
        return f"it changes {lines} lines, {profile.largest_lines} are allowed"
    if symbols > profile.largest_symbols:
        return f"it changes {symbols} public definitions, {profile.largest_symbols} are allowed"
    return None


def risk(confidence: float, lines: int, tested: bool, experimental: bool) -> str:
    """How risky a change is: by the belief in its rule, its size, and whether tests were run on it."""
    if experimental:
        return "experimental"
    if confidence >= 0.9 and lines <= 20 and tested:
        return "low"
    return "high" if confidence < 0.7 or lines > 200 else "medium"
