"""Votes on rules as files and rows: opening, casting and storing votes, and finalizing each consensus.

Votes close by the clock of the database. The rules of counting are in `consensus`.

The file of a vote also contains the outcomes of the rule since; they count after the vote has closed, too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field, model_validator
from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.evolution.sharing import consensus
from qflow_dagster.evolution.sharing.consensus import TYPE, Ballot, Decision, Outcomes
from qflow_dagster.evolution.sharing.instances import identity, trusted_keys
from qflow_dagster.evolution.sharing.rule_packages import (
    Digest,
    Fraction,
    Integer,
    Moment,
    PackageRefusedError,
    Signed,
    opened,
    sign,
)
from qflow_dagster.evolution.sharing.shared_stores import open_store
from qflow_dagster.evolution.sharing.tables import rule_votes
from qflow_dagster.quantumflow import NewWorkflow, create_workflows, transition
from qflow_dagster.settings import settings

VOTE_FORMAT = "qflow-rule-vote/1"
ACTOR = "rule consensus"
# A consensus of a rule: `r` is anything with rule_id and rule_digest.
_KEY = "r.rule_id || ' ' || encode(r.rule_digest, 'hex')"
_CLOSES = "w.updated_at + make_interval(secs => (w.payload->>'seconds')::float8)"


class VoteFile(Signed):
    """The file of an instance's vote on a rule, and its outcomes so far."""

    format: Literal["qflow-rule-vote/1"]
    rule_id: str = Field(pattern=r"^[a-z0-9]+(/[a-z0-9][a-z0-9-]*)+$", max_length=100)
    version: int = Field(ge=1, le=1_000_000_000)
    digest: Digest
    vote: consensus.Vote
    confidence: Fraction
    uses: Integer
    successes: Integer
    cast_at: Moment

    @model_validator(mode="after")
    def _fits(self) -> "VoteFile":
        if self.successes > self.uses:
            raise ValueError("more successes than uses")
        return self


class Subject(NamedTuple):
    """A rule that is voted on, or whose outcomes are still pooled; `closes_at` while it is voted on."""

    rule_id: str
    version: int
    digest: bytes
    state: str
    closes_at: datetime | None


class OwnVote(NamedTuple):
    """This instance's outcomes of a rule, and its vote from them."""

    rule_id: str
    version: int
    digest: bytes
    ballot: Ballot
    outcomes: Outcomes

    @classmethod
    def of(cls, subject: Subject, outcomes: Outcomes) -> "OwnVote":
        """Return the vote that follows from this instance's own outcomes."""
        return cls(subject.rule_id, subject.version, subject.digest, consensus.own_ballot(outcomes), outcomes)


class StoredVotes(NamedTuple):
    """The result of storing votes, by rule id: counted, or too late (then only their outcomes count)."""

    counted: list[str]
    late: list[str]


class ConsensusChange(NamedTuple):
    """A state change of a consensus."""

    rule_id: str
    digest: bytes
    state: str
    reason: str


def open_votes(connection: Connection, rules: Iterable[tuple[str, int, bytes]]) -> list[UUID]:
    """Open a vote on each rule (id, version, digest) that has had none; its duration starts now."""
    seconds = settings().evolution.voting
    new = [
        NewWorkflow(
            type=TYPE,
            key=f"{rule_id} {digest.hex()}",
            payload={"rule_id": rule_id, "version": version, "digest": digest.hex(), "seconds": seconds},
        )
        for rule_id, version, digest in rules
    ]
    return create_workflows(connection, new, actor=ACTOR) if new else []


def subjects(connection: Connection) -> list[Subject]:
    """Return the rules on which this instance should vote: neither rejected nor rolled back."""
    query = text(f"""
        SELECT w.payload->>'rule_id' AS rule_id, (w.payload->>'version')::int AS version,
               decode(w.payload->>'digest', 'hex') AS digest, w.status,
               CASE WHEN w.status = 'voting' THEN {_CLOSES} END AS closes_at
        FROM workflows w WHERE w.type = :type AND w.status IN ('voting', 'expired', 'agreed', 'promoted')
        ORDER BY w.id
    """)
    return [Subject(*row) for row in connection.execute(query, {"type": TYPE})]


