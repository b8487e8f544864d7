"""When the agent acts by itself, how far it may reach, and how risky a change is: pure functions.

The numbers are those of the original QuantumFlow platform.
Does not belong here: granting an approval (`approvals.arbiter`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qflow_dagster.approvals.policy import blast_radius

MIN_OUTCOMES = 8
MAX_POOR_RATE = 0.75
MIN_STAGNANT_CYCLES = 30
BACKOFF_CYCLES = 10
MAX_HOPELESS_RATE = 0.3
MAX_STAGNANT_CYCLES = 100


@dataclass(frozen=True)
class Record:
    """Past results of a repository's edits.

    `outcomes`: True for each verified edit, False for each reverted one. A cycle is one pass of the loop (a night).
    """

    outcomes: Sequence[bool]
    cycles_without_improvement: int
    cycles_since_failure: int | None

    @property
    def success_rate(self) -> float | None:
        """Return the share of verified edits; None without any outcome."""
        return sum(self.outcomes) / len(self.outcomes) if self.outcomes else None


def should_act(record: Record, *, forced: bool = False) -> tuple[bool, str]:
    """Return whether to look for improvements in this cycle, and the reason."""
    if forced:
        return True, "requested"
    if record.cycles_since_failure is not None and record.cycles_since_failure < BACKOFF_CYCLES:
        return False, f"{record.cycles_since_failure} cycles since a failure; it waits for {BACKOFF_CYCLES}"
    rate = record.success_rate
    if rate is not None and len(record.outcomes) >= MIN_OUTCOMES and rate < MAX_POOR_RATE:
        return True, f"success rate {rate:.2f} over {len(record.outcomes)} outcomes is below {MAX_POOR_RATE}"
    if record.cycles_without_improvement >= MIN_STAGNANT_CYCLES:
        return True, f"no improvement in {record.cycles_without_improvement} cycles"
    return False, "no reason to act"


def is_experimental(record: Record) -> bool:
    """Return whether suggestions are experiments now, which no policy may approve."""
    rate = record.success_rate
    hopeless = rate is not None and len(record.outcomes) >= MIN_OUTCOMES and rate < MAX_HOPELESS_RATE
    return hopeless or record.cycles_without_improvement > MAX_STAGNANT_CYCLES


@dataclass(frozen=True)
class SafetyProfile:
    """The limits of one kind of agent.

    `error_threshold`: the error rate that reverts an edit; `window`: how long an edit is monitored, in seconds.
    """

    error_threshold: float
    max_files: int
    max_lines: int
    automatic_revert: bool
    window: float
    # Public definitions whose lines may change.
    max_symbols: int = 50


PROFILES = {
    "self_improving": SafetyProfile(0.02, 20, 1_000, True, 600.0),
    "code_quality": SafetyProfile(0.01, 5, 500, True, 180.0),
    "refactoring": SafetyProfile(0.01, 20, 2_000, True, 300.0),
    "default": SafetyProfile(0.02, 10, 1_000, True, 300.0),
}
# The agent that handles the rules of a category.
AGENTS = {
    "correctness": "code_quality",
    "security": "code_quality",
    "maintainability": "refactoring",
    "performance": "refactoring",
    "modernisation": "refactoring",
}


def exceeds(profile: SafetyProfile, patch: str, symbols: int = 0) -> str | None:
    """Return why a patch (that changes `symbols` public definitions) exceeds the profile; None if it does not."""
    files, lines = blast_radius(patch)
    if files > profile.max_files:
        return f"it changes {files} files, {profile.max_files} are allowed"
    if lines > profile.max_lines:
        return f"it changes {lines} lines, {profile.max_lines} are allowed"
    if symbols > profile.max_symbols:
        return f"it changes {symbols} public definitions, {profile.max_symbols} are allowed"
    return None


def risk(confidence: float, lines: int, tested: bool, experimental: bool) -> str:
    """Return how risky a change is, by the confidence in its rule, its size, and whether tests ran on it."""
    if experimental:
        return "experimental"
    if confidence >= 0.9 and lines <= 20 and tested:
        return "low"
    return "high" if confidence < 0.7 or lines > 200 else "medium"
