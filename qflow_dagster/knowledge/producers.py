"""Requests that the system raises itself: unknown file types, rules that people keep refusing.

Belongs here: when such a request is raised, and the effect of its answer on our tables. Does not
belong here: finding the answer (`tickets`).
"""

from uuid import UUID

from sqlalchemy import Connection, select, text

from qflow_dagster.execution import work_items
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import requests, tickets
from qflow_dagster.knowledge.tables import knowledge_requests

SOURCE = "knowledge listener"
# File types with more files than this are asked about, at most so many types at a time.
MIN_FILES, MAX_TYPES = 5, 20

_UNKNOWN = text(f"""
SELECT extension, count(*) AS files, min(path) AS example FROM (
    SELECT f.path, lower(substring(f.path FROM '[^/]\\.([A-Za-z0-9_+-]{{1,16}})$')) AS extension
    FROM files f JOIN blobs b ON b.id = f.blob_id
    WHERE {IN_SNAPSHOT} AND b.language = '' AND NOT b.binary AND NOT b.missing AND b.lfs_bytes IS NULL
      AND NOT f.vendored AND NOT f.generated
) AS unknown WHERE extension IS NOT NULL
GROUP BY extension HAVING count(*) > :min_files ORDER BY files DESC, extension LIMIT :max_types
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
) AS decided GROUP BY rule_id HAVING sum(refused) >= :min_refusals
  AND sum(refused) > :share * (sum(refused) + sum(kept))
""")


def raise_requests(connection: Connection, snapshot: Snapshot) -> list[UUID]:
    """Raise the requests that the snapshot and its decisions give reason for, each once; return their ids."""
    candidates = []
    for row in connection.execute(
        _UNKNOWN, {**snapshot.interval, "min_files": MIN_FILES, "max_types": MAX_TYPES}
    ):
        payload = {
            "pattern_type": "file type",
            "extension": row.extension,
            "files": row.files,
            "example": row.example,
        }
        candidates.append(("pattern", f"pattern:file_type:{snapshot.repository}:{row.extension}", payload))
    limits = {"id": snapshot.repository_id, "min_refusals": tickets.MIN_REFUSALS, "share": tickets.MIN_SHARE}
    for row in connection.execute(_REFUSED, limits):
        payload = {"rule": row.rule_id, "refused": row.refused, "kept": row.kept}
        candidates.append(("anti_pattern", f"anti_pattern:{snapshot.repository}:{row.rule_id}", payload))
    keys = [key[: requests.MAX_KEY_LENGTH] for _, key, _ in candidates]
    existing = set(
        connection.scalars(
            select(knowledge_requests.c.external_key).where(knowledge_requests.c.external_key.in_(keys))
        )
    )
    return [
        requests.enqueue(connection, kind, payload, source=SOURCE, repository=snapshot.repository, key=key)
        for (kind, _, payload), key in zip(candidates, keys, strict=True)
        if key not in existing
    ]


def flag(connection: Connection) -> int:
    """Create work items for rules found to be wrong here, once per rule and repository; return how many."""
    follow_ups = requests.claim_follow_ups(connection, "flag")
    for follow_up in follow_ups:
        rule = follow_up.payload["rule"]
        repository_id = (
            repositories.find(connection, follow_up.repository).id if follow_up.repository else None
        )
        item = NewItem(
            level="feature",
            title=f"{rule} is often wrong here: narrow it, or switch it off",
            description=f"{follow_up.payload.get('refused')} decisions were against it.",
            source="text",
            kind="enabler",
            repository_id=repository_id,
            key=f"flag:{follow_up.repository}:{rule}",
        )
        work_items.create(connection, [item], actor=SOURCE)
    return len(follow_ups)
