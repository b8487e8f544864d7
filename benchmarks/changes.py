"""What is offered as changes: `python -m benchmarks.changes REPOSITORY...` (paths).

By rule: the locations with a finding whose rule has a fix, at how many of them a change passed all gates (the
repository's own tests apart), and why there is none at the others. `--patches FOLDER` writes each change as a file to
read and judge. With `--labels FILE` (YAML: repository, commit, rule, path, line, `right`: whether a change is right
there, as judged by reading the code) also the share of the right ones that are offered, and the wrong ones that are.
`--programs` takes the small programs of `changed_programs`, and runs each before and after what is offered.
"""

import argparse
import os
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks import changed_programs
from benchmarks.loop import NAME, prepare
from qflow_dagster.agents import self_improvement
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import orchestrator
from qflow_dagster.safety.display import visible
from qflow_dagster.settings import settings

# More than any repository has changes; each batch of them is one that a run would generate.
MOST, BATCH = 2_000, 50
FINDINGS = text("SELECT rule_id, path, line FROM findings WHERE state = 'open' AND rule_id = ANY(:fixable)")
OFFERED = text("""
    SELECT c.id, c.rule_id, c.paths, c.patch, l.value->>'path' AS path, (l.value->>'line')::integer AS line
    FROM candidates c LEFT JOIN LATERAL jsonb_array_elements(c.locations) l ON true WHERE c.status = 'passed'
""")
WITHHELD = text("SELECT rule_id, path, line, reason FROM withheld_locations")

console = Console()
Location = tuple[str, str, int]


class Outcome(NamedTuple):
    """What became of the locations (rule, path, line) of a repository, and its patches by candidate."""

    found: set[Location]
    offered: set[Location]
    withheld: dict[Location, str]
    patches: dict[str, tuple[str, str]]
    seconds: float


def changes_of(home: Path, repository: Path) -> Outcome:
    """Run the loop up to the approval on a repository; return what it offers."""
    url = embedded.url(home, f"changes_{abs(hash(repository))}")
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    snapshot = prepare(engine, repository)
    evaluation = rule_engine.evaluate(engine, NAME)
    with engine.begin() as connection:
        findings.update(connection, snapshot, evaluation)
    with engine.begin() as connection:
        safe_work_planner.plan(connection, snapshot)
    started = time.perf_counter()
    for _ in range(MOST // BATCH):
        with engine.begin() as connection:
            if not orchestrator.request_generation(connection, snapshot, limit=BATCH):
                break
        orchestrator.work(
            engine,
            worker="benchmark",
            accept=lambda connection, candidate: None,
            limit=BATCH,
            limits_of=self_improvement.limits_of,
        )
    return _outcome(engine, time.perf_counter() - started)


def _outcome(engine: Engine, seconds: float) -> Outcome:
    fixable = [rule.id for rule in load_rules() if rule.fix is not None]
    with engine.connect() as connection:
        found = {tuple(row) for row in connection.execute(FINDINGS, {"fixable": fixable})}
        offered: set[Location] = set()
        patches: dict[str, tuple[str, str]] = {}
        for row in connection.execute(OFFERED):
            patches[str(row.id)] = (row.rule_id, row.patch)
            offered.add((row.rule_id, row.path or row.paths[0], row.line or 0))
        withheld = {(row.rule_id, row.path, row.line): row.reason for row in connection.execute(WITHHELD)}
    engine.dispose()
    return Outcome(found, offered, withheld, patches, seconds)


def by_rule(outcomes: dict[str, Outcome]) -> Table:
    """Return the table by rule over all repositories."""
    found, offered = Counter[str](), Counter[str]()
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes.values():
        found.update(rule for rule, _, _ in outcome.found | outcome.offered)
        offered.update(rule for rule, _, _ in outcome.offered)
        for (rule, _, _), reason in outcome.withheld.items():
            reasons[rule][reason] += 1
    table = Table(title=f"Changes offered in {len(outcomes)} repositories")
    for column in ("rule", "locations", "offered", "withheld", "why, most often"):
        table.add_column(column, justify="left" if column in ("rule", "why, most often") else "right")
    for rule in sorted(found):
        why = "; ".join(f"{visible(reason)} ({n})" for reason, n in reasons[rule].most_common(2))
        table.add_row(rule, str(found[rule]), str(offered[rule]), str(sum(reasons[rule].values())), why)
    table.add_row(
        "all", str(found.total()), str(offered.total()), str(sum(map(Counter.total, reasons.values()))), ""
    )
    return table


def against_labels(outcomes: dict[str, Outcome], labels: list[dict[str, Any]]) -> Table:
    """Return the table of labelled locations: by rule, how many of the right and of the wrong ones are offered."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for label in labels:
        outcome = outcomes.get(label["repository"])
        if outcome is None:
            continue
        kind = "right" if label["right"] else "wrong"
        counts[label["rule"]][kind] += 1
        counts[label["rule"]][f"{kind} offered"] += (
            label["rule"],
            label["path"],
            label["line"],
        ) in outcome.offered
    columns = ("right", "right offered", "wrong", "wrong offered")
    table = Table(title="Labelled locations")
    for column in ("rule", *columns):
        table.add_column(column, justify="left" if column == "rule" else "right")
    total = Counter[str]()
    for rule, count in sorted(counts.items()):
        total += count
        table.add_row(rule, *(str(count[column]) for column in columns))
    table.add_row("all", *(str(total[column]) for column in columns))
    return table


def write(outcomes: dict[str, Outcome], folder: Path) -> None:
    """Write each change to a file of its own, and each location with what became of it."""
    for name, outcome in outcomes.items():
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for id_, (rule, patch) in outcome.patches.items():
            (target / f"{rule.replace('/', '-')}-{id_[-8:]}.patch").write_text(patch)
        became = {location: outcome.withheld.get(location, "no change") for location in outcome.found}
        became |= outcome.withheld | dict.fromkeys(outcome.offered, "offered")
        lines = [f"{rule} {path}:{line} {why}" for (rule, path, line), why in sorted(became.items())]
        (target / "locations.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="*", type=Path)
    parser.add_argument("--patches", type=Path, help="a folder to write the changes to")
    parser.add_argument("--labels", type=Path, help="a file of labelled locations")
    parser.add_argument(
        "--programs",
        nargs="?",
        const="",
        metavar="PATTERN",
        help="also the small programs (with this in their path or rule), with all rules on",
    )
    arguments = parser.parse_args()
    settings().generation.tests = "off"
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="qflow-changes-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            programs = [] if arguments.programs is None else changed_programs.read(arguments.programs)
            target = home / "programs"
            if programs:
                settings().rules.enabled = [rule.id for rule in load_rules()]
                changed_programs.write(programs, target)
                arguments.repositories.append(target)
            for repository in arguments.repositories:
                outcome = changes_of(home, repository.resolve())
                outcomes[repository.absolute().name] = outcome
                if arguments.patches:
                    write({repository.absolute().name: outcome}, arguments.patches)
                console.print(
                    f"{repository.name}: {len(outcome.patches)} changes at {len(outcome.offered)} locations, "
                    f"{outcome.seconds:.0f} s on {os.cpu_count()} cores"
                )
            if programs:
                judged = changed_programs.judge(target, programs, outcomes["programs"].patches)
                console.print(changed_programs.table(programs, judged))
                console.print(changed_programs.differences(judged), markup=False)
        finally:
            embedded.stop(home)
    console.print(by_rule(outcomes))
    if arguments.labels:
        console.print(against_labels(outcomes, yaml.safe_load(arguments.labels.read_text())))


if __name__ == "__main__":
    main()