def cast(connection: Connection, store: str | Path, votes: Sequence[OwnVote]) -> dict[str, str]:
    """Record this instance's votes and write changed ones to the store; return reasons of failures by rule id.

    Raises:
        QflowError: The store or the key of this instance cannot be used.
    """
    me, at = identity(), now(connection)
    files, rule_ids = {}, {}
    for vote in votes:
        body = {
            "format": VOTE_FORMAT,
            "rule_id": vote.rule_id,
            "version": vote.version,
            "digest": vote.digest.hex(),
            "vote": vote.ballot.vote,
            "confidence": round(vote.ballot.confidence, 4),
            **vote.outcomes._asdict(),
            "cast_at": at.isoformat(),
        }
        name = f"{me.instance.label}/{vote.rule_id}/{vote.version}-{vote.digest.hex()[:16]}.vote.json"
        files[name], rule_ids[name] = sign(body, me), vote.rule_id
    with open_store(store, connection.engine) as opened_store:
        existing = opened_store.get(list(files))
        unchanged = {
            name: content for name, content in existing.items() if same_but(files[name], content, "cast_at")
        }
        changed = {name: content for name, content in files.items() if name not in unchanged}
        problems = opened_store.put(changed) if changed else {}
    # After writing to the store, which may be slow: no lock is held. After an abort here, the file exists and is used.
    vote_files = [(VoteFile.model_validate(opened(raw)), raw, None) for raw in (files | unchanged).values()]
    store_votes(connection, vote_files, own=True)
    return {rule_ids[name]: reason for name, reason in problems.items()}


def store_votes(
    connection: Connection, votes: Sequence[tuple[VoteFile, bytes, str | None]], *, own: bool = False
) -> StoredVotes:
    """Store the newest vote per instance and rule, from (file, its bytes, who named its key).

    A vote that closed takes no more; one that expired without a decision is opened again.
    """
    newest: dict[tuple[bytes, bytes], tuple[VoteFile, bytes, str | None]] = {}
    for vote, raw, named_by in sorted(votes, key=lambda entry: entry[0].cast_at):
        newest[bytes.fromhex(vote.digest), vote.instance.instance.public_key] = vote, raw, named_by
    before = _cast_times(connection, newest)
    fresh = {k: entry for k, entry in newest.items() if k not in before or entry[0].cast_at > before[k]}
    if not fresh:
        return StoredVotes([], [])
    rules = _rules_here(connection, [digest for digest, _ in fresh])
    # A vote on a rule unknown here is read again when the rule is known; one that names the rule
    # wrongly, never.
    fresh = {k: entry for k, entry in fresh.items() if rules.get(k[0], ("",))[0] == entry[0].rule_id}
    voting = _voted_on(connection, [vote for vote, _, _ in fresh.values()], rules)
    rows = [
        {
            "rule_digest": digest,
            "public_key": key,
            "rule_id": vote.rule_id,
            "version": rules[digest][1],
            "instance": vote.instance.instance.label,
            "own": own,
            "named_by": named_by,
            "vote": vote.vote,
            "confidence": vote.confidence,
            "uses": vote.uses,
            "successes": vote.successes,
            "signed": raw,
            "cast_at": vote.cast_at,
        }
        for (digest, key), (vote, raw, named_by) in sorted(fresh.items(), key=lambda one: one[0])
    ]
    counted = [row for row in rows if row["rule_digest"] in voting]
    late = [row for row in rows if row["rule_digest"] not in voting]
    _store(connection, counted, "vote", "confidence")
    _store(connection, [{**row, "vote": "abstain", "confidence": 0.0} for row in late])
    return StoredVotes([row["rule_id"] for row in counted], [row["rule_id"] for row in late])


