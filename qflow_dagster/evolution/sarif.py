"""SARIF 2.1.0: our findings for other tools, and theirs as findings of ours.

The format is OASIS Standard "Static Analysis Results Interchange Format" 2.1.0. Does not belong
here: reading and writing files (the command line).
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import Connection, text

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import findings
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety.storable import read_json

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
SEVERITY = {"error": "error", "warning": "warning", "note": "info", "none": "info"}
MAX_MESSAGE_LENGTH, LONGEST_RULE = 2_000, 300
_COLUMNS = [
    "rule_id",
    "rule_version_id",
    "category",
    "severity",
    "path",
    "symbol",
    "line",
    "end_line",
    "column",
    "message",
    "fixable",
    "suppressed",
    "evidence",
    "fingerprint",
]


class Imported(NamedTuple):
    """What an import did: results taken, on paths the snapshot has not, that cannot be read; the changes."""

    tool: str
    taken: int
    elsewhere: int
    changes: dict[str, int]
    # What is wrong with each result that was left out.
    refused: tuple[str, ...] = ()


def export(connection: Connection, snapshot: Snapshot, *, suppressed: bool = False) -> dict[str, Any]:
    """All open findings (and suppressed ones, marked so) of a snapshot's repository as one SARIF log."""
    query = text("""
        SELECT g.*, v.title, v.pack FROM findings g LEFT JOIN rule_versions v ON v.id = g.rule_version_id
        WHERE g.repository_id = :id AND g.state = ANY(:states) ORDER BY g.path, g.line, g.rule_id, g.id
    """)
    states = [*findings.OPEN, "suppressed"] if suppressed else list(findings.OPEN)
    rows = connection.execute(query, {"id": snapshot.repository_id, "states": states}).mappings().all()
    sources = sorted({row["source"] for row in rows}) or [findings.OURS]
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            _run([row for row in rows if row["source"] == source], source, snapshot) for source in sources
        ],
    }


def _run(rows: Sequence[Any], source: str, snapshot: Snapshot) -> dict[str, Any]:
    ours = source == findings.OURS
    ids = sorted({row["rule_id"] for row in rows})
    titles = {row["rule_id"]: row["title"] or row["rule_id"] for row in rows}
    driver = {
        "name": "qflow" if ours else source,
        "rules": [{"id": id_, "shortDescription": {"text": titles[id_]}} for id_ in ids],
    }
    if ours:
        driver["version"] = version("qflow-dagster")
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(row, ids.index(row["rule_id"])) for row in rows],
    }
    if "://" in snapshot.location:
        control = {"repositoryUri": snapshot.location, "revisionId": snapshot.commit_oid}
        run["versionControlProvenance"] = [control]
    return run


def _result(row: Any, rule_index: int) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": row["line"],
        "startColumn": row["column"],
        "endLine": max(row["end_line"], row["line"]),
    }
    if snippet := row["evidence"].get("snippet"):
        region["snippet"] = {"text": snippet}
    result: dict[str, Any] = {
        "ruleId": row["rule_id"],
        "ruleIndex": rule_index,
        "level": LEVELS[row["severity"]],
        "message": {"text": row["message"]},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": quote(row["path"])}, "region": region}}
        ],
        "partialFingerprints": {"qflow/v1": bytes(row["fingerprint"]).hex()},
        "guid": str(row["id"]),
    }
    if row["state"] == "suppressed":
        kind = "inSource" if row["suppressed_by"] == "comment" else "external"
        result["suppressions"] = [{"kind": kind, "justification": row["suppression_reason"] or "not said"}]
    return result


