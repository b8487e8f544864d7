"""Publishing rules with their evidence to a shared store: selection, and removal of private content.

The file is written first, then the row and the message: after an abort in between, the next call finds the
file and does the rest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.evolution.rules import Example, Rule, load_rules
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.sharing.instances import Identity, Instance, identity
from qflow_dagster.evolution.sharing.rule_packages import (
    PACKAGE_FORMAT,
    Evidence,
    Origin,
    Package,
    PackageRefusedError,
    digest_of,
    opened,
    read,
    refusals,
    rule_data,
    sign,
)
from qflow_dagster.evolution.sharing.shared_stores import open_store
from qflow_dagster.evolution.sharing.tables import rule_publications
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue

THRESHOLD = 0.85
# Rules of these statuses are published.
PUBLISHED = ("trial", "active")
# Origins whose examples, reasons and names come from repositories, not from the author of a pack.
FROM_REPOSITORIES = ("mined", "variant")
_VARIABLE = re.compile(r"\$\$\$([A-Z_][A-Z0-9_]*)|\$([A-Z_][A-Z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class Publishable:
    """A rule with this instance's evidence, which has the fields of `rule_packages.Evidence`."""

    rule: Rule
    confidence_mean: float
    confidence_lower: float
    evidence: Mapping[str, Any]
    # By default it is treated as if it had come from a repository.
    origin: Origin = "mined"
    # Of an imported rule: fingerprints of the instances it came through.
    chain: tuple[str, ...] = ()


class PublishedRule(NamedTuple):
    """A rule id or file name, and what happened to it."""

    subject: str
    message: str


@dataclass
class PublicationResult:
    """The result for each rule to publish; `published` names the files."""

    published: list[PublishedRule] = field(default_factory=list)
    skipped: list[PublishedRule] = field(default_factory=list)
    failed: list[PublishedRule] = field(default_factory=list)


def publish(
    connection: Connection,
    store: str | Path,
    rules: Iterable[Publishable],
    *,
    threshold: float = THRESHOLD,
    limit: int = 10,
    include_examples: bool = False,
) -> PublicationResult:
    """Publish the rules whose confidence (lower bound) reaches the threshold, at most `limit`, highest first.

    A rule that was published before is published again whatever its confidence is now, so that others get
    the update; an unchanged package is not. Examples of rules from repositories are replaced by
    synthetic ones unless `include_examples`.

    Raises:
        QflowError: The store or the key of this instance cannot be used.
    """
    report, me, at = PublicationResult(), identity(), votes.now(connection)
    before = set(connection.scalars(select(rule_publications.c.rule_digest).distinct()))
    selected: list[Publishable] = []
    for candidate in sorted(rules, key=lambda candidate: -candidate.confidence_lower):
        if candidate.rule.status not in PUBLISHED:
            report.skipped.append(PublishedRule(candidate.rule.id, f"it is {candidate.rule.status}"))
        elif candidate.confidence_lower < threshold and candidate.rule.digest not in before:
            reason = f"its confidence is at least {candidate.confidence_lower:.2f}, {threshold:.2f} is needed"
            report.skipped.append(PublishedRule(candidate.rule.id, reason))
        else:
            selected.append(candidate)
    outgoing = [
        candidate.rule if include_examples else private(candidate.rule, candidate.origin, me.instance)
        for candidate in selected
    ]
    known_rules = {rule.id: rule for rule in (*load_rules(), *(candidate.rule for candidate in selected))}
    files: dict[str, tuple[Publishable, bytes]] = {}
    for candidate, rule, refusal in zip(selected, outgoing, refusals(outgoing, known_rules), strict=True):
        if refusal:
            report.failed.append(PublishedRule(candidate.rule.id, f"others would refuse it: {refusal}"))
            continue
        try:
            raw = sign(_body(candidate, rule, at), me)
            read(opened(raw), Package, at, "published_at")
        except (PackageRefusedError, ValidationError) as error:
            report.failed.append(PublishedRule(candidate.rule.id, " ".join(str(error).split())[:300]))
            continue
        files[f"{me.instance.label}/{rule.id}/{rule.version}-{rule.digest.hex()[:16]}.json"] = candidate, raw
    with open_store(store, connection.engine) as opened_store:
        existing = opened_store.get(list(files))
        unchanged = {
            name for name in existing if votes.same_but(files[name][1], existing[name], "published_at")
        }
        changed = [name for name in files if name not in unchanged]
        for name in changed[limit:]:
            report.skipped.append(PublishedRule(files[name][0].rule.id, f"{limit} are published at a time"))
        problems = opened_store.put({name: files[name][1] for name in changed[:limit]}) if changed else {}
    written = [name for name in changed[:limit] if name not in problems]
    _record(
        connection,
        str(store),
        me,
        [(n, files[n][0], files[n][1]) for n in written]
        + [(name, files[name][0], existing[name]) for name in sorted(unchanged)],
    )
    report.published += [PublishedRule(files[name][0].rule.id, name) for name in written]
    report.skipped += [
        PublishedRule(files[name][0].rule.id, "nothing has changed since") for name in sorted(unchanged)
    ]
    report.failed += [PublishedRule(files[name][0].rule.id, reason) for name, reason in problems.items()]
    return report


