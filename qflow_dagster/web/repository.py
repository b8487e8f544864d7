"""The page of a repository: its state at the current or an earlier commit, and how it came to it."""

from itertools import dropwhile
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster import quantumflow
from qflow_dagster.agents import self_improvement
from qflow_dagster.evolution import finding_trends, findings
from qflow_dagster.execution import plan_history, work_items
from qflow_dagster.ingestion import queries
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import requests
from qflow_dagster.metrics import past, tables
from qflow_dagster.metrics import queries as metrics
from qflow_dagster.pictures.charts import Tile, histogram, hotspot_map, stacked, trend
from qflow_dagster.pictures.coupling import Pair, circle
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings
from qflow_dagster.web.changes import change_rows
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Link,
    Section,
    Status,
    address,
    counted,
    percent,
    repository_path,
    run_link,
    view,
)
from qflow_dagster.web.plan import item_rows
from qflow_dagster.web.source import file_link, function_link, line_address

TOP = 10
# A page stays under 100 kB.
MAX_TILES, MAX_OWNED_TILES, MAX_RULES, MAX_COMMITS = 60, 40, 15, 20
# Of pictures over time, and of the tables behind them.
MAX_MONTHS, MAX_WEEKS, MAX_ROWS = 72, 26, 12


def repository(request: Request, connection: Connection) -> Response:
    """Return the state of a repository at its current commit, and how it came to it; `?at` at an earlier one."""
    snapshot = queries.current_snapshot(connection, request.path_params["name"])
    if at := request.query_params.get("at"):
        earlier = queries.snapshot_at(connection, snapshot.repository, at)
        if earlier.id != snapshot.id:
            return _earlier(request, connection, earlier)
    name, id_ = snapshot.repository, snapshot.repository_id
    measured = metrics.repository_metrics(connection, snapshot.id)
    by_rule = findings.counts(connection, id_)
    base = address("repositories", name)
    numbers = {
        "files": Link(f"{snapshot.file_count:,}", f"{base}/files"),
        "lines": Link(f"{snapshot.lines:,}", f"{base}/files"),
        "functions": counted(measured.get("functions"), "#most-complex-functions"),
        "open findings": Link(f"{sum(row['open'] for row in by_rule):,}", f"{base}/findings"),
        "import cycles": counted(measured.get("import_cycles"), f"{base}/files?only=cycles"),
        "duplicated": Link(percent(measured.get("duplication_ratio")), f"{base}/files?only=copies")
        if measured.get("duplication_ratio")
        else None,
        "people": counted(measured.get("contributors"), "#owners-and-knowledge"),
        "bus factor": counted(measured.get("bus_factor"), "#owners-and-knowledge"),
    }
    sections = [
        *_overview(connection, snapshot),
        _hotspots(connection, snapshot),
        *_complexity(connection, snapshot),
        *_findings(connection, snapshot, by_rule),
        *_people(connection, snapshot),
        *_work(connection, snapshot),
        *_runs(connection, snapshot),
    ]
    lead = (
        f"Commit {snapshot.commit_oid[:10]} ({snapshot.revision}) of {snapshot.committed_at:%Y-%m-%d}, "
        f"read from {snapshot.location}."
    )
    shown = {label: value for label, value in numbers.items() if value is not None}
    return view(
        request, name, sections, path=[Link("Repositories", "/repositories")], lead=lead, numbers=shown
    )


def _earlier(request: Request, connection: Connection, snapshot: Snapshot) -> Response:
    """Return what was measured at an earlier commit."""
    measured = metrics.repository_metrics(connection, snapshot.id)
    numbers = {"files": snapshot.file_count, "lines": snapshot.lines}
    names = ("functions", "import_cycles", "contributors", "bus_factor")
    numbers |= {name.replace("_", " "): measured[name] for name in names if measured.get(name) is not None}
    sections = [
        *_overview(connection, snapshot),
        *_complexity(connection, snapshot),
        *_people(connection, snapshot),
    ]
    return view(
        request,
        f"{snapshot.repository} at {snapshot.commit_oid[:10]}",
        sections,
        path=repository_path(snapshot.repository),
        lead=f"As of {snapshot.committed_at:%Y-%m-%d}. Links to files and functions lead to the current commit.",
        numbers=numbers,
    )


