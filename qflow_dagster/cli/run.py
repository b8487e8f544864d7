"""`qflow run`: the main job on one repository, in this process, with a progress display."""

import importlib
import logging
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text
from sqlalchemy import Connection, Engine

from qflow_dagster.agents import self_improvement
from qflow_dagster.cli.output import JsonFlag, console, messages, print_json, print_rows
from qflow_dagster.cli.session import dagster_instance
from qflow_dagster.database import ready_engine
from qflow_dagster.evolution import findings
from qflow_dagster.execution import work_items
from qflow_dagster.generation import candidate_records, orchestrator
from qflow_dagster.ingestion import queries, repositories
from qflow_dagster.metrics import pipeline
from qflow_dagster.metrics import queries as metric_queries
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

OpenPage = Annotated[
    bool, typer.Option("--open", help="Open the web page at the end; starts it if it does not run.")
]
JOB = "improve_repository"
DEFINITIONS = "qflow_dagster.definitions"
HOTSPOTS_STAGE = "metrics: hotspots"
MAX_ERRORS = 3
MAX_HOTSPOTS = 10
MAX_ROWS = 10
STAGES = ("metrics", "rules", "execution", "generation")


def run(
    repository: Annotated[
        str, typer.Argument(help="A path, a file://, https:// or ssh:// URL, or a registered name.")
    ] = ".",
    rev: Annotated[str, typer.Option("--rev", help="Branch, tag or commit to read.")] = "HEAD",
    items: Annotated[
        int | None,
        typer.Option("--items", min=0, help="Generate changes for at most so many work items; 0: for none."),
    ] = None,
    open_page: OpenPage = False,
    json: JsonFlag = False,
) -> None:
    """Run the whole loop on a repository, up to the approval: what to change, tested, and how to approve it.

    Unchanged files are not read again: a second run costs only what changed.
    """
    started = time.monotonic()
    # Importing Dagster takes as long as starting a new server and its database: side by side.
    threading.Thread(target=importlib.import_module, args=(DEFINITIONS,), daemon=True).start()
    with TerminalProgress() as progress:
        engine = ready_engine()
        with engine.begin() as connection:
            registered = repositories.find_or_register(connection, repository, progress=progress)

        def report(stage: str, done: int, total: int) -> None:
            progress(stage, done, total)
            if stage == HOTSPOTS_STAGE and done == total and not json:
                with progress.paused(), engine.connect() as connection:
                    show_hotspots(connection, registered.name, time.monotonic() - started)

        run_id, seconds = execute(registered.name, rev, items, report)
        with engine.connect() as connection:
            result = summary(connection, registered.name, run_id)
    result["runs"] = [run_id]
    result["seconds"] = {**seconds, "total": round(time.monotonic() - started, 2)}
    print_json(result) if json else show(result)
    count_lines(engine, registered.id)
    if open_page:
        show_page(f"/repositories/{registered.name}")


def count_lines(engine: Engine, repository_id: int) -> None:
    """Count the changed lines of old commits, which the result did not wait for; it may be interrupted."""
    with engine.connect() as connection:
        if repository_id not in queries.repositories_to_count(connection):
            return
    messages.print(
        "Counting the changed lines of commits older than a year; Ctrl-C ends it, the next run goes on."
    )
    with TerminalProgress() as progress:
        result = pipeline.count_lines(engine, repository_id, progress)
    missing = f"; {result.missing:,} cannot be counted, because objects are missing" if result.missing else ""
    messages.print(f"Counted the lines of {result.counted:,} commits{missing}.")