def private(rule: Rule, origin: Origin, instance: Instance) -> Rule:
    """Return the rule without private content of its repositories: examples, source, reasons, owner.

    Its matcher and its fix stay. What its digest covers is not changed.
    """
    if origin not in FROM_REPOSITORIES:
        return rule
    return rule.model_copy(
        update={
            "examples": (made_up_example(rule),),
            "rationale": "Made of changes that people accepted in repositories of the instance that published it.",
            "source": f"{origin} by {instance.label}",
            "owner": instance.label,
        }
    )


def made_up_example(rule: Rule) -> Example:
    """Return an example made from the rule's pattern, with synthetic names for its metavariables.

    The rule may not match it, if it is more than a pattern; then the rule is not published without examples.
    """
    pattern = rule.matcher.ast_grep.rule.get("pattern") if rule.matcher.ast_grep else None
    bad, good = (_filled(str(pattern or "")), _filled(rule.fix or ""))
    return Example(bad=f"{bad}\n", good=f"{good}\n")


def _filled(template: str) -> str:
    return _VARIABLE.sub(lambda name: f"x_{(name[1] or name[2]).lower()}", template)


def _body(candidate: Publishable, rule: Rule, at: datetime) -> dict[str, Any]:
    evidence = Evidence.model_validate(dict(candidate.evidence))
    # Decay changes the last digits every day; that alone is not an update.
    counts = {"accepted": round(evidence.accepted, 1), "denied": round(evidence.denied, 1)}
    return {
        "format": PACKAGE_FORMAT,
        "rule": rule_data(rule),
        "digest": rule.digest.hex(),
        "evidence": evidence.model_copy(update=counts).model_dump(mode="json"),
        "confidence": {
            "mean": round(candidate.confidence_mean, 3),
            "lower": round(candidate.confidence_lower, 3),
        },
        "origin": candidate.origin,
        "chain": list(candidate.chain),
        "tool": f"qflow-dagster {version('qflow-dagster')}",
        "published_at": at.isoformat(),
    }


def _record(
    connection: Connection, store: str, me: Identity, files: Sequence[tuple[str, Publishable, bytes]]
) -> None:
    """Record the packages in the store, and notify of those that were not recorded before."""
    rows = []
    for name, candidate, raw in sorted(files, key=lambda file: digest_of(file[2])):
        package = Package.model_validate(opened(raw))
        rows.append(
            {
                "rule_id": candidate.rule.id,
                "version": candidate.rule.version,
                "rule_digest": candidate.rule.digest,
                "package_digest": digest_of(raw),
                "store": store,
                "name": name,
                "origin": candidate.origin,
                "confidence_mean": package.confidence.mean,
                "confidence_lower": package.confidence.lower,
                "evidence": package.evidence.model_dump(mode="json"),
                "published_at": package.published_at,
            }
        )
    if not rows:
        return
    statement = insert(rule_publications).on_conflict_do_nothing()
    statement = statement.returning(rule_publications.c.package_digest)
    new = {bytes(digest) for digest in connection.execute(statement, rows).scalars()}
    # Rules that every instance ships need no vote.
    votes.open_votes(
        connection,
        [
            (row["rule_id"], row["version"], row["rule_digest"])
            for row in rows
            if row["package_digest"] in new and row["origin"] != "shipped"
        ],
    )
    messages = [
        {
            "type": "rule_published",
            "rule_id": row["rule_id"],
            "version": row["version"],
            "digest": row["rule_digest"].hex(),
            "instance": me.instance.label,
            "origin": row["origin"],
            "confidence": row["confidence_lower"],
            "evidence": row["evidence"],
            "store": store,
            "published_at": row["published_at"].isoformat(),
        }
        for row in rows
        if row["package_digest"] in new
    ]
    if messages:
        send_with_notify(connection, Queue.RULE_NOTIFICATIONS, messages)