def import_log(connection: Connection, snapshot: Snapshot, content: bytes) -> list[Imported]:
    """Take the results of a SARIF log as findings, one source per tool.

    A tool's results are all it finds: what an earlier log of it had and this one has not is fixed. A
    result that cannot be read is left out and named; the others are taken.

    Raises:
        UsageError: it is no SARIF 2.1.0, or no result of a tool can be read; the message says where.
            Nothing is stored then.
    """
    try:
        log = read_json(content)
    except ValueError as error:
        raise UsageError(f"no SARIF: {error}") from None
    if not isinstance(log, dict) or log.get("version") != VERSION or not isinstance(log.get("runs"), list):
        raise UsageError(f'no SARIF {VERSION}: an object with "version": "{VERSION}" and "runs" is expected')
    query = text(f"SELECT f.path FROM files f WHERE {IN_SNAPSHOT}")
    paths = set(connection.scalars(query, snapshot.interval))
    by_tool: dict[str, list[dict]] = {}
    rules: dict[tuple[str, str], dict] = {}
    for number, run in enumerate(log["runs"]):
        driver = _at(run, f"runs[{number}]", "tool", "driver")
        name = driver.get("name")
        if not isinstance(name, str) or not name.strip() or name == findings.OURS:
            raise UsageError(f"no SARIF: runs[{number}].tool.driver.name is no name of another tool")
        for rule in driver.get("rules") or []:
            if isinstance(rule, dict):
                rules[name, _text(rule.get("id"))] = rule
        results = run.get("results") or []
        if not isinstance(results, list):
            raise UsageError(f"no SARIF: runs[{number}].results is no list")
        by_tool.setdefault(name, []).extend(results)
    return [
        _import_tool(connection, snapshot, tool, results, rules, paths) for tool, results in by_tool.items()
    ]


def _import_tool(
    connection: Connection,
    snapshot: Snapshot,
    tool: str,
    results: Sequence[Any],
    rules: dict[tuple[str, str], dict],
    paths: set[str],
) -> Imported:
    seen: Counter[tuple[str, ...]] = Counter()
    lines, elsewhere, refused = [], 0, []
    for number, result in enumerate(results):
        try:
            message = _text(_at(result, f"{tool}: results[{number}]", "message").get("text")) or "no message"
        except UsageError as error:
            refused.append(str(error))
            continue
        message = message[:MAX_MESSAGE_LENGTH]
        rule_id = _text(result.get("ruleId")) or _text(_part(result.get("rule")).get("id")) or "unnamed"
        locations = result.get("locations")
        location = _part(
            _part(locations[0] if isinstance(locations, list) and locations else None).get("physicalLocation")
        )
        path = _path(_text(_part(location.get("artifactLocation")).get("uri")))
        if path not in paths:
            elsewhere += 1
            continue
        region = _part(location.get("region"))
        line, column = _number(region.get("startLine")), _number(region.get("startColumn"))
        default = _part(_part(rules.get((tool, rule_id))).get("defaultConfiguration"))
        level = _text(result.get("level")) or _text(default.get("level"))
        snippet = _text(_part(region.get("snippet")).get("text"))[:300]
        anchor = " ".join((snippet or message).split())
        ordinal = seen[rule_id, path, anchor]
        seen[rule_id, path, anchor] += 1
        key = "\x1f".join((tool, rule_id, path, anchor, str(ordinal)))
        suppressions = result.get("suppressions")
        suppressed = isinstance(suppressions, list) and any(
            _part(one).get("status", "accepted") == "accepted" for one in suppressions
        )
        lines.append(
            copy_line(
                [
                    f"{tool}/{rule_id}"[:LONGEST_RULE],
                    None,
                    "correctness",
                    SEVERITY.get(level, "warning"),
                    path,
                    "",
                    line,
                    max(_number(region.get("endLine")), line),
                    column,
                    message,
                    False,
                    suppressed,
                    to_json({"snippet": snippet} if snippet else {}, "a snippet"),
                    hashlib.sha256(key.encode()).digest(),
                ]
            ).encode()
        )
    if refused and len(refused) == len(results):
        raise UsageError(refused[0])
    findings.begin(connection, snapshot.repository_id)
    copy_text(connection, "found", _COLUMNS, lines)
    changes = findings.apply(
        connection, snapshot.repository_id, snapshot.id, source=tool, actor=f"import of {tool}"
    )
    return Imported(tool, len(lines), elsewhere, changes, tuple(refused))


def _at(value: Any, where: str, *names: str) -> dict[str, Any]:
    """The object at the end of these names.

    Raises:
        UsageError: something on the way is none.
    """
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
        where = f"{where}.{name}"
    if not isinstance(value, dict):
        raise UsageError(f"no SARIF: {where} is missing or no object")
    return value


def _part(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 1


def _path(uri: str) -> str:
    """The path in the repository that a relative URI means; '' for any other."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    path = PurePosixPath(unquote(parts.path))
    if parts.scheme or parts.netloc or path.is_absolute() or ".." in path.parts:
        return ""
    return str(path)