def execute(
    name: str, revision: str, items: int | None, progress: ReportProgress
) -> tuple[str, dict[str, float]]:
    """Run the main job on the repository called `name`; return the run's id and seconds per asset group.

    Raises:
        QflowError: the job failed for a reason that a person can fix.
    """
    progress("starting Dagster", 0, 0)
    instance = dagster_instance()
    import dagster as dg

    from qflow_dagster.assets.partitions import REPOSITORIES
    from qflow_dagster.definitions import definitions

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with instance:
        instance.add_dynamic_partitions(REPOSITORIES, [name])
        result = definitions.resolve_job_def(JOB).execute_in_process(
            instance=instance,
            partition_key=name,
            run_config=dg.RunConfig(
                ops={
                    "ingest_snapshot": {"config": {"revision": revision}},
                    "generation__candidates": {"config": {} if items is None else {"items": items}},
                },
                # The run's log is in the web page; here only the progress is shown.
                loggers={"console": {"config": {"log_level": "CRITICAL"}}},
            ),
            resources={"progress": progress},
        )
        return result.run_id, seconds_per_group(instance.get_run_step_stats(result.run_id))


def seconds_per_group(steps: Sequence[Any]) -> dict[str, float]:
    """Return the seconds of each asset group of a run, from Dagster's step statistics."""
    seconds: dict[str, float] = {}
    for step in steps:
        if step.start_time and step.end_time:
            group = next((stage for stage in STAGES if step.step_key.startswith(stage)), "ingestion")
            seconds[group] = seconds.get(group, 0.0) + step.end_time - step.start_time
    return {group: round(value, 2) for group, value in seconds.items()}


def summary(connection: Connection, name: str, run_id: str) -> dict[str, Any]:
    """Return what `qflow run` prints for the repository called `name` after that Dagster run."""
    snapshot = queries.current_snapshot(connection, name)
    pending = self_improvement.find(
        connection, repository_id=snapshot.repository_id, states=["awaiting_approval"], limit=1_000
    )
    return {
        "repository": snapshot.repository,
        "location": snapshot.location,
        "commit": snapshot.commit_oid,
        "files": snapshot.file_count,
        "lines": snapshot.lines,
        "functions": metric_queries.function_count(connection, snapshot.id),
        "commits": queries.commit_summary(connection, snapshot.repository_id)["commits"],
        "missing_blobs": snapshot.missing_blobs,
        "languages": queries.languages(connection, snapshot),
        "parse_errors": queries.parse_error_rate(connection, snapshot),
        "hotspots": metric_queries.hotspots(connection, snapshot.repository_id, MAX_HOTSPOTS),
        "findings": findings.counts(connection, snapshot.repository_id),
        "rules_off": findings.off_rules(connection, snapshot.repository_id),
        "work_items": work_items.find(
            connection, repository_id=snapshot.repository_id, level="feature", state="open", limit=MAX_ROWS
        ),
        "failed_generations": orchestrator.failures(connection, run_id),
        "candidates": candidate_records.counts(connection, snapshot.repository_id),
        "suggestions": pending,
        "approvals": [row["approval"] for row in pending],
    }


def show_hotspots(connection: Connection, name: str, seconds: float) -> None:
    """Print the hotspots for a person; they are there `seconds` after the start, before the rest of the result."""
    snapshot = queries.current_snapshot(connection, name)
    if missing := snapshot.missing_blobs:
        console.print(
            f"{missing:,} files are not read, because their content is missing from the repository "
            "(in a partial clone: git fetch --refetch, then run again).",
            style="yellow",
        )
    columns = ("rank", "path", "score", "commits_365", "cognitive", "reason")
    hotspots = metric_queries.hotspots(connection, snapshot.repository_id, MAX_HOTSPOTS)
    rows = [{column: spot[column] for column in columns} for spot in hotspots]
    empty = "No hotspot: no file is complex and changes often."
    print_rows(rows, empty=empty, title=f"Hotspots ({seconds:.1f} s)")