def finalize(connection: Connection) -> list[ConsensusChange]:
    """Close the votes whose time is over by the database's clock, and promote or roll back by pooled outcomes."""
    closing = text(f"""
        SELECT w.id, w.payload->>'rule_id' AS rule_id, decode(w.payload->>'digest', 'hex') AS digest, w.status
        FROM workflows w WHERE w.type = :type AND (w.status IN ('agreed', 'promoted')
            OR w.status = 'voting' AND {_CLOSES} <= statement_timestamp())
        ORDER BY w.id FOR UPDATE SKIP LOCKED
    """)
    due = connection.execute(closing, {"type": TYPE}).all()
    if not due:
        return []
    ballots = _ballots(connection, [row.digest for row in due if row.status == "voting"])
    reports = pooled(connection, [row.digest for row in due if row.status != "voting"])
    by_state: dict[str, list[tuple[Any, Decision]]] = {}
    for row in due:
        if row.status == "voting":
            decision = consensus.count(ballots.get(row.digest, []))
        else:
            decision = consensus.next_state(row.status, reports.get(row.digest, []))
        if decision is not None:
            by_state.setdefault(decision.state, []).append((row, decision))
    for state, group in by_state.items():
        results = [{"reason": decision.reason} for _, decision in group]
        transition(connection, [row.id for row, _ in group], state, actor=ACTOR, results=results)
    return [
        ConsensusChange(row.rule_id, row.digest, state, decision.reason)
        for state, group in by_state.items()
        for row, decision in group
    ]


def pooled(connection: Connection, digests: Collection[bytes]) -> dict[bytes, list[Outcomes]]:
    """Return the latest outcomes of these rules from each trusted instance and this one."""
    query = text("""
        SELECT DISTINCT ON (rule_digest, public_key) rule_digest, uses, successes FROM (
            SELECT rule_digest, public_key, uses, successes, published_at AS at FROM rule_imports
            WHERE named_by IS NOT NULL OR public_key = ANY(:trusted)
            UNION ALL
            SELECT rule_digest, public_key, uses, successes, cast_at FROM rule_votes
            WHERE own OR named_by IS NOT NULL OR public_key = ANY(:trusted)
        ) AS said WHERE rule_digest = ANY(:digests) AND uses > 0
        ORDER BY rule_digest, public_key, at DESC
    """)
    by_digest: dict[bytes, list[Outcomes]] = {}
    parameters = {"trusted": list(trusted_keys()), "digests": list(digests)}
    for row in connection.execute(query, parameters):
        by_digest.setdefault(bytes(row.rule_digest), []).append(Outcomes(row.uses, row.successes))
    return by_digest


def quarantined(connection: Connection) -> set[bytes]:
    """Return digests of quarantined rules: imported without an agreement, or rolled back."""
    query = text(f"""
        SELECT r.rule_digest FROM rule_imports r
        LEFT JOIN workflows w ON w.type = :type AND w.key = {_KEY}
        GROUP BY r.rule_digest
        HAVING NOT bool_and(r.was_here) AND NOT coalesce(bool_or(w.status = ANY(:gating)), false)
        UNION
        SELECT decode(payload->>'digest', 'hex') FROM workflows WHERE type = :type AND status = 'rolled_back'
    """)
    rows = connection.scalars(query, {"type": TYPE, "gating": list(consensus.MAY_GATE)})
    return {bytes(digest) for digest in rows}


def same_but(own: bytes, existing: bytes, at: str) -> bool:
    """Return whether a file at the path of ours is ours and equal except for its time `at`."""
    try:
        left, right = opened(own), opened(existing)
    except PackageRefusedError:
        return False
    return all(left.get(n) == right.get(n) for n in (left.keys() | right.keys()) - {at, "signature"})


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    return connection.execute(select(func.clock_timestamp())).scalar_one()


