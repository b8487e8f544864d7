"""The pages of rules: all that are in force with their trust, and one with its examples, confidence and occurrences."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import confidence, findings, outcomes, rule_set, thresholds, trust
from qflow_dagster.evolution.rules import Category, Rule
from qflow_dagster.evolution.trust import RuleTrust
from qflow_dagster.pictures import confidence as pictures
from qflow_dagster.safety.display import visible_json
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Section,
    Status,
    address,
    choices,
    chosen,
    counted,
    next_rows,
    offset,
    repository_link,
    view,
)
from qflow_dagster.web.source import finding_rows


def rules(request: Request, connection: Connection) -> Response:
    """Return the rules in force, with filters by category, trust level and fix."""
    current = rule_set.current(connection)
    levels = trust.of_rules(connection, current)
    category = chosen(request, "category", get_args(Category))
    level = chosen(request, "level", confidence.LEVELS)
    language = request.query_params.get("language")
    shown = [
        rule
        for rule in current
        if category in (None, rule.category)
        and level in (None, levels[rule.digest].level)
        and language in (None, *rule.language)
    ]
    first = offset(request)
    last = first + 2 * PAGE_ROWS
    section = Section(
        title="In force",
        note=f"{len(shown):,} of {len(current):,} rules.",
        rows=[_row(rule, levels[rule.digest]) for rule in shown[first:last]],
        empty="No rule matches the filters.",
    )
    filters = {
        "category": choices(request, "category", get_args(Category)),
        "trust level": choices(request, "level", confidence.LEVELS),
        "language": choices(
            request, "language", sorted({name for rule in current for name in rule.language})
        ),
    }
    more = next_rows(request, "More rules", last) if len(shown) > last else None
    return view(request, "Rules", [section], filters=filters, more=more)


def rule(request: Request, connection: Connection) -> Response:
    """Return one rule: what it finds and why, examples and counter-examples, trust over time, outcomes, occurrences."""
    id_: str = request.path_params["id"]
    versions = [version for version in rule_set.current(connection) if version.id == id_]
    lifecycles = rule_set.lifecycles(connection, rule=id_)
    found = findings.find(connection, rule=id_, limit=PAGE_ROWS)
    if not versions and not lifecycles and not found:
        raise QflowError(f"there is no rule {id_!r}; see qflow rules list")
    levels = trust.of_rules(connection, versions)
    history = outcomes.history(connection, id_)
    timeline = trust.timeline(connection, id_)
    sections = [
        *(_definition(versions[0]) if versions else []),
        Section(
            title="Trust",
            rows=[_trust(version, levels[version.digest]) for version in versions],
            empty="No version of it is in force.",
        ),
        Section(
            title="Confidence over time",
            picture=pictures.of_rule(id_, timeline, history, thresholds.current(connection))
            if timeline
            else "",
            rows=[{"at": row["at"], **{key: row[key] for key in _TIMELINE}} for row in reversed(timeline)],
            empty="No confidence is recorded yet: it changes with the first decisions.",
        ),
        Section(
            title="Occurrences",
            rows=_occurrences(found),
            empty="It finds nothing that is open.",
        ),
        Section(
            title="Outcomes",
            rows=[
                {
                    "at": row["at"],
                    "what": row["kind"],
                    "number": row["number"],
                    "repository": row["repository"],
                    "by": row["actor"],
                    "reason": row["reason"],
                }
                for row in history[:PAGE_ROWS]
            ],
            empty="Nobody decided on a change of it yet.",
        ),
        Section(
            title="Versions made here",
            rows=[
                {
                    "version": row.version,
                    "status": Status(row.status),
                    "origin": row.origin,
                    "description": row.description,
                    "since": row.created_at,
                    "history": Link("events", address("workflows", row.id)),
                }
                for row in lifecycles
            ],
            empty="It is as it was shipped.",
        ),
    ]
    status = versions[0].status if versions else ""
    title = versions[0].title if versions else id_
    return view(request, title, sections, path=[Link("Rules", "/rules")], status=status, lead=id_)


_TIMELINE = ("version", "level", "mean", "lower", "decisions", "drifted")


def _row(rule: Rule, trusted: RuleTrust) -> dict[str, Any]:
    return {
        "severity": Status(rule.severity),
        "rule": Link(rule.id, address("rules", rule.id)),
        "what it finds": rule.title,
        "fix": rule.fix is not None,
        "status": Status(rule.status),
        "level": trusted.level,
        "confidence": counted(round(trusted.mean, 2), address("rules", rule.id) + "#confidence-over-time"),
        "decisions": counted(trusted.decisions, address("rules", rule.id) + "#outcomes"),
    }


def _trust(rule: Rule, trusted: RuleTrust) -> dict[str, Any]:
    return {
        "version": rule.version,
        "status": Status(rule.status),
        "level": trusted.level,
        "not higher because": trusted.because,
        "confidence": round(trusted.mean, 3),
        "lower bound": round(trusted.lower, 3),
        "decisions": counted(trusted.decisions, "#outcomes"),
        "drifted": trusted.drifted,
    }


def _definition(rule: Rule) -> list[Section]:
    pairs = [
        {"finds": _code(example.bad), "not": _code(example.good), "file": example.path}
        for example in rule.examples
    ]
    kept = [
        {"stays": _code(example.code), "reported at": example.source} for example in rule.counter_examples
    ]
    return [
        Section(
            title="What it finds",
            facts={
                "why": rule.rationale,
                "severity": Status(rule.severity),
                "category": rule.category,
                "languages": list(rule.language),
                "fix": _code(rule.fix) if rule.fix else "none: a person has to change it",
                "the fix is": rule.safety,
                "the fix needs": [name for name, _ in rule.requirements] or None,
                "the fix differs": rule.differs,
                "in other tools": [f"{tool}: {', '.join(names)}" for tool, names in rule.peers.items()]
                or None,
                "source": rule.source,
                "owner": rule.owner,
                "pack": rule.pack,
            },
        ),
        Section(title="Examples", rows=pairs, half=bool(kept)),
        *([Section(title="Counter-examples", rows=kept, half=True)] if kept else []),
    ]


def _occurrences(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"repository": repository_link(row["repository"])} | finding_rows(row["repository"], [dict(row)])[0]
        for row in found
    ]


def _code(value: Any) -> Code:
    return Code(value if isinstance(value, str) else visible_json(value))
