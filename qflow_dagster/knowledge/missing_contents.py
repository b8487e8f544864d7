"""Files whose contents a clone lacks: in a partial clone, or a damaged one. Nothing in them is found.

Belongs here: which files these are. Does not belong here: files that are not read as code (`mentions`), files with
errors of syntax (`syntax_errors`).
"""

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot


def paths(connection: Connection, snapshot: Snapshot) -> list[str]:
    """Return the files of a snapshot whose contents were missing when it was ingested."""
    query = text(f"""
        SELECT f.path FROM files f JOIN blobs b ON b.id = f.blob_id WHERE {IN_SNAPSHOT} AND b.missing ORDER BY f.path
    """)
    return list(connection.scalars(query, snapshot.interval))
