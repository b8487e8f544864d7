"""Requests that programs raise: what each kind needs, and how it is found out.

Belongs here: pattern, signature, dataset, model, workflow and anti_pattern. Does not belong
here: questions (`answers`), who raises tickets (`producers`).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.database.schema import metadata
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import languages, repositories, trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, current_snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.evidence import UnansweredError
from qflow_dagster.quantumflow import get, get_events

# What a resolution leads to, by kind.
FOLLOW_UPS = {"pattern": "rescan", "anti_pattern": "flag"}
# A rule is held to be wrong where most of what people decided was against it, and that is no accident.
LEAST_REFUSALS, LEAST_SHARE = 3, 0.5


def find_out(
    connection: Connection, kind: str, payload: dict[str, Any], repository: str | None
) -> dict[str, Any]:
    """What is known about a ticket: {answer, evidence, ...}.

    Raises:
        UnansweredError: nothing is.
        QflowError: the payload lacks what the kind needs.
    """
    return _KINDS[kind](connection, payload, repository)


def _needed(payload: dict[str, Any], name: str) -> str:
    if not isinstance(payload.get(name), str) or not payload[name]:
        raise QflowError(f"this kind of request needs {name!r} in its payload")
    return payload[name]


def _snapshot(connection: Connection, repository: str | None) -> Any:
    if repository is None:
        raise QflowError("this kind of request is about a repository, and names none")
    return current_snapshot(connection, repository)


def _pattern(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """A file type nobody knew: known by now, or said by the files themselves."""
    extension = _needed(payload, "extension")
    snapshot = _snapshot(connection, repository)
    query = text(f"""
        SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT} AND f.path LIKE :like AND f.blob_id IS NOT NULL
        ORDER BY f.path LIMIT 5
    """)
    escaped = extension.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    rows = connection.execute(query, {**snapshot.interval, "like": f"%.{escaped}"}).all()
    if not rows:
        return {"answer": f"no file ends in .{extension} any more", "evidence": [], "confirmed": False}
    objects = repositories.find(connection, str(repository)).objects
    contents = trees.read_texts(objects, [(row.path, row.oid) for row in rows])
    found = {
        path: languages.detect(path, data[: trees.HEAD_BYTES]) or _guess(data)
        for path, data in contents.items()
    }
    said = {language for language in found.values() if language}
    if len(said) != 1 or (len(found) > 1 and sum(map(bool, found.values())) < 2):
        raise UnansweredError(
            f"what .{extension} files are is not known: {', '.join(found) or 'none can be read'}"
        )
    [language] = said
    evidence = [{"commit": snapshot.commit_oid, "path": path, "line": 1, "words": language} for path in found]
    return {"answer": f".{extension} files are {language}", "language": language, "evidence": evidence}


def _guess(data: bytes) -> str:
    """What the first bytes of a file say of it."""
    head = data[:512].lstrip()
    for mark, language in (
        (b"<?xml", "XML"),
        (b"<!DOCTYPE html", "HTML"),
        (b"<html", "HTML"),
        (b"{", "JSON"),
        (b"%YAML", "YAML"),
        (b"---\n", "YAML"),
    ):
        if head.startswith(mark):
            return language
    return ""


def _signature(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    snapshot = _snapshot(connection, repository)
    symbol = _needed(payload, "symbol")
    found = lookups.symbols(connection, snapshot, symbol)
    if not found:
        raise UnansweredError(f"no symbol of {repository} is called {symbol!r}")
    evidence = [
        {"commit": snapshot.commit_oid, "path": one.path, "line": one.line, "words": one.signature}
        for one in found
    ]
    return {"answer": found[0].signature, "evidence": evidence}


def _dataset(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """A table of ours: its columns and about how many rows."""
    name = _needed(payload, "table")
    table = metadata.tables.get(name)
    if table is None:
        raise UnansweredError(f"there is no table {name!r}")
    query = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")
    rows = max(0, connection.scalar(query, {"name": name}) or 0)
    columns = {column.name: str(column.type) for column in table.columns}
    return {
        "answer": f"{name}: about {rows:,} rows, {len(columns)} columns",
        "columns": columns,
        "evidence": [],
    }


def _model(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """A generator, a language model among them: how it did."""
    name = _needed(payload, "generator")
    query = text("""
        SELECT count(*) AS attempts, count(*) FILTER (WHERE outcome = 'proposed') AS proposed,
               count(*) FILTER (WHERE outcome = 'failed') AS failed, coalesce(sum(cost), 0)::float AS cost,
               coalesce(avg(seconds), 0)::float AS seconds
        FROM generation_attempts WHERE generator = :name
    """)
    row = dict(connection.execute(query, {"name": name}).one()._mapping)
    if not row["attempts"]:
        raise UnansweredError(f"{name!r} was never asked")
    words = (
        f"{name}: asked {row['attempts']:,} times, proposed {row['proposed']:,}, failed {row['failed']:,}, "
        f"cost {row['cost']:.4f}"
    )
    return {"answer": words, **row, "evidence": []}


def _workflow(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """What became of a workflow."""
    try:
        id_ = UUID(_needed(payload, "workflow"))
    except ValueError:
        raise QflowError(f"{payload['workflow']!r} is no id of a workflow") from None
    found = get(connection, id_)
    events = [
        {"at": e.at.isoformat(), "to": e.to_status, "actor": e.actor} for e in get_events(connection, id_)
    ]
    return {
        "answer": f"{found.type} is {found.status}, attempt {found.attempt}",
        "events": events,
        "evidence": [],
    }


def _anti_pattern(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """A rule suspected to be wrong: what people said of its findings and suggestions."""
    rule = _needed(payload, "rule")
    repository_id = repositories.find(connection, repository).id if repository else None
    parameters = {"rule": rule, "id": repository_id}
    found = connection.execute(
        text("""
        SELECT count(*) FILTER (WHERE state = 'suppressed') AS refused, count(*) FILTER (WHERE state = 'fixed') AS kept
        FROM findings WHERE rule_id = :rule AND (CAST(:id AS bigint) IS NULL OR repository_id = :id)
    """),
        parameters,
    ).one()
    decided = connection.execute(
        text("""
        SELECT count(*) FILTER (WHERE outcome IN ('denied', 'reverted')) AS refused,
               count(*) FILTER (WHERE outcome = 'accepted') AS kept
        FROM candidates WHERE rule_id = :rule AND (CAST(:id AS bigint) IS NULL OR repository_id = :id)
    """),
        parameters,
    ).one()
    refused, kept = found.refused + decided.refused, found.kept + decided.kept
    confirmed = refused >= LEAST_REFUSALS and refused / (refused + kept) > LEAST_SHARE
    words = f"{rule}: {refused} of {refused + kept} decisions were against it"
    verdict = "; it is often wrong here" if confirmed else "; that is no sign that it is wrong"
    return {
        "answer": words + verdict,
        "confirmed": confirmed,
        "refused": refused,
        "kept": kept,
        "evidence": [],
    }


_KINDS: dict[str, Callable[[Connection, dict[str, Any], str | None], dict[str, Any]]] = {
    "pattern": _pattern,
    "signature": _signature,
    "dataset": _dataset,
    "model": _model,
    "workflow": _workflow,
    "anti_pattern": _anti_pattern,
}
