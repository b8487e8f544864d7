"""Importing rules of trusted instances, and the priors that follow from their evidence.

A package is acknowledged by its row, in the transaction that stores it: after an abort it is imported
again. A refused file is not stored, and is read again the next time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.database.locks import lock
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.sharing.instances import Instance, identity, trusted_keys
from qflow_dagster.evolution.sharing.rule_packages import (
    Package,
    PackageRefusedError,
    Sender,
    digest_of,
    opened,
    read,
    refusals,
)
from qflow_dagster.evolution.sharing.shared_stores import open_store
from qflow_dagster.evolution.sharing.tables import rule_imports, rule_votes
from qflow_dagster.evolution.sharing.votes import VOTE_FORMAT, StoredVotes, VoteFile
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Lock, Queue
from qflow_dagster.settings import settings


class Refusal(NamedTuple):
    """A file that was not imported, and the reason in one line."""

    name: str
    reason: str


class ImportedRule(NamedTuple):
    """A rule that another instance published.

    The rule is on trial, whatever its status on the publishing instance. `prior` are the decisions
    (accepted, denied) of this package alone, with our discount.
    """

    rule: Rule
    instance: Instance
    package: Package
    was_here: bool
    prior: tuple[float, float]


@dataclass
class RuleImportResult:
    """The results for the files of a store: `known` were imported before, `own` are ours."""

    imported: list[ImportedRule] = field(default_factory=list)
    known: int = 0
    own: int = 0
    votes: StoredVotes = field(default_factory=lambda: StoredVotes([], []))
    refused: list[Refusal] = field(default_factory=list)


class _Opened(NamedTuple):
    """A file whose signature is that of a trusted instance."""

    name: str
    raw: bytes
    data: dict[str, Any]
    named_by: str | None


class _Fresh(NamedTuple):
    file: _Opened
    package: Package


def import_packages(
    connection: Connection,
    store: str | Path,
    *,
    trust: Sequence[str] = (),
    actor: str,
    rules: Iterable[Rule] | None = None,
) -> RuleImportResult:
    """Import rules with their evidence, and votes, of other instances from a store or a single file.

    Only those of instances whose key is trusted: by `QFLOW_EVOLUTION_TRUSTED`, or named in `trust` by `actor`.
    `rules` are this instance's own (default: those of the packs). Concurrent imports are safe; each
    package is imported once.

    Raises:
        QflowError: The store cannot be used, or a key in `trust` is invalid.
    """
    report, at = RuleImportResult(), votes.now(connection)
    own_rules = {rule.id: rule for rule in (load_rules() if rules is None else rules)}
    packages: dict[bytes, _Opened] = {}
    ballots: list[tuple[VoteFile, bytes, str | None]] = []
    for file in _of_trusted(connection, store, trusted_keys(trust, by=actor), report):
        if file.data.get("format") != VOTE_FORMAT:
            packages[digest_of(file.raw)] = file
            continue
        try:
            ballots.append((read(file.data, VoteFile, at, "cast_at"), file.raw, file.named_by))
        except PackageRefusedError as refusal:
            report.refused.append(Refusal(file.name, str(refusal)))
    fresh = _fresh(connection, packages, at, report)
    sound = []
    for one, refusal in zip(fresh, refusals([one.package.rule for one in fresh], own_rules), strict=True):
        if refusal:
            report.refused.append(Refusal(one.file.name, refusal))
        else:
            sound.append(one)
    # Importers store one after the other, so that each sees the rows of the previous one, without deadlocks.
    lock(connection, Lock.RULE_IMPORTS)
    report.imported = _store(connection, str(store), sound, {rule.digest for rule in own_rules.values()})
    report.known += len(sound) - len(report.imported)
    report.votes = votes.store_votes(connection, ballots)
    return report


def imported_rules(connection: Connection) -> list[ImportedRule]:
    """Return all imported rules, each from its newest package, by rule id."""
    table = rule_imports.c
    query = (
        select(table.package, table.was_here)
        .distinct(table.rule_digest)
        .order_by(table.rule_digest, table.published_at.desc(), table.id.desc())
    )
    rules = [
        _imported(Package.model_validate(opened(bytes(row.package))), row.was_here)
        for row in connection.execute(query)
    ]
    return sorted(rules, key=lambda imported: imported.rule.key)


def imported_priors(connection: Connection) -> dict[tuple[str, bytes], tuple[float, float]]:
    """Return pseudo-counts (accepted, denied) by (rule id, digest), pooled over the instances trusted now.

    Each instance contributes once, with its newest package.
    """
    table = rule_imports.c
    query = (
        select(table.rule_id, table.rule_digest, table.accepted, table.denied)
        .distinct(table.rule_digest, table.public_key)
        .where(table.named_by.is_not(None) | table.public_key.in_(trusted_keys()))
        .order_by(table.rule_digest, table.public_key, table.published_at.desc(), table.id.desc())
    )
    counts_by_rule: dict[tuple[str, bytes], list[tuple[float, float]]] = {}
    for row in connection.execute(query):
        counts_by_rule.setdefault((row.rule_id, bytes(row.rule_digest)), []).append(
            (row.accepted, row.denied)
        )
    evolution = settings().evolution
    return {
        rule: prior(counts, evolution.prior_discount, evolution.prior_limit)
        for rule, counts in counts_by_rule.items()
    }


def prior(counts: Iterable[tuple[float, float]], discount: float, limit: float) -> tuple[float, float]:
    """Combine (accepted, denied) of several instances to a prior: discounted, at most `limit` decisions in total.

    The limit applies to each instance and to the total, so that a large instance does not dominate.
    """
    capped = [_capped(accepted * discount, denied * discount, limit) for accepted, denied in counts]
    return _capped(sum(a for a, _ in capped), sum(d for _, d in capped), limit)


def distrust(connection: Connection, fingerprint: str, *, actor: str) -> int:
    """Revoke trust in an instance that was named by a person; return the number of files that count no more.

    Its rules stay and remain quarantined: without the rows they would look like rules of our own.

    Raises:
        UsageError: No person named the key, or the settings trust it too.
    """
    if any(Instance("", key).fingerprint == fingerprint for key in trusted_keys()):
        raise UsageError(
            f"{fingerprint} is trusted by QFLOW_EVOLUTION_TRUSTED: take its key out of there first"
        )
    ended = 0
    for table in (rule_imports, rule_votes):
        vouched = table.c.named_by.is_not(None)
        public_keys = connection.scalars(select(table.c.public_key).where(vouched).distinct())
        keys = [bytes(key) for key in public_keys if Instance("", bytes(key)).fingerprint == fingerprint]
        ended += connection.execute(
            update(table).where(vouched, table.c.public_key.in_(keys)).values(named_by=None)
        ).rowcount
    if not ended:
        raise UsageError(f"nothing was taken in of {fingerprint} because somebody vouched for it")
    send_with_notify(
        connection,
        Queue.RULE_NOTIFICATIONS,
        [{"type": "trust_withdrawn", "instance": fingerprint, "actor": actor, "ended": ended}],
    )
    return ended


def _of_trusted(
    connection: Connection, store: str | Path, trusted: Mapping[bytes, str | None], report: RuleImportResult
) -> Iterable[_Opened]:
    """Return the files in the store that trusted instances signed; the report counts the others."""
    me = identity().instance.public_key
    with open_store(store, connection.engine) as opened_store:
        for file in opened_store.read():
            try:
                if file.problem:
                    raise PackageRefusedError(file.problem)
                data = opened(file.content)
                sender = Sender.model_validate(data["instance"]).instance
                if sender.public_key == me:
                    report.own += 1
                elif sender.public_key not in trusted:
                    raise PackageRefusedError(f"{sender.label} is not trusted; its key is {sender.key}")
                else:
                    yield _Opened(file.name, file.content, data, trusted[sender.public_key])
            except PackageRefusedError as refusal:
                report.refused.append(Refusal(file.name, str(refusal)))


def _fresh(
    connection: Connection, packages: Mapping[bytes, _Opened], at: datetime, report: RuleImportResult
) -> list[_Fresh]:
    """Return the packages to import, the newest per instance and rule; older ones are replays."""
    column = rule_imports.c.package_digest
    imported = {bytes(digest) for digest in connection.scalars(select(column).where(column.in_(packages)))}
    report.known += len(imported)
    packages_read: list[_Fresh] = []
    for digest in packages.keys() - imported:
        file = packages[digest]
        try:
            packages_read.append(_Fresh(file, read(file.data, Package, at, "published_at")))
        except PackageRefusedError as refusal:
            report.refused.append(Refusal(file.name, str(refusal)))
    newest = _newest(connection, [candidate.package.rule.digest for candidate in packages_read])
    fresh = []
    for candidate in sorted(
        packages_read, key=lambda candidate: candidate.package.published_at, reverse=True
    ):
        key = candidate.package.rule.digest, candidate.package.instance.instance.public_key
        if key in newest and newest[key] >= candidate.package.published_at:
            reason = f"a newer one of {candidate.package.instance.instance.label} is there or was imported"
            report.refused.append(Refusal(candidate.file.name, reason))
            continue
        newest[key] = candidate.package.published_at
        fresh.append(candidate)
    return fresh


def _newest(connection: Connection, digests: Sequence[bytes]) -> dict[tuple[bytes, bytes], datetime]:
    table = rule_imports.c
    query = (
        select(table.rule_digest, table.public_key, func.max(table.published_at))
        .where(table.rule_digest.in_(digests))
        .group_by(table.rule_digest, table.public_key)
    )
    return {(bytes(digest), bytes(key)): at for digest, key, at in connection.execute(query)}


def _store(
    connection: Connection, store: str, fresh: Sequence[_Fresh], here: set[bytes]
) -> list[ImportedRule]:
    """Store packages that are not stored yet, open votes on rules that are new here, and notify of them."""
    if not fresh:
        return []
    by_digest = {digest_of(imported.file.raw): imported for imported in fresh}
    rows = [_row(digest, by_digest[digest], store, here) for digest in sorted(by_digest)]
    statement = insert(rule_imports).on_conflict_do_nothing(index_elements=["package_digest"])
    statement = statement.returning(rule_imports.c.package_digest, rule_imports.c.was_here)
    stored = {bytes(digest): was_here for digest, was_here in connection.execute(statement, rows)}
    rules = [_imported(by_digest[digest].package, was_here) for digest, was_here in stored.items()]
    new = {imported.rule.digest: imported.rule for imported in rules if not imported.was_here}
    votes.open_votes(connection, [(rule.id, rule.version, digest) for digest, rule in sorted(new.items())])
    messages = [
        {
            "type": "rule_imported",
            "rule_id": imported.rule.id,
            "version": imported.rule.version,
            "digest": imported.package.digest,
            "instance": imported.instance.label,
            "origin": imported.package.origin,
            "confidence": imported.package.confidence.lower,
            "was_here": imported.was_here,
            "store": store,
        }
        for imported in rules
    ]
    if messages:
        send_with_notify(connection, Queue.RULE_NOTIFICATIONS, messages)
    return sorted(rules, key=lambda imported: imported.rule.key)


def _row(digest: bytes, file_package: _Fresh, store: str, here: set[bytes]) -> dict[str, Any]:
    package = file_package.package
    instance = package.instance.instance
    return {
        "package_digest": digest,
        "rule_id": package.rule.id,
        "version": package.rule.version,
        "rule_digest": package.rule.digest,
        "public_key": instance.public_key,
        "instance": instance.label,
        "named_by": file_package.file.named_by,
        "was_here": package.rule.digest in here,
        "accepted": package.evidence.accepted,
        "denied": package.evidence.denied,
        "uses": package.evidence.uses,
        "successes": package.evidence.successes,
        "confidence_mean": package.confidence.mean,
        "confidence_lower": package.confidence.lower,
        "package": file_package.file.raw,
        "store": store,
        "published_at": package.published_at,
    }


def _imported(package: Package, was_here: bool) -> ImportedRule:
    evolution, evidence = settings().evolution, package.evidence
    worth = prior([(evidence.accepted, evidence.denied)], evolution.prior_discount, evolution.prior_limit)
    rule = package.rule.model_copy(update={"status": "trial"})
    return ImportedRule(rule, package.instance.instance, package, was_here, worth)


def _capped(accepted: float, denied: float, limit: float) -> tuple[float, float]:
    shrink = min(1.0, limit / (accepted + denied)) if accepted + denied else 1.0
    return accepted * shrink, denied * shrink