def _overview(connection: Connection, snapshot: Snapshot) -> list[Section]:
    drawn = [
        Tile(tile["path"], tile["code_lines"], tile["score"], line_address(snapshot.repository, tile["path"]))
        for tile in metrics.tiles(connection, snapshot.id)
    ]
    picture = hotspot_map(drawn, "Where complex code changes often", limit=MAX_TILES) if drawn else ""
    months = metrics.trend(connection, snapshot.id)[-MAX_MONTHS:]
    history = trend(
        [row["month"][:7] for row in months],
        [row["commits"] for row in months],
        [row["net_lines"] for row in months],
        "Commits per month (bars) and lines (line)",
        height=420,
    )
    return [
        Section(title="Hotspot map", half=True, picture=picture, empty="No file is measured yet."),
        _measured(connection, snapshot),
        Section(
            title="Change over time",
            half=True,
            picture=history if months else "",
            rows=[{**row, "month": row["month"][:7]} for row in reversed(months[-MAX_ROWS:])],
            empty="The history is not read yet.",
        ),
    ]


def _measured(connection: Connection, snapshot: Snapshot) -> Section:
    """Return size and complexity at commits of the whole past, and at those that were ingested."""
    ingested = metrics.measured_commits(connection, snapshot.repository_id, MAX_COMMITS)
    before = past.past_commits(connection, snapshot.repository_id)
    commits = [*before, *ingested]
    pasts = {row["commit"] for row in before}
    picture = trend(
        [f"{row['committed_at']:%y-%m-%d}" for row in commits],
        [row["code_lines"] for row in commits],
        [row["cognitive_p90"] or 0 for row in commits],
        "Lines of code (bars), cognitive complexity that 90% of functions stay below (line)",
    )
    return Section(
        title="Complexity over time",
        half=True,
        note=f"At {len(before)} commits spread over the time before it was registered, and at the newest since."
        if before
        else "At the newest commits since it was registered; older ones are measured while `qflow up` runs.",
        picture=picture if len(commits) > 1 else "",
        rows=[
            {
                "commit": row["commit"][:10]
                if row["commit"] in pasts
                else Link(
                    row["commit"][:10], address("repositories", snapshot.repository, at=row["commit"][:10])
                ),
                "date": f"{row['committed_at']:%Y-%m-%d}",
                "lines": row["code_lines"],
                "functions": row["functions"],
                "cognitive, 90%": row["cognitive_p90"],
                "duplicated": "" if row["commit"] in pasts else percent(row["duplication_ratio"]),
            }
            for row in reversed(commits)
        ],
        empty="No commit is measured yet.",
    )


def _hotspots(connection: Connection, snapshot: Snapshot) -> Section:
    name = snapshot.repository
    spots = metrics.hotspots(connection, snapshot.repository_id, TOP)
    return Section(
        title="Hotspots",
        rows=[{**row, "path": file_link(name, row["path"])} for row in spots],
        empty="No file is complex and changes often.",
        link=Link("All files", address("repositories", name, "files")),
    )


def _complexity(connection: Connection, snapshot: Snapshot) -> list[Section]:
    name = snapshot.repository
    counts = metrics.cognitive_histogram(connection, snapshot.id)
    functions = histogram(counts, "Functions by cognitive complexity", marked=5)
    return [
        Section(
            title="Complexity",
            half=True,
            picture=functions if any(number for _, number in counts) else "",
            rows=[{"cognitive complexity": label, "functions": number} for label, number in counts],
        ),
        Section(
            title="Most complex functions",
            half=True,
            rows=[
                {
                    "function": function_link(name, row["path"], row["function"], row["line"]),
                    "file": file_link(name, row["path"], row["line"]),
                    "cognitive": row["cognitive"],
                    "lines": row["code_lines"],
                }
                for row in metrics.worst_functions(connection, snapshot.id, TOP)
            ],
            empty="No function is measured.",
        ),
    ]


def _findings(connection: Connection, snapshot: Snapshot, by_rule: list[dict[str, Any]]) -> list[Section]:
    name = snapshot.repository
    weeks = finding_trends.weekly(connection, snapshot.repository_id, weeks=MAX_WEEKS)
    first = next((n for n, row in enumerate(weeks) if row["found"] or row["open"]), len(weeks))
    weeks = weeks[max(first - 1, 0) :]
    picture = stacked(
        [f"{row['week']:%m-%d}" for row in weeks],
        {name: [row[name] for row in weeks] for name in ("info", "warning", "error")},
        "Open findings at the end of each week",
    )
    rows = [
        {
            "severity": Status(row["severity"]),
            "rule": Link(row["rule"], address("rules", row["rule"])),
            **{
                column: counted(row[column], address("repositories", name, "findings", rule=row["rule"]))
                for column in ("open", "files", "fixable")
            },
            "example": row["example"],
        }
        for row in by_rule[:MAX_RULES]
    ]
    return [
        Section(
            title="Findings",
            note=f"The {MAX_RULES} most severe of {len(by_rule)} rules." if len(by_rule) > MAX_RULES else "",
            rows=rows,
            empty="No finding is open.",
            link=Link("All findings", address("repositories", name, "findings")),
        ),
        Section(
            title="Findings over time",
            half=True,
            note="Since the repository is registered.",
            picture=picture if weeks else "",
            rows=[{**row, "week": f"{row['week']:%Y-%m-%d}"} for row in reversed(weeks[-MAX_ROWS:])],
            empty="Nothing was found yet.",
        ),
    ]


