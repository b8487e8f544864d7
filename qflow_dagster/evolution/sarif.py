"""SARIF 2.1.0: exporting our findings for other tools, and importing the results of other tools as findings.

The format is OASIS Standard "Static Analysis Results Interchange Format" 2.1.0. Exported logs are built
from the models of sarif-pydantic. Imported logs are read without them: one value of the wrong type would
make a model reject the complete result, or the complete log, while here each result is read on its own and
every optional value that is missing or malformed gets its default.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import sarif_pydantic as model
from sarif_pydantic.sarif import ArtifactContent, Suppression, VersionControlDetails
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
LEVELS = {"error": model.Level.ERROR, "warning": model.Level.WARNING, "info": model.Level.NOTE}
SEVERITY = {"error": "error", "warning": "warning", "note": "info", "none": "info"}
MAX_MESSAGE_LENGTH, MAX_RULE_ID_LENGTH, MAX_SNIPPET_LENGTH = 2_000, 300, 300
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


class SarifImportResult(NamedTuple):
    """The result of importing one tool's results: number imported, number on other paths, changes of findings."""

    tool: str
    taken: int
    # Results on paths that the snapshot does not contain.
    elsewhere: int
    changes: dict[str, int]
    # Why each skipped result could not be read.
    refused: tuple[str, ...] = ()


class _ToolResults(NamedTuple):
    """The results of one tool as read, and the rules it describes, by id."""

    results: list[Any]
    rules: dict[str, dict[str, Any]]


def export(connection: Connection, snapshot: Snapshot, *, suppressed: bool = False) -> dict[str, Any]:
    """Export the open findings of a snapshot's repository as a SARIF log, with suppressed ones on request."""
    query = text("""
        SELECT g.*, v.title, v.pack FROM findings g LEFT JOIN rule_versions v ON v.id = g.rule_version_id
        WHERE g.repository_id = :id AND g.state = ANY(:states) ORDER BY g.path, g.line, g.rule_id, g.id
    """)
    states = [*findings.OPEN, "suppressed"] if suppressed else list(findings.OPEN)
    rows = connection.execute(query, {"id": snapshot.repository_id, "states": states}).mappings().all()
    sources = sorted({row["source"] for row in rows}) or [findings.OWN_SOURCE]
    runs = [_run([row for row in rows if row["source"] == source], source, snapshot) for source in sources]
    schema: dict[str, Any] = {"$schema": SCHEMA}
    log = model.Sarif(version=VERSION, runs=runs, **schema)
    return log.model_dump(mode="json", by_alias=True, exclude_none=True)


def _run(rows: Sequence[Any], source: str, snapshot: Snapshot) -> model.Run:
    is_own = source == findings.OWN_SOURCE
    ids = sorted({row["rule_id"] for row in rows})
    titles = {row["rule_id"]: row["title"] or row["rule_id"] for row in rows}
    driver = model.ToolDriver(
        name="qflow" if is_own else source,
        rules=[
            model.ReportingDescriptor(id=id_, short_description=model.Message(text=titles[id_]))
            for id_ in ids
        ],
        version=version("qflow-dagster") if is_own else None,
    )
    # The library's model does not declare this property.
    extra: dict[str, Any] = {"columnKind": "unicodeCodePoints"}
    control = VersionControlDetails(repository_uri=snapshot.location, revision_id=snapshot.commit_oid)
    return model.Run(
        tool=model.Tool(driver=driver),
        results=[_result(row, ids.index(row["rule_id"])) for row in rows],
        version_control_provenance=[control] if "://" in snapshot.location else None,
        **extra,
    )


def _result(row: Any, rule_index: int) -> model.Result:
    snippet = row["evidence"].get("snippet")
    region = model.Region(
        start_line=row["line"],
        start_column=row["column"],
        end_line=max(row["end_line"], row["line"]),
        snippet=ArtifactContent(text=snippet) if snippet else None,
    )
    artifact = model.ArtifactLocation(uri=quote(row["path"]))
    physical = model.PhysicalLocation(artifact_location=artifact, region=region)
    extra: dict[str, Any] = {}
    if row["state"] == "suppressed":
        kind = "inSource" if row["suppressed_by"] == "comment" else "external"
        # The library's model declares a single `suppression`; the standard has this list.
        extra["suppressions"] = [
            Suppression(kind=kind, justification=row["suppression_reason"] or "not said")
        ]
    return model.Result(
        rule_id=row["rule_id"],
        rule_index=rule_index,
        level=LEVELS[row["severity"]],
        message=model.Message(text=row["message"]),
        locations=[model.Location(physical_location=physical)],
        partial_fingerprints={"qflow/v1": bytes(row["fingerprint"]).hex()},
        guid=str(row["id"]),
        **extra,
    )


def import_log(connection: Connection, snapshot: Snapshot, content: bytes) -> list[SarifImportResult]:
    """Import the results of a SARIF log as findings, one source per tool.

    A log is complete for its tool: findings of an earlier log that are missing in this one become fixed. A
    result that cannot be read is skipped and reported; the others are imported.

    Raises:
        UsageError: The content is not SARIF 2.1.0, or no result of a tool can be read; the message says where.
            Nothing is stored then.
    """
    by_tool = _read_log(content)
    query = text(f"SELECT f.path FROM files f WHERE {IN_SNAPSHOT}")
    paths = set(connection.scalars(query, snapshot.interval))
    return [_import_tool(connection, snapshot, tool, read, paths) for tool, read in by_tool.items()]


