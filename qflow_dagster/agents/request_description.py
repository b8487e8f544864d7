"""A request described in sentences: for the page, the terminal and the messages of those who decide.

Belongs here: what changes, why, how risky it is, what was checked and what was not, the record of its rule. Does not
belong here: how it goes on after the decision (`request_progress`), layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.agents import self_improvement
from qflow_dagster.approvals import records
from qflow_dagster.approvals.policy import blast_radius
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import rule_set

# Without these a change was not tried at all.
ESSENTIAL_GATES = ("tests",)


@dataclass
class Description:
    """A request in sentences. The gates are pairs of a name and what it says, by what came of them."""

    what: str
    rule: str | None = None
    why: str | None = None
    risk: str | None = None
    risk_parts: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    differs: str | None = None
    history: str | None = None
    # PATH:LINE of each location that can be left out.
    locations: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    suggestion: UUID | None = None
    # What of the evidence no sentence says.
    rest: dict[str, Any] = field(default_factory=dict)

    def sentences(self) -> dict[str, str]:
        """Return what a person reads before deciding, by label, in the order of the page."""
        gates = {
            "Failed": _joined(self.failed),
            "Not checked": _joined(self.skipped),
            "Checked": _joined(self.passed),
        }
        said = {
            "What": self.what,
            "Why": self.why,
            "Rule": self.rule,
            "Risk": "; ".join(filter(None, (self.risk, *self.risk_parts))),
            **gates,
            "What may differ": self.differs,
            "So far": self.history,
        }
        return {label: words for label, words in said.items() if words}


def describe(connection: Connection, approval: Mapping[str, Any]) -> Description:
    """Describe an approval, as `records.show` returns it."""
    content = approval["content"] if isinstance(approval["content"], dict) else {}
    evidence = dict(approval["evidence"]) if isinstance(approval["evidence"], dict) else {}
    if approval["evidence"] and not evidence:
        evidence = {"evidence": approval["evidence"]}
    description = Description(_what(approval, content), rule=approval["rule"], risk=approval["risk"])
    description.why = _taken(evidence, "why")
    _describe_gates(description, evidence)
    _describe_risk(description, evidence)
    if isinstance(evidence.get("findings"), list):
        description.findings = [str(finding) for finding in evidence.pop("findings")]
    for name in ("rule", "risk", "agent", "generators"):
        evidence.pop(name, None)
    if description.rule:
        rule = rule_set.by_id(rule_set.current(connection)).get(description.rule)
        if rule is not None:
            description.why = description.why or rule.rationale
            description.differs = _differs(rule)
        description.history = _history(connection, description.rule, approval["repository"])
    if approval["kind"] == "edit" and isinstance(content.get("suggestion"), str):
        _describe_suggestion(connection, description, content["suggestion"])
    description.rest = evidence
    return description


def explain(connection: Connection, approval_id: UUID) -> dict[str, str]:
    """Return the sentences of a request by label; none if it cannot be read."""
    try:
        return describe(connection, records.show(connection, approval_id)).sentences()
    except QflowError:
        return {}


def _what(approval: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    target = approval["target"]
    match approval["kind"]:
        case "edit":
            patch = content.get("patch")
            if not isinstance(patch, str):
                return f"An edit of {target}, as shown below."
            files, lines = blast_radius(patch)
            size = f"{_count(lines, 'line')} in {_count(files, 'file')}"
            if "branch" in content and "base" in content:
                return (
                    f"Changes {size} of {target}: one commit on the new branch {content['branch']}, on top of "
                    f"{str(content['base'])[:10]}. Nothing is merged."
                )
            return f"Changes {size}: {target}."
        case "workflow":
            return f"Starts a workflow of the type {target} with the payload below."
        case "rule":
            version, to = content.get("version"), content.get("to")
            return f"Version {version} of the rule {target} becomes {to}."
        case kind:
            return f"{kind.capitalize()} of {target}."


def _describe_gates(description: Description, evidence: dict[str, Any]) -> None:
    gates = evidence.pop("gates", None)
    if gates is None and description.what.startswith(("Starts", "Version")):
        return
    for name, result in (gates if isinstance(gates, dict) else {}).items():
        verdict, _, words = str(result).partition(": ")
        if isinstance(result, bool):
            verdict, words = ("passed" if result else "failed"), ""
        if verdict in ("failed", "skipped", "passed"):
            getattr(description, verdict).append((str(name), words))
        elif verdict != "not applicable":
            description.skipped.append((str(name), str(result)))
    tried = {name for name, _ in (*description.failed, *description.passed, *description.skipped)}
    for name in ESSENTIAL_GATES:
        if name not in tried:
            description.skipped.append(
                (name, "they did not run" if gates else "the request names no check at all")
            )
    description.skipped.sort(key=lambda gate: gate[0] not in ESSENTIAL_GATES)


def _describe_risk(description: Description, evidence: dict[str, Any]) -> None:
    """Say what the risk is made of."""
    parts = description.risk_parts
    acceptance = evidence.pop("expected_acceptance", None)
    if isinstance(acceptance, int | float):
        parts.append(f"expected to be accepted: {acceptance:.0%}")
    trust = evidence.pop("trust", None)
    if isinstance(trust, dict):
        because = f" ({trust['because']})" if trust.get("because") else ""
        parts.append(
            f"trust level of the rule: {trust.get('level')}{because}, estimated confidence {trust.get('mean')}, "
            f"at least {trust.get('lower')}, after {_count(trust.get('decisions'), 'decision')} of people"
        )
    if "tests" not in (name for name, _ in description.passed) and description.risk:
        parts.append("no test has shown that it works")
    policy = _taken(evidence, "policy")
    if policy:
        parts.append(f"a person decides, because {policy}")


def _differs(rule: Any) -> str:
    if rule.differs:
        return f"What it changes on purpose: {rule.differs}"
    if rule.safety == "judgement":
        return "Behaviour may differ: the fix is a matter of judgement."
    if rule.safety == "checked":
        return "Behaviour stays: the preconditions of the fix were checked for each location."
    if rule.safety == "safe":
        return "Behaviour stays: the syntax alone shows it."
    return "Not stated: the fix of this rule says nothing about behaviour."


_HISTORY = text("""
SELECT count(*) FILTER (WHERE e.id IS NOT NULL) AS accepted, count(*) FILTER (WHERE w.status = 'rejected') AS denied,
       count(*) FILTER (WHERE e.reverted_at IS NOT NULL) AS reverted