def _work(connection: Connection, snapshot: Snapshot) -> list[Section]:
    id_, name = snapshot.repository_id, snapshot.repository
    items = work_items.find(
        connection, repository_id=id_, level=work_items.planned_level(), state="open", limit=TOP
    )
    changes = self_improvement.find(connection, repository_id=id_, limit=TOP)
    # A week ends with the day of the week that today is.
    weeks = plan_history.flow(connection, id_, days=7 * MAX_WEEKS)[6::7]
    weeks = list(dropwhile(lambda week: not any(week[1:]), weeks))
    burn_up = stacked(
        [f"{week.day:%m-%d}" for week in weeks],
        {name: [getattr(week, name) for week in weeks] for name in ("done", "started", "waiting")},
        "Planned items at the end of each week",
    )
    return [
        Section(
            title="Plan",
            rows=item_rows(items),
            empty="Nothing is planned.",
            link=Link("The whole plan", address("repositories", name, "plan")),
        ),
        Section(
            title="Burn-up of the plan",
            half=True,
            picture=burn_up if weeks else "",
            rows=[week._asdict() for week in reversed(weeks[-MAX_ROWS:])],
            empty="Nothing is planned.",
        ),
        Section(
            title="Changes",
            rows=change_rows(changes, with_repository=False),
            empty="No change was suggested yet.",
            link=Link("All changes", address("changes", repository=name)),
        ),
    ]


def _people(connection: Connection, snapshot: Snapshot) -> list[Section]:
    name, coupling = snapshot.repository, tables.change_coupling.c
    owners = metrics.owners(connection, snapshot.id)
    columns = ("path_a", "path_b", "common_commits", "degree")
    order = (coupling.degree.desc(), coupling.common_commits.desc())
    pairs = metrics.top(connection, snapshot.id, tables.change_coupling, columns, order)
    shown = [Pair(row["path_a"], row["path_b"], row["degree"]) for row in pairs]
    return [
        Section(
            title="Coupling",
            half=True,
            picture=circle(shown, "Files that change together") if shown else "",
            rows=[
                {
                    "file": file_link(name, row["path_a"]),
                    "with": file_link(name, row["path_b"]),
                    "common commits": row["common_commits"],
                    "degree": percent(row["degree"]),
                }
                for row in pairs
            ],
            empty="No two files change together regularly.",
        ),
        _knowledge_map(connection, snapshot),
        Section(
            title="Owners and knowledge",
            note="`alone`: files that nobody else changed; `lost`: files mostly by people who left.",
            rows=[{**row, "ownership": percent(row["ownership"])} for row in owners],
            empty="The history is not read yet.",
        ),
    ]


def _knowledge_map(connection: Connection, snapshot: Snapshot) -> Section:
    lost = [
        Tile(
            tile["path"],
            tile["code_lines"],
            min(tile["knowledge_loss"], 1),
            line_address(snapshot.repository, tile["path"]),
        )
        for tile in metrics.tiles(connection, snapshot.id)
    ]
    colour = "share of the lines by people who left"
    title = "Where those who know the code have left"
    picture = hotspot_map(lost, title, limit=MAX_OWNED_TILES, colour=colour) if lost else ""
    return Section(title="Knowledge map", half=True, picture=picture, empty="No file is measured yet.")


def _runs(connection: Connection, snapshot: Snapshot) -> list[Section]:
    name = snapshot.repository
    newest = quantumflow.find(connection, type_name=WorkflowTypeName.CODE_INGESTION, limit=10 * PAGE_ROWS)
    ours = [row for row in newest if isinstance(row.payload, dict) and row.payload.get("repository") == name]
    questions = requests.find(connection, repository_id=snapshot.repository_id, limit=TOP)
    return [
        Section(
            title="Readings",
            half=True,
            rows=[
                {
                    "at": row.created_at,
                    "status": Status(row.status),
                    "run": run_link(row.run_id),
                    "history": Link("events", address("workflows", row.id)),
                }
                for row in ours[:TOP]
            ],
            empty="It was not read by a workflow lately.",
            link=Link(
                "All runs in Dagster", f"{settings().dagster_page}/runs?q[]=tag:dagster/partition={name}"
            ),
        ),
        Section(
            title="Questions",
            half=True,
            rows=[
                {
                    "state": Status(row["state"]),
                    "about": Link(str(row["about"])[:120], address("workflows", row["id"])),
                    "from": row["source"],
                    "at": row["created_at"],
                }
                for row in questions
            ],
            empty="No question was asked. `qflow ask` answers questions about the code.",
        ),
    ]