def _read_log(content: bytes) -> dict[str, _ToolResults]:
    try:
        log = read_json(content)
    except ValueError as error:
        raise UsageError(f"not valid SARIF: {error}") from None
    if not isinstance(log, dict) or log.get("version") != VERSION or not isinstance(log.get("runs"), list):
        raise UsageError(
            f'not valid SARIF {VERSION}: an object with "version": "{VERSION}" and "runs" is expected'
        )
    by_tool: dict[str, _ToolResults] = {}
    for number, run in enumerate(log["runs"]):
        driver = _at(run, f"runs[{number}]", "tool", "driver")
        name = driver.get("name")
        if not isinstance(name, str) or not name.strip() or name == findings.OWN_SOURCE:
            raise UsageError(
                f"not valid SARIF: runs[{number}].tool.driver.name is not the name of another tool"
            )
        results = run.get("results") or []
        if not isinstance(results, list):
            raise UsageError(f"not valid SARIF: runs[{number}].results is not a list")
        tool = by_tool.setdefault(name, _ToolResults([], {}))
        tool.results.extend(results)
        tool.rules.update(
            {_text(rule.get("id")): rule for rule in driver.get("rules") or [] if isinstance(rule, dict)}
        )
    return by_tool


def _import_tool(
    connection: Connection, snapshot: Snapshot, tool: str, read: _ToolResults, paths: Set[str]
) -> SarifImportResult:
    seen: Counter[tuple[str, ...]] = Counter()
    lines, elsewhere, refused = [], 0, []
    for number, result in enumerate(read.results):
        try:
            message = _text(_at(result, f"{tool}: results[{number}]", "message").get("text")) or "no message"
        except UsageError as error:
            refused.append(str(error))
            continue
        row = _finding(result, message[:MAX_MESSAGE_LENGTH], tool, read.rules, paths, seen)
        if row is None:
            elsewhere += 1
        else:
            lines.append(copy_line(row).encode())
    if refused and len(refused) == len(read.results):
        raise UsageError(refused[0])
    findings.begin(connection, snapshot.repository_id)
    copy_text(connection, "current_findings", _COLUMNS, lines)
    changes = findings.apply(
        connection, snapshot.repository_id, snapshot.id, source=tool, actor=f"import of {tool}"
    )
    return SarifImportResult(tool, len(lines), elsewhere, changes, tuple(refused))


def _finding(
    result: dict[str, Any],
    message: str,
    tool: str,
    rules: Mapping[str, dict[str, Any]],
    paths: Set[str],
    seen: Counter[tuple[str, ...]],
) -> list[Any] | None:
    """Return the columns of a result as a finding; None if its path is not in `paths`.

    `seen` numbers equal results, so that their fingerprints differ.
    """
    rule_id = _text(result.get("ruleId")) or _text(_object(result.get("rule")).get("id")) or "unnamed"
    locations = result.get("locations")
    first = locations[0] if isinstance(locations, list) and locations else None
    location = _object(_object(first).get("physicalLocation"))
    path = _path(_text(_object(location.get("artifactLocation")).get("uri")))
    if path not in paths:
        return None
    region = _object(location.get("region"))
    line = _number(region.get("startLine"))
    default = _object(_object(rules.get(rule_id)).get("defaultConfiguration"))
    level = _text(result.get("level")) or _text(default.get("level"))
    snippet = _text(_object(region.get("snippet")).get("text"))[:MAX_SNIPPET_LENGTH]
    anchor = " ".join((snippet or message).split())
    ordinal = seen[rule_id, path, anchor]
    seen[rule_id, path, anchor] += 1
    key = "\x1f".join((tool, rule_id, path, anchor, str(ordinal)))
    suppressions = result.get("suppressions")
    suppressed = isinstance(suppressions, list) and any(
        _object(suppression).get("status", "accepted") == "accepted" for suppression in suppressions
    )
    return [
        f"{tool}/{rule_id}"[:MAX_RULE_ID_LENGTH],
        None,
        "correctness",
        SEVERITY.get(level, "warning"),
        path,
        "",
        line,
        max(_number(region.get("endLine")), line),
        _number(region.get("startColumn")),
        message,
        False,
        suppressed,
        to_json({"snippet": snippet} if snippet else {}, "a snippet"),
        hashlib.sha256(key.encode()).digest(),
    ]


def _at(value: Any, where: str, *names: str) -> dict[str, Any]:
    """Return the object reached by a chain of keys.

    Raises:
        UsageError: A value on the way is missing or not an object.
    """
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
        where = f"{where}.{name}"
    if not isinstance(value, dict):
        raise UsageError(f"not valid SARIF: {where} is missing or not an object")
    return value


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 1


def _path(uri: str) -> str:
    """Return the repository path of a relative URI; '' for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    path = PurePosixPath(unquote(parts.path))
    if parts.scheme or parts.netloc or path.is_absolute() or ".." in path.parts:
        return ""
    return str(path)
