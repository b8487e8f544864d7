"""Requests that nobody typed: file types nobody knows, rules people keep refusing.

Belongs here: when such a request is raised, and what its answer leads to in our tables. Does not
belong here: finding the answer (`tickets`).
"""

from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.execution import work_items
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import requests, tickets

SOURCE = "knowledge listener"
# More than so many files of a type make it worth knowing; so many types at a time.
LEAST_FILES, MOST_TYPES = 5, 20

_UNKNOWN = text(f"""
SELECT extension, count(*) AS files, min(path) AS example FROM (
    SELECT f.path, lower(substring(f.path FROM '[^/]\\.([A-Za-z0-9_+-]{{1,16}})$')) AS extension
    FROM files f JOIN blobs b ON b.id = f.blob_id
    WHERE {IN_SNAPSHOT} AND b.language = '' AND NOT b.binary AND b.lfs_bytes IS NULL
      AND NOT f.vendored AND NOT f.generated
) AS unknown WHERE extension IS NOT NULL
GROUP BY extension HAVING count(*) > :least ORDER BY files DESC, extension LIMIT :most
""")
_REFUSED = text("""
SELECT rule_id, sum(refused)::int AS refused, sum(kept)::int AS kept FROM (
    SELECT rule_id, count(*) FILTER (WHERE state = 'suppressed') AS refused,
           count(*) FILTER (WHERE state = 'fixed') AS kept
    FROM findings WHERE repository_id = :id GROUP BY rule_id
    UNION ALL
    SELECT rule_id, count(*) FILTER (WHERE outcome IN ('denied', 'reverted')),
           count(*) FILTER (WHERE outcome = 'accepted')
    FROM candidates WHERE repository_id = :id GROUP BY rule_id
) AS decided GROUP BY rule_id HAVING sum(refused) >= :least AND sum(refused) > :share * (sum(refused) + sum(kept))
""")


def raise_requests(connection: Connection, snapshot: Snapshot) -> list[UUID]:
    """Raise what the snapshot and its decisions give reason for; what was raised before is not raised again."""
    wanted = []
    for row in connection.execute(_UNKNOWN, {**snapshot.interval, "least": LEAST_FILES, "most": MOST_TYPES}):
        payload = {
            "pattern_type": "file type",
            "extension": row.extension,
            "files": row.files,
            "example": row.example,
        }
        wanted.append(("pattern", f"pattern:file_type:{snapshot.repository}:{row.extension}", payload))
    limits = {"id": snapshot.repository_id, "least": tickets.LEAST_REFUSALS, "share": tickets.LEAST_SHARE}
    for row in connection.execute(_REFUSED, limits):
        payload = {"rule": row.rule_id, "refused": row.refused, "kept": row.kept}
        wanted.append(("anti_pattern", f"anti_pattern:{snapshot.repository}:{row.rule_id}", payload))
    keys = [key[: requests.MAX_KEY_LENGTH] for _, key, _ in wanted]
    known = set(
        connection.scalars(
            text("SELECT external_key FROM knowledge_requests WHERE external_key = ANY(:keys)"),
            {"keys": keys},
        )
    )
    return [
        requests.enqueue(connection, kind, payload, source=SOURCE, repository=snapshot.repository, key=key)
        for (kind, _, payload), key in zip(wanted, keys, strict=True)
        if key not in known
    ]


def flag(connection: Connection) -> int:
    """Make work of rules found to be wrong here; returns how many. A rule is flagged once per repository."""
    taken = requests.take_follow_ups(connection, "flag")
    for one in taken:
        rule = one.payload["rule"]
        repository_id = repositories.find(connection, one.repository).id if one.repository else None
        item = NewItem(
            level="feature",
            title=f"{rule} is often wrong here: narrow it, or switch it off",
            description=f"{one.payload.get('refused')} decisions were against it.",
            source="text",
            kind="enabler",
            repository_id=repository_id,
            key=f"flag:{one.repository}:{rule}",
        )
        work_items.create(connection, [item], actor=SOURCE)
    return len(taken)