def show(result: dict[str, Any], *, hints: bool = True) -> None:
    """Print the rest of a run's result for a person, and where to look next (`hints`)."""
    seconds = result["seconds"]
    console.print(result["repository"], style="bold", end=" ")
    console.print(
        f"at {result['commit'][:10]}: {result['files']:,} files, "
        f"{result['lines']:,} lines, {result['functions']:,} functions, {result['commits']:,} commits "
        f"({seconds['total']:.1f} s)"
    )
    print_rows(result["languages"][:8], empty="No language was recognised.", title="Languages")
    if (errors := result["parse_errors"])["with_errors"]:
        worst = ", ".join(f"{row['path']}:{row['first_line']}" for row in errors["worst"][:MAX_ERRORS])
        console.print(
            f"{errors['with_errors']:,} of {errors['parsed']:,} parsed files have syntax errors, "
            f"so some of their code is not measured: {worst}{' ...' * (errors['with_errors'] > MAX_ERRORS)}",
            soft_wrap=True,
        )
    findings = [
        {name: row[name] for name in ("severity", "rule", "open", "files", "fixable")}
        for row in result["findings"]
    ]
    print_rows(findings[:MAX_ROWS], empty="No finding.", title="Findings")
    if off := result["rules_off"]:
        console.print(
            f"{len({row['rule'] for row in off})} rules are off here, with {sum(row['matches'] for row in off):,} "
            f"matches: style, or what the repository's linters ignore (qflow findings off {result['repository']}).",
            soft_wrap=True,
        )
    work = [{name: row[name] for name in ("wsjf", "state", "title")} for row in result["work_items"]]
    print_rows(work, empty="No open work item.", title="Work items, the highest WSJF first")
    for failed in result["failed_generations"]:
        console.print(
            f"{failed['changes']:,} changes could not be generated: {failed['reason']}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    pending = [
        {
            "approval": str(row["approval"])[:18],
            "risk": row["risk"],
            "lines": row["lines"],
            "title": row["title"],
        }
        for row in result["suggestions"]
    ]
    print_rows(
        pending[:MAX_ROWS],
        empty="No change awaits approval.",
        title="Awaiting approval: changes that passed all gates",
    )
    if not result["findings"] and not pending:
        console.print("Nothing to do: no finding is open, and no change awaits approval.")
    if hints:
        _print_hints(result, pending)


def _print_hints(result: dict[str, Any], pending: list[dict[str, Any]]) -> None:
    console.print("Next:")
    if pending:
        console.print(
            f"  qflow approvals approve {pending[0]['approval']}    show the first change, and decide"
        )
        console.print(
            "  qflow edits apply    commit approved changes, each on a branch of its own, and verify them"
        )
    if result["hotspots"]:
        console.print(
            f"  qflow metrics {result['hotspots'][0]['path']}    why it is a hotspot", soft_wrap=True
        )
    console.print(
        f"  qflow findings list {result['repository']}    the findings; qflow work tree    the plan"
    )
    page = f"{settings().page_address}/repositories/{result['repository']}"
    console.print(
        f"  {page}    the same as a page" + ("" if is_serving() else ", once `qflow up` runs"), soft_wrap=True
    )


def is_serving() -> bool:
    """Return whether the web page answers."""
    try:
        with urllib.request.urlopen(f"{settings().page_address}/health/live", timeout=2):  # noqa: S310  (ours)
            return True
    except OSError:
        return False


def show_page(path: str) -> None:
    """Open a page in the browser; if the server does not run, run it as `qflow up` does, until Ctrl-C."""
    address = f"{settings().page_address}{path}"
    if is_serving():
        webbrowser.open(address)
        return

    def open_when_ready() -> None:
        while not is_serving():
            time.sleep(0.5)
        webbrowser.open(address)

    threading.Thread(target=open_when_ready, daemon=True).start()
    from qflow_dagster.cli.up import up

    up()


class _RateColumn(ProgressColumn):
    """Steps per second of a stage."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


class TerminalProgress:
    """Progress bars on stderr, one per stage with its rate and the time left, in place of the log."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=messages,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the bars from the terminal for the duration of a block that prints."""
        self._bars.live.stop()
        yield
        self._bars.live.start()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage; `total` is 0 if unknown."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total or None)
        self._bars.update(self._tasks[stage], completed=done, total=total or None)