def _cast_times(
    connection: Connection, keys: Collection[tuple[bytes, bytes]]
) -> dict[tuple[bytes, bytes], datetime]:
    """Return when the stored votes of these keys (rule, instance) were cast."""
    query = text("""
        SELECT v.rule_digest, v.public_key, v.cast_at FROM rule_votes v
        JOIN unnest(CAST(:digests AS bytea[]), CAST(:keys AS bytea[])) AS given(digest, key)
          ON v.rule_digest = given.digest AND v.public_key = given.key
    """)
    parameters = {"digests": [digest for digest, _ in keys], "keys": [key for _, key in keys]}
    return {(bytes(d), bytes(k)): at for d, k, at in connection.execute(query, parameters)}


def _rules_here(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, tuple[str, int, bool]]:
    """Return id, version, and whether votes are accepted, of the rules imported or published here."""
    query = text("""
        SELECT rule_digest, rule_id, version, bool_or(votable) FROM (
            SELECT rule_digest, rule_id, version, NOT was_here AS votable FROM rule_imports
            UNION SELECT rule_digest, rule_id, version, origin <> 'shipped' FROM rule_publications
        ) AS heard WHERE rule_digest = ANY(:digests) GROUP BY rule_digest, rule_id, version
    """)
    rows = connection.execute(query, {"digests": list(digests)})
    return {bytes(digest): (rule_id, version, votable) for digest, rule_id, version, votable in rows}


def _voted_on(
    connection: Connection, votes: Sequence[VoteFile], known: Mapping[bytes, tuple[str, int, bool]]
) -> set[bytes]:
    """Return the rules of these votes with an open vote, after reopening expired votes on them.

    Holds the locks of their consensus until the transaction ends: no other process closes it meanwhile.
    """
    parameters = {"type": TYPE, "keys": [f"{vote.rule_id} {vote.digest}" for vote in votes]}
    lock = text("""
        SELECT id, decode(payload->>'digest', 'hex') AS digest, status FROM workflows
        WHERE type = :type AND key = ANY(:keys) ORDER BY id FOR UPDATE
    """)
    connection.execute(lock, parameters)
    finalize(connection)
    by_digest = {bytes(row.digest): row for row in connection.execute(lock, parameters)}
    decided = {bytes.fromhex(vote.digest) for vote in votes if vote.vote != "abstain"}
    again = {digest for digest in decided & by_digest.keys() if by_digest[digest].status == "expired"}
    if again:
        transition(connection, sorted(by_digest[digest].id for digest in again), "voting", actor=ACTOR)
    # The vote was opened with the rule, but one that ended long ago may have been pruned.
    pruned = sorted(digest for digest in decided - by_digest.keys() if known[digest][2])
    open_votes(connection, [(known[digest][0], known[digest][1], digest) for digest in pruned])
    return again.union(pruned, (digest for digest, row in by_digest.items() if row.status == "voting"))


def _store(connection: Connection, rows: Sequence[dict[str, Any]], *ballot: str) -> None:
    """Upsert rows into `rule_votes` if they are newer; of the ballot, only the named columns are updated."""
    if not rows:
        return
    statement = insert(rule_votes)
    replaced = ("instance", "named_by", "uses", "successes", "signed", "cast_at", *ballot)
    statement = statement.on_conflict_do_update(
        index_elements=["rule_digest", "public_key"],
        set_={name: statement.excluded[name] for name in replaced} | {"received_at": func.clock_timestamp()},
        where=statement.excluded.cast_at > rule_votes.c.cast_at,
    )
    connection.execute(statement, rows)


def _ballots(connection: Connection, digests: Collection[bytes]) -> dict[bytes, list[Ballot]]:
    """Return the votes on these rules that count: of this instance, and of those trusted now."""
    table = rule_votes.c
    query = select(table.rule_digest, table.vote, table.confidence).where(
        table.rule_digest.in_(digests),
        table.own | table.named_by.is_not(None) | table.public_key.in_(trusted_keys()),
    )
    by_digest: dict[bytes, list[Ballot]] = {}
    for row in connection.execute(query):
        by_digest.setdefault(bytes(row.rule_digest), []).append(Ballot(row.vote, row.confidence))
    return by_digest