FROM suggestions s JOIN workflows w ON w.id = s.id JOIN repositories r ON r.id = s.repository_id
LEFT JOIN edits e ON e.id = s.id
WHERE s.rule_id = :rule AND (CAST(:repository AS text) IS NULL OR r.name = :repository)
""")


def _history(connection: Connection, rule: str, repository: str | None) -> str:
    row = connection.execute(_HISTORY, {"rule": rule, "repository": repository}).one()
    where = f"in {repository}" if repository else "in all repositories"
    decided = row.accepted + row.denied
    if not decided:
        return f"This rule {where}: nothing was decided yet."
    reverted = f", {row.reverted} reverted since" if row.reverted else ""
    return f"This rule {where}: accepted {row.accepted} of {decided}{reverted}."


def _describe_suggestion(connection: Connection, description: Description, id_: str) -> None:
    try:
        suggestion = self_improvement.show(connection, UUID(id_))
    except (QflowError, ValueError):
        # It was made elsewhere, or pruned.
        return
    description.suggestion = UUID(id_)
    description.locations = suggestion["locations"]
    description.skipped += [("left out", withheld) for withheld in suggestion["withheld"]]


def _joined(gates: list[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {words}" if words else name for name, words in gates)


def _taken(evidence: dict[str, Any], name: str) -> str | None:
    value = evidence.pop(name, None)
    return None if value is None else str(value)


def _count(number: Any, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
