"""Requests that programs raise: the input each kind needs, and how it is answered.

Belongs here: pattern, signature, dataset, model, workflow and anti_pattern. Does not belong
here: questions (`answers`), who raises tickets (`producers`).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from qflow_dagster.database.schema import metadata
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.tables import findings
from qflow_dagster.generation.tables import candidates, generation_attempts
from qflow_dagster.ingestion import languages, repositories, trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, current_snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.evidence import UnansweredError
from qflow_dagster.quantumflow import get, get_events

# A rule counts as wrong from so many refusals on, if they are more than this share of the decisions.
MIN_REFUSALS, MIN_SHARE = 3, 0.5


def answer(
    connection: Connection, kind: str, payload: dict[str, Any], repository: str | None
) -> dict[str, Any]:
    """Answer a ticket; return {answer, evidence, ...}.

    Raises:
        UnansweredError: no ingested fact answers it.
        QflowError: the payload lacks what the kind needs.
    """
    return _KINDS[kind](connection, payload, repository)


def _required(payload: dict[str, Any], name: str) -> str:
    if not isinstance(payload.get(name), str) or not payload[name]:
        raise QflowError(f"this kind of request needs {name!r} in its payload")
    return payload[name]


def _snapshot(connection: Connection, repository: str | None) -> Any:
    if repository is None:
        raise QflowError("this kind of request needs a repository")
    return current_snapshot(connection, repository)


def _pattern(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """Identify an unknown file type: by the current language list, or by the files' content."""
    extension = _required(payload, "extension")
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
    by_path = {
        path: languages.detect(path, data[: languages.HEAD_BYTES]) or _guess(data)
        for path, data in contents.items()
    }
    languages_found = {language for language in by_path.values() if language}
    if len(languages_found) != 1 or (len(by_path) > 1 and sum(map(bool, by_path.values())) < 2):
        raise UnansweredError(
            f"the type of .{extension} files is unknown: {', '.join(by_path) or 'no file can be read'}"
        )
    [language] = languages_found
    evidence = [
        {"commit": snapshot.commit_oid, "path": path, "line": 1, "words": language} for path in by_path
    ]
    return {"answer": f".{extension} files are {language}", "language": language, "evidence": evidence}


def _guess(data: bytes) -> str:
    """Guess the language from the first bytes of a file."""
    head = data[:512].lstrip()
    for prefix, language in (
        (b"<?xml", "XML"),
        (b"<!DOCTYPE html", "HTML"),
        (b"<html", "HTML"),
        (b"{", "JSON"),
        (b"%YAML", "YAML"),
        (b"---\n", "YAML"),
    ):
        if head.startswith(prefix):
            return language
    return ""


def _signature(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    snapshot = _snapshot(connection, repository)
    symbol = _required(payload, "symbol")
    symbols = lookups.symbols(connection, snapshot, symbol)
    if not symbols:
        raise UnansweredError(f"no symbol of {repository} has the name {symbol!r}")
    evidence = [
        {"commit": snapshot.commit_oid, "path": match.path, "line": match.line, "words": match.signature}
        for match in symbols
    ]
    return {"answer": symbols[0].signature, "evidence": evidence}


def _dataset(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """Describe one of our tables: its columns and the approximate number of rows."""
    name = _required(payload, "table")
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
    """Summarise the results of a generator or language model."""
    name = _required(payload, "generator")
    table = generation_attempts.c
    query = select(
        func.count().label("attempts"),
        func.count().filter(table.outcome == "proposed").label("proposed"),
        func.count().filter(table.outcome == "failed").label("failed"),
        func.coalesce(func.sum(table.cost), 0.0).label("cost"),
        func.coalesce(func.avg(table.seconds), 0.0).label("seconds"),
    ).where(table.generator == name)
    row = dict(connection.execute(query).one()._mapping)
    if not row["attempts"]:
        raise UnansweredError(f"{name!r} was never called")
    summary = (
        f"{name}: called {row['attempts']:,} times, proposed {row['proposed']:,}, failed {row['failed']:,}, "
        f"cost {row['cost']:.4f}"
    )
    return {"answer": summary, **row, "evidence": []}


def _workflow(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """Summarise the history of a workflow."""
    try:
        id_ = UUID(_required(payload, "workflow"))
    except ValueError:
        raise QflowError(f"{payload['workflow']!r} is not the id of a workflow") from None
    workflow = get(connection, id_)
    events = [
        {"at": e.at.isoformat(), "to": e.to_status, "actor": e.actor} for e in get_events(connection, id_)
    ]
    return {
        "answer": f"{workflow.type} is {workflow.status}, attempt {workflow.attempt}",
        "events": events,
        "evidence": [],
    }


def _anti_pattern(connection: Connection, payload: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """Count the decisions against a rule that is suspected to be wrong."""
    rule = _required(payload, "rule")
    repository_id = repositories.find(connection, repository).id if repository else None
    refused = kept = 0
    for table, decision, against, favorable in (
        (findings, findings.c.state, ("suppressed",), ("fixed",)),
        (candidates, candidates.c.outcome, ("denied", "reverted"), ("accepted",)),
    ):
        query = select(
            func.count().filter(decision.in_(against)), func.count().filter(decision.in_(favorable))
        ).where(table.c.rule_id == rule)
        if repository_id is not None:
            query = query.where(table.c.repository_id == repository_id)
        counted = connection.execute(query).one()
        refused, kept = refused + counted[0], kept + counted[1]
    confirmed = refused >= MIN_REFUSALS and refused / (refused + kept) > MIN_SHARE
    summary = f"{rule}: {refused} of {refused + kept} decisions were against it"
    verdict = "; it is often wrong here" if confirmed else "; that does not show that it is wrong"
    return {
        "answer": summary + verdict,
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
