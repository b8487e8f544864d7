"""When an approval may be granted without a person: pure conditions on evidence.

Off by default (`QFLOW_APPROVALS_POLICY_KINDS` names the kinds it is on for). Does not belong
here: granting (`arbiter.issue_approval`).
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from qflow_dagster.quantumflow import Json


class Limits(Protocol):
    """The settings a policy is made of."""

    policy_kinds: list[str]
    policy_confidence: float
    policy_files: int
    policy_lines: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence for acting without a person."""

    # Of the rule behind it, 0 to 1.
    confidence: float
    # Each gate that was tried, and whether it passed.
    gates: dict[str, bool] = field(default_factory=dict)
    # The least confidence, where it has moved from the setting (`evolution.thresholds`).
    least: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As stored with the approval."""
        least = {} if self.least is None else {"least": self.least}
        return {"confidence": self.confidence, "gates": self.gates, **least}


def blast_radius(patch: str) -> tuple[int, int]:
    """Files and lines (added and deleted) that a unified diff changes, counted from the diff itself."""
    files = lines = 0
    remaining = {"-": 0, "+": 0}
    for line in patch.splitlines():
        if any(remaining.values()):
            # Inside a hunk: a deleted line "-- a" must not pass for a header.
            if line.startswith(("-", "+")):
                remaining[line[0]] -= 1
                lines += 1
            elif not line.startswith("\\"):
                remaining["-"] -= 1
                remaining["+"] -= 1
        elif line.startswith("@@"):
            for part in line.split("@@")[1].split():
                _, _, count = part[1:].partition(",")
                remaining[part[0]] = int(count or 1)
        elif line.startswith("diff --git "):
            files += 1
    return files, lines


def objections(limits: Limits, kind: str, content: Json, evidence: Evidence) -> list[str]:
    """Return every condition of the policy that does not hold; none means that it may approve."""
    if kind not in limits.policy_kinds:
        return [f"QFLOW_APPROVALS_POLICY_KINDS does not name {kind}: a person decides"]
    reasons = []
    least = limits.policy_confidence if evidence.least is None else evidence.least
    if not evidence.confidence >= least:
        reasons.append(f"confidence {evidence.confidence:.2f} is below {least:.2f}")
    if not evidence.gates:
        reasons.append("no gate was tried")
    if failed := sorted(name for name, passed in evidence.gates.items() if not passed):
        reasons.append(f"not all gates are green: {', '.join(failed)}")
    if kind == "rule":
        # It changes no file; what it finds from then on is asked about like everything else.
        return reasons
    if not isinstance(content, dict) or not isinstance(content.get("patch"), str):
        return [*reasons, "its content is not a patch, so its extent is unknown"]
    try:
        files, lines = blast_radius(content["patch"])
    except (ValueError, KeyError, IndexError):
        return [*reasons, "its patch cannot be read"]
    if not 0 < files <= limits.policy_files:
        reasons.append(f"it changes {files} files, 1 to {limits.policy_files} are allowed")
    if lines > limits.policy_lines:
        reasons.append(f"it changes {lines} lines, at most {limits.policy_lines} are allowed")
    return reasons
